"""What a table may come from, apart from plain files and pandas frames."""

from __future__ import annotations

import gc
import gzip
import io
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from keras_seqzoo.data.parts import TableParts
from keras_seqzoo.data.series import read_series
from keras_seqzoo.data.table import TextTable, read_table, stream_table

CSV = "text,label\ncafé,x\nb,y\n"
ROWS = {"text": ["a fine film", "so dull", "a fine day"], "label": [1, 0, 1]}


def rows(table: Any) -> list[tuple[str, str]]:
    labels = table.labels.tolist()
    return [(t, table.classes[y]) for t, y in zip(table.texts, labels, strict=True)]


def zipped(path: Path, members: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def folder(root: Path, texts: dict[str, str | bytes]) -> Path:
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return root


class TestZip:
    def test_the_table_in_it_is_read_as_if_it_stood_alone(self, tmp_path):
        junk = {"a/README.md": "hello", "__MACOSX/a/._t.csv": "?", "a/.DS_Store": "?", "a/": ""}
        path = zipped(tmp_path / "t.zip", {**junk, "a/t.csv": CSV.encode("cp1252")})
        with pytest.warns(UserWarning, match="t.csv is not UTF-8"):
            table = read_table(path)
        assert rows(table) == [("café", "x"), ("b", "y")]
        assert table.source == str(path)
        assert len(read_table(path, encoding="cp1252")) == 2

    def test_a_suffix_within_or_before_zip_tells_the_format(self, tmp_path):
        tabs, lines = CSV.replace(",", "\t"), '{"text":"a","label":1}\n{"text":"b","label":0}\n'
        assert len(read_table(zipped(tmp_path / "a.tsv.zip", {"data": tabs}))) == 2
        assert len(read_table(zipped(tmp_path / "a.zip", {"b.jsonl": lines}))) == 2
        packed = gzip.compress(CSV.encode())
        assert len(stream_table(zipped(tmp_path / "g.zip", {"b.csv.gz": packed}))) == 2

    @pytest.mark.parametrize(
        ("members", "words"),
        [
            ({"a.csv": CSV, "b.csv": CSV}, "holds one table. Unpack it.*'a.csv', 'b.csv'"),
            ({"a": CSV, "b": CSV}, "holds one table"),
            ({}, "with no file"),
            ({"a.csv": ""}, "at least one row.*a.csv', an empty file"),
        ],
    )
    def test_without_one_table(self, tmp_path, members, words):
        with pytest.raises(ValueError, match=words):
            read_table(zipped(tmp_path / "t.zip", members))

    def test_no_archive(self, tmp_path):
        (tmp_path / "t.zip").write_text(CSV)
        with pytest.raises(ValueError, match=r"must be complete.*t.zip' \(File is not a zip file"):
            read_table(tmp_path / "t.zip")

    def test_copies_go_with_what_reads_them(self, tmp_path, monkeypatch):
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        path = zipped(tmp_path / "t.zip", {"t.csv": CSV})
        stream = stream_table(path)
        gc.collect()
        assert stream.fingerprint() == read_table(path).fingerprint()
        del stream
        gc.collect()
        assert list(temporary.iterdir()) == []


class TestOpenFiles:
    @pytest.mark.parametrize(
        "file",
        [
            io.StringIO(CSV),
            io.BytesIO(CSV.encode()),
            io.BytesIO(gzip.compress(CSV.encode())),
            io.StringIO('{"text": "café", "label": "x"}\n{"text": "b", "label": "y"}\n'),
        ],
    )
    def test_bytes_or_text(self, file):
        assert rows(read_table(file)) == [("café", "x"), ("b", "y")]

    def test_parquet_and_archives_are_known_by_their_first_bytes(self, tmp_path):
        parquet = io.BytesIO()
        pd.DataFrame(ROWS).to_parquet(parquet)
        assert len(read_table(io.BytesIO(parquet.getvalue()))) == 3
        with zipped(tmp_path / "t.zip", {"t.csv": CSV}).open("rb") as file:
            assert len(stream_table(file)) == 2

    def test_the_name_of_a_file_tells_the_rest(self, tmp_path):
        (tmp_path / "t.tsv").write_text(CSV.replace(",", "\t"))
        with (tmp_path / "t.tsv").open() as file:
            table = read_table(file)
        assert (table.source, len(table)) == (str(tmp_path / "t.tsv"), 2)

    def test_text_that_does_not_decode(self, tmp_path):
        (tmp_path / "t.csv").write_bytes(CSV.encode("cp1252"))
        with (
            (tmp_path / "t.csv").open(encoding="utf-8") as file,
            pytest.raises(ValueError, match=r"with mode 'rb'.*t.csv' \('utf-8' codec"),
        ):
            read_table(file)

    def test_a_pipe_and_standard_input(self, tmp_path, monkeypatch):
        os.mkfifo(tmp_path / "pipe")
        writer = Thread(target=(tmp_path / "pipe").write_text, args=(CSV,))
        writer.start()
        assert len(read_table(tmp_path / "pipe")) == 2
        writer.join()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CSV.encode())))
        assert read_table("-").source == "stdin"

    def test_nothing_in_it(self):
        with pytest.raises(ValueError, match=r"at least one row.*an empty file"):
            read_table(io.BytesIO())

    def test_a_terminal(self, monkeypatch):
        typed = SimpleNamespace(buffer=SimpleNamespace(read=None, isatty=lambda: True))
        monkeypatch.setattr(sys, "stdin", typed)
        with pytest.raises(ValueError, match=r"from a file or a pipe.*stdin, a terminal"):
            read_table("-")

    def test_series(self):
        days = pd.date_range("2024-01-01", periods=9).strftime("%Y-%m-%d")
        file = io.StringIO("Date,Close\n" + "".join(f"{d},{i % 4}\n" for i, d in enumerate(days)))
        assert len(read_series(file, window=3, horizon=1)) == 6


