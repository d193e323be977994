"""Which steps of a window led to a model's forecast or answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_seqzoo.checks import check_whole
from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.names import choose_one
from keras_seqzoo.tasks.classify import task_of

FILLS = ("mean", "last")


@dataclass(frozen=True, eq=False)
class StepExplanation:
    """How far each value of a window moves an answer.

    Attributes:
        values: float32 `(window, columns)`, the values of the window.
        scores: float64 `(window, columns)`, by how much the answer falls if this value is
            replaced; in the unit of `answer`.
        columns: names of the value columns.
        target: what is explained: a column, by the mean of its forecast over the horizon; or a
            class, by its probability.
        answer: the answer to the whole window.
        fill: what replaced a value.
        times: times of the steps, `(window,)`; None if they are not known.
    """

    values: npt.NDArray[np.float32] = field(repr=False)
    scores: npt.NDArray[np.float64] = field(repr=False)
    columns: tuple[str, ...]
    target: str
    answer: float
    fill: str
    times: npt.NDArray[Any] | None = field(default=None, repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Returns a row per step and column, oldest first: `step` (0 is the last), value, score."""
        window, columns = self.values.shape
        steps = np.repeat(np.arange(1 - window, 1), columns)
        frame = pd.DataFrame(
            {
                "step": steps,
                "column": list(self.columns) * window,
                "value": self.values.ravel(),
                "score": self.scores.ravel(),
            }
        )
        if self.times is not None:
            frame.insert(1, "time", np.repeat(self.times, columns))
        return frame

    def __str__(self) -> str:
        """The ten values that move the answer most."""
        frame = self.to_frame()
        most = frame.loc[frame["score"].abs().sort_values(ascending=False).index[:10]]
        return (
            f"{self.target}: {self.answer:.6g}; by how much it falls where a value is the "
            f"window's {self.fill}:\n{most.to_string(index=False, float_format='{:.4g}'.format)}"
        )


def explain_steps(
    model: Any,
    windows: Any,
    target: str | None = None,
    fill: str = "mean",
    batch_size: int = 256,
) -> list[StepExplanation]:
    """Finds how far an answer falls if one value of a window is replaced (occlusion).

    The model answers once for each value, so any model of windows works. If values can replace
    each other, each seems to have no effect.

    Args:
        model: a model of `build_model` over windows, or a `SavedPredictor` of one.
        windows: a `SeriesTable`, or windows `(rows, window, columns)`.
        target: a name of the task: a column, to explain its forecast, or a class, to explain its
            probability. By default the first column, or the class that the model answers.
        fill: what replaces the value: the `"mean"` of its column in the window, or the column's
            `"last"` value.
        batch_size: windows in each batch.

    Returns:
        An explanation for each window.

    Raises:
        TypeError: a model without a task.
        ValueError: no windows, or an unknown `target` or `fill`.
    """
    check_whole(batch_size=batch_size)
    task = task_of(model)
    if task is None:
        raise TypeError(
            "`model` must answer windows: one of build_model over a SeriesTable, or its export. "
            f"Received: {type(model).__name__}"
        )
    if fill not in FILLS:
        raise ValueError(f"`fill` must be one of {FILLS}. Received: fill={fill!r}")
    if target is not None and target not in task.names:
        raise ValueError(
            f"`target` must be what the model answers. {choose_one(target, task.names)}"
            f"Received: target={target!r}"
        )
    table = windows if isinstance(windows, SeriesTable) else None
    values = np.asarray(windows if table is None else table.windows(), np.float32)
    if not len(values):
        raise ValueError("There must be at least one window. Received: none")
    columns = table.inputs.columns if table is not None else _columns(model, values)
    times = [None] * len(values) if table is None else table.window_times()

    def asked(rows: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        return np.asarray(
            task.explained(model.predict(rows, batch_size=batch_size, verbose=0)), np.float64
        )

    found = []
    whole = asked(values)
    chosen = task.chosen(whole) if target is None else [task.names.index(target)] * len(values)
    for row, answer, place, of_row in zip(values, whole, chosen, times, strict=True):
        less = np.concatenate([asked(part)[:, place] for part in _replaced(row, fill)])
        found.append(
            StepExplanation(
                row,
                (answer[place] - less).reshape(row.shape),
                tuple(columns),
                task.names[place],
                float(answer[place]),
                fill,
                of_row,
            )
        )
    return found


def _columns(model: Any, values: npt.NDArray[Any]) -> Sequence[str]:
    known: Sequence[str] = getattr(model, "columns", ())
    return (
        known if len(known) == values.shape[2] else [str(place) for place in range(values.shape[2])]
    )


def _replaced(row: npt.NDArray[np.float32], fill: str) -> Iterator[npt.NDArray[np.float32]]:
    """Yields copies of a window with one value replaced in each, some copies at a time."""
    stands = np.nanmean(row, axis=0) if fill == "mean" else row[-1]
    most = max(1, 4_000_000 // row.size)
    for start in range(0, row.size, most):
        places = np.arange(start, min(start + most, row.size))
        copies = np.repeat(row[None], len(places), axis=0)
        steps, columns = np.unravel_index(places, row.shape)
        copies[np.arange(len(places)), steps, columns] = stands[columns]
        yield copies
