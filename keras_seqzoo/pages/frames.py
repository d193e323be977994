"""The numbers behind the page's figures, one long table a figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from keras_seqzoo.evaluation.metrics import accuracy_by_length, calibration_bins
from keras_seqzoo.evaluation.results import Entry, Results


def curves(results: Results) -> pd.DataFrame:
    """Returns what `fit` told: a row an epoch of a run.

    Columns: `model`, `seed`, `kept` (whether that run is), `epoch`, and the figures. Epochs count
    from 1. Figures that a model does not have are NaN.
    """
    frames = [
        pd.DataFrame(
            {
                "model": entry.label,
                "seed": run.seed,
                "kept": run is entry.kept,
                "epoch": np.arange(1, _epochs(run.history) + 1),
                # A figure that is written every other epoch has fewer values than the others.
                **{k: pd.Series(list(v), dtype=float) for k, v in run.history.items()},
            }
        )
        for entry in results.entries
        for run in entry.runs
        if _epochs(run.history)
    ]
    return _concat(frames, ["model", "seed", "kept", "epoch"])


def confusion(results: Results) -> pd.DataFrame:
    """Returns counts of the kept runs: columns `model`, `true`, `predicted`, `rows`."""
    frames = []
    for entry in _answering(results):
        counts = results.report(entry.label).confusion.to_numpy()
        true, predicted = np.indices(counts.shape).reshape(2, -1)
        names = np.asarray(results.classes, dtype=object)
        frames.append(
            pd.DataFrame(
                {
                    "model": entry.label,
                    "true": names[true],
                    "predicted": names[predicted],
                    "rows": counts.ravel(),
                }
            )
        )
    return _concat(frames, ["model", "true", "predicted", "rows"])


def calibration(results: Results) -> pd.DataFrame:
    """Returns bins of confidence, kept runs: `model` and the columns of `calibration_bins`."""
    return _of_kept_runs(results, lambda labels, run: calibration_bins(labels, run.outputs))


def classes(results: Results) -> pd.DataFrame:
    """Returns `model`, `class`, `precision`, `recall`, `f1`, `support` of the kept runs."""
    frames = [
        results.report(entry.label).per_class.reset_index().assign(model=entry.label)
        for entry in _answering(results)
    ]
    return _concat(frames, ["model", "class", "precision", "recall", "f1", "support"])


def lengths(results: Results) -> pd.DataFrame:
    """Returns accuracy by words a text, kept runs: `model`, columns of `accuracy_by_length`."""
    if not len(results.texts):  # of a stream, answers alone are kept
        return _concat([], ["model", "low", "high", "rows", "accuracy", "low_ci", "high_ci"])
    words = np.array([len(text.split()) for text in results.texts])
    return _of_kept_runs(
        results,
        lambda labels, run: accuracy_by_length(labels, run.outputs.argmax(axis=1), words),
    )


def frequent_confusions(results: Results, label: str, most: int = 10) -> pd.DataFrame:
    """Returns the commonest mistakes of a model's kept run.

    Returns:
        Columns `true`, `predicted`, `rows`, and `share` of the rows of the true class; the most
        frequent first.
    """
    report = results.report(label)
    counts = report.confusion.to_numpy().copy()
    of_class = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts.ravel(), kind="stable")[:most]
    rows = [
        {
            "true": results.classes[true],
            "predicted": results.classes[predicted],
            "rows": int(counts[true, predicted]),
            "share": counts[true, predicted] / of_class[true],
        }
        for true, predicted in zip(*np.unravel_index(order, counts.shape), strict=True)
        if counts[true, predicted]
    ]
    return pd.DataFrame(rows, columns=["true", "predicted", "rows", "share"])


def _answering(results: Results) -> list[Entry]:
    return [entry for entry in results.entries if entry.runs]


def _epochs(history: Any) -> int:
    return max((len(values) for values in history.values()), default=0)


def _of_kept_runs(results: Results, table: Any) -> pd.DataFrame:
    frames = [
        table(results.labels, entry.kept).assign(model=entry.label) for entry in _answering(results)
    ]
    return _concat(frames, ["model"])


def _concat(frames: list[pd.DataFrame], first: list[str]) -> pd.DataFrame:
    if not frames:
        return pd.DataFrame(columns=first)
    frame = pd.concat(frames, ignore_index=True)
    return frame[[*first, *(c for c in frame.columns if c not in first)]]
