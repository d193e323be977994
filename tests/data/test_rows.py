"""Missing values, columns, texts and labels of every type, suitable or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seqzoo.data.table import TextTable, read_table

REVIEWS = 'text,label\ngood film,pos\n"bad, slow\nand long",neg\nfine,pos\n'


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def frame(texts: list, labels: list) -> pd.DataFrame:
    return pd.DataFrame({"text": pd.Series(texts, dtype=object), "label": labels})


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return write(tmp_path / "reviews.csv", REVIEWS)


class TestMissingValues:
    def test_words_for_nothing_are_texts(self, tmp_path):
        words = ["NA", "null", "None", "nan", "NULL", "N/A", "  "]
        path = write(
            tmp_path / "t.csv", "text,label\n" + "".join(f"{w},NA\n{w},no\n" for w in words)
        )
        table = read_table(path)
        assert table.texts.tolist() == [word for word in words for _ in range(2)]
        assert table.classes == ("NA", "no")

    @pytest.mark.parametrize(
        "content", ["text,label\na,x\n,y\nb,\nc,y\n", 'text,label\na,x\n"",y\nb\nc,y\n']
    )
    def test_csv(self, tmp_path, content):
        path = write(tmp_path / "t.csv", content)
        with pytest.raises(ValueError, match=r"na='drop'.*2 of 4 rows are incomplete: row 2, 3 "):
            read_table(path)
        assert read_table(path, na="drop").texts.tolist() == ["a", "c"]
        with pytest.raises(ValueError, match="1 of 4 rows"):
            read_table(path, label=None)

    def test_first_rows_only(self):
        with pytest.raises(ValueError, match=r"9 of 10 rows are incomplete: row 1, 2, 3, 4, 5, … "):
            read_table(frame([None] * 9 + ["a"], ["x", "y"] * 5))

    @pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
    def test_frame(self, nothing):
        with pytest.raises(ValueError, match="1 of 3 rows are incomplete: row 2 "):
            read_table(frame(["a", nothing, "c"], ["x", "y", "y"]))
        table = read_table(frame(["a", "b", "c"], [1, nothing, 2]), na="drop")
        assert (table.classes, table.texts.tolist()) == (("1", "2"), ["a", "c"])

    def test_json(self, tmp_path):
        path = write(
            tmp_path / "t.jsonl",
            '{"text":"a","label":1}\n{"text":"b"}\n{"text":null,"label":2}\n{"text":"","label":2}\n',
        )
        with pytest.raises(ValueError, match="row 2, 3 "):
            read_table(path)
        assert read_table(path, na="drop").texts.tolist() == ["a", ""]

    def test_users_own_rule(self, tmp_path):
        path = write(tmp_path / "t.csv", "text,label\n?,a\n,b\nNA,b\n")
        assert read_table(
            path, na_values=["?"], na="drop", classes=["a", "b"], keep_default_na=False
        ).texts.tolist() == ["", "NA"]
        with pytest.raises(ValueError, match="row 2, 3 "):
            read_table(path, keep_default_na=True)

    def test_nothing_left(self):
        with pytest.raises(ValueError, match=r"at least one row.*2 rows"):
            read_table(frame([None, None], ["a", "b"]), na="drop")

    def test_bad_rule(self, reviews):
        with pytest.raises(ValueError, match="Received: na='skip'"):
            read_table(reviews, na="skip")


class TestColumns:
    @pytest.mark.parametrize(
        ("content", "options", "words"),
        [
            ("txt,label\na,0\n", {}, r"text column .*Did you mean 'txt'\? .*'txt', 'label'"),
            ("text,lable\na,0\n", {}, "label column .*Did you mean 'lable'.*label=None"),
            ("text;label\na;0\n", {}, "sep=';'"),
            ("text\tlabel\na\t0\n", {}, r"sep='\\t'"),
            ("a fine film it is,1\na bad film,0\n", {}, r"names=\[...\]"),
            ("a,b\nc,d\n", {"text": 2}, "position .* text=2.*2 columns"),
            ("a,b\nc,d\n", {"text": 0, "label": -3}, "label=-3"),
            ("a,b\nc,d\n", {"text": "a", "label": 0}, "two columns"),
            (
                "a,b,c\nd,e,f\n",
                {"text": ("a", "b", "c"), "label": None},
                r"pair of two.*text=\['title', 'body'\].*text=\('a', 'b', 'c'\)",
            ),
            ("a,b\nc,d\n", {"text": ("a", 0), "label": None}, r"different columns.*\('a', 0\)"),
            ("a,b\nc,d\n", {"text": ("a", "b"), "label": 1}, "must be two columns"),
            ("text,b\nc,d\n", {"label": ["b", 1]}, r"named once.*label=\['b', 1\]"),
            ("text,b\nc,d\n", {"label": []}, r"label=None.*label=\[\]"),
            ("text,b,c\nd,e,f\n", {"label": ["b", "c"]}, "hold.* 0 and 1.*column 'b' with 'e'"),
        ],
    )
    def test_not_there(self, tmp_path, content, options, words):
        with pytest.raises(ValueError, match=words):
            read_table(write(tmp_path / "t.csv", content), **options)

    def test_many_long_names_are_shortened(self):
        source = pd.DataFrame({f"{i} {'x' * 99}": ["a"] for i in range(20)})
        with pytest.raises(ValueError, match=r"xxx\.\.\..* and 8 more$"):
            read_table(source)

    def test_twice(self):
        source = pd.DataFrame([["a", "b", 0]], columns=["text", "text", "label"])
        with pytest.raises(ValueError, match=r"unique.*2 columns"):
            read_table(source)

    def test_parquet(self, tmp_path):
        frame(["a"], [0]).to_parquet(tmp_path / "t.parquet")
        with pytest.raises(ValueError, match="text column must be in"):
            read_table(tmp_path / "t.parquet", text="review")

    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            ([1, 2], "integer"),
            ([1.5, 2], "floating"),
            (["a", 2], "mixed-integer"),
            ([b"a", b"b"], "bytes"),
        ],
    )
    def test_not_text(self, values, kind):
        source = pd.DataFrame({"id": values, "review": ["long text"] * 2, "label": ["x", "y"]})
        with pytest.raises(
            ValueError, match=rf"hold strings. Did you mean text='review'\?.*{kind} "
        ):
            read_table(source, text="id")

    def test_lists_of_words(self):
        with pytest.raises(ValueError, match=r"one string. Join .*str.join.*\['a', 'b'\]"):
            read_table(frame([["a", "b"], ["c"]], [0, 1]))

    def test_only_numbers_in_csv(self, tmp_path):
        path = write(tmp_path / "t.csv", "id,review,label\n1,good film,x\n2,bad,y\n3,,y\n")
        with pytest.raises(ValueError, match=r"Did you mean text='review'\?.*only numbers"):
            read_table(path, text="id")
        with pytest.raises(ValueError, match=r"hold strings. If these"):
            read_table(write(tmp_path / "n.csv", "text,label\n1,2\n3,4\n"))
        table = read_table(path, text="id", dtype={"id": str})
        assert table.texts.tolist() == ["1", "2", "3"]

    def test_some_numbers_in_csv(self, tmp_path):
        path = write(tmp_path / "t.csv", "text,label\n007,x\n1.50,y\nfine,y\n")
        assert read_table(path).texts.tolist() == ["007", "1.50", "fine"]

    def test_categorical_text(self):
        source = pd.DataFrame({"text": pd.Categorical(["b", "a"]), "label": [0, 1]})
        assert read_table(source).texts.tolist() == ["b", "a"]

    def test_half_a_surrogate_pair(self):
        with pytest.raises(ValueError, match="valid Unicode"):
            read_table(frame(["\ud83d", "b"], [0, 1]))


class TestLabels:
    @pytest.mark.parametrize(
        ("labels", "classes"),
        [
            (["b", "a", "b"], ("a", "b")),
            ([10, 2, 10], ("2", "10")),
            ([2.0, 1.0, 2.0], ("1", "2")),
            ([True, False, True], ("False", "True")),
            (pd.Categorical(["b", "a", "b"], ["b", "a", "unused"]), ("a", "b")),
            (pd.Categorical([10, 2, 10]), ("2", "10")),
            (["10", "2", "10"], ("2", "10")),
            (["01", "2", "10"], ("01", "10", "2")),
            (["NA", "None", "null"], ("NA", "None", "null")),
            (pd.array([10, 2, 10], "Int64"), ("2", "10")),
            (pd.Series([True, False, True], dtype=object), ("False", "True")),
            (pd.Series([2**60, 2**60 + 1, 2**60]), (str(2**60), str(2**60 + 1))),
        ],
    )
    def test_classes(self, labels, classes):
        table = read_table(pd.DataFrame({"text": list("xyz"), "label": labels}))
        assert table.classes == classes
        values = [str(label).removesuffix(".0") for label in labels]
        assert [classes[label] for label in table.labels] == values

    @pytest.mark.parametrize(
        ("written", "classes"),
        [
            (["10", "2", "1"], ("1", "2", "10")),
            (["10", "-2", "0"], ("-2", "0", "10")),
            (["1.0", "2.0", "10.0"], ("1.0", "10.0", "2.0")),
            (["10", "2", "x"], ("10", "2", "x")),
            (["1_0", "2", "3"], ("1_0", "2", "3")),
            (["True", "False", "True"], ("False", "True")),
            (["NA", "None", "null"], ("NA", "None", "null")),
            (["007", "008", "100"], ("007", "008", "100")),
            ([str(2**60), str(2**60 + 1), "5"], ("5", str(2**60), str(2**60 + 1))),
        ],
    )
    @pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
    @pytest.mark.parametrize("stream", [False, True])
    def test_names_are_what_the_file_says(self, tmp_path, written, classes, suffix, stream):
        path = tmp_path / f"t.{suffix}"
        source = pd.DataFrame({"text": ["t"] * len(written), "label": written})
        if suffix == "parquet":
            source.to_parquet(path)
        elif suffix == "jsonl":
            source.to_json(path, orient="records", lines=True)
        else:
            source.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
        table = read_table(path, stream=stream)
        assert table.classes == classes
        (labels,) = [labels for _, labels in table.chunks()] if stream else [table.labels]
        assert [classes[label] for label in labels] == written
        again = read_table(path, classes=classes[::-1], stream=stream)
        assert again.class_counts == {name: table.class_counts[name] for name in classes[::-1]}

    @pytest.mark.parametrize(
        "written",
        [["01", "1"], ["0111", "111"], ["1E2", "100"], ["007", "7"], ["1.0", "1"], ["+1", "1"],
         [" 1", "1"], ["pos ", "pos"], ["TRUE", "True"]],
    )  # fmt: skip
    def test_like_labels_are_kept_apart_and_named(self, tmp_path, written):
        path = write(tmp_path / "t.csv", "text,label\n" + "".join(f"t,{w}\n" for w in written))
        with pytest.warns(UserWarning, match="look like one written in several ways") as caught:
            table = read_table(path)
        assert sorted(table.classes) == sorted(written)
        assert caught[0].filename == __file__
        with pytest.raises(ValueError, match=r"to the letter.*unknown labels"):
            read_table(path, classes=[written[1], "x"])

    @pytest.mark.parametrize("kind", [str, "category", "str"])
    def test_csv_type_given(self, tmp_path, kind):
        path = write(tmp_path / "t.csv", "text,label\na,007\nb,10\nc,9\n")
        assert read_table(path, dtype={"label": kind}).classes == ("007", "10", "9")
        assert read_table(path, dtype=kind).classes == ("007", "10", "9")
        assert read_table(path, dtype={"label": "int64"}).classes == ("7", "9", "10")

    def test_csv_converter(self, tmp_path):
        path = write(tmp_path / "t.csv", "text,label\na,007\nb,10\n")
        with pytest.warns(pd.errors.ParserWarning, match="converter"):
            table = read_table(path, converters={"label": lambda value: f"class {value}"})
        assert table.classes == ("class 007", "class 10")

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            ([0.5, 1.0], r"not measurements.*target='number'.*such as 0.5"),
            ([float("inf"), 1.0], "not measurements"),
            (["a", 1], "all strings.*mixed"),
            ([True, 1], "all booleans"),
            ([["a"], ["b", "c"]], r"class is one name.*target='labels'.*\['b', 'c'\]"),
            ([2.0**53, 2.0**53 + 2], "not measurements"),
            (pd.to_datetime(["2020-01-01", "2020-01-02"]), "datetime64"),
            (["a", "a"], "at least two classes.*one class, 'a'"),
        ],
    )
    def test_unsuitable(self, labels, words):
        with pytest.raises(ValueError, match=words):
            read_table(frame(["x", "y"], labels), target="class")

    def test_measurements_in_csv(self, tmp_path):
        path = write(tmp_path / "t.csv", "text,label\na,0.25\nb,1\n")
        with pytest.raises(ValueError, match=r"pandas.cut.*'0.25'"):
            read_table(path, target="class")

    def test_given_classes(self, reviews):
        table = read_table(reviews, classes=["pos", "neutral", "neg"])
        assert table.labels.tolist() == [0, 2, 0]
        assert table.class_counts == {"pos": 2, "neutral": 0, "neg": 1}
        with pytest.raises(ValueError, match=r"unknown labels 'pos'; classes=\('neg', 'bad'\)"):
            read_table(reviews, classes=["neg", "bad"])

    def test_given_classes_of_a_part(self):
        table = TextTable.from_texts(["x"], [1.0], classes=("0", "1"))
        assert table.labels.tolist() == [1]

    def test_given_classes_as_written(self, tmp_path):
        path = write(tmp_path / "t.csv", "text,label\nx,007\ny,007\n")
        assert read_table(path, classes=["007", "x"]).labels.tolist() == [0, 0]

    def test_positions_in_given_classes(self, tmp_path):
        path = write(tmp_path / "t.csv", "text,label\nx,1\ny,0\n")
        assert read_table(path, classes=["neg", "pos"]).labels.tolist() == [1, 0]
        assert TextTable.from_texts(["x"], [1], ["neg", "pos"]).labels.tolist() == [1]
        for classes in (["neg"], ["1", "2"]):
            with pytest.raises(ValueError, match="unknown labels"):
                read_table(path, classes=classes)
        with pytest.raises(ValueError, match="unknown labels"):
            read_table(frame(["x"], [True]), classes=["no", "yes"])

    @pytest.mark.parametrize("classes", ["ab", [], ["a", "a"], [0, 1]])
    def test_bad_given_classes(self, reviews, classes):
        with pytest.raises(ValueError, match="distinct names"):
            read_table(reviews, classes=classes)

    def test_wrong_column_is_suspected(self):
        labels = [f"id {i}" for i in range(60)]
        with pytest.warns(UserWarning, match="60 classes in 60 rows"):
            read_table(frame(labels, labels))
