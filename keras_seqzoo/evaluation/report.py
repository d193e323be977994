"""`evaluate`: a classifier's answers on labelled texts, scored by scikit-learn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binomtest
from sklearn import metrics

from keras_seqzoo.data.table import TextTable
from keras_seqzoo.evaluation.metrics import calibration_error

if TYPE_CHECKING:
    from keras_seqzoo.data.stream import TextStream


class Classifier(Protocol):
    """What can be evaluated: a Keras model of this package, or a SavedModel it exported."""

    classes: tuple[str, ...]

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> Any:
        """Returns probabilities, float `(rows, classes)`."""


@dataclass(frozen=True)
class Report:
    """How well a classifier answers. `print` it, or take `to_dict`, `to_frame` or `to_html`.

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
        texts: the texts, object array of str `(rows,)`; None where they are not known, or were
            streamed.
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
    texts: npt.NDArray[np.object_] | None = field(default=None, repr=False)
    _model: Any = field(default=None, repr=False, compare=False)
    _table: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def from_predictions(
        cls,
        labels: Any,
        probabilities: Any,
        classes: Sequence[str],
        texts: Sequence[str] | None = None,
    ) -> Report:
        """Scores predictions.

        Args:
            labels: int `(rows,)`, at least one row.
            probabilities: float `(rows, len(classes))`, rows that sum to 1.
            classes: class names in label order.
            texts: strings `(rows,)`, for `to_html`.

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
        if texts is not None and len(texts) != len(labels):
            raise ValueError(
                "There must be as many texts as labels. "
                f"Received: {len(texts)} texts, {len(labels)} labels"
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
            log_loss=float(metrics.log_loss(labels, _summing_to_1(probabilities), labels=numbers)),
            calibration_error=calibration_error(labels, probabilities),
            per_class=per_class,
            confusion=pd.DataFrame(
                confusion,
                index=pd.Index(classes, name="true"),
                columns=pd.Index(classes, name="predicted"),
            ),
            texts=None if texts is None else np.array([*texts], dtype=object),
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the figures say less than they seem to, a sentence each; often none."""
        warnings = []
        absent = self.per_class.index[self.per_class["support"] == 0]
        if len(absent):
            names = f"{', '.join(map(repr, absent[:5]))}{', …' if len(absent) > 5 else ''}"
            warnings.append(
                f"No row is of class {names}: nothing is known of how well it is found."
                if len(absent) == 1
                else f"No row is of the {len(absent):,} classes {names}: nothing is known of how "
                "well they are found."
            )
        if self.only_answer is not None:
            share = (self.labels == self.classes.index(self.only_answer)).mean()
            warnings.append(
                f"All {len(self.labels):,} answers are {self.only_answer!r}, which {share:.1%} of "
                "the rows are: the model tells nothing apart here."
            )
        if self.accuracy == 1:
            rows = len(self.labels)
            low = binomtest(rows, rows).proportion_ci(method="wilson").low
            warnings.append(
                f"Every answer is right, in {rows:,} row{'s' * (rows > 1)}: that leaves an "
                f"accuracy down to {low:.1%} possible (95 % Wilson interval)."
            )
        return tuple(warnings)

    @property
    def only_answer(self) -> str | None:
        """The class that every answer is, though rows are of several; None otherwise."""
        answered = self.confusion.columns[self.confusion.sum() > 0]
        is_one = len(answered) == 1 and (self.per_class["support"] > 0).sum() > 1
        return str(answered[0]) if is_one else None

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

    def to_html(
        self,
        path: str | os.PathLike[str],
        explain: bool = True,
        folder: str | os.PathLike[str] | None = None,
        command: str | None = None,
    ) -> Path:
        """Writes a page about the model: one file, readable without a network.

        It holds the figures with intervals, confusion, calibration, accuracy by class and by
        length of text, the ten wrong answers that the model was surest of, a summary of the data
        and the versions of the libraries. Of a report on a stream there are no texts, and so
        neither lengths nor wrong answers.

        Args:
            path: the file; an existing one is replaced, and its folder is made.
            explain: whether the wrong answers are explained by occlusion, which asks the model
                once for each of their words.
            folder: where figures (PNG) and data (CSV, JSON) are to be written, if anywhere.
            command: what to type to get the same page; by default a line of Python.

        Returns:
            The path.

        Raises:
            OSError: the path can not be written to.
            ValueError: `folder` is a file, or can not be written to.
        """
        from keras_seqzoo.files import check_page_path

        check_page_path(path)
        Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
        from keras_seqzoo.evaluation.single import results_of
        from keras_seqzoo.pages.files import make_folder, write_data, write_figures
        from keras_seqzoo.pages.page import write_page

        if folder is not None:
            make_folder(folder)
        if command is None and self._model is not None:
            command = f"keras_seqzoo.evaluate(model, table).to_html({os.fspath(path)!r})"
        results = results_of(self, self._model, self._table, explain, command or "")
        if folder is not None:
            write_figures(results, folder)
            write_data(results, folder)
        return write_page(results, path)

    def __str__(self) -> str:
        """The report as text: figures, a table by class, the confusion matrix, warnings."""
        figures = "  ".join(f"{name} {value:.4f}" for name, value in self._summary().items())
        return "\n\n".join(
            [
                f"{len(self.labels):,} rows: {figures}",
                self.to_frame().to_string(float_format=lambda v: f"{v:.4f}"),
                f"confusion (rows: true, columns: predicted)\n{self.confusion.to_string()}",
                *self.warnings,
            ]
        )

    def _repr_html_(self) -> str:
        """The report in a notebook: figures, warnings and the table by class."""
        figures = pd.DataFrame([self._summary()], index=[f"{len(self.labels):,} rows"])
        warnings = "".join(f"<p>{escape(warning)}</p>" for warning in self.warnings)
        return (
            figures.to_html(float_format=lambda v: f"{v:.4f}")
            + warnings
            + self.to_frame().to_html(float_format=lambda v: f"{v:.4f}")
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
            kept in memory. A class without rows is allowed, and is among the report's warnings.
        batch_size: rows a batch.
        verbose: as in `keras.Model.predict`.

    Returns:
        A `Report`.

    Raises:
        TypeError: the model is no classifier, or `table` is no table.
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
    if not hasattr(table, "classes"):
        raise TypeError(
            "`evaluate` takes a table. Pass read_table(source, text=…, label=…, "
            "classes=model.classes) of a file or DataFrame, or TextTable.from_texts(texts, labels, "
            f"model.classes). Received: {type(table).__name__}"
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
    report = Report.from_predictions(
        np.concatenate(labels), np.concatenate(probabilities), model.classes
    )
    kept = table.texts if isinstance(table, TextTable) else None
    return replace(report, texts=kept, _model=model, _table=table)


def _summing_to_1(probabilities: np.ndarray) -> np.ndarray:
    """Repairs rows that rounding to float32 left at 1 ± 1e-7, which scikit-learn minds."""
    sums = probabilities.sum(axis=1, keepdims=True)
    is_close = np.allclose(sums, 1, rtol=np.sqrt(np.finfo(np.float64).eps), atol=0)
    return probabilities if is_close else probabilities / sums
