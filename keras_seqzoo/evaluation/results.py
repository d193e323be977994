"""Results of models after their test: answers, costs, and what is missing.

Plain data. `compare` and `evaluate` make it; tables and pages read it. No TensorFlow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_seqzoo.evaluation.scores import Scores
from keras_seqzoo.tasks import task_for
from keras_seqzoo.tasks.base import Task

if TYPE_CHECKING:
    from keras_seqzoo.data.series import SeriesTable
    from keras_seqzoo.data.table import TextTable
    from keras_seqzoo.evaluation.data_summary import DataSummary
    from keras_seqzoo.explanation.explanation import Explanation


def architecture(description: str, of_numbers: bool = False) -> str:
    """A card's line without the card's size, such as "2 x 128": the trained size may differ.

    Args:
        description: the description on the card, which is about texts.
        of_numbers: whether the model reads numbers, which need no embedding.
    """
    line = re.sub(r" \d+ x \d+", "", description)
    return line.removeprefix("Embedding → ") if of_numbers else line


@dataclass(frozen=True)
class Run:
    """One training of a model, and its answers on the test rows.

    Attributes:
        seed: seed of the weights and of the order of the rows; None if it is not known.
        outputs: the model's answers to the test rows, float `(rows, names)`; for classes,
            probabilities.
        valid_loss: loss of the trained model on the validation rows; None if it is not known.
        history: figures by epoch, as `fit` names them: `loss`, `val_accuracy`, …
        seconds: time of `fit`, validation included; None if nothing was trained.
        stopped: why the training ended before its last epoch, in a few words; "" if it did not.
        task: the task of this model, if it has learnt from its answers, such as thresholds; None
            if it is the task of the comparison.
    """

    seed: int | None
    outputs: np.ndarray = field(repr=False)
    valid_loss: float | None = None
    history: Mapping[str, Sequence[float]] = field(default_factory=dict, repr=False)
    seconds: float | None = None
    stopped: str = ""
    task: Task | None = field(default=None, repr=False)


def own_task(model: Any, train: TextTable | SeriesTable) -> Task | None:
    """The task of a trained model if the task has learnt from the model's answers, else None."""
    return model.task if model.task != task_for(train) else None


@dataclass(frozen=True)
class Costs:
    """The costs of a model. None if not measured.

    Attributes:
        parameters: number of weights.
        training_s: seconds of `fit`, mean over the runs.
        examples_per_s: training examples per second, validation and pauses included.
        size_mb: size of the export on disk, in MB of 1,000,000 bytes.
        p50_ms: median time for one text or window, in milliseconds.
        p95_ms: 95th percentile of the same.
        texts_per_s: texts or windows per second in batches of 32.
        memory_mb: peak memory of the process while it trained and answered, in MB.
    """

    parameters: int | None = None
    training_s: float | None = None
    examples_per_s: float | None = None
    size_mb: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    texts_per_s: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class Entry:
    """One model of a comparison.

    Attributes:
        label: its name in the table.
        description: the architecture, in one line.
        is_baseline: whether it is a baseline.
        options: the given options, and the settings of its training.
        runs: the trainings that succeeded, by seed; empty if none did.
        costs: its costs.
        missing: what is missing and why, in a sentence; "" if nothing is.
        texts_cut: number of test texts longer than the model reads; None if not counted.
        sequence_length: most tokens to read from a text; None if there is no limit.
        mistakes: the worst answers of the kept run (`Task.worst`), as pairs of a test row and the
            explanation of the answer (None if there is none), the worst first.
        searched: the trials of a search, each a dict of options and `val_loss`; () without one.
    """

    label: str
    description: str = ""
    is_baseline: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    runs: Sequence[Run] = ()
    costs: Costs = Costs()
    missing: str = ""
    texts_cut: int | None = None
    sequence_length: int | None = None
    mistakes: Sequence[tuple[int, Explanation | None]] = field(default=(), repr=False)
    searched: Sequence[Mapping[str, Any]] = ()

    @property
    def kept(self) -> Run:
        """The run with the lowest validation loss (the first of equals, or without one)."""
        return min(self.runs, key=lambda r: np.inf if r.valid_loss is None else r.valid_loss)


@dataclass(frozen=True)
class Results:
    """All models of a comparison, or the one model of an evaluation.

    Attributes:
        title: name of the data, such as `"reviews.csv"`.
        task: the task of the models.
        texts: the test texts `(rows,)`, for pairs `(rows, 2)`; empty if they are not kept, and
            for series.
        labels: the right answers, as `TextTable.labels`.
        entries: the models in the order of the call, baselines last.
        row_numbers: int `(rows,)`, the place of each test row in its source; None: in order.
        data: the summary of the data; None if only test rows were given.
        environment: versions and processors, such as `{"TensorFlow": "2.21.0"}`.
        commands: the commands that repeat it, in Python or shell.
        settings: how the comparison was made, such as `{"seeds": "0, 1, 2"}`.
        seconds: time of the whole; None if not measured.
        series: the test windows; None for texts, or if they are not known.
    """

    title: str
    task: Task
    texts: Sequence[Any] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    entries: Sequence[Entry]
    row_numbers: np.ndarray | None = field(default=None, repr=False)
    data: DataSummary | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    series: SeriesTable | None = field(default=None, repr=False)

    @property
    def blocks(self) -> np.ndarray | None:
        """Blocks of dependent test rows `(rows,)`; None if all rows are independent."""
        return None if self.series is None else self.series.blocks

    @property
    def paired_test(self) -> str:
        """The name of the test of differences."""
        if self.series is None:
            return self.task.paired_test
        return "paired permutation test by blocks of neighbouring windows"

    @property
    def noun(self) -> str:
        """The word for a test row."""
        if self.series is not None or self.task.name == "forecast":
            return "window"
        is_pair = len(self.texts) and not isinstance(self.texts[0], str)
        return "pair" if is_pair else "text"

    def place(self, row: int) -> str:
        """The place of a test row in its source, counted from 1, in words; for series its time."""
        if self.series is None:
            return f"row {row + 1 if self.row_numbers is None else self.row_numbers[row]}"
        time = str(pd.Timestamp(self.series.times[row])).removesuffix(" 00:00:00")
        return f"window to {time}" + f" of {self.series.keys[row]}".removesuffix(" of ")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of classes or labels, in label order; `()` if there are none."""
        return self.task.classes

    @cached_property
    def reports(self) -> dict[str, list[Scores]]:
        """The scores of each run, by label of the model; models without runs are left out."""
        return {
            entry.label: [
                Scores.from_predictions(self.labels, run.outputs, run.task or self.task)
                for run in entry.runs
            ]
            for entry in self.entries
            if entry.runs
        }

    def report(self, label: str) -> Scores:
        """The scores of a model's kept run."""
        entry = next(e for e in self.entries if e.label == label)
        return self.reports[label][list(entry.runs).index(entry.kept)]

    def intervals(self, label: str) -> dict[str, tuple[float, float]]:
        """95 % intervals of a model's figures, for the means over its runs; see `Task`."""
        if label not in self._intervals:  # the draws take long, and a page needs them often
            reports = self.reports[label]
            self._intervals[label] = self.task.intervals(
                self.labels,
                [report.outputs for report in reports],
                [report.task for report in reports],
                self.blocks,
            )
        return self._intervals[label]

    @cached_property
    def _intervals(self) -> dict[str, dict[str, tuple[float, float]]]:
        return {}

    def mean(self, label: str, metric: str) -> float:
        """Mean of a metric of `Report` over a model's runs."""
        return float(np.mean([getattr(report, metric) for report in self.reports[label]]))