class TestFolders:
    def test_a_folder_a_class(self, tmp_path):
        path = folder(
            tmp_path / "posts",
            {
                "pos/2.txt": "naïve",
                "pos/10.TXT": "fine",
                "pos/deep/1.txt": b"\xef\xbb\xbfdeep",
                "neg/1.txt": "poor\nindeed",
                "neg/notes.md": "no text",
                ".hidden/1.txt": "no class",
                "pos/._2.txt": b"\0",
                "images/1.png": b"\0",
                "list.txt": "no text",
            },
        )
        table = read_table(path)
        assert rows(table) == [
            ("poor\nindeed", "neg"), ("fine", "pos"), ("naïve", "pos"), ("deep", "pos"),
        ]  # fmt: skip
        assert table.source == str(path)
        stream = stream_table(path)
        assert stream.fingerprint() == table.fingerprint()
        ((whole, _),) = stream.blocks()
        assert whole["file"].tolist() == ["neg/1.txt", "pos/10.TXT", "pos/2.txt", "pos/deep/1.txt"]
        assert read_table(path, label=None).target is None

    @pytest.mark.slow  # to import it
    def test_it_is_read_as_keras_reads_it(self, tmp_path):
        keras = pytest.importorskip("keras")
        path = folder(
            tmp_path, {f"{c}/{i}.txt": f"{c} text {i}" for c in ("b", "a", "c") for i in range(3)}
        )
        theirs = keras.utils.text_dataset_from_directory(path, shuffle=False, verbose=False)
        texts = [(text.decode(), int(y)) for batch in theirs.as_numpy_iterator()
                 for text, y in zip(*batch, strict=True)]  # fmt: skip
        table = read_table(path)
        assert list(zip(table.texts, table.labels.tolist(), strict=True)) == texts
        assert list(table.classes) == theirs.class_names

    def test_the_imdb_reviews(self, tmp_path):
        texts = {f"train/{c}/{i}.txt": f"{c} {i}" for c in ("pos", "neg") for i in range(10)}
        texts |= {f"test/{c}/{i}.txt": f"{c} test {i}" for c in ("pos", "neg") for i in range(4)}
        texts |= {"train/unsup/0.txt": "who knows", "train/urls_pos.txt": "http", "README": "read"}
        path = folder(tmp_path / "aclImdb", texts)
        with pytest.warns(UserWarning, match="train/unsup: left out, as neither a class") as caught:
            parts = read_table(path)
        assert caught[0].filename == __file__
        assert isinstance(parts, TableParts)
        assert {name: len(part) for name, part in parts.items()} == {"test": 8, "train": 20}
        train, valid, test = parts.split(valid=0.2)
        assert [len(train), len(valid), len(test)] == [16, 4, 8]
        assert {part.target for part in (train, valid, test)} == {parts["train"].target}
        assert set(test.texts) == {text for name, text in texts.items() if "test/" in name}
        unlabelled = read_table(path / "train" / "unsup", label=None)
        assert unlabelled.texts.tolist() == ["who knows"]
        with pytest.raises(ValueError, match=r"label column must be in the table.*label=None"):
            read_table(path / "train" / "unsup")

    def test_other_folders_beside_the_parts_are_told(self, tmp_path):
        path = folder(tmp_path, {f"{p}/{c}/1.txt": f"{p} {c}" for p in ("train", "val", "extra")
                                 for c in "ab"})  # fmt: skip
        with pytest.warns(UserWarning, match="extra: left out"):
            assert list(read_table(path)) == ["train", "val"]

    def test_classes_may_be_named_as_parts(self, tmp_path):
        path = folder(tmp_path, {"train/1.txt": "a locomotive", "car/1.txt": "four wheels"})
        assert read_table(path).classes == ("car", "train")

    @pytest.mark.parametrize(
        ("texts", "words"),
        [
            ({}, r"a sub-folder for each class.*or a pattern such as '.*\*\.csv'"),
            ({"a.csv": CSV, "notes.txt": "x"}, "a sub-folder for each class"),
            ({"a/1.md": "x", "b/1.md": "y"}, "a sub-folder for each class"),
            ({"a/1.txt": "x", "a/2.txt": "y"}, "at least two classes.*one class, 'a'"),
            ({"a/1.txt": "x", "b/2.txt": ""}, "1 of 2 rows are incomplete: row 2"),
            ({"a/1.txt": "x", "b/2.txt": b"PK\0\0"}, "must hold no NUL.*2.txt"),
            ({"train/a/1.txt": "x", "test/b/1.txt": "y"}, "at least two classes.*part 'train'"),
            ({"train/a/1.txt": "x", "train/b/1.txt": "y", "test/c/1.txt": "z"},
             "one of classes.*unknown labels 'c'.*part 'test'"),
        ],
    )  # fmt: skip
    def test_other_folders(self, tmp_path, texts, words):
        with pytest.raises(ValueError, match=words):
            read_table(folder(tmp_path, texts))

    def test_a_file_that_is_not_utf8(self, tmp_path):
        latin = "café".encode("cp1252")
        path = folder(tmp_path, {"a/1.txt": latin, "a/2.txt": latin, "b/1.txt": "b"})
        with pytest.warns(UserWarning, match=r"a/1.txt is not UTF-8.* 1 more files") as caught:
            assert read_table(path).texts[0] == "café"
        assert (len(caught), caught[0].filename) == (1, __file__)
        with pytest.raises(ValueError, match="must decode with its encoding"):
            read_table(path, encoding="utf-8")


