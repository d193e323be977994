"""Masked language models by command: a text file divided, trained on, and asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keras_seqzoo.cli.running import WRITERS, text_parts
from keras_seqzoo.tasks.fill_mask import FillMask

LINES = [f"the film number {i} was good" for i in range(100)]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


def test_a_text_is_divided_at_lines(corpus: Path, tmp_path: Path) -> None:
    parts = text_parts(str(corpus), None, None, 0.2, 0.1)
    assert "".join(text for part in parts for text in part.texts) == corpus.read_text()
    assert [part.texts[0].count("\n") for part in parts] == pytest.approx([70, 20, 10], abs=2)
    assert all(part.texts[0].startswith("the film") for part in parts)
    assert [len(part) for part in text_parts(str(corpus), None, None, 0, 0)] == [1, 0, 0]
    (tmp_path / "other.txt").write_text("another")
    _, valid, test = text_parts(str(corpus), str(tmp_path / "other.txt"), None, 0.2, 0)
    assert list(valid.texts) == ["another"]
    assert len(test) == 0
    (tmp_path / "line.txt").write_text("one two three four five")
    train, valid, _ = text_parts(str(tmp_path / "line.txt"), None, None, 0.5, 0)
    assert train.texts[0] + valid.texts[0] == "one two three four five"
    assert valid.texts[0].startswith("four")


def test_tokens_stand_under_their_text(capsys: Any) -> None:
    write = WRITERS["table"](FillMask(mask="[MASK]"), True)
    write(["a [MASK]\n\x1b [MASK]"], None, [[[("b", 0.75), (" c", 0.25)], [("\x1b", 1.0)]]])
    expected = "a [MASK] \ufffd [MASK]\n  b 0.750  c 0.250\n  \ufffd 1.000\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--target", "class"], "with --target class"),
        (["--valid", "0.6", "--test", "0.6"], "must leave text to train on"),
        (["--model", "gru"], "learn from running text with"),
        pytest.param(["-o", "mask_rate=2"], "above 0 and below 1", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_trained_is_told(
    command: Any, corpus: Path, more: list[str], message: str
) -> None:
    model = [] if "--model" in more else ["-m", "bert_base", "-o", "weights=none"]
    done = command("train", corpus, "--task", "fill_mask", *model, *more)
    assert done.code == 2
    assert message in done.err


def test_running_text_is_not_compared(command: Any, corpus: Path) -> None:
    done = command("compare", corpus, "--task", "fill_mask", "--models", "bert_base")
    assert done.code == 2
    assert "needs labelled rows" in done.err


@pytest.mark.slow
def test_from_a_text_to_filled_masks(command: Any, corpus: Path, tmp_path: Path) -> None:
    small = ["num_layers=1", "num_heads=2", "hidden_dim=16", "intermediate_dim=32", "weights=none"]
    options = [part for one in (*small, "top_k=3") for part in ("-o", one)]
    out = tmp_path / "out"
    done = command(
        "train", corpus, "--task", "fill_mask", "-m", "bert_base", *options, "--out", out,
        "--epochs", "2", "--sequence-length", "32",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "to learn from" in done.err
    assert "perplexity" in done.out
    assert json.loads((out / "1.json").read_text())["test"]["perplexity"] > 1
    text = "the film [MASK] 5 was [MASK]"
    for model in (out, out / "1.keras"):
        lines = command("predict", model, text).out.splitlines()
        assert lines[0] == text
        assert [len(line.split()) for line in lines[1:]] == [6, 6]
        assert command("predict", model, "no such").code == 2
    record = json.loads(command("predict", out, text, "--format", "jsonl").out)
    assert [len(mask) for mask in record["masks"]] == [3, 3]
    assert set(record["masks"][0][0]) == {"token", "probability"}
    assert command("evaluate", out, corpus, "--text", "text").code == 2
    rows = tmp_path / "rows.csv"
    rows.write_text("text\n" + "\n".join(LINES) + "\n")
    done = command(
        "train", rows, "--task", "fill_mask", "-m", "bert_base", "--out", tmp_path / "more",
        "-o", f"weights={out / '1.keras'}", "--epochs", "1",
    )  # fmt: skip
    assert done.code == 0, done.err
