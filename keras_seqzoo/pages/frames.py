"""The numbers behind the page's figures, one long table for each figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.evaluation.scores import Scores


def curves(results: Results) -> pd.DataFrame:
    """Returns the histories of `fit`: a row for each epoch of each run.

    Columns: `model`, `seed`, `kept` (whether the run is kept), `epoch`, and the figures. Epochs
    count from 1. Figures that a model does not have are NaN.
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


def of_kept_runs(
    results: Results, table: Callable[[Scores], pd.DataFrame], columns: Sequence[str] = ()
) -> pd.DataFrame:
    """Returns the tables of all models' kept runs, one below the other.

    Args:
        results: the models.
        table: makes the table of a report; not called if there are no answers.
        columns: columns of the result, even without answers; `model` comes before them.
    """
    frames = [
        table(results.report(entry.label)).assign(model=entry.label)
        for entry in results.entries
        if entry.runs
    ]
    return _concat(frames, ["model", *columns])


def by_name(results: Results) -> pd.DataFrame:
    """Returns the first table of each report: a row for each model and class, label or number."""
    return of_kept_runs(results, lambda report: next(iter(report.tables.values())).reset_index())


def words(results: Results) -> npt.NDArray[np.int_]:
    """Returns the number of words in each test row (for a pair, in both texts): int `(rows,)`."""
    return np.array([sum(len(text.split()) for text in sides(row)) for row in results.texts], int)


def sides(row: Any) -> list[str]:
    """Returns the texts of a row: one, or the two of a pair."""
    return [row] if isinstance(row, str) else [str(text) for text in row]


def best_baseline(table: pd.DataFrame) -> str | None:
    """Label of the highest baseline in a leaderboard; None without one."""
    found = table.index[table["baseline"].astype(bool) & (table["runs"] > 0)]
    return str(found[0]) if len(found) else None


def _epochs(history: Any) -> int:
    return max((len(values) for values in history.values()), default=0)


def _concat(frames: list[pd.DataFrame], first: list[str]) -> pd.DataFrame:
    if not frames:
        return pd.DataFrame(columns=first)
    frame = pd.concat(frames, ignore_index=True)
    return frame[[*first, *(c for c in frame.columns if c not in first)]]