class Held:
    """A table of another library, as pandas frames are made of it."""

    def __init__(self, features: dict[str, Any] | None = None, **columns: Any) -> None:
        self.features, self.columns = features, columns

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame(self.columns)


NAMED = {"label": SimpleNamespace(names=["pos", "neg"]), "text": SimpleNamespace(dtype="string")}


class TestFrames:
    @pytest.mark.parametrize(
        "held",
        [
            pa.table(ROWS),
            pa.RecordBatch.from_pydict(ROWS),
            pa.table(ROWS).to_reader(),
            Held(**ROWS),
            SimpleNamespace(collect=lambda: Held(**ROWS)),
        ],
    )
    def test_of_other_libraries(self, held):
        table = read_table(held)
        assert rows(table) == [("a fine film", "1"), ("so dull", "0"), ("a fine day", "1")]
        assert table.source == type(held).__name__

    def test_of_polars(self):
        polars = pytest.importorskip("polars")
        frame = polars.DataFrame({**ROWS, "label": ["x", "y", None]})
        for held in (frame, frame.lazy(), frame.cast({"label": polars.Categorical})):
            assert rows(read_table(held, na="drop")) == [("a fine film", "x"), ("so dull", "y")]
        with pytest.raises(ValueError, match=r"text and a label.*'DataFrame', where 1 of 3 rows"):
            read_table(frame)
        with pytest.raises(TypeError, match="Received: Series"):
            read_table(frame["text"])

    def test_numbered_classes_have_names_in_their_order(self):
        table = read_table(Held(NAMED, **ROWS))
        assert table.classes == ("pos", "neg")
        assert rows(table)[0] == ("a fine film", "neg")
        assert read_table(Held(NAMED, **ROWS), classes=["neg", "pos"]).labels.tolist() == [0, 1, 0]
        assert rows(read_table(Held(NAMED, **ROWS), target=table.target)) == rows(table)
        some = Held(NAMED, text=["a", "b", "c"], label=[0, -1, None])
        assert rows(read_table(some, na="drop")) == [("a", "pos")]

    def test_lists_of_numbered_classes(self):
        names = SimpleNamespace(feature=SimpleNamespace(names=["joy", "ire", "awe"]))
        held = Held({"moods": names}, text=["a", "b"], moods=[[0, 2], []])
        table = read_table(held, label="moods")
        assert (table.classes, table.labels.tolist()) == (
            ("joy", "ire", "awe"),
            [[1, 0, 1], [0] * 3],
        )
        tags = SimpleNamespace(feature=SimpleNamespace(names=["O", "B-PER"]))
        held = Held({"tags": tags}, tokens=[["I", "see", "Bob"]], tags=[[0, 0, 1]])
        tagged = read_table(held, text="tokens", label="tags", target="tags")
        assert tagged.labels[0].tolist() == [[6, 9, 0]]

    def test_of_hugging_face(self):
        datasets = pytest.importorskip("datasets")
        features = datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])}
        )
        dataset = datasets.Dataset.from_dict(ROWS, features)
        for held in (dataset, dataset.to_iterable_dataset()):
            assert rows(read_table(held)) == rows(read_table(Held(NAMED, **ROWS)))
        hidden = datasets.Dataset.from_dict({"text": ["e"], "label": [-1]}, features)
        with pytest.warns(UserWarning, match="No row of the part 'unsupervised'"):
            parts = read_table(
                datasets.DatasetDict(test=dataset, train=dataset, unsupervised=hidden)
            )
        assert list(parts) == ["test", "train", "unsupervised"]
        assert parts["unsupervised"].target is None

    @pytest.mark.parametrize("held", [["a text"], 5, pd.Series(["a"]), pa.array(["a"]), None])
    def test_no_frame(self, held):
        with pytest.raises(TypeError, match=r"source must be a path.*TextTable.from_texts"):
            read_table(held)

    def test_without_the_label_column(self):
        with pytest.raises(ValueError, match=r"label column must be .* Held with columns 'text'"):
            read_table(Held(text=["a"]))

    def test_options_of_files(self):
        with pytest.raises(ValueError, match="read already"):
            read_table(Held(**ROWS), sep=";")

    def test_series(self):
        days = pd.date_range("2024-01-01", periods=9)
        held = pa.table({"Date": days, "Close": [float(i % 4) for i in range(9)]})
        assert len(read_series(held, window=3, horizon=1)) == 6


