"""`keras-seqzoo check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd


def test_the_command_prints_them(command: Any, tmp_path: Path) -> None:
    words = {"pos": "a lovely warm film", "neg": "a dull cold plot"}
    labels = ["pos", "neg"] * 20
    texts = [f"{words[label]} {number}" for number, label in enumerate(labels)]
    labels[4] = "neg"
    pd.DataFrame({"text": texts, "label": labels}).to_csv(tmp_path / "rows.csv", index=False)
    pd.DataFrame({"text": texts[:1], "label": labels[:1]}).to_csv(tmp_path / "t.csv", index=False)
    done = command("check", tmp_path / "rows.csv", "--test", tmp_path / "t.csv")
    assert done.code == 0, done.err
    assert "row 4: neg, likely pos" in done.out
    assert "Test texts that training rows hold: 1" in done.out
    found = json.loads(command("check", tmp_path / "rows.csv", "--format", "json").out)
    assert found["labels"][0]["row"] == 4
    done = command("check", tmp_path / "rows.csv", "--no-labels")
    assert "Labels" not in done.out
    assert command("check", tmp_path / "rows.csv", "--similarity", "2").code == 2
