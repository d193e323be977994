"""What `predict` reads and writes. A stand-in answers, so that nothing imports TensorFlow."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest

from keras_seqzoo.data.targets import AnyOf, Number, OneOf
from keras_seqzoo.tasks.base import Task
from keras_seqzoo.tasks.classify import Classify
from keras_seqzoo.tasks.label import Label
from keras_seqzoo.tasks.regress import Regress

LONG = "The waiter was never rude, and the soup was lovely indeed, but the bill came in late, too."


class ByLength:
    """Says `long one` of texts of more than ten characters."""

    task: Task = Classify(OneOf(("short", "long one")))
    pair = False
    served_inputs: Sequence[str] = ("text",)

    def predict(self, texts: Any, **_: Any) -> np.ndarray:
        return np.array([[0.25, 0.75] if len(text) > 10 else [0.75, 0.25] for text in texts])


class OfPairs(ByLength):
    """Answers pairs by the lengths of both, as any task."""

    pair = True
    served_inputs = ("text", "text_pair")

    def __init__(self, task: Task):
        self.task = task

    def predict(self, texts: Any, **_: Any) -> np.ndarray:
        lengths = np.array([[len(first), len(second)] for first, second in texts], np.float32)
        return (lengths if self.task.name == "regress" else lengths / 10)[:, : len(self.task.names)]


@pytest.fixture
def model() -> Any:
    return SimpleNamespace(found=ByLength())


@pytest.fixture
def predict(command: Any, monkeypatch: pytest.MonkeyPatch, model: Any) -> Any:
    saved = SimpleNamespace(load_predictor=lambda path, trust: model.found)
    monkeypatch.setitem(sys.modules, "keras_seqzoo.serving.saved", saved)
    monkeypatch.setattr("keras_seqzoo.cli.predict.load_tensorflow", lambda: None)
    monkeypatch.setattr("keras_seqzoo.cli.predict.check_model_path", lambda path: None)

    def run(*arguments: object, **further: Any) -> Any:
        return command("predict", "model", *arguments, **further)

    return run


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_in_a_terminal_the_text_gives_way(
    predict: Any, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    lines = predict(LONG, "short").out.splitlines()
    assert lines[1].startswith("long one  0.7500")
    assert lines[2].startswith("short     0.7500")
    assert len(lines[1]) <= columns
    assert lines[1].endswith(LONG if columns == 200 else "…" if columns > 23 else "0.7500")


def test_wide_characters_take_two_cells(predict: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert predict("好" * 50).out.splitlines()[1] == "long one  0.7500       " + "好" * 8 + "…"


def test_in_a_pipe_nothing_is_cut(predict: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert predict(LONG * 9).out.splitlines()[1].endswith(LONG * 9)


def test_a_text_cannot_steer_the_terminal(predict: Any) -> None:
    done = predict("a\x1b[31mb\nc\td")
    assert done.out.splitlines()[1].endswith("a\ufffd[31mb c d")


def test_a_table_has_one_header(predict: Any) -> None:
    done = predict(stdin=b"text\n" * 5000)
    assert done.out.count("probability") == 1
    assert len(done.out.splitlines()) == 5001


STDIN = b'id,text\n1,lovely soup\n2,"rude, very"\n3,bad\n'


@pytest.mark.parametrize("source", [(), ("--input", "-")])
def test_standard_input_is_lines_or_with_text_a_table(predict: Any, source: Any) -> None:
    rows = read_csv(predict(*source, "--text", "text", "--format", "csv", stdin=STDIN).out)
    assert [(row["id"], row["text"], row["label"]) for row in rows] == [
        ("1", "lovely soup", "long one"), ("2", "rude, very", "short"), ("3", "bad", "short"),
    ]  # fmt: skip
    lines = read_csv(predict(*source, "--format", "csv", stdin=STDIN).out)
    assert [row["text"] for row in lines] == STDIN.decode().splitlines()


def test_standard_input_may_be_json_lines_or_parquet(predict: Any) -> None:
    frame = pd.DataFrame({"id": [7, 8], "text": ["lovely soup", "bad"]})
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    for stdin in (frame.to_json(orient="records", lines=True).encode(), parquet.getvalue()):
        done = predict("--text", "text", "--format", "jsonl", stdin=stdin)
        records = [json.loads(line) for line in done.out.splitlines()]
        assert [(r["id"], r["label"]) for r in records] == [(7, "long one"), (8, "short")]


def test_a_folder_or_an_archive_is_a_table(predict: Any, tmp_path: Path) -> None:
    for name in ("lovely soup", "bad"):
        (tmp_path / f"{name[0]}.txt").write_text(name)
    rows = read_csv(predict("-i", tmp_path, "--format", "csv").out)
    assert [(row["file"], row["label"]) for row in rows] == [
        ("b.txt", "short"), ("l.txt", "long one"),
    ]  # fmt: skip
    with ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.csv", STDIN)
    assert len(read_csv(predict("-i", tmp_path / "t.zip", "--format", "csv").out)) == 3


def test_columns_may_be_joined(predict: Any) -> None:
    done = predict("--text", "id,text", "--format", "jsonl", stdin=STDIN)
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [(r["text"], r["label"]) for r in records][2] == ("bad", "short")
    done = predict("--text", "text,text2", stdin=b"text,text2\nbad,and more\n")
    assert done.out.splitlines()[1].split() == ["long", "one", "0.7500", "bad", "and", "more"]


def test_a_txt_file_is_lines_or_with_text_a_table(predict: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(STDIN)
    lines = predict("-i", tmp_path / "a.txt").out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["id,text", "soup", 'very"', "3,bad"]
    assert len(predict("-i", tmp_path / "a.txt", "--text", "text").out.splitlines()) == 4


@pytest.mark.parametrize("codec", ["utf-16", "utf-8-sig"])
def test_lines_are_decoded_by_their_mark(predict: Any, tmp_path: Path, codec: str) -> None:
    (tmp_path / "a.txt").write_text("café\nbad\n", encoding=codec)
    rows = read_csv(predict("-i", tmp_path / "a.txt", "--format", "csv").out)
    assert [row["text"] for row in rows] == ["café", "bad"]


def test_lines_that_are_no_utf8_need_their_encoding(predict: Any) -> None:
    done = predict(stdin="café".encode("cp1252"))
    assert done.code == 2
    assert "--encoding cp1252" in done.err
    assert "café" in predict("--encoding", "cp1252", stdin="café".encode("cp1252")).out


def test_csv_keeps_the_other_columns_and_the_order(predict: Any, tmp_path: Path) -> None:
    rows = [
        {"id": f"{i:03}", "review": LONG if i % 3 else "bad", "a,b": f'"{i}"', "empty": ""}
        for i in range(5000)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    done = predict("-i", tmp_path / "rows.csv", "--text", "review", "--format", "csv")
    answers = read_csv(done.out)
    assert [{k: answer[k] for k in rows[0]} for answer in answers] == rows
    assert [answer["label"] for answer in answers] == [
        "long one" if i % 3 else "short" for i in range(5000)
    ]
    assert float(answers[0]["p_short"]) == float(answers[0]["probability"]) == 0.75
    assert done.err == ""


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_output_is_a_file_of_the_rows_with_their_answers(
    predict: Any, tmp_path: Path, suffix: str
) -> None:
    (tmp_path / "rows.csv").write_text("id,text\n1,bad\n2,schön ñ\n", encoding="utf-8")
    asked = ("-i", tmp_path / "rows.csv", "--text", "text")
    done = predict(*asked, "--output", tmp_path / f"out.{suffix}")
    assert (done.code, done.out, done.err) == (0, "", "")
    written = (tmp_path / f"out.{suffix}").read_text(encoding="utf-8")
    assert written == predict(*asked, "--format", suffix).out
    assert "schön ñ" in written


def test_output_is_written_whole_or_not_at_all(predict: Any, model: Any, tmp_path: Path) -> None:
    calls = []

    def fail_later(texts: Any, **_: Any) -> Any:
        calls.append(len(texts))
        if len(calls) == 2:
            raise ValueError("Received: nothing")
        return ByLength().predict(texts)

    model.found.predict = fail_later
    pd.DataFrame({"text": ["bad"] * 3000}).to_csv(tmp_path / "rows.csv")
    (tmp_path / "out.csv").write_text("before")
    done = predict("-i", tmp_path / "rows.csv", "--text", "text", "--output", tmp_path / "out.csv")
    assert (done.code, len(calls)) == (2, 2)
    assert (tmp_path / "out.csv").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "rows.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "out.parquet"], "--output is a .csv or .jsonl file"),
        (["--output", "out.csv", "--format", "jsonl"], "leave --format out"),
        (["--output", "no/such/folder/out.csv"], "folder of --output must exist"),
    ],
)
def test_unsuitable_outputs_are_told(predict: Any, arguments: list[str], message: str) -> None:
    done = predict("bad", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_the_same_columns_come_as_a_frame() -> None:
    frame = ByLength.task.to_frame(np.array([[0.25, 0.75], [0.75, 0.25]]))
    assert frame.to_dict("list") == {
        "label": ["long one", "short"],
        "probability": [0.75, 0.75],
        "p_short": [0.25, 0.75],
        "p_long one": [0.75, 0.25],
    }
    for name, task in TASKS.items():
        frame = task.to_frame(np.array([[6.0, 8.0]])[:, : len(task.names)])
        assert list(frame) == CSV[name].splitlines()[0].split(",")


def test_jsonl_keeps_values_as_they_are(predict: Any, tmp_path: Path) -> None:
    given = [
        {"id": 1, "text": "bad", "tags": ["a", None], "score": 0.1234567890123},
        {"id": 2, "text": LONG, "tags": [], "score": None},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, given)))
    answers = predict("-i", tmp_path / "a.jsonl", "--format", "jsonl").out.splitlines()
    for record, line in zip(given, answers, strict=True):
        answer = json.loads(line)
        assert record.items() <= answer.items()
        assert answer["probabilities"][answer["label"]] == answer["probability"] == 0.75


@pytest.mark.parametrize("output", ["csv", "jsonl"])
def test_columns_of_the_answers_names_keep_them(predict: Any, output: str) -> None:
    stdin = b"text,label,predicted_label,probability\nbad,L,P,Q\n"
    done = predict("--text", "text", "--format", output, stdin=stdin)
    (row,) = read_csv(done.out) if output == "csv" else [json.loads(done.out)]
    assert (row["label"], row["predicted_label"], row["probability"]) == ("L", "P", "Q")
    assert row["predicted_predicted_label"] == "short"
    assert float(row["predicted_probability"]) == 0.75
    assert "the answer is in 'predicted_probability'" in done.err


def test_rows_without_a_text_are_told_before_an_answer_or_left_out(predict: Any) -> None:
    stdin = b"id,text\n1,bad\n2,\n3,good\n"
    done = predict("--text", "text", "--format", "csv", stdin=stdin)
    assert (done.code, done.out) == (2, "")
    assert "--na drop" in done.err
    done = predict("--text", "text", "--format", "csv", "--na", "drop", stdin=stdin)
    assert [row["id"] for row in read_csv(done.out)] == ["1", "3"]


@pytest.mark.parametrize(
    "arguments",
    [["--sep", ";"], ["--names", "a,b"], ["--na", "drop"], ["--stream"], ["--read", "nrows=1"]],
)
def test_options_of_tables_are_refused_for_lines(predict: Any, arguments: list[str]) -> None:
    for given in ([], ["a text"]):
        done = predict(*given, *arguments, stdin=STDIN)
        assert (done.code, done.out) == (2, "")
        assert "Name the column of a table with --text" in done.err


def test_text_is_no_option_of_texts(predict: Any) -> None:
    assert "Received: texts as arguments" in predict("--text", "text", "good").err


ONE_NUMBER = Regress(Number(("stars",)))
TASKS: dict[str, Task] = {
    "labels": Label(AnyOf(("good", "new"))),
    "number": ONE_NUMBER,
    "numbers": Regress(Number(("stars", "price"))),
}
TABLE = b"id,one,two\n1,abcdef,abcdefgh\n2,abcdefg,a\n3,a,b\n"
PAIRED = ("--text", "one", "--text", "two")
JSONL: dict[str, list[dict[str, Any]]] = {
    "labels": [
        {"labels": ["new", "good"], "probabilities": {"good": 0.6, "new": 0.8}},
        {"labels": ["good"], "probabilities": {"good": 0.7, "new": 0.1}},
        {"labels": [], "probabilities": {"good": 0.1, "new": 0.1}},
    ],
    "number": [{"value": 6.0}, {"value": 7.0}, {"value": 1.0}],
    "numbers": [
        {"values": {"stars": 6.0, "price": 8.0}},
        {"values": {"stars": 7.0, "price": 1.0}},
        {"values": {"stars": 1.0, "price": 1.0}},
    ],
}
CSV = {
    "labels": 'labels,p_good,p_new\n"new,good",0.600000,0.800000\ngood,0.700000,0.100000\n'
    ",0.100000,0.100000\n",
    "number": "value\n6.0\n7.0\n1.0\n",
    "numbers": "value_stars,value_price\n6.0,8.0\n7.0,1.0\n1.0,1.0\n",
}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_answered_in_every_format(predict: Any, model: Any, name: str) -> None:
    model.found = OfPairs(TASKS[name])
    done = predict(*PAIRED, "--format", "jsonl", stdin=TABLE)
    records = [json.loads(line) for line in done.out.splitlines()]
    assert records[0] == {"id": "1", "one": "abcdef", "two": "abcdefgh", **JSONL[name][0]}
    assert [{k: r[k] for k in JSONL[name][0]} for r in records] == JSONL[name]
    rows = read_csv(predict(*PAIRED, "--format", "csv", stdin=TABLE).out)
    expected = read_csv(CSV[name])
    assert [{k: row[k] for k in expected[0]} for row in rows] == expected
    assert [row["id"] for row in rows] == ["1", "2", "3"]


def test_tables_of_every_task(predict: Any, model: Any) -> None:
    lines = {}
    for name, task in TASKS.items():
        model.found = OfPairs(task)
        lines[name] = predict(*PAIRED, stdin=TABLE).out.splitlines()
    assert lines["labels"] == [
        "labels  text | text_pair", "new, good  abcdef | abcdefgh", "good    abcdefg | a",
        "        a | b",
    ]  # fmt: skip
    assert lines["number"][:2] == ["value   text | text_pair", "6.0000  abcdef | abcdefgh"]
    assert lines["numbers"][:2] == [
        "stars   price   text | text_pair", "6.0000  8.0000  abcdef | abcdefgh",
    ]  # fmt: skip


def test_pairs_are_arguments_or_lines_with_a_tab(predict: Any, model: Any, tmp_path: Path) -> None:
    model.found = OfPairs(ONE_NUMBER)
    (tmp_path / "a.txt").write_text("abc\tde\n\tx\n")
    given: list[tuple[tuple[Any, ...], bytes | None]] = [
        (("abc", "de", "", "x"), None), ((), b"abc\tde\r\n\tx"), (("-i", tmp_path / "a.txt"), None),
    ]  # fmt: skip
    for arguments, stdin in given:
        rows = read_csv(predict(*arguments, "--format", "csv", stdin=stdin).out)
        assert rows == [
            {"text": "abc", "text_pair": "de", "value": "3.0"},
            {"text": "", "text_pair": "x", "value": "0.0"},
        ]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["a", "b", "c"], None, "give two arguments for each. Received: 3 texts"),
        ([], b"a\tb\nno tab\n", "each line must be two, separated by a tab.*'no tab' in line 2"),
        ([], b"a\tb\tc\n", "in line 1"),
        (["--text", "text"], b"text\na\tb\n", "both columns: --text FIRST.*Received: --text text"),
        (["--text", "one", "--text", "one"], TABLE, "--text one --text one"),
        (["--text", "one", "--text", "two"], b"one,two\na,\n", "--na drop"),
    ],
)
def test_pairs_with_one_side_missing(
    predict: Any, model: Any, arguments: list[str], stdin: bytes | None, message: str
) -> None:
    model.found = OfPairs(ONE_NUMBER)
    done = predict(*arguments, stdin=stdin)
    assert (done.code, done.out) == (2, "")
    assert re.search(message, done.err)


def test_a_model_of_texts_is_asked_no_pairs(predict: Any) -> None:
    done = predict(*PAIRED, stdin=TABLE)
    assert (done.code, done.out.splitlines()[1:]) == (2, [])
    assert "reads one text for each row. Name its column with one --text" in done.err
