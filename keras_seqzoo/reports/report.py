"""`evaluate` scores a model's answers to labelled texts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seqzoo.data.table import TextTable
from keras_seqzoo.evaluation.scores import Scores
from keras_seqzoo.tasks.classify import task_of

if TYPE_CHECKING:
    from keras_seqzoo.data.series import SeriesTable
    from keras_seqzoo.data.stream import TextStream


@dataclass(frozen=True)
class Report(Scores):
    """How well a model answers. `print` it, or take `to_dict`, `to_frame` or `to_html`.

    Its figures and tables are attributes, too: see `Scores`.
    """

    _model: Any = field(default=None, repr=False, compare=False)
    _table: Any = field(default=None, repr=False, compare=False)

    @property
    def table(self) -> Any:
        """The table that was evaluated; None if only the answers are known."""
        return self._table

    def to_html(
        self,
        path: str | os.PathLike[str],
        explain: bool = True,
        folder: str | os.PathLike[str] | None = None,
        command: str | None = None,
    ) -> Path:
        """Writes a page about the model: one file, readable without a network.

        It holds the figures with intervals, the drawings of the task (see `pages.by_task`; for
        classes: confusion, calibration, and accuracy by class and by length of text), the ten worst
        answers, a summary of the data and the versions of the libraries. A report on a stream has
        no texts, so its page has neither lengths nor worst answers.

        Args:
            path: the file; an existing one is replaced, and its folder is created.
            explain: whether to explain the worst answers by occlusion, which asks the model once
                for each of their words.
            folder: folder for figures (PNG) and data (CSV, JSON); by default they are not written.
            command: the command that makes the same page; by default a line of Python.

        Returns:
            The path.

        Raises:
            OSError: the path cannot be written to.
            ValueError: `folder` is a file, or cannot be written to.
        """
        from keras_seqzoo.files import check_page_path

        check_page_path(path)
        Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
        from keras_seqzoo.pages.output import make_folder, write_data, write_figures
        from keras_seqzoo.pages.page import write_page
        from keras_seqzoo.reports.single import results_of

        if folder is not None:
            make_folder(folder)
        if command is None and self._model is not None:
            command = f"keras_seqzoo.evaluate(model, table).to_html({os.fspath(path)!r})"
        results = results_of(self, self._model, self._table, explain, command or "")
        if folder is not None:
            write_figures(results, folder)
            write_data(results, folder)
        return write_page(results, path)


def evaluate(
    model: Any,
    table: TextTable | TextStream | SeriesTable,
    batch_size: int = 256,
    verbose: Any = 0,
) -> Report:
    """Scores a model's answers to labelled texts.

    Args:
        model: a model of `build_model` whose answers can be compared with a truth, or a
            `SavedPredictor`; for a `SeriesTable`, its `predict` receives parts of the table.
        table: labelled rows or windows, with the target of the model. From a stream, only the
            answers are kept in memory. A class without rows is allowed; the report warns of it.
        batch_size: rows in each batch.
        verbose: as in `keras.Model.predict`.

    Returns:
        A `Report`.

    Raises:
        TypeError: the model's answers have no truth, or `table` is not a table.
        ValueError: the table has no labels, no rows, or a different target than the model.

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
            "`evaluate` compares answers with the truth. For a language model, "
            "model.evaluate(texts) returns the perplexity; vectors have no right answers. "
            f"Received: {type(model).__name__}"
        )
    if not hasattr(table, "target"):
        raise TypeError(
            "`evaluate` takes a table. Pass read_table(source, text=…, label=…, "
            "classes=model.classes) of a file or DataFrame, read_series(…), or "
            "TextTable.from_texts(texts, labels, model.classes). "
            f"Received: {type(table).__name__}"
        )
    if table.target is None:
        raise ValueError(
            "Only labelled texts can be evaluated. Read the table with label=…. "
            f"Received: {table!r}"
        )
    task.check_table(table)
    # A TextTable goes in at once: the model then sorts texts by length.
    chunks: Any = [(table.texts, table.labels)] if isinstance(table, TextTable) else table.chunks()
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
