"""`keras-seqzoo audit`, and the warm-up texts of `export`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import keras_seqzoo as sz
from keras_seqzoo.serving import warmup


@pytest.fixture(scope="module")
def exported(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sz.export_model(tiny_model, tmp_path_factory.mktemp("audit") / "reviews")


def test_a_sound_export_passes(exported: Path, command: Callable[..., Any]) -> None:
    done = command("audit", exported.parent)
    assert done.code == 0, done.err
    for said in (
        "serving_default",
        "text: string (?,)",
        "float32 (?, 2)",
        "it answers",
    ):
        assert said in done.out
    found = json.loads(command("audit", exported, "--format", "json").out)
    assert found["passed"] is True
    assert found["problems"] == []


def test_a_damaged_export_fails(
    exported: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    import shutil

    copy = shutil.copytree(exported, tmp_path / "1")
    (copy / "saved_model.pb").write_bytes(b"not a graph")
    done = command("audit", copy)
    assert done.code == 2
    assert "saved_model.pb cannot be read" in done.out
    assert command("audit", tmp_path / "nowhere").code == 2


def test_export_takes_texts_for_the_warmup(
    tiny_model: Any, command: Callable[..., Any], tmp_path: Path
) -> None:
    tiny_model.save(tmp_path / "model.keras")
    (tmp_path / "texts.txt").write_text("a good film\n\nawful\n")
    done = command(
        "export", tmp_path / "model.keras", tmp_path / "out", "--warmup", tmp_path / "texts.txt"
    )
    assert done.code == 0, done.err
    asked = [t for name, r in warmup.read(tmp_path / "out" / "1") for t in r.get("text", ())]
    assert set(asked) == {b"a good film", b"awful"}
    (tmp_path / "texts.txt").write_text("\n")
    for wrong, said in (("texts.txt", "no text"), ("nowhere.txt", "no such file")):
        done = command(
            "export", tmp_path / "model.keras", tmp_path / "out", "--warmup", tmp_path / wrong
        )
        assert done.code == 2
        assert said in done.err
