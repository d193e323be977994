"""`evaluate`: a model's answers on labelled texts, and how good they are."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_seqzoo.data.table import TextTable
from keras_seqzoo.data.targets import OneOf
from keras_seqzoo.tasks.base import Task
from keras_seqzoo.tasks.classify import Classify, task_of

if TYPE_CHECKING:
    from keras_seqzoo.data.stream import TextStream


@dataclass(frozen=True)
class Report:
    """How well a model answers. `print` it, or take `to_dict`, `to_frame` or `to_html`.

    Its figures and tables are attributes, too: `report.accuracy`, `report.per_class` and
    `report.confusion` of a classifier, `report.per_label` of several labels, `report.mae` and
    `report.per_number` of numbers. The file of each task in `tasks` tells what they are.

    Attributes:
        task: of the model.
        labels: the truth, as `TextTable.labels`.
        outputs: what the model's `predict` returns, float64.
        figures: by name.
        tables: frames by name.
        texts: object array `(rows,)`, of pairs `(rows, 2)`; None where they are not known, or
            were streamed.
    """

    task: Task = field(repr=False)
    labels: npt.NDArray[Any] = field(repr=False)
    outputs: npt.NDArray[Any] = field(repr=False)
    figures: Mapping[str, float]
    tables: Mapping[str, pd.DataFrame] = field(repr=False)
    texts: npt.NDArray[np.object_] | None = field(default=None, repr=False)
    _model: Any = field(default=None, repr=False, compare=False)
    _table: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def from_predictions(
        cls, labels: Any, outputs: Any, task: Task | Sequence[str], texts: Any = None
    ) -> Report:
        """Scores predictions.

        Args:
            labels: the truth as a table encodes it, at least one row: for classes int `(rows,)`.
            outputs: as the model's `predict` returns them: for classes probabilities, float
                `(rows, classes)`, rows that sum to 1.
            task: what is answered; or class names in label order.
            texts: of the rows, for `to_html`.

        Raises:
            ValueError: no rows, or shapes that do not fit.
        """
        task = task if isinstance(task, Task) else Classify(OneOf(tuple(task)))
        labels, outputs = np.asarray(labels), np.asarray(outputs, np.float64)
        if len(labels) == 0 or outputs.shape != (len(labels), *task.row_shape):
            raise ValueError(
                f"A report needs at least one row, and {task.plural} of shape (rows, {task.noun}). "
                f"Received: {len(labels)} labels, {task.plural} of shape {outputs.shape}, "
                f"{len(task.names)} {task.noun}"
            )
        if texts is not None and len(texts) != len(labels):
            raise ValueError(
                "There must be as many texts as labels. "
                f"Received: {len(texts)} texts, {len(labels)} labels"
            )
        return cls(
            task,
            labels,
            outputs,
            task.figures(labels, outputs),
            task.tables(labels, outputs),
            None if texts is None else np.array([*texts], dtype=object),
        )

    def __getattr__(self, name: str) -> Any:
        for known in (self.__dict__.get("figures", ()), self.__dict__.get("tables", ())):
            if name in known:
                return known[name]
        raise AttributeError(f"A report of this task has no attribute {name!r}")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of classes or labels, in label order; `()` where there are none."""
        return self.task.classes

    @property
    def probabilities(self) -> npt.NDArray[Any]:
        """The outputs of a task whose answers are probabilities."""
        return self.outputs

    @property
    def table(self) -> Any:
        """What was evaluated; None where only the answers are known."""
        return self._table

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the figures say less than they seem to, a sentence each; often none."""
        return tuple(self.task.warnings(self))

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as a dict of plain numbers, ready for JSON."""
        return {
            "rows": len(self.labels),
            **self.figures,
            **{
                # A square of numbers, else a row a name.
                name: table.to_numpy().tolist()
                if table.columns.equals(table.index)
                else table.to_dict(orient="index")
                for name, table in self.tables.items()
            },
            **({"classes": list(self.classes)} if self.classes else {}),
        }

    def to_frame(self) -> pd.DataFrame:
        """Returns the first of the tables, such as a row a class, and averages under it."""
        first = next(iter(self.tables.values()))
        averages = self.task.averages(self)
        return (
            first
            if averages is None
            else pd.concat([first, averages]).rename_axis(str(first.index.name))
        )

    def to_html(
        self,
        path: str | os.PathLike[str],
        explain: bool = True,
        folder: str | os.PathLike[str] | None = None,
        command: str | None = None,
    ) -> Path:
        """Writes a page about the model: one file, readable without a network.

        It holds the figures with intervals, what is drawn for the task (see `pages.by_task`; of
        classes confusion, calibration, and accuracy by class and by length of text), the ten worst
        answers, a summary of the data and the versions of the libraries. Of a report on a stream
        there are no texts, and so neither lengths nor worst answers.

        Args:
            path: the file; an existing one is replaced, and its folder is made.
            explain: whether the worst answers are explained by occlusion, which asks the model
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
        from keras_seqzoo.pages.output import make_folder, write_data, write_figures
        from keras_seqzoo.pages.page import write_page

        if folder is not None:
            make_folder(folder)
        if command is None and self._model is not None:
            command = f"keras_seqzoo.evaluate(model, table).to_html({os.fspath(path)!r})"
        if self.task.page:
            write = importlib.import_module(self.task.page).write_report
            name = str(getattr(self._model, "name", "model"))
            written: Path = write(self, path, self.table, name, command or "", folder)
            return written
        results = results_of(self, self._model, self._table, explain, command or "")
        if folder is not None:
            write_figures(results, folder)
            write_data(results, folder)
        return write_page(results, path)

    def __str__(self) -> str:
        """The report as text: figures, tables, warnings."""
        figures = "  ".join(f"{name} {value:.4f}" for name, value in self.figures.items())
        further = [
            f"{name} (rows: true, columns: predicted)\n{table.to_string()}"
            for name, table in list(self.tables.items())[1:]
        ]
        return "\n\n".join(
            [
                f"{len(self.labels):,} rows: {figures}",
                self.to_frame().to_string(float_format=lambda v: f"{v:.4f}"),
                *further,
                *self.warnings,
            ]
        )

    def _repr_html_(self) -> str:
        """The report in a notebook: figures, warnings and the first table."""
        figures = pd.DataFrame([self.figures], index=[f"{len(self.labels):,} rows"])
        warnings = "".join(f"<p>{escape(warning)}</p>" for warning in self.warnings)
        return (
            figures.to_html(float_format=lambda v: f"{v:.4f}")
            + warnings
            + self.to_frame().to_html(float_format=lambda v: f"{v:.4f}")
        )


def evaluate(
    model: Any,
    table: TextTable | TextStream,
    batch_size: int = 256,
    verbose: Any = 0,
) -> Report:
    """Scores a model's answers to labelled texts.

    Args:
        model: a model of `build_model` whose task has a truth, or a `SavedPredictor`.
        table: labelled rows, with the target of the model. Of a stream, only the answers are
            kept in memory. A class without rows is allowed, and is among the report's warnings.
        batch_size: rows a batch.
        verbose: as in `keras.Model.predict`.

    Returns:
        A `Report`.

    Raises:
        TypeError: the model's answers have no truth, or `table` is no table.
        ValueError: the table has no labels, no rows, or another target than the model.

    Example:
        >>> import keras_seqzoo as sz
        >>> table = sz.TextTable.from_texts(["good", "bad"], ["pos", "neg"])
        >>> report = sz.evaluate(sz.build_model("gru", table, units=4), table)
        >>> report.confusion.shape, 0 <= report.macro_f1 <= 1
        ((2, 2), True)
    """
    task = task_of(model)
    if task is None or not task.metrics:
        raise TypeError(
            "`evaluate` compares answers with the truth. Of a language model, "
            "model.evaluate(texts) tells the perplexity; vectors have no truth to compare with. "
            f"Received: {type(model).__name__}"
        )
    if not hasattr(table, "target"):
        raise TypeError(
            "`evaluate` takes a table. Pass read_table(source, text=…, label=…, "
            "classes=model.classes) of a file or DataFrame, or TextTable.from_texts(texts, labels, "
            f"model.classes). Received: {type(table).__name__}"
        )
    if table.target is None:
        raise ValueError(
            "Only labelled texts can be evaluated. Read the table with label=…. "
            f"Received: {table!r}"
        )
    task.check_table(table)
    chunks = [(table.texts, table.labels)] if isinstance(table, TextTable) else table.chunks()
    labels, outputs = [], []
    for texts, chunk_labels in chunks:
        if len(texts) and chunk_labels is not None:
            labels.append(chunk_labels)
            outputs.append(model.predict(texts, batch_size=batch_size, verbose=verbose))
    if not labels:
        raise ValueError(f"There is nothing to evaluate. Received: {table!r}")
    report = Report.from_predictions(np.concatenate(labels), np.concatenate(outputs), task)
    kept = table.texts if isinstance(table, TextTable) else None
    return replace(report, texts=kept, _model=model, _table=table)
