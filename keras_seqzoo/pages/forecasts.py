"""The page's part on forecasts: drawn with the truth over time, and their errors by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.evaluation.scores import Scores
from keras_seqzoo.metrics.forecasts import forecast_errors
from keras_seqzoo.pages import frames
from keras_seqzoo.pages.drawing import BLUE, GREEN, GREY, INK, ORANGE, RED, style
from keras_seqzoo.pages.formats import bold, fixed, interval, metric_text, three_digits
from keras_seqzoo.pages.sections import Drawing, Said, Sections

MOST_DRAWN = 4  # most columns to draw; the table has all
_MOST_POINTS = 250  # most points of a line: the latest ones
_MOST_STEPS = 5  # most steps of a horizon to write out
_COLOURS = (BLUE, ORANGE, GREEN, RED, GREY)
_LAST_VALUE = "last value"


def forecasts(results: Results) -> pd.DataFrame:
    """Returns forecasts one step ahead and at the end of the horizon, with the true values.

    Columns: `model`, `column`, `step`, `series` (its key), `time` (rows from 1 if times are not
    known), `truth`, `forecast`; for kept runs.
    """
    steps = sorted({1, results.task.row_shape[0]})

    def rows(report: Scores) -> pd.DataFrame:
        table, count = results.series, len(report.labels)
        parts = [
            pd.DataFrame(
                {
                    "column": name,
                    "step": step,
                    "series": "" if table is None else table.keys,
                    "time": np.arange(1, count + 1)
                    if table is None
                    else table.label_times[:, step - 1],
                    "truth": report.labels[:, step - 1, place],
                    "forecast": report.outputs[:, step - 1, place],
                }
            )
            for place, name in enumerate(report.task.names)
            for step in steps
        ]
        return pd.concat(parts, ignore_index=True)

    columns = ["column", "step", "series", "time", "truth", "forecast"]
    return frames.of_kept_runs(results, rows, columns)


def steps(results: Results) -> pd.DataFrame:
    """Returns the errors of each column by step of the horizon, and over all of them.

    Columns: `model`, `column`, `step` (from 1, or `"all"`), `mae`, `rmse`, `mase`; for kept runs,
    and for the last value if it is not among the baselines.
    """
    task: Any = results.task

    def errors(outputs: Any) -> pd.DataFrame:
        return forecast_errors(results.labels, outputs, task.scale, task.names).reset_index()

    columns = ["column", "step", "mae", "rmse", "mase"]
    found = frames.of_kept_runs(results, lambda report: errors(report.outputs), columns)
    if results.series is None or task.must_beat in results.reports:
        return found
    last = errors(task.last_values(results.series)).assign(model=_LAST_VALUE)
    return pd.concat([found, last[list(found.columns)]], ignore_index=True)


def draw_forecasts(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Figure:
    """Draws forecasts and the truth for the latest 250 rows of the first series.

    There is a row for each model, column and step: the first of the horizon, and the last.
    """
    table = forecasts(results) if table is None else table
    table = table[table["series"] == table["series"].iloc[0]]
    names = results.task.names[:MOST_DRAWN]
    steps = sorted(set(table["step"].tolist()))
    subjects = [(label, name, step) for label in labels for name in names for step in steps]
    parts = dict(iter(table.groupby(["model", "column", "step"])))
    with style():
        figure = Figure(figsize=(7.4, 1.9 * len(subjects) + 0.3))
        panels = figure.subplots(len(subjects), 1, squeeze=False)[:, 0]
        for axes, subject in zip(panels, subjects, strict=True):
            label, name, step = subject
            part = parts[subject].iloc[-_MOST_POINTS:]
            axes.plot(part["time"], part["truth"], color=INK, lw=1.1, label="truth")
            axes.plot(part["time"], part["forecast"], color=BLUE, lw=1.3, label="forecast")
            title = f"{step} step{'s' * (step > 1)} ahead"
            axes.set_title(f"{label}, {title}" if len(labels) > 1 else title, loc="left")
            axes.set_ylabel(name)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
        panels[-1].set_xlabel("test window" if results.series is None else "time")
        return figure


def draw_steps(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Figure:
    """Draws MASE over the steps of the horizon: a panel per column, a line per forecaster."""
    table = steps(results) if table is None else table
    table = table[table["step"] != "all"]
    names = results.task.names[:MOST_DRAWN]
    with style():
        figure = Figure(figsize=(3.7 * max(2, len(names)), 3.2))
        panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
        for axes, name in zip(panels, names, strict=True):
            of_column = table[table["column"] == name]
            for place, label in enumerate(dict.fromkeys([*labels, *table["model"]])):
                part = of_column[of_column["model"] == label]
                axes.plot(
                    part["step"].astype(int),
                    part["mase"],
                    marker="o",
                    ms=3.5,
                    ls=("-", "--")[place // len(_COLOURS) % 2],
                    color=_COLOURS[place % len(_COLOURS)],
                    label=label,
                )
            axes.axhline(1, color=GREY, lw=0.8, ls=":")
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlabel("steps ahead")
            axes.set_title(name if len(names) > 1 else "")
        panels[0].set_ylabel("MASE")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
        return figure


def context(results: Results, labels: Sequence[str]) -> dict[str, Any]:
    """The template's data: errors of each forecaster by column and step."""
    table = steps(results)
    forecasters = list(dict.fromkeys([*labels, *table["model"]]))
    rows = {tuple(row[:3]): row[3:] for row in table[
        ["model", "column", "step", "mase", "mae", "rmse"]].itertuples(index=False)}  # fmt: skip
    digits = {name: three_digits(part["mae"]) for name, part in table.groupby("column")}

    def cell(figures: Any, name: str) -> tuple[str, str]:
        mase, *others = figures
        return fixed(mase, 3), " / ".join(fixed(value, digits[name]) for value in others)

    return {
        "forecasters": forecasters,
        "by_step": [
            (name, [
                (step, [cell(rows[label, name, step], name) for label in forecasters])
                for step in table.loc[table["column"] == name, "step"].unique()
            ])
            for name in results.task.names
        ],
        "first_series": "" if results.series is None else results.series.keys[0],
    }  # fmt: skip


