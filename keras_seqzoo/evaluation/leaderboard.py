"""The leaderboard: a row for each model, best first."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from keras_seqzoo.evaluation.results import Entry, Results


def leaderboard(results: Results) -> pd.DataFrame:
    """Makes the table of a comparison.

    Args:
        results: the models and their answers.

    Returns:
        A row for each model, the best by the first of the task's `metrics` first, models without
        answers last; the index is the label. Metrics are means over the runs (seeds). For those
        with an interval, such as `macro_f1`, `macro_f1_low` and `_high` are the 95 % interval of a
        bootstrap over the test rows, `macro_f1_min` and `_max` the lowest and highest run. Then the
        costs (see `Costs`), the number of `runs`, `texts_cut`, and what is `missing`. Values that
        were not measured are NaN.
    """
    rows = pd.DataFrame([_row(results, entry) for entry in results.entries]).set_index("model")
    first = results.task.metric()
    # A stable sort: equals keep their order in the call.
    return rows.sort_values(first.name, ascending=first.lower_is_better, kind="stable")


def _row(results: Results, entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {"model": entry.label}
    reports = results.reports.get(entry.label, [])
    ranges = results.intervals(entry.label) if reports else {}
    for metric in results.task.metrics:
        name = metric.name
        values = [report.figures[name] for report in reports]
        row[name] = float(np.mean(values)) if values else np.nan
        if metric.interval:
            row[f"{name}_low"], row[f"{name}_high"] = ranges.get(name, (np.nan, np.nan))
            row[f"{name}_min"] = min(values, default=np.nan)
            row[f"{name}_max"] = max(values, default=np.nan)
    costs = {k: np.nan if v is None else v for k, v in asdict(entry.costs).items()}
    cut = np.nan if entry.texts_cut is None else entry.texts_cut
    return {
        **row,
        **costs,
        "runs": len(entry.runs),
        "texts_cut": cut,
        "baseline": entry.is_baseline,
        "missing": entry.missing,
    }
