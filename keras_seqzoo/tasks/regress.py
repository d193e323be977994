"""Regression: one or more numbers for each text, in the unit of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn import metrics

from keras_seqzoo.metrics.statistics import bootstrap
from keras_seqzoo.tasks.base import Head, Metric, Task, no_temperature, targets_of

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Regress(Task):
    """Numbers. Outputs float32 `(rows, numbers)` in the unit of the training data.

    The last layer answers in standard deviations from the mean of the training targets, and the
    model converts that to the unit. The loss is the squared error divided by their variance.

    Figures of a report, as means over the numbers if there are several:

    - `mae`, `rmse`: mean absolute error, and root of the mean squared error, in the unit.
    - `r2`: 1 minus the squared error divided by that of the mean of these rows.
    - `pearson`, `spearman`: correlation of answers and truth, and of their ranks; 0 if the
      answers are all the same.

    Table: `per_number`, these figures with a row for each number, and 95 % bootstrap intervals.

    Attributes:
        mean: of the training targets, by number; 0 each by default.
        std: their standard deviation; 1 each by default.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    name = "regress"
    metrics = (
        Metric("mae", "MAE", lower_is_better=True, interval=True, unit=None),
        Metric("rmse", "RMSE", lower_is_better=True, interval=True, unit=None),
        Metric("r2", "R²", interval=True),
        Metric("pearson", "Pearson", interval=True),
        Metric("spearman", "Spearman"),
    )
    baselines = ("mean", "tfidf_ridge")
    outcome = "number"
    compared = "mae"
    beats = "errs less than"
    is_worse = "err more"

    def __post_init__(self) -> None:
        for name, value in (("mean", 0.0), ("std", 1.0)):
            if not getattr(self, name):
                object.__setattr__(self, name, (value,) * len(self.names))
            if len(getattr(self, name)) != len(self.names):
                raise ValueError(
                    "Every number has a mean and a standard deviation. Pass as many as there are "
                    f"numbers. Received: {name}={getattr(self, name)}, {len(self.names)} numbers"
                )

    @property
    def api(self) -> str:  # type: ignore[override]
        """TF Serving's Regress API takes one number per row."""
        return "regress" if len(self.names) == 1 else ""

    @classmethod
    def of(cls, data: Any, classes: Sequence[str] | None) -> Regress:
        """Makes the task from the numbers of training data, and takes their scale."""
        if classes is not None:
            raise ValueError(
                "Numbers have no classes. Leave `classes` out, or build with task='classify'. "
                f"Received: classes={classes!r}"
            )
        target = targets_of(data, "number", "numbers")
        if not len(data):
            raise ValueError(f"The scale of numbers is learnt from rows. Received: {data!r}")
        chunks = (
            [data.labels] if hasattr(data, "labels") else [labels for _, labels in data.chunks()]
        )
        numbers = np.concatenate(chunks).astype(np.float64)
        return cls(target, tuple(numbers.mean(axis=0)), tuple(numbers.std(axis=0)))

    def output(self, logits: Any) -> Any:
        """From standard deviations to the unit."""
        import keras

        return keras.layers.Rescaling(
            list(self.std), list(self.mean), dtype="float32", name="numbers"
        )(logits)

    def training(self) -> dict[str, Any]:
        """Squared error over the variance, and the mean absolute error in the unit."""
        from keras_seqzoo.layers.losses import ScaledSquaredError

        return {"loss": ScaledSquaredError(self.std), "metrics": ["mae"]}

    def learning(self, temperature: float) -> dict[str, Any]:
        """The task's own loss, which takes numbers."""
        no_temperature(temperature, self)
        return {}

    def encode(self, targets: Any, loss: str) -> npt.NDArray[np.float32]:
        """Turns numbers into float32 `(rows, numbers)`.

        Raises:
            ValueError: a value is missing, infinite or not a number, or the shape is wrong.
        """
        return self.target.encode(targets)

    def encode_batch(self, targets: tf.Tensor, is_foreign: bool, loss: str) -> tf.Tensor:
        """Sets the shape of a batch."""
        import tensorflow as tf

        if targets.dtype == tf.string:
            raise ValueError(
                "The targets of a dataset are numbers. Map them, tf.strings.to_number(target). "
                "Received: strings"
            )
        return tf.reshape(tf.cast(targets, tf.float32), [-1, len(self.names)])

    def answer(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """`value` `(batch,)`; for several numbers, `values` `(batch, numbers)`."""
        return {"value": outputs[:, 0]} if len(self.names) == 1 else {"values": outputs}

    def outputs_of(self, answer: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The numbers, `(rows, numbers)`."""
        return next(iter(answer.values())).reshape(-1, len(self.names))

    def decode(self, outputs: npt.NDArray[Any]) -> list[dict[str, Any]]:
        """The answers in plain Python, a dict for each row."""
        if len(self.names) == 1:
            return [{"value": float(row[0])} for row in np.asarray(outputs)]
        return [{"values": row.tolist()} for row in np.asarray(outputs)]

    def api_answer(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The number, in the form of the Regress API."""
        return {"outputs": outputs[:, 0]}

    def figures(self, labels: Any, outputs: Any) -> dict[str, float]:
        """See the class."""
        table = pd.DataFrame([_figures(labels[:, i], outputs[:, i]) for i in self._places])
        return {str(name): float(value) for name, value in table.mean().items()}

    def tables(self, labels: Any, outputs: Any) -> dict[str, pd.DataFrame]:
        """See the class."""
        rows = []
        for i in self._places:
            ranges = self.alone(i).intervals(labels[:, [i]], [outputs[:, [i]]])
            row: dict[str, float] = {}
            for name, value in _figures(labels[:, i], outputs[:, i]).items():
                row[name] = value
                if name in ranges:
                    row[f"{name}_low"], row[f"{name}_high"] = ranges[name]
            rows.append(row)
        return {"per_number": pd.DataFrame(rows, index=pd.Index(self.names, name="number"))}

    @property
    def _places(self) -> range:
        return range(len(self.names))

    def alone(self, place: int) -> Regress:
        """The task of one of the numbers."""
        target = replace(self.target, names=(self.names[place],))
        return Regress(target, (self.mean[place],), (self.std[place],))

    def warnings(self, report: Any) -> list[str]:
        """Warns if all answers are the same, or all targets."""
        found = []
        for i, name in enumerate(self.names):
            if np.ptp(report.labels[:, i]) == 0:
                found.append(f"All rows have the same {name!r}: R² and correlations say nothing.")
            elif np.ptp(report.outputs[:, i]) == 0:
                found.append(
                    f"All answers for {name!r} are the same: the model does not tell rows apart."
                )
        return found

    def only_answer(self, report: Any) -> str | None:
        """The answer that all rows get, though the truth differs; None otherwise."""
        if np.ptp(report.outputs, axis=0).any() or not np.ptp(report.labels, axis=0).any():
            return None
        return ", ".join(f"{value:.6g}" for value in report.outputs[0])

    def intervals(
        self, labels: Any, runs: Sequence[Any], tasks: Sequence[Any] = (), blocks: Any = None
    ) -> dict[str, tuple[float, float]]:
        """Intervals of all figures except Spearman's, which needs new ranks for each draw."""
        truth = np.asarray(labels, np.float64)

        def figures(weights: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
            found: dict[str, list[Any]] = {"mae": [], "rmse": [], "r2": [], "pearson": []}
            share = weights / weights.sum(axis=1, keepdims=True)
            mean = share @ truth
            spread = np.maximum(share @ truth**2 - mean**2, 1e-300)
            for run in runs:
                answers = np.asarray(run, np.float64)
                squared = share @ (answers - truth) ** 2
                middle = share @ answers
                width = share @ answers**2 - middle**2
                width = np.where(width > 1e-12 * middle**2, width, np.inf)  # same but for rounding
                both = share @ (answers * truth) - middle * mean
                found["mae"].append((share @ np.abs(answers - truth)).mean(axis=1))
                found["rmse"].append(np.sqrt(squared).mean(axis=1))
                found["r2"].append((1 - squared / spread).mean(axis=1))
                found["pearson"].append((both / np.sqrt(spread * width)).mean(axis=1))
            return {name: np.mean(values, axis=0) for name, values in found.items()}

        return bootstrap(figures, len(truth), blocks=blocks)

    def row_scores(self, labels: Any, outputs: Any) -> npt.NDArray[np.float64]:
        """Minus the absolute error, in standard deviations, as the mean over the numbers."""
        errors = np.abs(np.asarray(outputs, np.float64) - labels) / np.array(self.std)
        return -errors.mean(axis=1)

    def chosen(self, outputs: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """The first number."""
        return np.zeros(len(outputs), np.intp)

    @property
    def spread(self) -> tuple[float, ...]:
        """The standard deviation of the training targets."""
        return self.std

    def as_dict(self) -> dict[str, Any]:
        """The task, with its scale."""
        return {**super().as_dict(), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Regress:
        """Makes the task from what `as_dict` returned."""
        made = super().from_dict(values)
        scale = (tuple(map(float, values.get(name, ()))) for name in ("mean", "std"))
        return cls(made.target, *scale)


def _figures(truth: Any, answers: Any) -> dict[str, float]:
    alike = np.ptp(answers) == 0 or np.ptp(truth) == 0
    squared = metrics.mean_squared_error(truth, answers)
    return {
        "mae": float(metrics.mean_absolute_error(truth, answers)),
        "rmse": float(np.sqrt(squared)),
        "r2": float(metrics.r2_score(truth, answers)) if len(truth) > 1 else np.nan,
        "pearson": 0.0 if alike else float(stats.pearsonr(truth, answers).statistic),
        "spearman": 0.0 if alike else float(stats.spearmanr(truth, answers).statistic),
    }


TASK, OPTIONS = Regress, Head
build = Regress.build