def verdict(report: Scores, row: int) -> list[Said]:
    """The forecast, and the true values."""
    said = []
    for i, name in enumerate(report.task.names):
        answer, truth = report.outputs[row, :, i], report.labels[row, :, i]
        digits = three_digits([np.ptp(report.labels[..., i])])

        def written(values: Any, digits: int = digits) -> str:
            shown = [fixed(float(v), digits) for v in values]
            if len(shown) > _MOST_STEPS:
                shown = [*shown[: _MOST_STEPS - 1], "…", shown[-1]]
            return ", ".join(shown)

        off = float(np.abs(answer - truth).mean())
        said += [
            Said("said", name if len(report.task.names) > 1 else "", written(answer)),
            Said("truth", "", written(truth)),
            Said("off by", "", fixed(off, digits)),
        ]
    return said


def about_one(results: Results, table: pd.DataFrame, label: str) -> list[Markup]:
    """The sentences about a single model."""
    report, task = results.report(label), results.task
    mase, mae = task.metric("mase"), task.metric("mae")
    start = Markup("{} is off by {}{} on average, with a MASE of {}{}.")
    found = [
        start.format(
            bold(label),
            metric_text(mae, report.mae),
            interval(table, label, mae),
            metric_text(mase, report.mase),
            interval(table, label, mase),
        )
    ]
    if results.series is not None:
        last = task.figures(results.labels, task.last_values(results.series))["mase"]  # type: ignore[attr-defined]
        text = "It errs less than the last value, whose MASE is {}."
        if report.mase >= last:
            text = '<span class="losing">The last value is as near or nearer, with {}.</span>'
        found.append(Markup(text).format(metric_text(mase, last)))
    return found


FORECASTS = Sections(
    noun="column",
    template="forecasts.html.j2",
    drawings={
        "forecasts": Drawing("Forecasts", "Forecasts and the truth", draw_forecasts, forecasts),
        "steps": Drawing(
            "Errors by step", "MASE by step of the horizon", draw_steps, steps, is_one=True
        ),
    },
    context=context,
    verdict=verdict,
    mistakes="Largest errors",
    about_one=about_one,
)
