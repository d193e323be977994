"""Comparisons of every kind of input and target, from the tables to the choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import ANSWERS, table_of

import keras_seqzoo as sz
from keras_seqzoo.comparison.baselines import BASELINES
from keras_seqzoo.serving.saved import SavedPredictor

REAL = Path(__file__).parents[3] / "shared" / "data"
GRU = {"model": "gru", "units": 4, "embedding_dim": 8, "learning_rate": 0.02}
FAST = [("text", "labels")]
KINDS = [
    pytest.param(i, t, marks=() if (i, t) in FAST else pytest.mark.slow)
    for i in ("text", "pair")
    for t in ANSWERS
]


@pytest.mark.parametrize(("inputs", "target"), KINDS)
def test_a_comparison_of_any_kind(inputs: str, target: str, tmp_path: Path) -> None:
    table = table_of(inputs, target)
    options: Any = {"seeds": 1, "epochs": 3, "isolated": False, "progress": False, "explain": 1}
    compared = sz.compare(
        {"g": {**GRU, "sequence_length": 3}}, table, table, table, folder=tmp_path / "c", **options
    )
    task = compared.results.task
    first = task.metric()
    assert set(compared.table.index) == {"g", *task.baselines}
    assert (compared.table["missing"] == "").all()
    ranked = compared.table[first.name]
    assert ranked.is_monotonic_increasing if first.lower_is_better else True
    assert ranked.is_monotonic_decreasing if not first.lower_is_better else True
    assert compared.table.at["g", "texts_cut"] > 0
    # What is kept is read back, answers as the table says, and is served.
    again = sz.Comparison(compared.folder)
    assert again.results.task == task
    for entry in again.results.entries:
        outputs = entry.kept.outputs
        loaded = again.load(entry.label)
        assert loaded.task == (entry.kept.task or task)
        np.testing.assert_allclose(
            loaded.predict(table.texts, verbose=0), outputs, rtol=1e-4, atol=1e-5
        )
        report = sz.evaluate(loaded, table)
        assert report.figures[first.name] == pytest.approx(ranked[entry.label], abs=1e-4)
        rows = [row for row, _ in entry.mistakes]
        if entry.label in BASELINES and not BASELINES[entry.label].reads:
            assert rows == []
        else:
            assert rows == loaded.task.worst(table.labels, outputs, 1).tolist()
            assert all(explanation is not None for _, explanation in entry.mistakes)
    served = SavedPredictor(again.saved_model("g"))
    kept = next(e for e in again.results.entries if e.label == "g").kept
    np.testing.assert_allclose(served.predict(table.texts), kept.outputs, rtol=1e-4, atol=1e-5)
    shown = str(again)
    assert all(metric.name in shown for metric in task.metrics)
    assert again.recommend().model == compared.table.index[0]
    assert set(again.pareto_front()) <= set(compared.table.index)


def test_the_linear_baseline_of_pairs_on_real_ones() -> None:
    """What MRPC's pairs share tells paraphrases from others; the majority is 0.665."""
    if not (REAL / "mrpc").is_dir():
        pytest.skip("real data is not here: ../shared/data/mrpc")
    table = sz.read_table(
        REAL / "mrpc" / "msr-para-train.tsv", text=("#1 String", "#2 String"), label="Quality",
        quoting="none",
    )  # fmt: skip
    test = sz.read_table(
        REAL / "mrpc" / "msr-para-test.tsv", text=("#1 String", "#2 String"), label="Quality",
        quoting="none", classes=table.classes,
    )  # fmt: skip
    baseline = BASELINES["tfidf_logreg"]()
    baseline.fit(table.take(np.arange(1000)))
    assert sz.evaluate(baseline, test).accuracy > 0.7
