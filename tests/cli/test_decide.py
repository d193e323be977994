"""`keras-seqzoo decide`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

COLUMNS = ("--text", "review", "--label", "sentiment")


@pytest.mark.slow
def test_the_next_version_answers_as_decided(
    command: Any, tiny_model: Any, reviews_csv: Path, tmp_path: Path
) -> None:
    tiny_model.save(tmp_path / "1.keras")
    asked = (tmp_path / "1.keras", reviews_csv, *COLUMNS)
    done = command("decide", *asked, "--error", 0.3)
    assert done.code == 0, done.err
    assert "Promised an error of at most 0.3 at level 0.9, chosen on 80 rows" in done.out
    version = Path(done.out.split("SavedModel")[1].split()[0])
    assert version.parent == tmp_path
    story = json.loads(version.with_name(f"{version.name}.json").read_text("utf-8"))
    assert story["error"] == 0.3
    assert "--error 0.3" in story["command"]
    for model in (version, version.with_name(f"{version.name}.keras")):
        assert "answered_error" in command("evaluate", model, reviews_csv, *COLUMNS).out
    done = command("decide", *asked, "--precision", "positive=0.9999")
    assert done.code == 2
    assert "the nearest is --precision positive=0.9" in done.err
    assert "Received: --precision positive=0.9999, --level 0.9" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--precision", "spam"), "--precision takes NAME=VALUE"),
        (("--recall", "spam=much"), "Received: --recall spam=much"),
        (("--recall", "a=b=0.9", "--recall", "a=b=0.8"), "a class or label, each once"),
        ((), "Give --out"),
    ],
)
def test_wrong_options_are_told_before_anything_is_read(
    command: Any, options: tuple[str, ...], message: str
) -> None:
    done = command("decide", "absent.keras", "absent.csv", *options)
    assert done.code == 2
    assert message in done.err
