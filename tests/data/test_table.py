"""read_table and TextTable: good files and every kind of bad file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_class_weight

from keras_seqzoo.data.table import TextTable, read_table

REAL = Path(__file__).parents[3] / "shared" / "data"
REVIEWS = 'text,label\ngood film,pos\n"bad, slow\nand long",neg\nfine,pos\n'


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def real(name: str) -> Path:
    path = REAL / name
    if not path.exists():
        pytest.skip(f"real data is not here: ../shared/data/{name}")
    return path


def frame(texts: list, labels: list) -> pd.DataFrame:
    return pd.DataFrame({"text": pd.Series(texts, dtype=object), "label": labels})


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return write(tmp_path / "reviews.csv", REVIEWS)


@pytest.fixture
def balanced() -> TextTable:
    return TextTable.from_texts([f"text {i}" for i in range(100)], ["a", "b", "b", "b"] * 25)


class TestFormats:
    def test_csv(self, reviews):
        table = read_table(reviews)
        assert table.texts.tolist() == ["good film", "bad, slow\nand long", "fine"]
        assert table.texts.dtype == object
        assert table.labels.tolist() == [1, 0, 1]
        assert table.labels.dtype == np.int32
        assert table.classes == ("neg", "pos")
        assert (table.encoding, table.source, len(table)) == ("utf-8", str(reviews), 3)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("t.tsv", "text\tlabel\na,b\t0\nc\t1\n"),
            ("t.tab", "text\tlabel\na,b\t0\nc\t1\n"),
            ("t.txt", 'text,label\n"a,b",0\nc,1\n'),
            ("t.jsonl", '{"text":"a,b","label":0}\n{"label":1,"text":"c"}\n'),
            ("t.ndjson", '{"text":"a,b","label":"0"}\n{"label":"1","text":"c"}\n'),
            ("t.CSV", 'text,label\n"a,b",0\nc,1\n'),
        ],
    )
    def test_text_formats(self, tmp_path, name, content):
        table = read_table(str(write(tmp_path / name, content)))
        assert table.texts.tolist() == ["a,b", "c"]
        assert table.classes == ("0", "1")

    def test_parquet(self, tmp_path):
        frame(["a", "b"], [1, 0]).to_parquet(tmp_path / "t.parquet")
        table = read_table(tmp_path / "t.parquet")
        assert (table.texts.tolist(), table.labels.tolist()) == (["a", "b"], [1, 0])
        assert table.encoding is None
        filtered = read_table(
            tmp_path / "t.parquet", filters=[("label", "=", 0)], classes=["0", "1"]
        )
        assert filtered.texts.tolist() == ["b"]

    @pytest.mark.parametrize(("suffix", "module"), [("gz", gzip), ("bz2", bz2), ("xz", lzma)])
    def test_compressed(self, tmp_path, suffix, module):
        path = write(
            tmp_path / f"t.csv.{suffix}", module.compress("text,label\né,a\nb,b\n".encode("cp1252"))
        )
        with pytest.warns(UserWarning, match="read as latin-1"):
            table = read_table(path)
        assert table.texts.tolist() == ["é", "b"]

    def test_compression_named_in_options(self, tmp_path):
        path = write(tmp_path / "t.bin", gzip.compress(REVIEWS.encode()))
        assert len(read_table(path, compression="gzip")) == 3
        assert len(read_table(path, compression={"method": "gzip"})) == 3

    def test_frame(self):
        source = pd.DataFrame({"x": ["b", "a"], "y": ["q", "p"]}, index=[7, 7])
        table = read_table(source, text="x", label="y")
        source.loc[:, "x"] = "changed"
        assert table.texts.tolist() == ["b", "a"]
        assert table.frame.index.tolist() == [0, 1]
        assert table.encoding is None

    def test_columns_by_position(self, tmp_path):
        path = write(tmp_path / "t.csv", "id,label,review\n1,a,x\n2,b,y\n")
        table = read_table(path, text=-1, label=1)
        assert (table.texts.tolist(), table.classes) == (["x", "y"], ("a", "b"))

    def test_names_mean_no_header(self, tmp_path):
        path = write(tmp_path / "t.tsv", "x\ta\ny\tb\n")
        assert len(read_table(path, names=["text", "label"])) == 2
        assert len(read_table(path, text=0, label=1, header=None)) == 2
        assert len(read_table(path, names=["text", "label"], header=0, classes=["a", "b"])) == 1

    def test_delimiter_is_a_name_of_sep(self, tmp_path):
        assert (
            len(read_table(write(tmp_path / "t.csv", "text;label\nx;a\ny;b\n"), delimiter=";")) == 2
        )

    def test_without_labels(self, reviews):
        table = read_table(reviews, label=None)
        assert (table.labels, table.classes, table.class_counts) == (None, (), {})
        assert list(table.frame) == ["text"]
        assert "no labels" in repr(table)

    def test_megabyte_review(self, tmp_path):
        long = "word " * 250_000
        path = write(tmp_path / "t.csv", f'text,label\n"{long}",a\nb,b\n')
        assert read_table(path).texts[0] == long
        assert read_table(path, engine="python").texts[0] == long

    def test_imports_no_tensorflow(self):
        code = (
            "import sys, keras_seqzoo.data.table; "
            "assert not {'tensorflow', 'keras'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


class TestBadSources:
    def test_missing_file(self, reviews):
        with pytest.raises(FileNotFoundError, match=r"Did you mean 'reviews.csv'\? Received: "):
            read_table(reviews.with_name("review.csv"))
        with pytest.raises(FileNotFoundError, match=r"holds 'reviews.csv'"):
            read_table(reviews.with_name("zzz"))
        with pytest.raises(FileNotFoundError, match=r"folder .* does not exist either"):
            read_table(reviews.parent / "nowhere" / "reviews.csv")

    def test_nothing_matches(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="match at least one file"):
            read_table(tmp_path / "part-*.csv")

    def test_brackets_in_a_file_name(self, tmp_path):
        table = read_table(write(tmp_path / "reviews[1].csv", REVIEWS))
        assert isinstance(table, TextTable)

    def test_unknown_quoting(self, reviews):
        with pytest.raises(ValueError, match=r"one of \['minimal', 'none'\].*'no'"):
            read_table(reviews, quoting="no")

    def test_neither_path_nor_frame(self):
        with pytest.raises(TypeError, match=r"TextTable.from_texts.*Received: list"):
            read_table(["a text"])

    def test_options_for_a_frame(self):
        source = frame(["a", "b"], [0, 1])
        for options in ({"sep": ";"}, {"encoding": "utf-8"}, {"stream": True}):
            with pytest.raises(ValueError, match="DataFrame is read already"):
                read_table(source, **options)

    def test_a_pair_is_a_tuple(self, reviews):
        for source in (reviews, frame(["a", "b"], [0, 1])):
            with pytest.raises(ValueError, match=r"text=\(.question1.*'text_pair'"):
                read_table(source, text_pair="review")

    def test_own_blocks(self, reviews):
        with pytest.raises(ValueError, match=r"stream=True.*'chunksize'"):
            read_table(reviews, chunksize=10)

    def test_option_pandas_lacks(self, reviews):
        with pytest.raises(TypeError, match="lable"):
            read_table(reviews, lable="sentiment")

    @pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
    def test_empty_file(self, tmp_path, name):
        with pytest.raises(ValueError, match="an empty file"):
            read_table(write(tmp_path / name, ""))

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("t.csv", "text,label\n", "at least one row.*0 rows"),
            ("t.csv", "\n\n", "must parse.*No columns"),
            ("t.jsonl", "\n", "at least one row"),
            ("t.csv", "text,label\na,x\nb,c,y\n", "quoting='none'.*sep=.*Expected 2 fields"),
            ("t.csv", 'text,label\n"a,x\nb,y\n', "quoting='none'.*EOF inside string"),
            ("t.csv", "text,label\na, b,x\nc, d,y\n", "must parse.*first row has 3 fields"),
            ("t.jsonl", '{"text":"a","label":1}\n{"text"\n', "one JSON object"),
            ("t.json", '[\n {"text":"a","label":1}\n]\n', r"jq -c.*DataFrame.*JSON array"),
            ("t.jsonl", '[{"text":"a","label":1}]', "JSON array"),
            ("t.csv", "text;label\na, b;1\nc;2\n", r"look separated by ';': pass sep=';'"),
            ("t.csv", "text;label\na;1\nb, c, d;2\n", r"sep=';'"),
            ("t.txt", "a, b, c\t1\nd\t2\ne, f\t2\n", r"sep='\\t'"),
            ("t.txt", "good, fine\nbad, dull, long\nok\n", "one text a line.*from_texts"),
            ("t.parquet", "no parquet", "in that format"),
        ],
    )
    def test_does_not_parse(self, tmp_path, name, content, words):
        path = write(tmp_path / name, content)
        with pytest.raises(ValueError, match=f"(?s){words}") as caught:
            read_table(path)
        assert str(path) in str(caught.value)

    def test_header_kept_as_data(self, reviews):
        with pytest.raises(ValueError, match="pass header=0"):
            read_table(reviews, names=["text", "label"])

    def test_no_rows_in_frame(self):
        with pytest.raises(ValueError, match="at least one row"):
            read_table(frame([], []))

    def test_quotes_that_hide_rows(self, tmp_path):
        path = write(tmp_path / "t.tsv", 'label\ttext\na\t"one\nb\ttwo"\na\tthree\nb\tfour\n')
        with pytest.warns(UserWarning, match="1 texts .* quoting='none'") as caught:
            assert len(read_table(path)) == 3
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(read_table(path, quoting="none")) == 4
            assert len(read_table(path, quoting=0)) == 3


class TestTextTable:
    def test_from_texts(self):
        table = TextTable.from_texts(np.array(["a", "", " "]), np.array([1, 0, 1]))
        assert table.texts.tolist() == ["a", "", " "]
        assert (table.labels.tolist(), table.source) == ([1, 0, 1], "texts")
        assert TextTable.from_texts(["a"]).labels is None

    def test_from_bad_texts(self):
        with pytest.raises(TypeError, match="in a list"):
            TextTable.from_texts("one text")
        with pytest.raises(ValueError, match="2 texts, 1 labels"):
            TextTable.from_texts(["a", "b"], [0])
        with pytest.raises(ValueError, match="at least one row"):
            TextTable.from_texts([])
        with pytest.raises(ValueError, match="hold strings"):
            TextTable.from_texts([1, 2])
        with pytest.raises(ValueError, match="valid Unicode"):
            TextTable.from_texts(["\ud83d"])

    def test_is_not_changed_from_outside(self, balanced):
        copy = balanced.frame
        copy.loc[:, "text"] = "changed"
        with pytest.raises(ValueError, match="read-only"):
            balanced.texts[0] = "changed"
        with pytest.raises(ValueError, match="read-only"):
            balanced.labels[0] = 1
        assert balanced.texts[0] == balanced.frame["text"][0] == "text 0"
        assert balanced.frame["label"].dtype == np.int32

    def test_repr(self, balanced):
        assert repr(balanced) == "TextTable('texts', 100 rows, classes 'a': 25, 'b': 75)"
        many = TextTable.from_texts(list("abcdefghijklmno"), list("abcdefghijklmno"))
        assert repr(many).endswith("'j': 1, … 5 more)")

    def test_take(self, balanced):
        assert balanced.take([3, 0]).texts.tolist() == ["text 3", "text 0"]
        assert balanced.take(balanced.labels == 0).class_counts == {"a": 25, "b": 0}
        assert len(balanced.take([])) == 0
        assert balanced.take([1]).classes == ("a", "b")
        with pytest.raises(IndexError):
            balanced.take([100])
        for bad in ([0.5], [True, False], [[0]]):
            with pytest.raises(ValueError, match="row positions"):
                balanced.take(bad)

    def test_class_weights(self, balanced):
        weights = compute_class_weight("balanced", classes=np.array([0, 1]), y=balanced.labels)
        assert balanced.class_weights() == dict(enumerate(weights.tolist()))
        part = TextTable.from_texts(["x", "y", "z"], ["a", "b", "b"], classes=["a", "no", "b"])
        assert part.class_weights() == {0: 1.5, 2: 0.75}
        with pytest.raises(ValueError, match="need labels"):
            TextTable.from_texts(["a"]).class_weights()

    def test_drop_duplicates(self):
        table = TextTable.from_texts(
            ["A b", "c", " a B ", "c", "STRASSE", "straße"], list("xyxyxy")
        )
        with pytest.warns(UserWarning, match="1 texts of texts occur with different labels"):
            unique = table.drop_duplicates()
        assert unique.texts.tolist() == ["A b", "c", "STRASSE"]
        assert len(TextTable.from_texts(["a", "a"]).drop_duplicates()) == 1

    def test_fingerprint(self, balanced):
        assert balanced.fingerprint() == balanced.take(np.arange(100)).fingerprint()
        others = [
            balanced.take(np.arange(99)),
            balanced.take(np.arange(100)[::-1]),
            TextTable.from_texts(balanced.texts, list("cddd") * 25),
            TextTable.from_texts(balanced.texts),
        ]
        assert len({table.fingerprint() for table in [balanced, *others]}) == 5


class TestRealFiles:
    def test_sst2(self):
        path = real("sst2/train.tsv")
        train = read_table(path, names=["text", "label"], quoting=3)
        assert (len(train), train.classes) == (6920, ("0", "1"))
        test = read_table(
            path.with_name("test.tsv"), names=["text", "label"], quoting=3, classes=train.classes
        )
        assert (len(test), test.class_counts) == (1821, {"0": 912, "1": 909})
        assert test.texts[0] == path.with_name("test.tsv").read_text().split("\t")[0]
        with pytest.raises(ValueError, match=r"without a header, pass names=\["):
            read_table(path)

    def test_sms_spam(self):
        path = real("sms_spam/spam.tsv")
        table = read_table(path, text="message", quoting=3)
        assert table.class_counts == {"ham": 4827, "spam": 747}
        assert len(set(table.texts)) == 5171
        with pytest.warns(UserWarning, match="quoting='none'"):
            assert len(read_table(path, text="message")) == 5572
        with pytest.warns(UserWarning, match="drop_duplicates"):
            table.split()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table.drop_duplicates().split()

    def test_imdb_sample(self):
        table = read_table(real("imdb_sample/texts.csv"))
        assert (len(table), table.classes) == (1000, ("negative", "positive"))
        assert "<br />" in "".join(table.texts)

    def test_mrpc(self):
        path = real("mrpc/msr-para-train.tsv")
        table = read_table(path, text="#1 String", label="Quality", quoting=3)
        assert (len(table), table.encoding, table.classes) == (3576, "utf-8-sig", ("0", "1"))
        with pytest.raises(ValueError, match="quoting='none'"):
            read_table(path, text="#1 String", label="Quality")

    def test_trec(self):
        path = real("trec/TREC.train")
        with pytest.warns(UserWarning, match="latin-1"):
            lines = read_table(path, text=0, label=None, header=None, sep="\t", quoting=3)
        assert (len(lines), lines.encoding) == (5452, "latin-1")
        parts = lines.frame["text"].str.extract(r"(?P<label>\w+):\w+ (?P<text>.*)")
        table = read_table(parts)
        assert table.class_counts["ABBR"] == 86
        assert len(table.classes) == 6
