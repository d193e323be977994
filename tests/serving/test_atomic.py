"""Whoever watches an export folder sees whole versions or none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from disk import full_disk

import keras_seqzoo as sz
from keras_seqzoo.serving.audit import audit
from keras_seqzoo.serving.versions import versions

EXPORTER = Path(__file__).with_name("exporter.py")


def files_of(version: Path) -> dict[str, int]:
    return {
        str(p.relative_to(version)): p.stat().st_size for p in version.rglob("*") if p.is_file()
    }


@pytest.mark.slow
def test_a_killed_export_is_never_seen(tiny_model: Any, tmp_path: Path) -> None:
    """A watcher notes each version when it first sees it; none may change after that."""
    tiny_model.save(tmp_path / "model.keras")
    folder = tmp_path / "reviews"
    seen: dict[int, dict[str, int]] = {}
    with subprocess.Popen(
        [sys.executable, EXPORTER, tmp_path / "model.keras", folder, "4", "0"],
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while process.poll() is None:
            for version in versions(folder):
                if version not in seen:
                    seen[version] = files_of(folder / str(version))
            time.sleep(0.002)
        assert process.returncode == 0, process.stderr.read() if process.stderr else ""
    assert seen, "the exporters were killed before they had written anything"
    for version, files in seen.items():
        assert files == files_of(folder / str(version))
        assert {"saved_model.pb", "variables/variables.index"} <= set(files)
    assert audit(folder / str(max(seen))).passed


def test_what_a_kill_has_left_is_removed_a_day_later(tiny_model: Any, tmp_path: Path) -> None:
    for name, age in (("old", 90_000), ("new", 60)):
        left = tmp_path / f".exporting-{name}"
        left.mkdir()
        os.utime(left, (time.time() - age,) * 2)
    sz.export_model(tiny_model, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".exporting-new", "1"]


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(100, marks=pytest.mark.slow),
        4_000,
        pytest.param(60_000, marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_leaves_nothing(
    size: int, tiny_model: Any, tiny_export: Path, tmp_path: Path
) -> None:
    first = Path(shutil.copytree(tiny_export, tmp_path / "reviews" / "1"))
    before = files_of(first)
    with full_disk(size), pytest.raises(OSError, match=r"Nothing was published.*Received"):
        sz.export_model(tiny_model, tmp_path / "reviews")
    assert [p.name for p in (tmp_path / "reviews").iterdir()] == ["1"]
    assert files_of(first) == before
    with full_disk(size), pytest.raises(OSError, match="Nothing was published"):
        sz.export_model(tiny_model, tmp_path / "others" / "reviews")
    assert not (tmp_path / "others").exists(), "nor the folders that it had made"


def test_a_folder_that_can_not_be_written_is_named(tiny_model: Any) -> None:
    with pytest.raises(OSError, match=r"must be a folder that can be written to.*Received: /proc"):
        sz.export_model(tiny_model, "/proc/reviews")


def test_untrained_and_uncompiled_models(tiny_model: Any, tiny_table: Any, tmp_path: Path) -> None:
    """What was never trained is exported with a warning; what is not compiled, without."""
    fresh = sz.build_model("gru", tiny_table, units=4, embedding_dim=4)
    with pytest.warns(UserWarning, match=r"never trained.*Call fit"):
        path = sz.export_model(fresh, tmp_path)
    assert audit(path).passed
    clone = type(tiny_model).from_config(tiny_model.get_config())
    clone.preprocessor = tiny_model.preprocessor
    clone.set_weights(tiny_model.get_weights())
    assert not clone.compiled
    path = sz.export_model(clone, tmp_path)
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert served(text=tf.constant(["a good film"]))["label"].numpy() == [b"positive"]
