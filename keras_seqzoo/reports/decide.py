"""`decide` chooses the probability from which a model gives a class or label, or "unsure"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_seqzoo.checks import check_between
from keras_seqzoo.evaluation.scores import Scores
from keras_seqzoo.reports.report import Report, evaluate

if TYPE_CHECKING:
    from keras_seqzoo.data.series import SeriesTable
    from keras_seqzoo.data.stream import TextStream
    from keras_seqzoo.data.table import TextTable


@dataclass(frozen=True, eq=False)
class Decisions:
    """The decisions of `decide`, and their effect on the validation rows. `print` it.

    Attributes:
        error: the promised error of the answers given; None if all are given.
        precision: the promised precision, by class or label.
        recall: the promised recall, by class or label.
        level: the share of all draws of rows in which the promise holds.
        report: the report of the validation rows, with the decisions.
    """

    error: float | None
    precision: Mapping[str, float]
    recall: Mapping[str, float]
    level: float
    report: Scores

    @property
    def thresholds(self) -> dict[str, float]:
        """Thresholds by class or label, for those that have one."""
        task: Any = self.report.task
        return {n: t for n, t in zip(task.names, task.thresholds, strict=True) if t}

    def to_frame(self) -> pd.DataFrame:
        """A row for each class or label with a promise.

        Columns: `threshold`; `promised`, such as `"precision 0.99"`; `given`, how many rows the
        model gives it; `true`, how many rows have it; `right`, how many are both; `precision` and
        `recall`.
        """
        task: Any = self.report.task
        truth, said = self.report.labels, task.chosen_labels(self.report.outputs)
        truth = truth > 0 if truth.ndim == 2 else np.eye(len(task.names), dtype=bool)[truth]
        promised = {n: f"precision {v:g}" for n, v in self.precision.items()}
        promised |= {n: f"recall {v:g}" for n, v in self.recall.items()}
        rows = {}
        for name, words in promised.items():
            place = task.names.index(name)
            given, true = int(said[:, place].sum()), int(truth[:, place].sum())
            right = int((said & truth)[:, place].sum())
            rows[name] = {
                "threshold": self.thresholds[name],
                "promised": words,
                "given": given,
                "true": true,
                "right": right,
                "precision": right / given if given else np.nan,
                "recall": right / true if true else np.nan,
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    def as_dict(self) -> dict[str, Any]:
        """Returns everything as plain values, ready for JSON."""
        promised = {"error": self.error, "precision": {**self.precision}, "recall": {**self.recall}}
        return {
            **promised,
            "level": self.level,
            "thresholds": self.thresholds,
            "report": self.report.to_dict(),
        }

    def __str__(self) -> str:
        """The thresholds and their effect."""
        rows = len(self.report.labels)
        promise = f"at level {self.level:g}, chosen on {rows:,} rows"
        if self.error is None:
            found = self.to_frame().to_string(float_format=lambda v: f"{v:.4f}")
            return f"Promised {promise}\n{found}"
        share = self.report.figures["answered"]
        answered = round(share * rows)
        wrong = round(self.report.figures["answered_error"] * answered)
        return (
            f"Promised an error of at most {self.error:g} {promise}: answers from a probability of "
            f"{next(iter(self.thresholds.values())):.4f} on, else 'unsure'. Of these rows "
            f"{answered:,} are answered ({share:.1%}), {wrong:,} of them wrong "
            f"({wrong / answered:.2%})"
        )


def decide(
    model: Any,
    validation: TextTable | TextStream | SeriesTable,
    *,
    error: float | None = None,
    precision: Mapping[str, float] | None = None,
    recall: Mapping[str, float] | None = None,
    level: float = 0.9,
    batch_size: int = 256,
) -> Decisions:
    """Sets the probability from which a model gives a class or label, so that a promise is kept.

    With `error`, a classifier answers "unsure" if its highest probability is too low, so that the
    answers it does give keep that error. With `precision` or `recall`, the model gives a class if
    its probability reaches the threshold of that class, and never otherwise. If no class does, it
    gives the most probable class without a threshold, or "unsure" if all have one. In a model of
    several labels, the thresholds of the named labels change.

    A promise is about new rows like these. At least the share `level` of all draws of validation
    rows lead to thresholds that keep the promise on new rows (see
    `metrics.decisions.error_threshold` and `recall_threshold`). So the figures on the validation
    rows are better than the promise. If a text can reach the thresholds of several classes, their
    figures are only measured, not promised.

    The model keeps the decisions: in its files, exports, signatures and reports. `predict` returns
    the same as before. A new call replaces them; `fit` removes them.

    Args:
        model: a trained model of the task `classify` or `label`, from `build_model` or
            `load_model`.
        validation: labelled rows that the model did not learn from.
        error: error of the answers given, above 0 and below 1; not together with the others.
        precision: by class or label, above 0 and below 1: of the rows that are given it, the share
            that have it.
        recall: by class or label, above 0 and below 1: of the rows that have it, the share that are
            given it. A class or label has one of the two.
        level: confidence of the promise, from 0.5 to below 1.
        batch_size: rows in each batch.

    Returns:
        `Decisions`.

    Raises:
        TypeError: the same as `evaluate`, or a model whose weights cannot be set, such as an
            export.
        ValueError: the same as `evaluate`; too few or too many promises, an unknown class, a class
            named "unsure", or a promise that cannot be kept; the message has the nearest that can.

    Example:
        >>> import keras
        >>> import keras_seqzoo as sz
        >>> table = sz.TextTable.from_texts(["good", "bad"] * 50, ["pos", "neg"] * 50)
        >>> keras.utils.set_random_seed(0)  # not trained, it may well be always wrong
        >>> model = sz.build_model("gru", table, units=4)
        >>> decisions = sz.decide(model, table, error=0.9)
        >>> decisions.report.answered
        1.0
    """
    if not hasattr(model, "get_layer"):
        raise TypeError(
            "Decisions are kept in a model's weights. Pass a model of build_model or of a .keras "
            f"file, and export it after that. Received: {type(model).__name__}"
        )
    precision, recall = precision or {}, recall or {}
    for name, wanted in (("precision", precision), ("recall", recall)):
        if not isinstance(wanted, Mapping):
            raise TypeError(
                f"`{name}` is a dict by class or label, such as {name}={{'spam': 0.95}}. "
                f"Received: {name}={wanted!r}"
            )
    if (error is None) == (not precision and not recall):
        raise ValueError(
            "A decision needs either an error of the given answers, or precision and recall by "
            f"class. Pass one of the two. Received: error={error!r}, precision={precision!r}, "
            f"recall={recall!r}"
        )
    if error is not None:
        check_between(error=error)
    if not isinstance(level, (int, float)) or not 0.5 <= level < 1:
        raise ValueError(f"`level` must be from 0.5 to below 1. Received: level={level!r}")
    found = evaluate(model, validation, batch_size)
    task = found.task.decide(found.labels, found.outputs, error, precision, recall, level)
    model.get_layer("probabilities").thresholds.assign(np.array(task.thresholds, np.float32))
    report = Report.from_predictions(found.labels, found.outputs, model.task, found.texts)
    return Decisions(error, precision, recall, level, report)
