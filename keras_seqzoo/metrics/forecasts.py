"""How far forecasts are from the true values: MAE, RMSE and MASE, by step. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_seqzoo.checks import check_whole


def naive_scale(series: Iterable[npt.NDArray[Any]], season: int = 1) -> npt.NDArray[np.float64]:
    """The mean absolute error of the naive forecast in the training part, by which MASE divides.

    The naive forecast of a step is the value `season` steps before it (Hyndman and Koehler 2006,
    Another look at measures of forecast accuracy, eq. 4). For several series it is
    the mean over the steps of all.

    Args:
        series: `(steps, columns)` each, such as `train.covered.values()`; NaN is left out.
        season: steps in a season, 1 for the plain naive forecast.

    Returns:
        float64 `(columns,)`, above 0.

    Raises:
        ValueError: `season` below 1, or a column that is too short or never changes over a season.
    """
    check_whole(season=season)
    changes = np.concatenate([np.abs(s[season:] - s[:-season]) for s in series])
    known = ~np.isnan(changes)
    scale = np.nansum(changes, axis=0) / np.maximum(known.sum(axis=0), 1)
    if not (scale > 0).all():
        raise ValueError(
            "MASE divides by the mean change over a season in the training part, which must not "
            "be 0. Use more training steps or a shorter season. "
            f"Received: season={season}, mean changes {scale.tolist()}"
        )
    return np.asarray(scale)


def forecast_errors(
    truth: Any, forecasts: Any, scale: Any, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """MAE, RMSE and MASE of each column, by step of the horizon and over all steps.

    A MASE below 1 is better than the naive forecast, one step ahead, in the training part.

    Args:
        truth: float `(rows, horizon, columns)`, the true values; at least one row.
        forecasts: the same shape.
        scale: `(columns,)`, see `naive_scale`; or any shape that broadcasts with
            `(rows, 1, columns)`, such as the scale of each row's own series.
        columns: names of the columns.

    Returns:
        Columns `mae`, `rmse` and `mase`; a row for each `(column, step)`, steps from 1 on and
        `"all"`.

    Raises:
        ValueError: shapes that do not fit, no rows, or values that are not finite.
    """
    truth, forecasts = np.asarray(truth, np.float64), np.asarray(forecasts, np.float64)
    if truth.ndim != 3 or truth.shape != forecasts.shape or not truth.size:
        raise ValueError(
            "Forecasts and truth must have one shape, (rows, horizon, columns), with at least one "
            f"row. Received: truth of shape {truth.shape}, forecasts of shape {forecasts.shape}"
        )
    if not (np.isfinite(truth).all() and np.isfinite(forecasts).all()):
        raise ValueError(
            "Forecasts and truth must be finite. Leave such windows out. Received: "
            f"{int((~np.isfinite(truth)).sum())} such values of the truth, "
            f"{int((~np.isfinite(forecasts)).sum())} of the forecasts"
        )
    error = np.abs(truth - forecasts)
    scaled = error / scale
    names = [str(i) for i in range(truth.shape[2])] if columns is None else list(columns)
    found = {}
    for column, name in enumerate(names):
        for step in [*range(1, truth.shape[1] + 1), "all"]:
            at = slice(None) if step == "all" else slice(int(step) - 1, int(step))
            part = error[:, at, column]
            found[name, step] = {
                "mae": part.mean(),
                "rmse": np.sqrt(np.square(part).mean()),
                "mase": scaled[:, at, column].mean(),
            }
    frame = pd.DataFrame.from_dict(found, orient="index")
    frame.index = pd.MultiIndex.from_tuples(found, names=["column", "step"])
    return frame
