"""How well a model answers, by the scores of its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_numeric_dtype

from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.data.targets import OneOf
from keras_seqzoo.tasks.base import Task
from keras_seqzoo.tasks.classify import Classify


@dataclass(frozen=True)
class Scores:
    """How well a model answers. `print` them, or use `to_dict` or `to_frame`.

    Its figures and tables are attributes, too: `report.accuracy`, `report.per_class` and
    `report.confusion` for a classifier, `report.per_label` for several labels, `report.mae` and
    `report.per_number` for numbers. The file of each task in `tasks` says what they are.

    Attributes:
        task: the task of the model.
        labels: the right answers, as `TextTable.labels`.
        outputs: the model's answers, as `predict` returns them, float64.
        figures: figures by name.
        tables: frames by name.
        texts: object array `(rows,)`, for pairs `(rows, 2)`; None if they are not known, or were
            streamed.
    """

    task: Task = field(repr=False)
    labels: npt.NDArray[Any] = field(repr=False)
    outputs: npt.NDArray[Any] = field(repr=False)
    figures: Mapping[str, float]
    tables: Mapping[str, pd.DataFrame] = field(repr=False)
    texts: npt.NDArray[np.object_] | None = field(default=None, repr=False)

    @classmethod
    def from_predictions(
        cls, labels: Any, outputs: Any, task: Task | Sequence[str], texts: Any = None
    ) -> Self:
        """Scores predictions.

        Args:
            labels: the right answers as a table encodes them, at least one row: for classes int
                `(rows,)`.
            outputs: the answers of the model's `predict`: for classes probabilities, float
                `(rows, classes)`, rows that sum to 1.
            task: the task of the model; or class names in label order.
            texts: the texts of the rows, for `to_html`.

        Raises:
            ValueError: no rows, or shapes that do not fit.
        """
        task = task if isinstance(task, Task) else Classify(OneOf(tuple(task)))
        labels, outputs = np.asarray(labels), task.as_outputs(outputs)
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
        """Names of classes or labels, in label order; `()` if there are none."""
        return self.task.classes

    @property
    def probabilities(self) -> npt.NDArray[Any]:
        """The outputs of a task whose answers are probabilities."""
        return self.outputs

    @property
    def table(self) -> Any:
        """The evaluated table; None if only the answers are known."""
        return None

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals of figures, `(low, high)` by name; some figures have none.

        They are from `Task.intervals`, which draws them again each time.
        """
        if not any(metric.interval for metric in self.task.metrics):
            return {}
        blocks = self.table.blocks if isinstance(self.table, SeriesTable) else None
        found = self.task.intervals(self.labels, [self.outputs], blocks=blocks)
        return {name: ends for name, ends in found.items() if np.isfinite(ends).all()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to trust the figures less, in sentences; often none."""
        return tuple(self.task.warnings(self))

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as a dict of plain numbers, ready for JSON.

        A figure that cannot be computed, such as the ROC-AUC of a label that no row has, is None.
        """
        tables = {name: _plain(table) for name, table in self.tables.items()}
        figures = {k: None if np.isnan(v) else v for k, v in self.figures.items()}
        classes = {"classes": list(self.classes)} if self.classes else {}
        return {"rows": len(self.labels), **figures, **tables, **classes}

    def to_frame(self) -> pd.DataFrame:
        """Returns the first of the tables, such as a row for each class, with averages below."""
        first = next(iter(self.tables.values()))
        averages = self.task.averages(self)
        return (
            first
            if averages is None
            else pd.concat([first, averages]).rename_axis(str(first.index.name))
        )

    def __str__(self) -> str:
        """The report as text: figures, tables, warnings."""
        figures = "  ".join(f"{name} {value:.4f}" for name, value in self.figures.items())
        further = [
            name
            + f" (rows: true, columns: {table.columns.name})" * bool(table.columns.name)
            + f"\n{table.to_string(float_format=lambda v: f'{v:.4f}')}"
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


def _plain(table: pd.DataFrame) -> Any:
    """A table as lists if it is a square of numbers, else as a dict by name or a list of rows."""
    if table.columns.equals(table.index):
        return table.to_numpy().tolist()
    plain = table.astype(object).where(table.notna(), None)
    if is_numeric_dtype(table.index):
        return plain.reset_index().to_dict(orient="records")
    return plain.to_dict(orient="index")
