"""Baselines of forecasts: the last value, the value a season before, and a ridge regression."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.data.steps import season_of
from keras_seqzoo.tasks import task_for
from keras_seqzoo.tasks.base import Task

Forecasts = npt.NDArray[np.float64]


class SeriesBaseline:
    """A forecaster that is quick to fit, with the methods of a model of this package."""

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    reads: ClassVar[bool] = True
    pair: ClassVar[bool] = False
    task: Task
    horizon: int

    def fit(self, train: Any, valid: Any = None) -> None:
        """Learns from a training `SeriesTable` whose target is values.

        Args:
            train: the training part.
            valid: not used.
        """
        self.task = task_for(train)
        self.horizon = train.horizon

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> Forecasts:
        """Returns forecasts, float64 `(rows, horizon, columns)`.

        Args:
            x: a `SeriesTable`, or windows `(rows, window, columns)`.
            batch_size: not used.
            verbose: not used.
        """
        raise NotImplementedError

    def count_params(self) -> int:
        """Number of fitted weights."""
        return 0

    def size_mb(self) -> float:
        """Size as a file, in MB of 1,000,000 bytes. Writes no file."""
        return len(pickle.dumps(self)) / 1e6


class LastValue(SeriesBaseline):
    """Forecasts the last value of the window for every step."""

    name = "last_value"
    title = "The last value of the window"
    description = "every step is as the last value of the window"

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> Forecasts:
        return np.repeat(_windows(x)[:, -1:], self.horizon, axis=1)


class Seasonal(SeriesBaseline):
    """Forecasts the value a season before each step, or the nearest known multiple of a season.

    Attributes:
        seasons: for each column, the steps in a season and how they were found, see
            `data.steps.season_of`. If no season is found, 1: the last value.
    """

    name = "seasonal"
    title = "The value a season before"
    description = "every step is as the one a season before; without a season, as the last value"

    def fit(self, train: Any, valid: Any = None) -> None:
        super().fit(train)
        series, calendar = train.covered.values(), train.step.seasons
        columns = range(len(train.inputs.columns))
        self.seasons = [season_of([s[:, column] for s in series], calendar) for column in columns]

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> Forecasts:
        """Like `SeriesBaseline.predict`; if a season is longer than a window, only for a table.

        If the value a season before is not known, the last value replaces it.

        Raises:
            ValueError: windows that are shorter than a season.
        """
        longest = max(season for season, _ in self.seasons)
        last = _windows(x)[:, -1:]
        # float32, like windows: without a season, the result is exactly the last value.
        past = _windows(x.before(longest).astype(np.float32) if isinstance(x, SeriesTable) else x)
        if past.shape[1] < longest:
            raise ValueError(
                "The step a season before must be known. Pass the table, or windows of at least "
                f"{longest} steps. Received: windows of {past.shape[1]} steps"
            )
        found = np.empty((len(past), self.horizon, past.shape[2]))
        for column, (season, _) in enumerate(self.seasons):
            at = past.shape[1] - season + np.arange(self.horizon) % season
            found[..., column] = past[:, at, column]
        return np.where(np.isnan(found), last, found)


class Ridge(SeriesBaseline):
    """A ridge regression from the window to the change from its last value.

    Leave-one-out on the training windows chooses the strength of the penalty.
    """

    name = "ridge"
    title = "Ridge regression over the window"
    description = "the window → ridge regression of the change from its last value (scikit-learn)"
    pipeline: Pipeline

    def fit(self, train: Any, valid: Any = None) -> None:
        super().fit(train)
        windows = _windows(train)
        change = train.labels - windows[:, -1:]
        self.columns = windows.shape[2]
        self.pipeline = make_pipeline(StandardScaler(), RidgeCV(10.0 ** np.arange(-2, 6)))
        self.pipeline.fit(windows.reshape(len(windows), -1), change.reshape(len(windows), -1))

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> Forecasts:
        windows = _windows(x)
        if not len(windows):
            return np.zeros((0, self.horizon, self.columns))
        change = self.pipeline.predict(windows.reshape(len(windows), -1))
        return windows[:, -1:] + change.reshape(len(windows), self.horizon, self.columns)

    def count_params(self) -> int:
        last = self.pipeline[-1]
        return int(last.coef_.size + np.size(last.intercept_))


SERIES_BASELINES: dict[str, type[SeriesBaseline]] = {
    kind.name: kind for kind in (LastValue, Seasonal, Ridge)
}


def _windows(x: Any) -> Forecasts:
    return np.asarray(x.windows() if isinstance(x, SeriesTable) else x, np.float64)
