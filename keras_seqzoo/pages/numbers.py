"""The page's part on numbers: answers compared with the truth, and residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.evaluation.scores import Scores
from keras_seqzoo.metrics.statistics import mean_by_length
from keras_seqzoo.pages import frames
from keras_seqzoo.pages.drawing import BLUE, GREY
from keras_seqzoo.pages.figures import by_length, panels, titles_of
from keras_seqzoo.pages.formats import (
    between,
    bold,
    fixed,
    interval,
    metric_decimals,
    metric_text,
    three_digits,
)
from keras_seqzoo.pages.sections import Drawing, Said, Sections

MOST_DRAWN = 4  # most numbers to draw; the table has all
_MOST_POINTS = 500  # most points of a scatter plot: more would hide each other
_BINS = 24


def predicted(results: Results) -> pd.DataFrame:
    """Returns `model`, `number`, `row` (of the test, from 1), `truth`, `answer` for kept runs."""

    def rows(report: Scores, name: str, i: int) -> pd.DataFrame:
        truth, answer = report.labels[:, i], report.outputs[:, i]
        rows = np.arange(1, len(truth) + 1)
        return pd.DataFrame({"number": name, "row": rows, "truth": truth, "answer": answer})

    return _by_number(results, rows, ["number", "row", "truth", "answer"])


def residuals(results: Results) -> pd.DataFrame:
    """Returns a histogram of residuals: `model`, `number`, `low`, `high`, `rows`.

    A residual is the answer minus the truth. The bins of a number are the same for all models.
    """
    reports = [results.report(label) for label in results.reports]

    def counts(report: Scores, name: str, i: int) -> pd.DataFrame:
        off = np.concatenate([r.outputs[:, i] - r.labels[:, i] for r in reports])
        edges = np.linspace(off.min(), off.max() if np.ptp(off) else off.min() + 1, _BINS + 1)
        rows, _ = np.histogram(report.outputs[:, i] - report.labels[:, i], edges)
        return pd.DataFrame({"number": name, "low": edges[:-1], "high": edges[1:], "rows": rows})

    return _by_number(results, counts, ["number", "low", "high", "rows"])


def lengths(results: Results) -> pd.DataFrame:
    """Returns the mean absolute error by words in a text.

    It has a row for each model, number and group of texts. Columns: `model`, `number`, `low`,
    `high`, `rows`, `mae`, `low_ci`, `high_ci`; for kept runs.
    """
    columns = ["number", "low", "high", "rows", "mae", "low_ci", "high_ci"]
    if not len(results.texts):
        return pd.DataFrame(columns=["model", *columns])
    words = frames.words(results)

    def grouped(report: Scores, name: str, i: int) -> pd.DataFrame:
        found = mean_by_length(np.abs(report.outputs[:, i] - report.labels[:, i]), words)
        return found.rename(columns={"mean": "mae"}).assign(number=name)

    return _by_number(results, grouped, columns)


def _by_number(results: Results, table: Any, columns: list[str]) -> pd.DataFrame:
    def of_report(report: Scores) -> pd.DataFrame:
        names = enumerate(report.task.names)
        return pd.concat([table(report, name, i) for i, name in names], ignore_index=True)

    return frames.of_kept_runs(results, of_report, columns)


def draw_predicted(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Figure:
    """Draws the answer over the truth; right answers lie on the dotted line."""
    table = predicted(results) if table is None else table
    ends = {name: _ends(part[["truth", "answer"]]) for name, part in table.groupby("number")}

    def draw(axes: Axes, part: pd.DataFrame) -> None:
        low, high = ends[part["number"].iloc[0]]
        _cloud(axes, part["truth"], part["answer"], (low, high, low, high))
        axes.plot([low, high], [low, high], color=GREY, lw=1, linestyle=":", zorder=3)
        axes.set(xlim=(low, high), ylim=(low, high), xlabel="truth", ylabel="answer")
        axes.set_aspect("equal")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))

    return _of_numbers(results, labels, columns, 3.1, table, draw)


def draw_residuals(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Figure:
    """Draws answer minus truth over the answer, and a histogram of it below."""
    table = residuals(results) if table is None else table
    points = predicted(results)
    points["off"] = points["answer"] - points["truth"]
    ends = {
        name: (*_ends(part[["answer"]]), *_ends(part[["off"]]))
        for name, part in points.groupby("number")
    }
    most = table.groupby("number")["rows"].max()

    def draw(axes: Axes, part: pd.DataFrame) -> None:
        left, right, low, high = ends[part["number"].iloc[0]]
        _cloud(axes, part["answer"], part["off"], (left, right, low, high))
        axes.axhline(0, color=GREY, lw=1, linestyle=":", zorder=3)
        axes.set(xlim=(left, right), ylim=(low, high), xlabel="answer", ylabel="off by")

    def draw_below(axes: Axes, part: pd.DataFrame) -> None:
        number, model = part["number"].iloc[0], part["model"].iloc[0]
        bins = table[(table["model"] == model) & (table["number"] == number)]
        width = (bins["high"] - bins["low"]) * 0.92
        axes.bar(bins["low"], bins["rows"], width, align="edge", color="#9db4c8")
        axes.axvline(0, color=GREY, lw=1, linestyle=":")
        axes.set(xlim=ends[number][2:], ylim=(0, most[number] * 1.08))
        axes.set(xlabel="off by", ylabel="rows")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True))

    return _of_numbers(results, labels, columns, 3.8, points, draw, draw_below)


def draw_lengths(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Figure:
    """Draws the mean absolute error by length of text with 95 % intervals."""
    table = lengths(results) if table is None else table
    parts = {name: table[table["number"] == name] for name in results.task.names[:MOST_DRAWN]}
    return by_length(labels, columns, parts, "mae", "MAE", is_share=False)


def _of_numbers(
    results: Results,
    labels: Sequence[str],
    columns: int,
    height: float,
    points: pd.DataFrame,
    draw: Any,
    draw_below: Any = None,
) -> Figure:
    """Draws a panel for each model and number, from its rows of `points`."""
    names = results.task.names[:MOST_DRAWN]
    subjects = [(label, name) for label in labels for name in names]
    parts = dict(iter(points.groupby(["model", "number"])))
    below = draw_below and (lambda axes, subject: draw_below(axes, parts[subject]))
    return panels(
        subjects,
        columns,
        height,
        lambda axes, subject: draw(axes, parts[subject]),
        below,
        titles_of(subjects),
    )


def _cloud(axes: Axes, xs: Any, ys: Any, extent: tuple[float, float, float, float]) -> None:
    """Draws points, or, if there are many, their count in each hexagon."""
    if len(xs) > _MOST_POINTS:
        axes.hexbin(
            xs, ys, gridsize=28, extent=extent, mincnt=1, bins="log", cmap="Blues", linewidths=0.2
        )
    else:
        axes.plot(xs, ys, "o", color=BLUE, ms=3.5, alpha=0.45, mew=0)


def _ends(values: pd.DataFrame) -> tuple[float, float]:
    low, high = float(values.min().min()), float(values.max().max())
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def context(results: Results, labels: Sequence[str]) -> dict[str, Any]:
    """The template's data: figures with intervals, in a row for each model and number."""
    table = frames.by_name(results)
    metrics = results.task.metrics
    decimals = {
        (metric.name, number): metric_decimals(metric, part[metric.name])
        for number, part in table.groupby("number")
        for metric in metrics
    }

    def cell(row: Any, name: str) -> tuple[str, str]:
        digits = decimals[name, row["number"]]
        ends = (row.get(f"{name}_{end}", np.nan) for end in ("low", "high"))
        return fixed(row[name], digits), between(ends, digits)

    ranked = sorted(table.to_dict("records"), key=lambda row: labels.index(row["model"]))
    return {
        "number_titles": [metric.title for metric in metrics],
        "number_rows": [
            (row["model"], row["number"], [cell(row, metric.name) for metric in metrics])
            for row in ranked
        ],
        "most_drawn": MOST_DRAWN,
    }


