"""TextStream: the same rows as a table, read in chunks, split by row number."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seqzoo.data import stream as stream_module
from keras_seqzoo.data.reading import READ_ROWS
from keras_seqzoo.data.stream import StreamFile, TextStream
from keras_seqzoo.data.table import TextTable, read_table

REAL = Path(__file__).parents[3] / "shared" / "data"
ROWS = READ_ROWS * 2 + 1000  # three blocks


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def many_rows(rows: int = ROWS) -> pd.DataFrame:
    numbers = np.arange(rows)
    return pd.DataFrame({"text": [f"text, {i}" for i in numbers], "label": numbers % 11})


def read_all(stream: TextStream, rows: int | None = None) -> tuple[list[str], list[int]]:
    chunks = list(stream.chunks(rows))
    texts = [text for texts, _ in chunks for text in texts]
    return texts, [label for _, labels in chunks for label in labels]


@pytest.fixture(scope="module")
def big_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "big.csv"
    many_rows().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def big(big_file) -> TextStream:
    return read_table(big_file, stream=True)


class TestReading:
    @pytest.mark.parametrize("suffix", ["csv", "tsv", "csv.gz", "jsonl", "parquet"])
    def test_same_as_table(self, tmp_path, suffix):
        path = tmp_path / f"big.{suffix}"
        if suffix == "parquet":
            many_rows().to_parquet(path, row_group_size=7000)
        elif suffix == "jsonl":
            many_rows().to_json(path, orient="records", lines=True)
        else:
            many_rows().to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
        stream, table = read_table(path, stream=True), read_table(path)
        assert isinstance(stream, TextStream)
        assert isinstance(table, TextTable)
        assert len(stream) == stream.num_rows == len(table) == ROWS
        assert stream.classes == table.classes == tuple(map(str, range(11)))
        assert read_all(stream) == (table.texts.tolist(), table.labels.tolist())
        assert stream.class_counts == table.class_counts
        assert stream.class_weights() == table.class_weights()
        assert (stream.encoding, stream.source) == (table.encoding, table.source)
        assert stream.fingerprint() == table.fingerprint()

    def test_chunks(self, big):
        sizes = [len(texts) for texts, _ in big.chunks()]
        assert sizes == [READ_ROWS, READ_ROWS, 1000]
        texts, labels = next(big.chunks(10))
        assert (texts.dtype, texts.shape) == (object, (10,))
        assert (labels.dtype, labels.shape) == (np.int32, (10,))
        assert isinstance(texts[0], str)

    @pytest.mark.parametrize("rows", [1000, READ_ROWS + 1, 10**6])
    def test_chunk_rows_change_nothing_else(self, big, rows):
        sizes = [len(texts) for texts, _ in big.chunks(rows)]
        assert set(sizes[:-1]) <= {rows}
        assert read_all(big, rows) == read_all(big)

    def test_reading_again_and_at_the_same_time(self, big):
        first, second = big.chunks(), big.chunks()
        assert next(first)[0][0] == next(second)[0][0] == "text, 0"
        assert next(first)[0][0] == f"text, {READ_ROWS}"

    @pytest.mark.parametrize("rows", [0, -1, 2.0, "3", True])
    def test_bad_chunk_rows(self, big, rows):
        with pytest.raises(ValueError, match=r"rows must be a positive integer.*Received"):
            big.chunks(rows)

    def test_without_labels(self, big_file):
        stream = read_table(big_file, label=None, stream=True)
        assert (len(stream), stream.classes, stream.class_counts) == (ROWS, (), {})
        assert all(labels is None for _, labels in stream.chunks())
        with pytest.raises(ValueError, match="need labels"):
            stream.class_weights()
        train, _, test = stream.split()
        assert sum(len(texts) for texts, _ in test.chunks()) == len(test)
        assert (test.class_counts, train.classes) == ({}, ())
        assert "no labels" in repr(stream)

    def test_repr(self, big, big_file):
        assert repr(big).startswith(
            f"TextStream({str(big_file)!r}, 33,768 rows, classes '0', '1', "
        )

    def test_given_classes(self, big_file):
        names = tuple(map(str, reversed(range(11))))
        stream = read_table(big_file, stream=True, classes=names)
        assert next(stream.chunks())[1][:3].tolist() == [10, 9, 8]
        with pytest.raises(ValueError, match="unknown labels '10', '9'"):
            read_table(big_file, stream=True, classes=names[2:])

    def test_label_types_do_not_depend_on_blocks(self, tmp_path):
        labels = ["1"] * READ_ROWS + ["x", "2"]
        path = write(tmp_path / "t.csv", "text,label\n" + "".join(f"t,{v}\n" for v in labels))
        assert read_table(path, stream=True).classes == ("1", "2", "x")

    def test_long_text_with_python_engine(self, tmp_path):
        path = write(tmp_path / "t.csv", f"text,label\n{'x' * 1_000_000},a\ny,b\n")
        stream = read_table(path, stream=True, engine="python")
        assert len(next(stream.chunks())[0][0]) == 1_000_000

    def test_parquet_options(self, tmp_path):
        many_rows(100).to_parquet(tmp_path / "t.parquet", row_group_size=50)
        assert len(read_table(tmp_path / "t.parquet", stream=True, row_groups=[1])) == 50


class TestManyFiles:
    def test_pattern(self, tmp_path):
        for part in ("b", "a", "c"):
            many_rows(10).assign(text=part).to_csv(tmp_path / f"part-{part}.csv", index=False)
        (tmp_path / "part-d.csv").mkdir()
        write(tmp_path / ".part-a.csv", "hidden")
        stream = read_table(tmp_path / "*part-*.csv")
        assert isinstance(stream, TextStream)
        texts, labels = read_all(stream)
        assert "".join(texts) == "a" * 10 + "b" * 10 + "c" * 10
        assert labels == list(range(10)) * 3
        assert [len(texts) for texts, _ in stream.chunks(8)] == [8, 8, 8, 6]
        assert stream.source == str(tmp_path / "*part-*.csv")

    @pytest.mark.parametrize("columns", ["text,label,more", "label,text"])
    def test_other_columns(self, tmp_path, columns):
        write(tmp_path / "1.csv", "text,label\na,x\n")
        write(tmp_path / "2.csv", f"{columns}\nb,y\n")
        with pytest.raises(ValueError, match=r"same columns.*2\.csv' with .*before it have 'text'"):
            read_table(tmp_path / "*.csv")

    def test_missing_column(self, tmp_path):
        write(tmp_path / "1.jsonl", '{"text":"a","label":"x","id":1}\n')
        write(tmp_path / "2.jsonl", '{"label":"y","text":"b"}\n')
        assert len(read_table(tmp_path / "*.jsonl")) == 2
        write(tmp_path / "3.jsonl", '{"review":"b","label":"y"}\n')
        with pytest.raises(ValueError, match=r"text column must be.*3\.jsonl"):
            read_table(tmp_path / "*.jsonl")

    def test_empty_file_among_them(self, tmp_path):
        write(tmp_path / "1.csv", "text,label\na,x\nb,y\n")
        write(tmp_path / "2.csv", "text,label\n")
        assert len(read_table(tmp_path / "*.csv")) == 2
        write(tmp_path / "2.csv", "")
        with pytest.raises(ValueError, match=r"2\.csv', an empty file"):
            read_table(tmp_path / "*.csv")

    def test_encodings(self, tmp_path):
        write(tmp_path / "1.csv", "text,label\né,x\n".encode())
        write(tmp_path / "2.csv", "text,label\né,y\n".encode("latin-1"))
        with pytest.warns(UserWarning, match=r"2\.csv is not UTF-8.*latin-1"):
            stream = read_table(tmp_path / "*.csv")
        assert (stream.encoding, read_all(stream)[0]) == ("latin-1, utf-8", ["é", "é"])


class TestBadRows:
    """Faults in the last block are found when the file is opened, with global row numbers."""

    @staticmethod
    def with_row(tmp_path, row: str) -> Path:
        content = many_rows().to_csv(index=False) + row + "\n"
        return write(tmp_path / "bad.csv", content)

    @pytest.mark.parametrize("row", [",3", "text,", "text"])
    def test_missing_value(self, tmp_path, row):
        path = self.with_row(tmp_path, row)
        with pytest.raises(
            ValueError, match=f"1 of {ROWS + 1:,} rows are incomplete: row {ROWS + 1} "
        ):
            read_table(path, stream=True)
        stream = read_table(path, stream=True, na="drop")
        assert len(read_all(stream)[0]) == len(stream) == ROWS

    def test_missing_values_of_several_files(self, tmp_path):
        write(tmp_path / "1.csv", "text,label\na,x\nb,y\n")
        write(tmp_path / "2.csv", "text,label\na,x\n,y\n")
        with pytest.raises(ValueError, match="1 of 4 rows are incomplete: row 4 "):
            read_table(tmp_path / "*.csv")

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ("a,1.5", "not measurements.*'1.5'"),
            ("a,b,1", r"bad\.csv.*Expected 2 fields in line 33770"),
            ("a\0,1", "NUL in line 33770"),
        ],
    )
    def test_fault(self, tmp_path, row, words):
        with pytest.raises(ValueError, match=words):
            read_table(self.with_row(tmp_path, row), stream=True)

    @pytest.mark.parametrize(
        ("last", "words"),
        [
            ({"text": 5, "label": 1}, "hold strings.*integer values such as 5"),
            ({"text": "a", "label": "x"}, "all strings.*number and string"),
            ({"text": None, "label": 1}, f"row {READ_ROWS + 1} "),
            ({"label": 1}, f"row {READ_ROWS + 1} "),
        ],
    )
    def test_json_of_another_type(self, tmp_path, last, words):
        lines = many_rows(READ_ROWS).to_json(orient="records", lines=True) + json.dumps(last)
        with pytest.raises(ValueError, match=words):
            read_table(write(tmp_path / "t.jsonl", lines + "\n"), stream=True)

    def test_only_numbers(self, tmp_path):
        content = "text,label,review\n" + "1,a,fine\n2,b,bad\n" * READ_ROWS
        with pytest.raises(ValueError, match=r"text='review'\?.*only numbers"):
            read_table(write(tmp_path / "t.csv", content), stream=True)

    def test_one_class(self, tmp_path):
        with pytest.raises(ValueError, match="at least two classes"):
            read_table(write(tmp_path / "t.csv", "text,label\na,x\n"), stream=True)

    def test_file_changed_since(self, tmp_path):
        path = write(tmp_path / "t.csv", "text,label\na,x\nb,y\n")
        stream = read_table(path, stream=True)
        write(path, "text,label\na,x\nb,z\n")
        with pytest.raises(ValueError, match=r"must not change.*'z'"):
            list(stream.chunks())
        write(path, "text,label\na,x\nb,y\nc,x\n")
        with pytest.raises(ValueError, match=r"must not change.*3 rows, not 2"):
            list(stream.chunks())


class TestSplit:
    @pytest.mark.parametrize(
        ("valid", "test"), [(0.1, 0.1), (0.3, 0.05), (0, 0.2), (0.2, 0), (0, 0)]
    )
    def test_partition(self, big, valid, test):
        parts = big.split(valid, test, seed=3)
        texts = [read_all(part)[0] for part in parts]
        assert [len(part) for part in parts] == list(map(len, texts))
        together = [text for part in texts for text in part]
        assert len(together) == len(set(together)) == ROWS
        assert set(together) == set(read_all(big)[0])
        shares = np.array(list(map(len, texts))) / ROWS
        np.testing.assert_allclose(shares, [1 - valid - test, valid, test], atol=0.01)
        numbers = [int(text.split()[1]) for text in texts[0]]
        assert numbers == sorted(numbers)

    def test_labels_stay_with_their_texts(self, big):
        for part in big.split():
            texts, labels = read_all(part)
            assert [int(text.split()[1]) % 11 for text in texts] == labels
            assert part.classes == big.classes

    def test_seed(self, big):
        first, again, other = (read_all(big.split(seed=seed)[2])[0] for seed in (0, 0, 1))
        assert first == again != other

    def test_does_not_depend_on_blocks(self, big):
        expected = [read_all(part)[0] for part in big.split()]
        smaller = TextStream(
            [StreamFile(lambda: stream_module._regroup(big._frames(), 777), len(big))],
            inputs=big.inputs,
            target=big.target,
            count_classes=big._count_classes,
            encoding=None,
            source="",
        )
        assert [read_all(part)[0] for part in smaller.split()] == expected

    def test_counts(self, big):
        parts = big.split(0.2, 0.1)
        for part in parts:
            labels = read_all(part)[1]
            assert part.class_counts == {str(i): labels.count(i) for i in range(11)}
        total = sum(np.array(list(part.class_counts.values())) for part in parts)
        assert dict(zip(big.classes, total.tolist(), strict=True)) == big.class_counts

    def test_chunk_sizes(self, big):
        _, valid, _ = big.split(0.2, 0.1)
        sizes = [len(texts) for texts, _ in valid.chunks(1000)]
        assert sizes == [1000] * 6 + [len(valid) - 6000]

    def test_empty_part_reads_nothing(self, tmp_path):
        path = write(tmp_path / "t.csv", "text,label\na,x\nb,y\n")
        _, valid, test = read_table(path, stream=True).split(0, 0)
        path.unlink()
        assert [len(valid), list(valid.chunks()), len(test)] == [0, [], 0]
        assert valid.fingerprint() == test.fingerprint()

    def test_parts_of_an_empty_part(self, tmp_path):
        path = write(tmp_path / "t.csv", "text,label\na,x\nb,y\n")
        _, valid, _ = read_table(path, stream=True).split(0, 0)
        for part in valid.split():
            assert (len(part), list(part.chunks())) == (0, [])
            assert part.class_counts == {"x": 0, "y": 0}

    def test_part_of_a_part(self, big):
        rest, _, _ = big.split(0, 0.5)
        train, _, valid = rest.split(0, 0.5)
        assert len(rest) == len(train) + len(valid)
        assert not set(read_all(train)[0]) & set(read_all(valid)[0])
        assert set(read_all(train)[0] + read_all(valid)[0]) == set(read_all(rest)[0])
        assert sum(train.class_counts.values()) == len(train)
        assert abs(len(train) / len(rest) - 0.5) < 0.02

    @pytest.mark.parametrize("share", [-0.1, 1, 1.5, 10, True])
    def test_bad_share(self, big, share):
        for sizes in ({"valid": share}, {"test": share}):
            with pytest.raises(ValueError, match="split by fractions"):
                big.split(**sizes)

    def test_nothing_left_to_train_on(self, big):
        with pytest.raises(ValueError, match="leave rows to train on"):
            big.split(0.5, 0.5)

    def test_bad_seed(self, big):
        with pytest.raises(ValueError, match="seed must be"):
            big.split(seed=-1)


class TestRealFiles:
    def test_sst2(self):
        path = REAL / "sst2" / "train.tsv"
        if not path.exists():
            pytest.skip("real data is not here: ../shared/data/sst2")
        options = {"names": ["text", "label"], "quoting": 3}
        table, stream = read_table(path, **options), read_table(path, stream=True, **options)
        assert read_all(stream, 1000) == (table.texts.tolist(), table.labels.tolist())
        everything = read_table(path.parent / "*.tsv", **options)
        assert (len(everything), everything.classes) == (6920 + 872 + 1821, table.classes)

    def test_sms_spam(self):
        path = REAL / "sms_spam" / "spam.tsv"
        if not path.exists():
            pytest.skip("real data is not here: ../shared/data/sms_spam")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            stream = read_table(path, text="message", stream=True, quoting=3)
        table = read_table(path, text="message", quoting=3)
        assert stream.class_counts == table.class_counts
        assert stream.fingerprint() == table.fingerprint()
