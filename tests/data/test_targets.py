"""What rows are answered: classes, labels and numbers, told apart, encoded, split and refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_seqzoo.data.reading import READ_ROWS
from keras_seqzoo.data.stream import TextStream
from keras_seqzoo.data.table import TextTable, read_table, stream_table
from keras_seqzoo.data.targets import TARGETS, AnyOf, Number, OneOf, target_from_dict

REAL = Path(__file__).parents[3] / "shared" / "data"
FLAGS = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])


def frame(**columns: Any) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    return pd.DataFrame({"text": [f"text {i}" for i in range(rows)], **columns})


def real(name: str) -> Path:
    path = REAL / name
    if not path.exists():
        pytest.skip(f"real data is not here: ../shared/data/{name}")
    return path


def both(path: Path, **options: Any) -> tuple[TextTable, TextStream]:
    """A file as a table and as a stream, which must tell the same."""
    table, stream = read_table(path, **options), stream_table(path, **options)
    assert isinstance(stream, TextStream)
    assert (stream.target, stream.classes) == (table.target, table.classes)
    assert stream.class_counts == table.class_counts
    assert stream.fingerprint() == table.fingerprint()
    chunks = list(stream.chunks(3))
    assert np.concatenate([texts for texts, _ in chunks]).tolist() == table.texts.tolist()
    labels = np.concatenate([labels for _, labels in chunks if labels is not None])
    assert table.labels is not None
    assert (labels.dtype, labels.tolist()) == (table.labels.dtype, table.labels.tolist())
    return table, stream


class TestLabels:
    @pytest.mark.parametrize(
        "columns",
        [
            FLAGS,
            FLAGS.astype(bool),
            FLAGS.astype(float),
            FLAGS.astype(str),
            FLAGS.astype(bool).astype(str),
        ],
    )
    def test_columns(self, columns):
        source = frame(toxic=columns[:, 0], insult=columns[:, 1])
        table = read_table(source, label=["toxic", "insult"])
        assert table.target == AnyOf(("toxic", "insult"))
        assert table.classes == ("toxic", "insult")
        assert (table.labels.dtype, table.labels.tolist()) == (np.float32, FLAGS.tolist())
        assert table.class_counts == {"toxic": 2, "insult": 2}
        assert list(table.frame) == ["text", "label_0", "label_1"]
        assert repr(table) == "TextTable('DataFrame', 4 rows, labels 'toxic': 2, 'insult': 2)"
        one = read_table(source, label=["insult"])
        assert one.labels.tolist() == [[0], [1], [1], [0]]

    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
    def test_columns_of_files(self, tmp_path, suffix):
        path = tmp_path / f"t.{suffix}"
        source = frame(toxic=FLAGS[:, 0], insult=FLAGS[:, 1])
        if suffix == "parquet":
            source.to_parquet(path)
        elif suffix == "jsonl":
            source.to_json(path, orient="records", lines=True)
        else:
            source.to_csv(path, index=False)
        table, stream = both(path, label=["insult", 1])
        assert table.classes == ("insult", "toxic")
        assert table.labels.tolist() == FLAGS[:, ::-1].tolist()
        assert "labels 'insult', 'toxic'" in repr(stream)
        again = read_table(path, label=[1, 2], classes=table.classes)
        assert again.labels.tolist() == table.labels.tolist()

    @pytest.mark.parametrize(
        ("lists", "names"),
        [
            ([["b", "a"], [], ["b"]], ("a", "b")),
            ([{"b", "a"}, (), np.array(["b"])], ("a", "b")),
            ([[10, 9], [], [10]], ("9", "10")),
            ([["10", "9"], [], ["10"]], ("9", "10")),
            ([["yes", "no"], [], ["yes"]], ("no", "yes")),
        ],
    )
    def test_lists(self, lists, names):
        table = read_table(frame(label=lists))
        assert table.target == AnyOf(names)
        assert table.labels.tolist() == [[1, 1], [0, 0], [0, 1]]
        given = TextTable.from_texts(["x", "y", "z"], lists, classes=[names[1], names[0], "c"])
        assert given.labels.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]

    @pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
    def test_lists_of_files(self, tmp_path, suffix):
        source = frame(label=[["b", "a"], [], ["b"], ["a"]] * 3)
        path = tmp_path / f"t.{suffix}"
        if suffix == "parquet":
            source.to_parquet(path)
        else:
            source.to_json(path, orient="records", lines=True)
        table, _ = both(path)
        assert table.class_counts == {"a": 6, "b": 6}

    @pytest.mark.parametrize(
        ("options", "written"),
        [({"label_sep": ";"}, "b; a|;|b|"), ({"target": "labels"}, "b,a||b,b|")],
    )
    def test_strings_with_a_separator(self, tmp_path, options, written):
        rows = [f"t{i}\t{labels}" for i, labels in enumerate(written.split("|"))]
        (tmp_path / "t.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
        table, _ = both(tmp_path / "t.tsv", **options)
        assert table.classes == ("a", "b")
        assert table.labels.tolist() == [[1, 1], [0, 0], [0, 1], [0, 0]]

    def test_names_by_position(self, tmp_path):
        (tmp_path / "t.csv").write_text('text,label\na,"0,2"\nb,1\n')
        table = read_table(tmp_path / "t.csv", label_sep=",", classes=["joy", "fear", "anger"])
        assert table.labels.tolist() == [[1, 0, 1], [0, 1, 0]]
        assert read_table(tmp_path / "t.csv", label_sep=",").classes == ("0", "1", "2")

    def test_arrays(self):
        table = TextTable.from_texts(list("wxyz"), FLAGS, classes=["toxic", "insult"])
        assert table.target == AnyOf(("toxic", "insult"))
        assert TextTable.from_texts(list("wxyz"), FLAGS).classes == ("0", "1")
        assert TextTable.from_texts(list("wxyz"), FLAGS.tolist()).target == AnyOf(("0", "1"))
        source = pd.DataFrame(FLAGS, columns=["toxic", "insult"], index=[7, 7, 7, 7])
        assert TextTable.from_texts(list("wxyz"), source).labels.tolist() == FLAGS.tolist()
        column = TextTable.from_texts(list("wxyz"), np.array([[2], [0], [1], [0]]))
        assert column.target == OneOf(("0", "1", "2"))
        assert TextTable.from_texts(list("wxyz"), FLAGS[:, :1], target="labels").classes == ("0",)

    @pytest.mark.parametrize(
        ("labels", "options", "words"),
        [
            ([["a"], "b"], {}, r"all rows are lists, or all are strings.*\['a'\], 'b'"),
            (["b", ["a"]], {}, "all rows are lists, or all are strings"),
            ([["a"], ["b"]], {"label_sep": ","}, "leave label_sep out"),
            ([["a"], ["b", None]], {}, "none missing"),
            ([["a"], [["b"]]], {}, "A list of labels holds names"),
            ([["a"], [1]], {}, "all strings, all whole numbers"),
            ([{"a": 1}, {"b": 1}], {}, "A list of labels holds names"),
            ([[], []], {}, "Some rows must have labels.*without a label"),
            ([[0, 1, 0], [1, 1, 0]], {}, "make a column for each label"),
            ([3, 0], {"target": "labels"}, r"as lists or as strings.*label=\['toxic', 'insult'\]"),
            (["['a', 'b']", "['a']"], {"target": "labels"}, "printed.*JSON lines"),
            ([["a"], ["c"]], {"classes": ["a", "b"]}, "unknown labels 'c'"),
            (["a,c", "a"], {"label_sep": ",", "classes": ["a", "b"]}, "unknown labels 'c'"),
            ([["a"], None], {}, "1 of 2 rows are incomplete: row 2"),
            ([["a"], ["b"]], {"target": "class"}, "class is one name.*target='labels'"),
            ([["a"], ["b"]], {"target": "number"}, "columns of numbers.*mixed values"),
            ([0, 1], {"target": "labels"}, r"label=\['label'\]"),
            ([1, 0], {"target": AnyOf(("a", "b"))}, r"has one label.*label=\['a', 'b'\].*alone"),
            (["0", "1"], {"target": AnyOf(("a", "b"))}, r"has one label.*label=\['a', 'b'\]"),
            (["a", "b"], {"label_sep": ""}, r"Pass label_sep=','.*label_sep=''"),
            (["a", "b"], {"label_sep": ",", "target": "class"}, "or pass target='labels'"),
        ],
    )
    def test_unsuitable(self, labels, options, words):
        with pytest.raises(ValueError, match=words):
            read_table(frame(label=pd.Series(labels, dtype=object)), **options)

    @pytest.mark.parametrize(
        ("columns", "options", "words"),
        [
            ({"a": [0, 1], "b": ["x", "y"]}, {}, "0 and 1.*column 'b' with 'x', 'y'"),
            ({"a": [0, 1], "b": [["x"], []]}, {}, "alone where it holds classes or lists.*'b'"),
            ({"a": [0, 1], "b": [0, 2]}, {"target": "labels"}, "0 and 1.*column 'b' with 2"),
            ({"a": [0, 1], "b": [0, 2]}, {"classes": ["a", "b"]}, "0 and 1.*column 'b' with 2"),
            (
                {"a": [0, 1], "b": [0, 1]},
                {"classes": ["a", "c"]},
                "one label column for each label.*'a', 'c'",
            ),
            ({"a": [0, 1], "b": [0, 1]}, {"target": "class"}, "one label column.*target='labels'"),
            ({"a": [0, 1], "b": [0, None]}, {}, "a text and all labels.*row 2"),
            ({"a": [0, 1], "b": [0, 1]}, {"label_sep": ","}, "one label column"),
        ],
    )
    def test_unsuitable_columns(self, columns, options, words):
        with pytest.raises(ValueError, match=words):
            read_table(frame(**columns), label=["a", "b"], **options)

    def test_columns_that_change_later(self, tmp_path):
        source = frame(a=[0, 1] * READ_ROWS, b=[0] * (2 * READ_ROWS - 1) + [5])
        source.to_csv(tmp_path / "t.csv", index=False)
        for stream in (False, True):
            with pytest.raises(ValueError, match=r"target='number'.*column 'b' with '5'"):
                read_table(tmp_path / "t.csv", label=["a", "b"], stream=stream)

    @pytest.mark.parametrize("labels", [[[0, 1], [1, 0]], [(0,), (1,)], [[1.0, 0.0]]])
    def test_lists_that_may_be_flags_or_names(self, labels):
        with pytest.raises(ValueError, match=r"Pass names as strings, or np.array\(labels\)"):
            TextTable.from_texts(["x", "y"][: len(labels)], labels)

    def test_wrong_shapes(self):
        with pytest.raises(ValueError, match=r"a column for each name.*'a', 'b', 'c'"):
            TextTable.from_texts(list("wxyz"), FLAGS, classes=["a", "b", "c"])
        with pytest.raises(ValueError, match="two dimensions"):
            TextTable.from_texts(["a"], np.zeros((1, 2, 2)))
        with pytest.raises(ValueError, match="3 texts, 4 labels"):
            TextTable.from_texts(list("xyz"), FLAGS)

    def test_file_changed_since(self, tmp_path):
        (tmp_path / "t.csv").write_text("text,label\nx,a\ny,b\n")
        stream = stream_table(tmp_path / "t.csv", label_sep=",")
        (tmp_path / "t.csv").write_text('text,label\nx,a\ny,"b,c"\n')
        with pytest.raises(ValueError, match=r"must not change.*'c'"):
            list(stream.chunks())

    def test_no_class_weights(self, tmp_path):
        frame(a=[0, 1], b=[1, 1]).to_csv(tmp_path / "t.csv", index=False)
        for table in both(tmp_path / "t.csv", label=["a", "b"]):
            with pytest.raises(ValueError, match=r"one class for each row.*labels 'a', 'b'"):
                table.class_weights()


class TestNumbers:
    @pytest.mark.parametrize(
        "values", [[4.5, 1, 3], ["4.5", "1", "3e0"], [" 4.5", "+1", "3."], pd.array([4.5, 1, 3])]
    )
    def test_one_column(self, values):
        table = read_table(frame(score=values), label="score", target="number")
        assert table.target == Number(("score",))
        assert (table.classes, table.class_counts) == ((), {})
        assert (table.labels.dtype, table.labels.tolist()) == (np.float32, [[4.5], [1.0], [3.0]])
        assert list(table.frame) == ["text", "label_0"]
        assert repr(table) == "TextTable('DataFrame', 3 rows, numbers 'score': 1 to 4.5)"
        assert repr(table.take([])).endswith("numbers 'score')")

    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
    def test_files(self, tmp_path, suffix):
        source = frame(a=[0.5, 2, 3, 4, 5], b=[1, 2, 3, 4, 500])
        path = tmp_path / f"t.{suffix}"
        if suffix == "parquet":
            source.to_parquet(path)
        elif suffix == "jsonl":
            source.to_json(path, orient="records", lines=True)
        else:
            source.to_csv(path, index=False)
        table, stream = both(path, label=["b", "a"])
        assert table.target == Number(("b", "a"))
        assert table.labels[-1].tolist() == [500, 5]
        assert "numbers 'b', 'a'" in repr(stream)
        with pytest.warns(UserWarning, match="measurements, and are learnt as numbers") as caught:
            one, _ = both(path, label="a")
        assert one.target == Number(("a",))
        assert caught[0].filename == __file__
        whole, _ = both(path, label="b", target="number")
        assert whole.labels[:, 0].tolist() == [1, 2, 3, 4, 500]
        assert read_table(path, label="b").target == OneOf(("1", "2", "3", "4", "500"))

    def test_what_is_said_of_measurements_helps(self, tmp_path):
        frame(label=[0.5, 1.5, 0.5]).to_csv(tmp_path / "t.csv", index=False)
        with pytest.warns(UserWarning, match=r"'0.5', '1.5' are .*target='number'.*dtype=str"):
            read_table(tmp_path / "t.csv")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_table(tmp_path / "t.csv", target="number")
            named = read_table(tmp_path / "t.csv", dtype=str)
        assert named.target == OneOf(("0.5", "1.5"))
        with pytest.raises(ValueError, match="not measurements"):
            read_table(tmp_path / "t.csv", target="class")
        with pytest.raises(ValueError, match="not measurements"):
            read_table(tmp_path / "t.csv", classes=["a", "b"])

    def test_arrays(self):
        values = np.array([[1.5, 2], [3, 4]])
        table = TextTable.from_texts(["x", "y"], values)
        assert (table.target, table.labels.tolist()) == (Number(("0", "1")), values.tolist())
        for labels in ([3, 1], np.array([[3], [1]]), pd.Series([3, 1], index=[5, 6])):
            table = TextTable.from_texts(["x", "y"], labels, target="number")
            assert table.labels.tolist() == [[3], [1]]
        with pytest.raises(ValueError, match="rows of several lengths"):
            TextTable.from_texts(["x", "y"], [[1, 2], [3]], target="number")

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            (["4,5", "3"], r"decimal=',' and dtype=\{'label': 'float'\}.*'4,5' in row 1"),
            (["4.5", "n/a", "3"], r"na_values=\['n/a'\] and na='drop'.*'n/a' in row 2"),
            (["4.5", "x", "y"], r"target='class'.*'x' in row 2, and 1 more"),
            (["4.5", "inf"], "finite.*bound the values.*'inf' in row 2"),
            (["4.5", "nan"], "finite.*'nan' in row 2"),
            ([1.0, float("-inf")], "finite.*bound the values.*-inf in row 2"),
            ([1e300, 1.0], "finite.*bound the values.*1e\\+300 in row 1"),
            ([True, False], "columns of numbers.*boolean values such as True"),
            (pd.to_datetime(["2020-01-01", "2020-01-02"]), "columns of numbers.*datetime64"),
            (["a", 1], "columns of numbers.*mixed"),
            ([2, 2.0], "must differ.*target=train.target.*'label' is 2 in all rows"),
            ([1, None], "1 of 2 rows are incomplete"),
        ],
    )
    def test_unsuitable(self, values, words):
        with pytest.raises(ValueError, match=words):
            read_table(frame(label=values), target="number")

    def test_what_is_said_of_a_decimal_comma_helps(self, tmp_path):
        (tmp_path / "t.csv").write_text("text;label\na;4,5\nb;n/a\nc;3\n")
        table = read_table(
            tmp_path / "t.csv", sep=";", decimal=",", dtype={"label": "float"}, na_values=["n/a"],
            na="drop", target="number",
        )  # fmt: skip
        assert table.labels.tolist() == [[4.5], [3]]
        assert table.row_numbers.tolist() == [1, 3]

    @pytest.mark.parametrize("values", [["4,5", "3,2", "1"], ["4.5", "3.2", "n/a"]])
    def test_classes_that_look_like_numbers_are_warned_of(self, tmp_path, values):
        frame(label=values).to_csv(tmp_path / "t.csv", index=False)
        with pytest.warns(UserWarning, match="look like measurements.*target='number'"):
            assert read_table(tmp_path / "t.csv").classes == tuple(sorted(values))

    def test_faults_in_the_last_block(self, tmp_path):
        rows = [*(f"t,{i}.5" for i in range(READ_ROWS)), "t,n/a"]
        (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        for stream in (False, True):
            with (
                pytest.warns(UserWarning, match="measurements"),
                pytest.raises(ValueError, match=f"'n/a' in row {READ_ROWS + 1:,}"),
            ):
                read_table(tmp_path / "t.csv", stream=stream)

    def test_no_classes(self):
        with pytest.raises(ValueError, match=r"Numbers have no classes.*Leave classes out"):
            read_table(frame(label=[1, 2]), target="number", classes=["1", "2"])
        with pytest.raises(ValueError, match=r"one class for each row.*numbers 'label'"):
            read_table(frame(label=[1, 2]), target="number").class_weights()


class TestParts:
    """A table that is held to the target of another."""

    def test_constant_numbers(self):
        train = TextTable.from_texts(["x", "y"], [1.5, 2], target="number")
        part = TextTable.from_texts(["z"], [3], target=train.target)
        assert (part.target, part.labels.tolist()) == (train.target, [[3]])

    def test_labels_that_are_not_there(self):
        train = TextTable.from_texts(["x", "y"], [["a"], ["b", "c"]])
        part = TextTable.from_texts(["z"], [["c"]], target=train.target)
        assert part.labels.tolist() == [[0, 0, 1]]
        assert TextTable.from_texts(["z"], [[]], target=train.target).labels.tolist() == [[0, 0, 0]]
        with pytest.raises(ValueError, match="unknown labels 'd'"):
            TextTable.from_texts(["z"], [["d"]], target=train.target)

    def test_one_class(self):
        train = TextTable.from_texts(["x", "y"], ["a", "b"])
        assert TextTable.from_texts(["z"], ["b"], target=train.target).labels.tolist() == [1]

    @pytest.mark.parametrize(
        ("target", "options", "words"),
        [
            ("classes", {}, "must be 'class', .* 'tags' or 'answer', or.*target='classes'"),
            ("number", {"label": None}, "learnt from labels.*label=None"),
            (OneOf(("a", "b")), {"classes": ["a", "b"]}, "has its own. Leave classes out"),
            (OneOf(("a", "b")), {"label": ["label"]}, "one label column"),
            ("future", {}, "read_series"),
            (Number(("a", "b")), {}, "a label column for each number.*'a', 'b'"),
            (AnyOf(("a", "b")), {"label": ["label"]}, "one label column for each label"),
        ],
    )
    def test_target_does_not_fit(self, target, options, words):
        with pytest.raises(ValueError, match=words):
            read_table(frame(label=[0, 1]), target=target, **options)


class TestSplit:
    def test_shares_of_label_sets(self):
        sets = [["a"], ["a"], ["a", "b"], ["b"], ["c"], []] * 50
        table = TextTable.from_texts([str(i) for i in range(300)], sets)
        parts = table.split(0.2, 0.1, seed=1)
        assert [len(part) for part in parts] == [210, 60, 30]
        for part in parts:
            shares = part.labels.mean(axis=0)
            np.testing.assert_allclose(shares, [0.5, 1 / 3, 1 / 6], atol=2.1 / len(part))
            assert part.target == table.target
        label_of = dict(zip(table.texts, table.labels.tolist(), strict=True))
        rows = [(t, y) for p in parts for t, y in zip(p.texts, p.labels.tolist(), strict=True)]
        assert dict(rows) == label_of
        assert len(rows) == 300

    def test_shares_of_numbers(self):
        numbers = np.random.default_rng(0).exponential(size=(200, 1))
        table = TextTable.from_texts([str(i) for i in range(200)], numbers, target="number")
        for part in table.split(0.25, 0.25):
            below = np.searchsorted(np.sort(numbers[:, 0]), part.labels[:, 0]) / 200
            quarters = np.bincount((below * 4).astype(int).clip(0, 3), minlength=4)
            np.testing.assert_allclose(quarters / len(part), 0.25, atol=2.1 / len(part))

    @pytest.mark.parametrize("rows", [3, 4, 7])
    def test_few_rows(self, rows):
        texts = [str(i) for i in range(rows)]
        sets = [[str(i)] for i in range(rows)]
        for labels in (sets, np.arange(rows) + 0.5, np.arange(2 * rows).reshape(rows, 2) + 0.5):
            table = TextTable.from_texts(texts, labels, target=None if labels is sets else "number")
            parts = table.split(1, 1)
            assert [len(part) for part in parts] == [rows - 2, 1, 1]
            assert sorted(t for part in parts for t in part.texts) == texts

    def test_seed(self):
        table = TextTable.from_texts(
            [str(i) for i in range(50)], np.arange(50.0) + 0.5, target="number"
        )
        first, again, other = (table.split(seed=s)[0].texts.tolist() for s in (0, 0, 1))
        assert first == again
        assert sorted(first) != sorted(other)
        assert [len(part) for part in table.split(0, 0)] == [50, 0, 0]

    def test_classes_go_where_they_always_went(self):
        table = TextTable.from_texts([f"t {i}" for i in range(20)], ["a", "b"] * 10)
        _, valid, test = table.split(0.2, 0.2, seed=3)
        assert valid.texts.tolist() == ["t 10", "t 0", "t 3", "t 5"]
        assert test.texts.tolist() == ["t 6", "t 16", "t 15", "t 11"]

    def test_streams(self, tmp_path):
        rows = 2000
        source = frame(a=np.arange(rows) % 2, b=np.arange(rows) % 3 == 0, n=np.arange(rows) / 2)
        source.to_csv(tmp_path / "t.csv", index=False)
        for label in (["a", "b"], ["n"]):
            stream = stream_table(tmp_path / "t.csv", label=label)
            parts = stream.split(0.2, 0.2)
            assert sum(map(len, parts)) == rows
            for part in parts:
                labels = np.concatenate([labels for _, labels in part.chunks()])
                counts = dict(zip(stream.classes, labels.sum(axis=0).tolist(), strict=False))
                assert (part.target, part.class_counts) == (stream.target, counts)

    def test_duplicates(self):
        for labels in ([["a"], ["a", "b"], ["b"]], np.array([[1.5, 2], [2, 2], [3, 2.5]])):
            table = TextTable.from_texts(["x", "X", "y"], labels)
            with pytest.warns(UserWarning, match="1 texts of texts occur with different labels"):
                assert table.drop_duplicates().labels.tolist() == table.labels[[0, 2]].tolist()


class TestTargets:
    @pytest.mark.parametrize("kind", TARGETS)
    def test_survives_json(self, kind):
        target = TARGETS[kind](("b", "a"))
        assert target_from_dict(json.loads(json.dumps(target.as_dict()))) == target

    @pytest.mark.parametrize(
        "values",
        [{}, {"kind": "spans", "names": ["a"]}, {"kind": "class"}, {"kind": "class", "names": "ab"},
         {"kind": "labels", "names": ["a", "a"]}, {"kind": "number", "names": [1]}],
    )  # fmt: skip
    def test_is_refused(self, values):
        with pytest.raises(ValueError, match="Received"):
            target_from_dict(values)

    def test_encodes_what_a_user_writes(self):
        assert OneOf(("a", "b")).encode(["b", "a"]).tolist() == [1, 0]
        labels = AnyOf(("a", "b"))
        assert labels.encode([["b"], []]).tolist() == [[0, 1], [0, 0]]
        assert labels.encode(FLAGS).tolist() == FLAGS.tolist()
        assert labels.encode(FLAGS.tolist()).dtype == np.float32
        assert labels.encode(["a,b"]).tolist() == [[1, 1]]
        assert Number(("n",)).encode([2, 2]).tolist() == [[2], [2]]
        assert Number(("n", "m")).encode([[1, 2.5]]).tolist() == [[1, 2.5]]

    @pytest.mark.parametrize(
        ("target", "labels", "words"),
        [
            (AnyOf(("a", "b")), [["c"]], "unknown labels 'c'"),
            (AnyOf(("a", "b")), np.array([[0, 2]]), "0 and 1.*with 2"),
            (AnyOf(("a", "b")), np.array([[0, 1, 1]]), "a column for each name"),
            (Number(("n",)), [1, np.nan], "finite.*in row 2"),
            (Number(("n", "m")), [1, 2], "a label column for each number"),
        ],
    )
    def test_refuses_what_does_not_fit(self, target, labels, words):
        with pytest.raises(ValueError, match=words):
            target.encode(labels)

    def test_fits(self):
        assert OneOf(("a", "b")).fits(np.array([0, 1]))
        assert AnyOf(("a", "b")).fits(FLAGS.astype(float))
        assert Number(("a", "b")).fits(FLAGS * 1.5)
        for target, encoded in (
            (OneOf(("a", "b")), np.array([0, 2])),
            (OneOf(("a", "b")), np.array([0.0, 1.0])),
            (AnyOf(("a", "b")), FLAGS * 2.0),
            (AnyOf(("a",)), FLAGS * 1.0),
            (Number(("a", "b")), np.full((4, 2), np.inf)),
            (Number(("a",)), np.array([1.0])),
        ):
            assert not target.fits(encoded)


class TestRealFiles:
    def test_goemotions(self):
        names = real("goemotions_ekman/labels.txt").read_text().split()
        options: dict[str, Any] = {
            "names": ["text", "label", "id"], "quoting": "none", "label_sep": ",",
        }  # fmt: skip
        train = read_table(REAL / "goemotions_ekman/train.tsv", classes=names, **options)
        assert (train.classes, train.labels.shape) == (tuple(names), (43410, 7))
        assert 0.08 < (train.labels.sum(axis=1) > 1).mean() < 0.1
        with pytest.warns(UserWarning, match="in more than one part"):
            parts = train.split()
        for part in parts:
            np.testing.assert_allclose(
                part.labels.mean(axis=0), train.labels.mean(axis=0), atol=0.001
            )
        test = stream_table(REAL / "goemotions_ekman/test.tsv", target=train.target, **options)
        assert (len(test), test.classes) == (5427, train.classes)

    def test_sick(self):
        path = real("sick/SICK_train.txt")
        options: dict[str, Any] = {"text": ("sentence_A", "sentence_B"), "sep": "\t"}
        with pytest.warns(UserWarning, match="are learnt as numbers"):
            train = read_table(path, label="relatedness_score", **options)
        assert train.target == Number(("relatedness_score",))
        assert (train.labels.min(), train.labels.max(), len(train)) == (1, 5, 4500)
        trial = read_table(
            path.with_name("SICK_trial.txt"), label="relatedness_score", target=train.target,
            **options,
        )  # fmt: skip
        assert trial.labels.shape == (500, 1)
        classes = read_table(path, label="entailment_judgment", **options).class_counts
        assert classes == {"CONTRADICTION": 665, "ENTAILMENT": 1299, "NEUTRAL": 2536}
