"""Comparisons of forecasters and of directions, from windows to the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from html_page import Page

import keras_seqzoo as sz
from keras_seqzoo.comparison.compare import check_parts
from keras_seqzoo.comparison.store import Store
from keras_seqzoo.data.series import SeriesTable, read_series
from keras_seqzoo.serving.saved import SavedPredictor
from keras_seqzoo.tasks import task_for

GRU = {"model": "gru", "units": 4, "learning_rate": 0.02}


def waves(target: str = "future", horizon: int = 2, rows: int = 220) -> SeriesTable:
    steps = np.arange(rows)
    noise = np.random.default_rng(0).normal(0, 0.3, rows)
    frame = pd.DataFrame(
        {
            "Date": pd.date_range("2024-01-01", periods=rows),
            "Close": 50 + 3 * np.sin(steps / 2) + noise,
        }
    )
    return read_series(frame, window=6, horizon=horizon, target=target)


def compare(table: SeriesTable, folder: Path, **options: Any) -> sz.Comparison:
    settings = {"seeds": 1, "isolated": False, "progress": False, "explain": 2}
    return sz.compare({"g": GRU}, *table.split(0.2, 0.3), folder=folder, **settings | options)


def test_forecasters_are_compared(tmp_path: Path) -> None:
    table = waves()
    test = table.split(0.2, 0.3)[2]
    compared = compare(table, tmp_path / "c", epochs=8)
    assert set(compared.table.index) == {"g", "last_value", "seasonal", "ridge"}
    assert (compared.table["missing"] == "").all()
    assert compared.table["mase"].is_monotonic_increasing
    assert (compared.table["mase_low"] < compared.table["mase"]).all()
    # What is kept is read back, answers as the table says, and is served.
    again = sz.Comparison(compared.folder)
    for entry in again.results.entries:
        loaded = again.load(entry.label)
        np.testing.assert_allclose(loaded.predict(test), entry.kept.outputs, rtol=1e-4)
        assert sz.evaluate(loaded, test).mase == pytest.approx(again.table["mase"][entry.label])
        worst = loaded.task.worst(test.labels, entry.kept.outputs, 2).tolist()
        assert entry.mistakes == [(row, None) for row in worst]
    served = SavedPredictor(again.saved_model("g"))
    np.testing.assert_allclose(served.predict(test), again.load("g").predict(test), rtol=1e-4)
    assert again.recommend().model == again.table.index[0]
    assert set(again.pareto_front()) <= set(again.table.index)
    # Neighbours share steps, so that they are tested together.
    blocks = again.results.blocks
    assert blocks is not None
    assert np.bincount(blocks).min() >= 4
    assert all(d.p_value >= 2 / 2 ** (blocks.max() + 1) for d in again.differences)
    assert "by blocks of neighbouring windows" in str(again)
    page = Page(again.to_html(tmp_path / "page.html").read_text("utf-8"))
    assert not page.unbalanced
    assert "GRU → Dense" in page.words
    assert "Embedding" not in page.words


@pytest.mark.slow
def test_a_model_that_learnt_nothing_is_told_not_to_beat_the_last_value(tmp_path: Path) -> None:
    walk = np.random.default_rng(1).normal(size=220).cumsum()
    frame = pd.DataFrame({"Date": pd.date_range("2024-01-01", periods=220), "Close": walk})
    compared = compare(read_series(frame, window=6, horizon=2), tmp_path / "c", epochs=1, explain=0)
    told = [line for line in str(compared).splitlines() if line.startswith("g ") and "beat" in line]
    assert len(told) == 1
    assert told[0].startswith(("g does not beat last_value", "g is not shown to beat last_value"))
    page = Page(compared.to_html(tmp_path / "page.html").read_text("utf-8"))
    assert told[0] in page.words


@pytest.mark.slow
def test_directions_are_compared_and_what_is_there_is_not_trained_again(tmp_path: Path) -> None:
    table = waves("direction")
    compared = compare(table, tmp_path / "c", epochs=8, isolated=True)
    assert set(compared.table.index) == {"g", "majority", "window_logreg"}
    assert compared.results.task.classes == ("down", "up")
    assert compared.table["accuracy"]["window_logreg"] > 0.8
    assert "by blocks of neighbouring windows" in str(compared)
    test = table.split(0.2, 0.3)[2]
    for label in compared.table.index:
        report = sz.evaluate(compared.load(label), test)
        assert report.accuracy == pytest.approx(compared.table["accuracy"][label])
    page = Page(compared.to_html(tmp_path / "page.html").read_text("utf-8"))
    assert not page.unbalanced
    assert "down" in page.words
    events: list[str] = []
    compare(
        table, tmp_path / "c", epochs=8, isolated=True,
        progress=lambda label, event: events.append(event["event"]),
    )  # fmt: skip
    assert events.count("done before") == 3


def parts(**changed: Any) -> dict[str, Any]:
    return dict(zip(("train", "valid", "test"), waves().split(0.2, 0.3), strict=True)) | changed


def test_parts_must_be_alike() -> None:
    check_parts(parts())
    with pytest.raises(ValueError, match=r"same columns, windows and horizon.*Split one"):
        check_parts(parts(test=waves(horizon=3)))
    with pytest.raises(ValueError, match="same columns, windows and horizon"):
        check_parts(parts(test=sz.TextTable.from_texts(["a", "b"], ["x", "y"])))
    with pytest.raises(ValueError, match="takes labelled rows"):
        check_parts(parts(test=waves(target=None)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="in the same order"):
        check_parts(parts(test=waves(target="direction")))


def test_series_are_kept_in_the_folder_and_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "c")
    given = parts()
    store.open("waves.csv", given)
    for name, table in given.items():
        assert store.part(name).fingerprint() == table.fingerprint()
        assert store.part(name).left_out == table.left_out
    assert store.task().scale == pytest.approx(task_for(given["train"]).scale)
    with pytest.raises(ValueError, match="on other rows"):
        store.open("waves.csv", parts(test=given["valid"]))


@pytest.mark.parametrize("damage", ["pickle", "cut", "told", "target"])
def test_a_damaged_series_is_refused_and_nothing_in_it_is_run(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path / "c")
    store.open("waves.csv", parts())
    path = tmp_path / "c" / "data" / "test.npz"
    if damage == "pickle":
        np.savez(path, rows=np.array([print], object))
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "told":
        path.with_suffix(".json").write_text("[]")
    else:
        text = path.with_suffix(".json").read_text()
        path.with_suffix(".json").write_text(text.replace('"Close"', '"Open"'))
    with pytest.raises(ValueError, match=r"A file of the comparison is damaged.*test\.npz"):
        store.part("test")
