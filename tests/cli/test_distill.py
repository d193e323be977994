"""`distill`, and `train --teacher`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keras_seqzoo.cli.progress import AskingProgress
from keras_seqzoo.distillation import teachers

COLUMNS = ["--text", "review", "--label", "sentiment"]
SMALL = ["--model", "gru", "-o", "units=4", "-o", "embedding_dim=8", "--epochs", "2"]


@pytest.mark.slow
def test_distill_trains_tests_and_exports(
    command: Any, tiny_export: Path, reviews_csv: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more.txt"
    more.write_text("an unseen text\nanother one\n")
    out = tmp_path / "out"
    arguments = ["distill", tiny_export, reviews_csv, *COLUMNS, *SMALL, "--out", out]
    done = command(*arguments, "--unlabelled", more, "--augment", 2, "--cache", tmp_path / "kept")
    assert done.code == 0, done.err
    story = json.loads((out / "1.json").read_text())
    assert story["command"].startswith("keras-seqzoo distill")
    assert story["history"]["accuracy"]
    assert (out / "1" / "saved_model.pb").is_file()
    assert list((tmp_path / "kept" / "answers").glob("answers-*/0.npy"))
    assert not list((out / ".recovery").glob("*"))


@pytest.mark.slow
def test_an_interruption_while_the_teacher_is_asked_keeps_its_answers(
    command: Any,
    tiny_export: Path,
    reviews_csv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(self: AskingProgress, done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(teachers, "_BLOCK", 16)
    arguments = ["distill", tiny_export, reviews_csv, *COLUMNS, *SMALL, "--out", tmp_path]
    with monkeypatch.context() as patched:
        patched.setattr(AskingProgress, "__call__", interrupted)
        done = command(*arguments)
    answers = tmp_path / ".recovery" / "answers"
    assert done.code == 130
    assert f"Its answers are kept in {answers}: the same command continues" in done.err
    (block,) = answers.glob("answers-*/*.npy")
    written = block.stat().st_mtime_ns
    kept: list[int] = []
    monkeypatch.setattr(AskingProgress, "stop", lambda self: kept.append(block.stat().st_mtime_ns))
    assert command(*arguments).code == 0
    assert kept[0] == written
    assert not answers.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "x.csv", "--augment", "5"], "Name one with --teacher. Received: --augment"),
        (["train", "x.csv", "--unlabelled", "y.txt"], "Received: --unlabelled without --teacher"),
        (["distill", "missing.keras", "x.csv"], "missing.keras"),
        (["distill", "{teacher}", "x.csv", "--time", "Date"], "texts of a table in memory"),
        (["distill", "{teacher}", "x.csv", "--stream"], "texts of a table in memory"),
    ],
)
def test_wrong_use_is_explained(
    command: Any, tiny_export: Path, arguments: list[str], message: str
) -> None:
    done = command(*(part.format(teacher=tiny_export) for part in arguments))
    assert done.code == 2
    assert message in done.err
