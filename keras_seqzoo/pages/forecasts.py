"""The page of forecasts: beside the truth over time, and their errors by step of the horizon."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_seqzoo.evaluation.environment import environment
from keras_seqzoo.metrics.forecasts import forecast_errors
from keras_seqzoo.pages.drawing import BLUE, GREEN, GREY, INK, ORANGE, RED, inline_svg, png, style
from keras_seqzoo.pages.output import check_place, write_atomically
from keras_seqzoo.pages.page import template

if TYPE_CHECKING:
    from keras_seqzoo.evaluation.scores import Scores

_MOST_POINTS = 250  # of a line, the latest ones
_COLOURS = (BLUE, ORANGE, GREEN, RED, GREY)


def forecast_frame(
    labels: Any, outputs: Any, times: Any = None, column: int = 0, step: int = 1
) -> pd.DataFrame:
    """What came and what was forecast, a row a window.

    Args:
        labels: float `(rows, horizon, columns)`, in the order of time.
        outputs: the same shape.
        times: of the steps asked about, `(rows, horizon)`; None numbers the rows from 1.
        column: which column.
        step: which step of the horizon, from 1 on.

    Returns:
        Columns `time`, `truth` and `forecast`.
    """
    labels, outputs = np.asarray(labels), np.asarray(outputs)
    shown = np.arange(1, len(labels) + 1) if times is None else np.asarray(times)[:, step - 1]
    return pd.DataFrame(
        {
            "time": shown,
            "truth": labels[:, step - 1, column],
            "forecast": outputs[:, step - 1, column],
        }
    )


def forecasts(labels: Any, outputs: Any, name: str, times: Any = None, column: int = 0) -> Figure:
    """Draws forecasts beside the truth: the first step of the horizon, and the last one below it.

    Args:
        labels: as in `forecast_frame`; the latest 250 rows are drawn.
        outputs: the same shape.
        name: of the column.
        times: as in `forecast_frame`.
        column: which column.
    """
    labels, outputs = np.asarray(labels)[-_MOST_POINTS:], np.asarray(outputs)[-_MOST_POINTS:]
    times = None if times is None else np.asarray(times)[-_MOST_POINTS:]
    steps = sorted({1, labels.shape[1]})
    with style():
        figure = Figure(figsize=(7.4, 2.4 * len(steps)))
        panels = figure.subplots(len(steps), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, step in zip(panels, steps, strict=True):
            frame = forecast_frame(labels, outputs, times, column, step)
            axes.plot(frame["time"], frame["truth"], color=INK, lw=1.1, label="truth")
            axes.plot(frame["time"], frame["forecast"], color=BLUE, lw=1.3, label="forecast")
            axes.set_title(f"{step} step{'s' * (step > 1)} ahead", loc="left")
            axes.set_ylabel(name)
        panels[0].legend(loc="upper left", ncols=2)
        panels[-1].set_xlabel("test window" if times is None else "time")
        return figure


def errors_by_step(errors: Mapping[str, pd.DataFrame], column: str) -> Figure:
    """Draws MASE over the steps of the horizon, a line a forecaster.

    Args:
        errors: frames of `metrics.forecasts.forecast_errors`, by forecaster.
        column: which column.
    """
    with style():
        figure = Figure(figsize=(3.9, 3.2))
        axes = figure.subplots()
        for place, (label, frame) in enumerate(errors.items()):
            of_column = frame.loc[column].drop("all")
            axes.plot(
                of_column.index.astype(int),
                of_column["mase"],
                marker="o",
                ms=3.5,
                color=_COLOURS[place % len(_COLOURS)],
                label=label,
            )
        axes.axhline(1, color=GREY, lw=0.8, ls=":")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("steps ahead")
        axes.set_ylabel("MASE")
        axes.legend()
        return figure


def write_report(
    report: Scores,
    path: str | os.PathLike[str],
    table: Any,
    name: str,
    command: str,
    folder: str | os.PathLike[str] | None = None,
) -> Path:
    """Writes the page of a report on forecasts: one file, readable without a network.

    Args:
        report: of the task `forecast`.
        path: of the file, which is replaced where it exists.
        table: the `SeriesTable` that was forecast; None where only the forecasts are known.
        name: of the model.
        command: what to type to get the same page, or "".
        folder: where the figures (PNG) and what they show (CSV) are to be written, if anywhere.

    Returns:
        The path.
    """
    path = Path(path)
    check_place(path)
    task: Any = report.task
    errors = {name: forecast_errors(report.labels, report.outputs, task.scale, task.names)}
    times = None
    if table is not None:
        times = table.label_times
        errors["last value"] = forecast_errors(
            report.labels, task.last_values(table), task.scale, task.names
        )
    figures = []
    for place, column in enumerate(task.names):
        drawn = {"forecasts": forecasts(report.labels, report.outputs, column, times, place)}
        if task.target.horizon > 1:
            drawn["errors"] = errors_by_step(errors, column)
        figures.append((column, drawn))
        if folder is not None:
            for kind, figure in drawn.items():
                write_atomically(Path(folder) / f"{kind}_{place}.png", png(figure))
            frame = forecast_frame(report.labels, report.outputs, times, place)
            text = frame.to_csv(index=False)
            write_atomically(Path(folder) / f"forecasts_{place}.csv", text.encode())
    page = template("forecasts.html.j2").render(
        name=name,
        title="forecasts" if table is None else Path(table.source).name,
        rows=len(report.labels),
        horizon=task.target.horizon,
        step=None if table is None else str(table.step),
        metrics=[
            (metric.title, report.figures[metric.name], ranges.get(metric.name))
            for ranges in [task.intervals(report.labels, [report.outputs])]
            for metric in task.metrics
        ],
        warnings=report.warnings,
        figures=[
            (
                column,
                [
                    inline_svg(figure, f"{kind}{place}", f"{kind} of {column}")
                    for kind, figure in drawn.items()
                ],
                [
                    (step, [frame.loc[(column, step)].to_dict() for frame in errors.values()])
                    for step in errors[name].loc[column].index
                ],
            )
            for place, (column, drawn) in enumerate(figures)
        ],
        forecasters=list(errors),
        environment=environment(),
        command=command,
    )
    return write_atomically(path, page.encode("utf-8", "replace"))
