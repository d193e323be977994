"""Forecasts: the next steps of one or more series of numbers, in their own unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_seqzoo.metrics.forecasts import forecast_errors, naive_scale
from keras_seqzoo.metrics.statistics import blocks_in_time, bootstrap
from keras_seqzoo.tasks.base import Head, Metric, Task, targets_of

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Forecast(Task):
    """The next steps. Outputs float32 `(rows, horizon, columns)` in the unit of the data.

    The last layer answers in the scale of the window, and the model converts that to the unit. The
    loss is the Huber loss of the error divided by `scale`.

    Figures of a report, over all steps and columns:

    - `mase`: mean absolute error divided by that of the naive forecast, one step ahead, in the
      training part (Hyndman and Koehler 2006): below 1 is better than the naive forecast.
    - `mae`, `rmse`: mean absolute error, and root of the mean squared error, in the unit.

    Table: `per_step`, these figures of each column by step of the horizon, and over all steps.

    Attributes:
        scale: mean absolute change from step to step in the training part, by column.
    """

    scale: tuple[float, ...] = ()

    name = "forecast"
    metrics = (
        Metric("mase", "MASE", lower_is_better=True, interval=True),
        Metric("mae", "MAE", lower_is_better=True, interval=True, unit=None),
        Metric("rmse", "RMSE", lower_is_better=True, interval=True, unit=None),
    )
    baselines = ("last_value", "seasonal", "ridge")
    must_beat = "last_value"
    outcome = "forecast"
    compared = "mase"
    beats = "errs less than"
    is_worse = "err more"
    in_unit_of_inputs = True

    @classmethod
    def of(cls, data: Any, classes: Sequence[str] | None) -> Forecast:
        """Makes the task from the future of training windows, and takes their scale."""
        if classes is not None:
            raise ValueError(
                "Forecasts have no classes. Leave `classes` out, or read the series with "
                f"target='direction'. Received: classes={classes!r}"
            )
        target = targets_of(data, "future", "what comes after windows of a series")
        return cls(target, tuple(naive_scale(data.covered.values()).tolist()))

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of the outputs of a row."""
        return (self.target.horizon, len(self.names))

    def output(self, logits: Any) -> Any:
        """A row for each step, in the scale of the window."""
        import keras

        return keras.layers.Reshape(self.row_shape, dtype="float32", name="forecast")(logits)

    def training(self) -> dict[str, Any]:
        """Huber loss of the error over the scale, and the mean absolute error in the unit."""
        from keras_seqzoo.layers.losses import ScaledHuber

        return {"loss": ScaledHuber(self.scale), "metrics": ["mae"]}

    def encode(self, targets: Any, loss: str) -> npt.NDArray[np.float32]:
        """Turns the values that followed into float32 `(rows, horizon, columns)`.

        Raises:
            ValueError: a value is missing, infinite or not a number, or the shape is wrong.
        """
        return self.target.encode(targets)

    def answer(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """`forecast`, float32 `(batch, horizon, columns)`."""
        return {"forecast": outputs}

    def outputs_of(self, answer: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The forecast."""
        return answer["forecast"]

    def decode(self, outputs: npt.NDArray[Any]) -> list[dict[str, Any]]:
        """The values of each column, step by step."""
        columns = np.moveaxis(np.asarray(outputs, np.float64), 2, 1).tolist()
        return [{"forecast": dict(zip(self.names, row, strict=True))} for row in columns]

    def figures(self, labels: Any, outputs: Any) -> dict[str, float]:
        """See the class."""
        errors = forecast_errors(labels, outputs, self.scale, self.names)
        overall = errors.xs("all", level="step")
        return {
            "mase": float(overall["mase"].mean()),
            "mae": float(overall["mae"].mean()),
            "rmse": float(np.sqrt(np.square(overall["rmse"]).mean())),
        }

    def tables(self, labels: Any, outputs: Any) -> dict[str, pd.DataFrame]:
        """See the class."""
        errors = forecast_errors(labels, outputs, self.scale, self.names)
        errors.index = pd.Index([f"{column}, {step}" for column, step in errors.index], name="step")
        return {"per_step": errors}

    def warnings(self, report: Any) -> list[str]:
        """Warns if the last value forecasts as well as the model."""
        if report.table is None:
            return []
        last = self.figures(report.labels, self.last_values(report.table))["mase"]
        if report.figures["mase"] < last:
            return []
        return [
            f"The last value alone is as near or nearer on these rows: MASE {last:.3f}, and "
            f"{report.figures['mase']:.3f} of the model."
        ]

    def last_values(self, table: Any) -> npt.NDArray[np.float64]:
        """The last value of each window of a table as the forecast of every step."""
        return np.repeat(table.before(1), self.target.horizon, axis=1)

    def intervals(
        self, labels: Any, runs: Sequence[Any], tasks: Sequence[Any] = (), blocks: Any = None
    ) -> dict[str, tuple[float, float]]:
        """Draws blocks of neighbouring rows; without `blocks`, rows must be in order of time."""
        truth = np.asarray(labels, np.float64)
        errors = np.abs(np.asarray(runs, np.float64) - truth)
        if blocks is None:
            blocks = blocks_in_time(np.arange(len(truth)), self.target.horizon)
        by_row = {
            name: values.mean(axis=(2, 3)).T
            for name, values in (
                ("mase", errors / self.scale), ("mae", errors), ("rmse", np.square(errors)),
            )
        }  # fmt: skip

        def figures(weights: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
            share = weights / weights.sum(axis=1, keepdims=True)
            means = {name: share @ values for name, values in by_row.items()}
            means["rmse"] = np.sqrt(means["rmse"])
            return {name: values.mean(axis=1) for name, values in means.items()}

        return bootstrap(figures, len(truth), blocks=blocks)

    def row_scores(self, labels: Any, outputs: Any) -> npt.NDArray[np.float64]:
        """Minus the absolute error of each window, divided by the scale."""
        errors = np.abs(np.asarray(outputs, np.float64) - labels) / np.array(self.scale)
        return -errors.mean(axis=(1, 2))

    def explained(self, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The mean over the horizon, by column: `(rows, columns)`."""
        return np.asarray(outputs).mean(axis=1)

    def chosen(self, outputs: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """The first column."""
        return np.zeros(len(outputs), np.intp)

    def as_dict(self) -> dict[str, Any]:
        """The task, with its scale."""
        return {**super().as_dict(), "scale": list(self.scale)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Forecast:
        """Makes the task from what `as_dict` returned."""
        return cls(super().from_dict(values).target, tuple(map(float, values.get("scale", ()))))


TASK, OPTIONS = Forecast, Head
build = Forecast.build