class TestParts:
    def files(self, path: Path, **texts: int) -> dict[str, Path]:
        for name, count in texts.items():
            lines = [f"{name} {i},{'xy'[i % 2]}\n" for i in range(count)]
            (path / f"{name}.csv").write_text("text,label\n" + "".join(lines))
        return {name: path / f"{name}.csv" for name in texts}

    def test_what_is_missing_is_drawn_from_the_training_rows(self, tmp_path):
        files = self.files(tmp_path, test=6, train=20, dev=4)
        sizes = [len(part) for part in read_table(files).split(valid=0.5, test=0.5)]
        assert sizes == [20, 4, 6]
        del files["dev"]
        assert [len(part) for part in read_table(files).split(valid=4)] == [16, 4, 6]
        del files["test"]
        assert [len(part) for part in read_table(files).split(valid=4, test=2)] == [14, 4, 2]

    @pytest.mark.parametrize("stream", [False, True])
    def test_all_have_the_target_of_the_training_rows(self, tmp_path, stream):
        files = self.files(tmp_path, test=1, train=20)
        parts = read_table(files, stream=stream)
        assert parts["test"].classes == ("x", "y")
        assert len(parts.split(valid=0.0)[0]) == 20

    def test_frames_and_files_together(self, tmp_path):
        files = self.files(tmp_path, train=4)
        parts = read_table({**files, "test": pd.DataFrame({"text": ["t"], "label": ["y"]})})
        assert rows(parts["test"]) == [("t", "y")]

    def test_a_part_without_labels(self, tmp_path):
        unlabelled = pd.DataFrame({"text": ["t"], "label": [None]})
        with pytest.warns(UserWarning, match="No row of the part 'test' has a label"):
            parts = read_table({"train": pd.DataFrame(ROWS), "test": unlabelled})
        assert parts["test"].target is None
        many = TextTable.from_texts([f"t {i}" for i in range(20)], [0, 1] * 10)
        assert [len(p) for p in TableParts(parts, train=many).split()] == [16, 2, 2]
        bare = read_table({"train": pd.DataFrame(ROWS), "test": unlabelled}, label=None)
        assert [len(p) for p in bare.split(valid=1)] == [2, 1, 1]

    def test_texts_in_two_parts_are_told(self):
        parts = read_table({"train": pd.DataFrame(ROWS), "test": pd.DataFrame(ROWS)})
        with pytest.warns(UserWarning, match="3 texts are in more than one of the parts"):
            parts.split(valid=0)

    def test_a_text_is_kept_once_and_rather_to_test_on(self, tmp_path):
        parts = read_table(
            {
                "train": pd.DataFrame(
                    {"text": ["a", "b", "b", "c", "d"], "label": [0, 1, 1, 0, 1]}
                ),
                "dev": pd.DataFrame({"text": ["C", "e"], "label": [0, 1]}),
                "test": pd.DataFrame({"text": ["e ", "a", "a"], "label": [1, 0, 0]}),
                "more": pd.DataFrame({"text": ["a", "a"], "label": [0, 0]}),
            }
        )
        kept = {name: part.texts.tolist() for name, part in parts.drop_duplicates().items()}
        assert kept == {"train": ["b", "d"], "dev": ["C"], "test": ["e ", "a"], "more": ["a", "a"]}
        files = self.files(tmp_path, train=4)
        with pytest.raises(ValueError, match=r"in memory.*without stream=True"):
            read_table(files, stream=True).drop_duplicates()

    @pytest.mark.parametrize(
        ("parts", "error", "words"),
        [
            ({}, ValueError, "There must be a part"),
            ({"train": "none.csv"}, FileNotFoundError, "No such file"),
            ({"train": ["a", "b"]}, TypeError, "Received: list"),
            ({"train": pd.DataFrame(ROWS), "test": pd.DataFrame({"text": ["a"]})}, ValueError,
             "label column must be in the table.*in the part 'test'"),
            ({"test": pd.DataFrame({"text": ["a"], "label": [7]}), "train": pd.DataFrame(ROWS)},
             ValueError, "unknown labels '7'.*in the part 'test'"),
        ],
    )  # fmt: skip
    def test_wrong_parts(self, parts, error, words):
        with pytest.raises(error, match=words):
            read_table(parts)

    def test_none_to_train_on(self):
        with pytest.raises(ValueError, match=r"Name it 'train'. Received: parts \['test'\]"):
            read_table({"test": pd.DataFrame(ROWS)}).split()


