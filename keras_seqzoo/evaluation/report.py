"""`evaluate`: a classifier's answers on labelled texts, scored by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from sklearn import metrics

from keras_seqzoo.data.table import TextTable

if TYPE_CHECKING:
    from keras_seqzoo.data.stream import TextStream


class Classifier(Protocol):
    """What can be evaluated: a Keras model of this package, or a SavedModel it exported."""

    classes: tuple[str, ...]

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> Any:
        """Returns probabilities, float `(rows, classes)`."""


@dataclass(frozen=True)
class Report:
    """How well a classifier answers. `print` it, or take `to_dict` or `to_frame`.

    Attributes:
        classes: class names in label order.
        labels: int `(rows,)`, the right answers.
        probabilities: float `(rows, classes)`, what the model says.
        accuracy: share of right answers.
        macro_f1: F1, averaged over the classes that have rows or predictions.
        weighted_f1: F1, averaged over the classes by their number of rows.
        log_loss: mean of -ln of the probability of the right class, in nats.
        calibration_error: expected calibration error over 15 bins of equal width (Guo et al.
            2017, On Calibration of Modern Neural Networks, eq. 3): the mean distance between
            confidence and accuracy, from 0 (calibrated) to 1.
        per_class: precision, recall, F1 and support, a row a class.
        confusion: counts, a row a true class, a column a predicted one.
    """

    classes: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    probabilities: np.ndarray = field(repr=False)
    accuracy: float
    macro_f1: float
    weighted_f1: float
    log_loss: float
    calibration_error: float
    per_class: pd.DataFrame = field(repr=False)
    confusion: pd.DataFrame = field(repr=False)

    @classmethod
    def from_predictions(cls, labels: Any, probabilities: Any, classes: Sequence[str]) -> Report:
        """Scores predictions.

        Args:
            labels: int `(rows,)`, at least one row.
            probabilities: float `(rows, len(classes))`, rows that sum to 1.
            classes: class names in label order.

        Raises:
            ValueError: no rows, or shapes that do not fit.
        """
        labels = np.asarray(labels)
        probabilities = np.asarray(probabilities, np.float64)
        if len(labels) == 0 or probabilities.shape != (len(labels), len(classes)):
            raise ValueError(
                "A report needs at least one row, and probabilities of shape (rows, classes). "
                f"Received: {len(labels)} labels, probabilities of shape {probabilities.shape}, "
                f"{len(classes)} classes"
            )
        numbers = list(range(len(classes)))
        predicted = probabilities.argmax(axis=1)
        precision, recall, f1, support = metrics.precision_recall_fscore_support(
            labels, predicted, labels=numbers, zero_division=0
        )
        per_class = pd.DataFrame(
            {"precision": precision, "recall": recall, "f1": f1, "support": support},
            index=pd.Index(classes, name="class"),
        )
        confusion = metrics.confusion_matrix(labels, predicted, labels=numbers)
        return cls(
            classes=tuple(classes),
            labels=labels,
            probabilities=probabilities,
            accuracy=float(metrics.accuracy_score(labels, predicted)),
            macro_f1=float(metrics.f1_score(labels, predicted, average="macro")),
            weighted_f1=float(metrics.f1_score(labels, predicted, average="weighted")),
            # Rounding to float32 leaves rows that sum to 1 ± 1e-7; scikit-learn minds.
            log_loss=float(
                metrics.log_loss(
                    labels,
                    probabilities / probabilities.sum(axis=1, keepdims=True),
                    labels=numbers,
                )
            ),
            calibration_error=_calibration_error(labels, probabilities),
            per_class=per_class,
            confusion=pd.DataFrame(
                confusion,
                index=pd.Index(classes, name="true"),
                columns=pd.Index(classes, name="predicted"),
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as a dict of plain numbers, ready for JSON."""
        return {
            "rows": len(self.labels),
            **self._summary(),
            "per_class": self.per_class.to_dict(orient="index"),
            "confusion": self.confusion.to_numpy().tolist(),
            "classes": list(self.classes),
        }

    def to_frame(self) -> pd.DataFrame:
        """Returns a frame of precision, recall, F1 and support: a row a class, then averages."""
        scores = self.per_class[["precision", "recall", "f1"]]
        # As scikit-learn does: a class that neither is nor is predicted anywhere does not count.
        occurs = self.confusion.to_numpy().sum(axis=0) + self.confusion.to_numpy().sum(axis=1) > 0
        averages = {
            "macro average": scores[occurs].mean(),
            "weighted average": scores.mul(
                self.per_class["support"] / len(self.labels), axis=0
            ).sum(),
        }
        rows = pd.DataFrame(averages).T.assign(support=len(self.labels))
        return pd.concat([self.per_class, rows]).rename_axis("class")

    def __str__(self) -> str:
        """The report as text: figures, a table by class and the confusion matrix."""
        figures = "  ".join(f"{name} {value:.4f}" for name, value in self._summary().items())
        return (
            f"{len(self.labels):,} rows: {figures}\n\n"
            f"{self.to_frame().to_string(float_format=lambda v: f'{v:.4f}')}\n\n"
            f"confusion (rows: true, columns: predicted)\n{self.confusion.to_string()}"
        )

    def _summary(self) -> dict[str, float]:
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "weighted_f1": self.weighted_f1,
            "log_loss": self.log_loss,
            "calibration_error": self.calibration_error,
        }


