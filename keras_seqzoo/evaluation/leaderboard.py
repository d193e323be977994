"""The leaderboard: a row a model, best first."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from keras_seqzoo.evaluation.metrics import intervals
from keras_seqzoo.evaluation.results import Entry, Results

METRICS = ("accuracy", "macro_f1", "weighted_f1", "log_loss", "calibration_error")
LOWER_IS_BETTER = ("log_loss", "calibration_error")


def leaderboard(results: Results) -> pd.DataFrame:
    """Makes the table of a comparison.

    Args:
        results: the models and their answers.

    Returns:
        A row a model, by falling `macro_f1`, models without answers last; the index is the label.
        Metrics are means over the runs (seeds). `accuracy_low` and `_high` are the 95 % interval
        of a bootstrap over the test rows, `accuracy_min` and `_max` the lowest and highest run;
        the same for `macro_f1`. Then the costs (see `Costs`), the number of `runs`, `texts_cut`,
        and what is `missing`. What was not measured is NaN.
    """
    rows = pd.DataFrame([_row(results, entry) for entry in results.entries])
    order = rows["macro_f1"].to_numpy(float)
    # A stable sort: equals stay in the order in which they were asked for.
    ranked = rows.iloc[np.argsort(np.where(np.isnan(order), np.inf, -order), kind="stable")]
    return ranked.set_index("model")


def _row(results: Results, entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {"model": entry.label}
    reports = results.reports.get(entry.label, [])
    ranges = (
        intervals(
            results.labels,
            [run.probabilities.argmax(axis=1) for run in entry.runs],
            len(results.classes),
        )
        if reports
        else {}
    )
    for metric in METRICS:
        values = [getattr(report, metric) for report in reports]
        row[metric] = float(np.mean(values)) if values else np.nan
        if metric in ("accuracy", "macro_f1"):
            row[f"{metric}_low"], row[f"{metric}_high"] = ranges.get(metric, (np.nan, np.nan))
            row[f"{metric}_min"] = min(values, default=np.nan)
            row[f"{metric}_max"] = max(values, default=np.nan)
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
