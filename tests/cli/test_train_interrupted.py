"""Ctrl-C after the training: what was learnt is kept, and it is said where."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from keras_seqzoo.cli import main


@pytest.fixture
def command(reviews_csv: Path, tmp_path: Path) -> Iterator[list[str]]:
    # A process that runs tests beside others ignores Ctrl-C.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield [
        "train", str(reviews_csv), "--text", "review", "--label", "sentiment", "--epochs", "1",
        "--model", "gru", "-o", "units=4", "-o", "embedding_dim=4", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    signal.signal(signal.SIGINT, former)


def interrupt(*_: Any) -> None:
    signal.raise_signal(signal.SIGINT)


def test_while_testing(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras_seqzoo.reports import report
    from keras_seqzoo.tasks.keras_file import load_keras_file

    monkeypatch.setattr(report, "evaluate", interrupt)
    ended = CliRunner().invoke(main.app, command)
    kept = tmp_path / "out" / "interrupted-1.keras"
    assert ended.exit_code == 130
    assert f"Interrupted while testing. The trained model is kept in {kept}" in ended.output
    assert load_keras_file(kept).classes == ("negative", "positive")


def test_while_exporting(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_seqzoo.serving import export

    def interrupted(model: Any, directory: Path, **_: Any) -> Path:
        interrupt()
        (directory / "1").mkdir(parents=True)
        return directory / "1"

    monkeypatch.setattr(export, "export_model", interrupted)
    ended = CliRunner().invoke(main.app, [*command, "--test", "0"])
    assert ended.exit_code == 0
    assert "The model is being written; this will finish first." in ended.output
    assert (tmp_path / "out" / "1.json").is_file()
    assert (tmp_path / "out" / "1.keras").is_file()