def evaluate(
    model: Classifier,
    table: TextTable | TextStream,
    batch_size: int = 256,
    verbose: Any = 0,
) -> Report:
    """Scores a classifier on labelled texts.

    Args:
        model: a classifier of `build_model`, or a `SavedClassifier`.
        table: labelled texts, with the classes of the model. Of a stream, only the answers are
            kept in memory.
        batch_size: rows a batch.
        verbose: as in `keras.Model.predict`.

    Returns:
        A `Report`.

    Raises:
        TypeError: the model is no classifier.
        ValueError: the table has no labels, no rows, or other classes than the model.

    Example:
        >>> import keras_seqzoo as sz
        >>> table = sz.TextTable.from_texts(["good", "bad"], ["pos", "neg"])
        >>> report = sz.evaluate(sz.build_model("gru", table, units=4), table)
        >>> report.confusion.shape, 0 <= report.macro_f1 <= 1
        ((2, 2), True)
    """
    if not getattr(model, "classes", ()):
        raise TypeError(
            "`evaluate` takes a classifier. Of a language model, model.evaluate(texts) tells the "
            f"perplexity; vectors have no truth to compare with. Received: {type(model).__name__}"
        )
    if not table.classes:
        raise ValueError(
            "Only labelled texts can be evaluated. Read the table with label=…. "
            f"Received: {table!r}"
        )
    if tuple(table.classes) != tuple(model.classes):
        raise ValueError(
            "The table's classes must be the model's, in the same order. Read the table with "
            "read_table(…, classes=model.classes). "
            f"Received: table.classes={tuple(table.classes)}, model.classes={tuple(model.classes)}"
        )
    chunks = [(table.texts, table.labels)] if isinstance(table, TextTable) else table.chunks()
    labels, probabilities = [], []
    for texts, chunk_labels in chunks:
        if len(texts) and chunk_labels is not None:
            labels.append(chunk_labels)
            probabilities.append(model.predict(texts, batch_size=batch_size, verbose=verbose))
    if not labels:
        raise ValueError(f"There is nothing to evaluate. Received: {table!r}")
    return Report.from_predictions(
        np.concatenate(labels), np.concatenate(probabilities), model.classes
    )


def _calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    # A bin holds its upper edge, as in the paper.
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    rows = np.bincount(bin_of, minlength=bins)
    gaps = np.abs(
        np.bincount(bin_of, is_right, minlength=bins)
        - np.bincount(bin_of, confidence, minlength=bins)
    )
    return float(gaps.sum() / rows.sum())
