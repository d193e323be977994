"""Answering by command: trained on SQuAD's file, asked, and shown in the context."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keras_seqzoo.cli.answered import WRITERS
from keras_seqzoo.cli.options import target_for
from keras_seqzoo.data.answers import squad_pairs
from keras_seqzoo.data.targets import Answers
from keras_seqzoo.tasks.answer import Answer

SMALL = ["-m", "gru", "-o", "units=16", "-o", "embedding_dim=16", "-o", "dropout=0.0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answered") / "rows.json"
    paragraphs = []
    for i in range(160):
        name, place = ("Ann", "Bob")[i % 2], ("Rome", "Oslo")[i // 2 % 2]
        asked = [("who ?", name, 4), ("where ?", place, 17), ("why ?", "", 0)][i % 3]
        answers = [{"text": asked[1], "answer_start": asked[2]}] if asked[1] else []
        qas = [{"id": str(i), "question": asked[0], "answers": answers}]
        paragraphs.append({"context": f"yes {name} lives in {place} {i}", "qas": qas})
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    return path


@pytest.mark.slow
def test_from_squad_s_file_to_answers(command: Any, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = ["--valid", "0.1", "--test", "0.1", "--epochs", "20", "--learning-rate", "0.02"]
    more += ["--batch-size", "16", "--patience", "0"]
    done = command("train", data, "--task", "answer", *SMALL, *more, "--out", out)
    assert done.code == 0, done.err
    assert "128 pairs to train on (answers: answer " in done.err
    assert json.loads((out / "1.json").read_text())["test"]["f1"] > 0.8
    assert "The sentence with the most words of the question, fitted on the same rows" in done.err

    done = command("evaluate", out, data, "-q", "--format", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["per_kind"]["answer"]["support"] == 107

    asked = ["who ?", "yes Ann lives in Rome 3"]
    done = command("predict", out, *asked)
    assert done.out.splitlines()[1] == "  yes [Ann] lives in Rome 3"
    record = json.loads(command("predict", out / "1.keras", *asked, "--format", "jsonl").out)
    assert (record["text"], record["text_pair"]) == tuple(asked)
    assert (record["answer"], record["start"], record["end"]) == ("Ann", 4, 7)
    done = command("predict", out, "-i", data, "-q", "--format", "csv")
    assert len(done.out.splitlines()) == 161
    assert done.out.startswith("text,text_pair,answer,start,end,probability,no_answer")
    (tmp_path / "t.csv").write_text("q,c\nwho ?,yes Bob lives in Oslo 1\n")
    done = command("predict", out, "-i", tmp_path / "t.csv", "--text", "q", "--text", "c", "-q")
    assert "[Bob]" in done.out
    assert "two arguments" in command("predict", out, "who ?").err


CONTEXT = "\x1b x\r\ny z"
SAID = {"answer": "x\r\ny", "start": 2, "end": 6, "probability": 0.5, "no_answer": 0.25}
NONE = {"answer": "", "start": -1, "end": -1, "probability": 0.75, "no_answer": 0.75}


@pytest.mark.parametrize("is_terminal", [True, False])
def test_answers_within_their_contexts(is_terminal: bool, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    write = WRITERS["table"](Answer(Answers()), True)
    write([("who\n?", CONTEXT), ("why ?", CONTEXT)], None, [SAID, NONE])
    out = capsys.readouterr().out
    assert out.startswith("who ?  x  y (0.500)\n")
    if is_terminal:
        assert "\x1b[32m" in out  # in green
        assert "\x1b x" not in out  # nothing of the context reaches the terminal as a command
    else:
        assert out.endswith("  \ufffd [x  y] z\nwhy ?  no answer (0.750)\n  \ufffd x  y z\n")


def test_task_and_file_are_known(data: Path, tmp_path: Path) -> None:
    assert target_for("answer", None) == "answer"
    pairs = squad_pairs(str(data))
    assert pairs is not None
    assert pairs[0] == ("who ?", "yes Ann lives in Rome 0")
    (tmp_path / "lines.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert squad_pairs(str(tmp_path / "lines.json")) is None


def test_help_names_the_task(command: Any) -> None:
    assert "answer" in command("train", "--help").out