class TestExcel:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("openpyxl")

    def test_cells_have_types(self, tmp_path):
        frame = pd.DataFrame({"text": ["a", "NA", None], "label": [2, 10, 2]})
        frame.to_excel(tmp_path / "t.xlsx", index=False)
        table = read_table(tmp_path / "t.xlsx", na="drop")
        assert rows(table) == [("a", "2"), ("NA", "10")]
        assert table.encoding is None
        stream = stream_table(tmp_path / "t.xlsx", na="drop")
        assert stream.fingerprint() == table.fingerprint()
        with (tmp_path / "t.xlsx").open("rb") as file:
            assert read_table(file, na="drop").fingerprint() == table.fingerprint()

    def test_numbers_among_the_texts(self, tmp_path):
        pd.DataFrame({"text": ["a", 12], "label": ["x", "y"]}).to_excel(tmp_path / "t.xlsx")
        with pytest.raises(
            ValueError, match=r"hold strings.*Excel file pass dtype={'text': 'str'}"
        ):
            read_table(tmp_path / "t.xlsx")
        assert read_table(tmp_path / "t.xlsx", dtype={"text": "str"}).texts.tolist() == ["a", "12"]

    def test_sheets(self, tmp_path):
        with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
            for name in ("One", "Two"):
                pd.DataFrame({"text": [name, "b"], "label": [0, 1]}).to_excel(book, sheet_name=name)
        with pytest.warns(UserWarning, match=r"2 sheets.*first.*'One'.*sheet_name='Two'"):
            assert read_table(tmp_path / "t.xlsx").texts[0] == "One"
        assert read_table(tmp_path / "t.xlsx", sheet_name="Two").texts[0] == "Two"
        with pytest.raises(ValueError, match=r"must parse.*Worksheet named 'Three' not found"):
            read_table(tmp_path / "t.xlsx", sheet_name="Three")
        with pytest.raises(ValueError, match="a table is one sheet"):
            read_table(tmp_path / "t.xlsx", sheet_name=None)

    @pytest.mark.parametrize("members", [{}, {"xl/workbook.xml": "<x/>"}])
    def test_no_workbook(self, tmp_path, members):
        path = zipped(tmp_path / "t.xlsx", members)
        with pytest.raises(ValueError, match=r"must parse. Save it again as .xlsx.*t.xlsx': Key"):
            read_table(path)
        path.write_text(CSV)
        with pytest.raises(ValueError, match=r"BadZipFile: File is not a zip file"):
            read_table(path)

    def test_options_of_other_formats(self, tmp_path):
        pd.DataFrame(ROWS).to_excel(tmp_path / "t.xlsx")
        with pytest.raises(ValueError, match="unexpected keyword argument 'sep'"):
            read_table(tmp_path / "t.xlsx", sep=";")


def test_excel_without_its_library(tmp_path, monkeypatch):
    zipped(tmp_path / "t.xlsx", {"xl/workbook.xml": ""})
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-seqzoo\[excel\]'.*t.xlsx"):
        read_table(tmp_path / "t.xlsx")