def verdict(report: Scores, row: int) -> list[Said]:
    """The given numbers, and the true ones."""
    said = []
    for i, name in enumerate(report.task.names):
        digits = three_digits([np.ptp(report.labels[:, i])])
        answer, truth = float(report.outputs[row, i]), float(report.labels[row, i])
        said += [
            Said("said", name if len(report.task.names) > 1 else "", fixed(answer, digits)),
            Said("truth", "", fixed(truth, digits)),
            Said("off by", "", fixed(answer - truth, digits)),
        ]
    return said


def about_one(results: Results, table: pd.DataFrame, label: str) -> list[Markup]:
    """The sentences about a single model."""
    report: Any = results.report(label)
    mae = results.task.metric("mae")
    names = results.task.names
    start = Markup("{} is off by {}{} on average{}, with an R² of {} and a correlation of {}.")
    first = start.format(
        bold(label),
        metric_text(mae, report.mae),
        interval(table, label, mae),
        "" if len(names) == 1 else f", over {len(names)} numbers",
        fixed(report.r2, 3),
        fixed(report.pearson, 3),
    )
    if len(names) > 1:
        return [first]
    half = float(np.median(np.abs(report.outputs - report.labels)))
    return [
        first,
        Markup("Half of its answers are off by {} at most.").format(metric_text(mae, half)),
    ]


NUMBERS = Sections(
    noun="number",
    template="numbers.html.j2",
    drawings={
        "predicted": Drawing("Answers", "Answers and the truth", draw_predicted, predicted),
        "residuals": Drawing("Residuals", "Residuals", draw_residuals, residuals),
        "lengths": Drawing(
            "Lengths", "Mean absolute error by length", draw_lengths, lengths, of_texts=True
        ),
    },
    context=context,
    verdict=verdict,
    mistakes="Largest errors",
    about_one=about_one,
)
