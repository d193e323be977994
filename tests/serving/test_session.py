"""Sessions that divide the rows of a large request, and the cores of a machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_seqzoo.serving.session import SavedSession, divide_cores

ROWS = {"text": np.array([f"{'good ' * (i % 7)}film {i}".encode() for i in range(37)], object)}


def runs_of(session: SavedSession, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes how many rows each run of TensorFlow's session answers."""
    seen: list[int] = []
    run: Callable[..., Any] = session._session.run

    def noted(fetches: Any, feeds: Any, options: Any = None) -> Any:
        seen.extend(len(value) for value in feeds.values())
        return run(fetches, feeds, options=options)

    monkeypatch.setattr(session._session, "run", noted)
    return seen


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_parts_answer_as_the_whole(
    tiny_export: Path, monkeypatch: pytest.MonkeyPatch, timeout: float | None
) -> None:
    whole = SavedSession(tiny_export).run("serving_default", ROWS)
    session = SavedSession(tiny_export, parts=4)
    seen = runs_of(session, monkeypatch)
    divided = session.run("serving_default", ROWS, timeout=timeout)
    assert sorted(seen) == [9, 9, 9, 10]
    assert divided.keys() == whole.keys()
    for name, value in whole.items():
        assert divided[name].dtype == value.dtype
        if value.dtype == object:
            assert divided[name].tolist() == value.tolist()
        else:
            np.testing.assert_allclose(divided[name], value, atol=1e-6)
    session.close()


def test_small_requests_stay_whole(tiny_export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = SavedSession(tiny_export, parts=4)
    seen = runs_of(session, monkeypatch)
    few = {"text": ROWS["text"][:15]}
    assert len(session.run("serving_default", few)["probabilities"]) == 15
    assert len(session.run("serving_default", {"text": few["text"][:0]})["probabilities"]) == 0
    assert seen == [15, 0]
    session.close()


def test_outputs_as_wide_as_the_longest_row_stay_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def letters(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"letters": tf.strings.bytes_split(text).to_tensor()}

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures={"serving_default": letters})
    session = SavedSession(tmp_path, parts=4)
    seen = runs_of(session, monkeypatch)
    longest = max(map(len, ROWS["text"]))
    assert session.run("serving_default", ROWS)["letters"].shape == (37, longest)
    assert seen == [37]
    session.close()


def test_outputs_that_are_not_of_rows_stay_whole(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def words(text: tf.Tensor) -> dict[str, tf.Tensor]:
        found = tf.strings.split(text)
        return {"words": found.flat_values, "splits": found.row_splits}

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures={"serving_default": words})
    session = SavedSession(tmp_path, parts=4)
    splits = session.run("serving_default", ROWS)["splits"]
    assert np.diff(splits).tolist() == [len(text.split()) for text in ROWS["text"]]
    session.close()


def test_an_error_in_a_part_is_that_of_the_request(tiny_export: Path) -> None:
    session = SavedSession(tiny_export, parts=4)
    with pytest.raises(tf.errors.DeadlineExceededError):
        session.run("serving_default", {"text": np.repeat(ROWS["text"], 5000)}, timeout=0.001)
    with pytest.raises(ValueError, match="shape"):
        session.run("serving_default", {"text": np.stack([ROWS["text"]] * 2, axis=1)})
    assert len(session.run("serving_default", ROWS)["probabilities"]) == 37
    session.close()
    with pytest.raises(RuntimeError):
        session.run("serving_default", ROWS)


@pytest.mark.parametrize(
    ("cores", "requests", "share", "parts"),
    [(2, 2, "1", 2), (8, 8, "1", 8), (8, 2, "4", 2), (8, 1, "8", 1), (2, 5, "1", 2)],
)
def test_cores_are_divided_among_requests(
    monkeypatch: pytest.MonkeyPatch, cores: int, requests: int, share: str, parts: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "")
    assert divide_cores(requests) == parts
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == share
    assert divide_cores(requests) == 1  # what the environment has stands
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == share
