"""Tagging by command: trained on words and tags, asked, and shown in the text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import keras_seqzoo as sz
from keras_seqzoo.cli.tagged import WRITERS
from keras_seqzoo.data.table import read_table
from keras_seqzoo.data.targets import Tags
from keras_seqzoo.tasks.tag import Tag

ROWS = "Ann\tB-person\nsaw\tO\nNew\tB-place\nYork\tI-place\n.\tO\n\n"
MORE = "Rome\tB-place\nwas\tO\nseen\tO\n\n"
SMALL = ["-m", "gru", "-o", "units=16", "-o", "embedding_dim=16", "-o", "dropout=0.0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tagged") / "rows.conll"
    path.write_text((ROWS + MORE) * 20)
    return path


@pytest.mark.slow
def test_from_words_and_tags_to_answers(command: Any, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = ["--valid", "0.2", "--test", "0.2", "--epochs", "30", "--learning-rate", "0.02"]
    done = command("train", data, "--task", "tag", *SMALL, *more, "--out", out)
    assert done.code == 0, done.err
    assert "types: person 12, place 24" in done.err
    report = json.loads((out / "1.json").read_text())["test"]
    assert report["f1"] == 1
    assert "fitted on the same rows" in done.err

    done = command("evaluate", out, data, "-q", "--format", "json")
    assert json.loads(done.out)["per_type"]["place"]["support"] == 40

    text = "Ann saw New York ."
    done = command("predict", out, text)
    assert done.out == "[Ann person] saw [New York place] .\n"
    record = json.loads(command("predict", out / "1.keras", text, "--format", "jsonl").out)
    assert record["text"] == text
    assert [(p["label"], p["text"], p["start"], p["end"]) for p in record["spans"]] == [
        ("person", "Ann", 0, 3),
        ("place", "New York", 8, 16),
    ]

    (tmp_path / "asked.txt").write_text(f"{text}\nRome was seen\n")
    asked = ["predict", out, "-i", tmp_path / "asked.txt", "-q", "--format"]
    for output, name in (("conll", "a.conll"), ("jsonl", "a.jsonl"), ("csv", "a.csv")):
        (tmp_path / name).write_text(command(*asked, output).out)
        label = "label" if output == "conll" else "spans"
        again = read_table(tmp_path / name, target="tags", label=label)
        assert list(again.texts) == [text, "Rome was seen"]
        assert again.target.spans(again.labels) == [
            [(0, 3, "person"), (8, 16, "place")],
            [(0, 4, "place")],
        ]
    done = command("predict", out, "-i", tmp_path / "a.conll", "-q", "--format", "conll")
    assert done.out == (tmp_path / "a.conll").read_text()

    done = command("explain", out, text, "--span", "8:16", "-q")
    assert done.code == 0, done.err
    assert "place" in done.out
    assert "two whole numbers" in command("explain", out, text, "--span", "York", "-q").err


TEXT = "\x1b x\ny z"
PIECES = [{"label": "b", "text": "x\ny", "start": 2, "end": 5}]
WRITTEN = {
    ("table", False): "\ufffd [x y b] z\n",
    ("conll", False): "\x1b\tO\nx\tB-b\ny\tI-b\nz\tO\n\n",
}


@pytest.mark.parametrize("name", ["table", "conll"])
@pytest.mark.parametrize("is_terminal", [True, False])
def test_pieces_within_their_texts(
    name: str, is_terminal: bool, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    WRITERS[name](Tag(Tags(("a", "b"))), True)([TEXT], None, [PIECES])
    out = capsys.readouterr().out
    if name == "table" and is_terminal:
        assert "\x1b[33m" in out  # in yellow
        assert "x y b\x1b[0m z" in out
        assert "\x1b x" not in out  # nothing of the text reaches the terminal as a command
    else:
        assert out == WRITTEN[name, False]


def test_formats_of_other_tasks_are_refused(command: Any, tmp_path: Path) -> None:
    table = sz.TextTable.from_texts(["a", "b"], ["x", "y"])
    model = sz.build_model("gru", table, units=2, embedding_dim=2)
    model.save(tmp_path / "m.keras")
    done = command("predict", tmp_path / "m.keras", "a", "--format", "conll")
    assert done.code == 2
    assert "--format of the task 'classify' must be one of ['csv', 'jsonl', 'table']" in done.err
