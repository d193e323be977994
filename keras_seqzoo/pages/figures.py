"""Figures for the pages of several tasks, drawn by matplotlib without its global state.

Each function returns a `matplotlib.figure.Figure`, ready to be saved. Functions with `labels` draw
a panel for each of these models, `columns` side by side. All panels for the same results have the
same limits, so that they can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from keras_seqzoo.evaluation.choose import pareto_front
from keras_seqzoo.evaluation.leaderboard import leaderboard
from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.pages import frames
from keras_seqzoo.pages.drawing import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    RED,
    label_points,
    style,
    wrapped,
)
from keras_seqzoo.pages.formats import EN_DASH
from keras_seqzoo.tasks.base import Metric

COSTS = {
    "p95_ms": "time of one answer, 95th percentile (ms)",
    "size_mb": "size on disk (MB)",
    "training_s": "training time (s)",
}
MOST_NAMED = 15  # most names in `f1_by_name`
_PANEL = 3.1


def cost_quality(table: pd.DataFrame, cost: str, metric: Metric) -> Figure:
    """Draws quality over a cost, better values up, and the models that no other beats in both.

    Args:
        table: a table from `leaderboard`.
        cost: a key of `COSTS`; at least one model must have it.
        metric: the figure of quality.
    """
    known = table[table[cost].notna() & table[metric.name].notna()]
    known = known[known[cost] > 0]
    known = known[is_drawn(known, metric)]
    xs, ys = known[cost].to_numpy(float), known[metric.name].to_numpy(float)
    with style():
        figure = Figure(figsize=(3.9, 3.4))
        axes = figure.subplots()
        axes.set_xscale("log")
        decades = max(_decades(xs), 0.3)
        axes.set_xlim(xs.min() / 10 ** (0.16 * decades), xs.max() * 10 ** (0.16 * decades))
        room = max(float(np.ptp(ys)), 0.4 * _least_gap(known, metric)) * 0.18
        top = ys.max() + room
        axes.set_ylim(ys.min() - room, top if metric.lower_is_better else min(top, 1.02))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _decades(xs) < 1.6 else (1,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.10g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(COSTS[cost])
        axes.set_ylabel(metric.title + ", less is better" * metric.lower_is_better)
        if metric.lower_is_better:
            axes.invert_yaxis()
        front = known.loc[pareto_front(known, cost, metric)]
        steps = front[metric.name]
        axes.step(front[cost], steps, where="post", color=INK, lw=1, zorder=2)
        if metric.interval:
            low, high = (known[f"{metric.name}_{end}"] for end in ("low", "high"))
            axes.vlines(xs, low, high, color=FAINT, lw=2, zorder=1)
        baseline = known["baseline"].to_numpy(bool)
        on_front = known.index.isin(front.index)
        for marker, colour, chosen in (("o", BLUE, ~baseline), ("D", ORANGE, baseline)):
            for filled in (True, False):
                here = chosen & (on_front == filled)
                axes.scatter(
                    xs[here],
                    ys[here],
                    s=42 if marker == "o" else 36,
                    marker=marker,
                    c=colour if filled else "white",
                    edgecolors=colour,
                    linewidths=1.5,
                    zorder=4,
                )
        label_points(
            axes,
            [wrapped(str(name), 18) for name in known.index],
            (xs, ys),
            np.column_stack(_corners(front[cost], steps)),
        )
        return figure


def is_drawn(table: pd.DataFrame, metric: Metric) -> pd.Series:
    """Which models `cost_quality` draws: all with answers, except baselines far below the rest."""
    values = table[metric.name].astype(float) * (-1 if metric.lower_is_better else 1)
    models = values[~table["baseline"].astype(bool)].dropna()
    if models.empty:
        return values.notna()
    return values >= models.min() - max(1.5 * float(np.ptp(models)), _least_gap(table, metric))


def _least_gap(table: pd.DataFrame, metric: Metric) -> float:
    """A visible difference: 0.05 for shares, a twentieth of the largest for other figures."""
    largest = float(table[metric.name].astype(float).abs().max())
    return 0.05 if metric.unit is not None else 0.05 * largest or 1.0


def learning_curves(
    results: Results,
    labels: Sequence[str],
    columns: int = 1,
    table: pd.DataFrame | None = None,
    title: str = "loss",
) -> Figure:
    """Draws training and validation loss by epoch: the kept run strong, other seeds thin."""
    table = frames.curves(results) if table is None else table
    losses = [c for c in ("loss", "val_loss") if c in table]
    values = table[losses].to_numpy(float)
    values = values[np.isfinite(values)]
    top = float(values.max()) * 1.05 if len(values) else 1.0

    def draw(axes: Axes, label: str) -> None:
        of_model = table[table["model"] == label]
        for name, word, colour, line, marker in (
            ("loss", "training", BLUE, "-", "o"),
            ("val_loss", "validation", RED, "--", "s"),
        ):
            if name not in of_model or of_model[name].isna().all():
                continue
            for _, run in of_model.groupby("seed", dropna=False):
                strong = bool(run["kept"].iloc[0])
                axes.plot(
                    run["epoch"],
                    run[name],
                    color=colour,
                    linestyle=line,
                    alpha=1 if strong else 0.35,
                    lw=1.7 if strong else 1,
                    marker=marker if strong else "",
                    markersize=3.5,
                    label=word if strong else None,
                )
        axes.set_ylim(min(0.0, float(values.min(initial=0.0))), top)
        axes.set_xlabel("epoch")
        axes.set_ylabel(title)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.legend(loc="best", handlelength=2.4)

    return panels(labels, columns, 2.3, draw)


def _corners(xs: pd.Series, ys: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Returns the corners of a line that goes right first, then up."""
    return np.repeat(xs.to_numpy(float), 2)[1:], np.repeat(ys.to_numpy(float), 2)[:-1]


def _decades(values: np.ndarray) -> float:
    return float(np.log10(values.max() / values.min())) if len(values) else 0.0


def _is_long(*names: str | None) -> bool:
    return sum(len(name or "") for name in names) > 30


def by_length(
    labels: Sequence[str],
    columns: int,
    tables: Mapping[str, pd.DataFrame],
    figure: str,
    title: str,
    is_share: bool = True,
) -> Figure:
    """Draws a figure by length of text with 95 % intervals; other models are faint behind.

    Args:
        labels: labels of the models.
        columns: panels side by side.
        tables: tables by name, "" if there is only one. Each has a row for each group of texts,
            with `model`, `low`, `high`, the figure, `low_ci` and `high_ci`.
        figure: the column of the figure.
        title: title of the figure.
        is_share: whether it is at most 1.
    """
    subjects = [(label, name) for label in labels for name in tables]

    def draw(axes: Axes, subject: tuple[str, str]) -> None:
        label, table = subject[0], tables[subject[1]]
        for name, other in table.groupby("model", sort=False):
            if name != label:
                axes.plot(np.arange(len(other)), other[figure], color=FAINT, lw=1, zorder=1)
        own = table[table["model"] == label]
        middle = np.arange(len(own))
        values = own[figure]
        axes.errorbar(
            middle,
            values,
            np.abs([values - own["low_ci"], own["high_ci"] - values]),
            fmt="o-",
            color=BLUE,
            markersize=4.5,
            elinewidth=1.2,
            capsize=2.5,
            zorder=3,
        )
        edges = [
            f"{lo:,g}" if lo == hi else f"{lo:,g}{EN_DASH}{hi:,g}"
            for lo, hi in zip(own["low"], own["high"], strict=True)
        ]
        # Long ranges of numbers would touch each other in one line.
        axes.set_xticks(
            middle, [e.replace(EN_DASH, EN_DASH + "\n") if len(e) > 7 else e for e in edges]
        )
        low = max(float(table[[figure, "low_ci"]].min().min()) - 0.03, 0.0) if is_share else 0.0
        high = 1.02 if is_share else 1.05 * float(table[[figure, "high_ci"]].max().max())
        axes.set(xlim=(-0.4, len(own) - 0.6), ylim=(low, high or 1.0))
        axes.set(xlabel="words in a text", ylabel=title)

    return panels(subjects, columns, 2.4, draw, titles=titles_of(subjects))


def titles_of(subjects: Sequence[tuple[str, str]]) -> list[str]:
    """Returns titles for panels of models and names, without the parts that all share."""
    told = [place for place in (0, 1) if len({subject[place] for subject in subjects}) > 1]
    return [", ".join(subject[place] for place in told) for subject in subjects]


def f1_by_name(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Figure:
    """Draws F1 of each class or label: the best model, the best baseline, and the others faint.

    Args:
        results: the models.
        labels: labels of the models with answers, the best first. Names are sorted by its F1, worst
            first; only the worst `MOST_NAMED` names are drawn.
        columns: unused.
        table: a table from `by_name`.
    """
    table = frames.by_name(results) if table is None else table
    best, baseline = labels[0], frames.best_baseline(leaderboard(results))
    f1 = table.pivot(index=table.columns[1], columns="model", values="f1")
    f1 = f1.reindex(list(results.task.names))
    # A name without rows has no F1.
    f1 = f1[table.loc[table["model"] == best, "support"].to_numpy() > 0]
    f1 = f1.sort_values(best, kind="stable").head(MOST_NAMED)
    names = [wrapped(str(name), 22) for name in f1.index]
    lines = len(names) * max(1.5, *(name.count("\n") + 1.0 for name in names))
    others = [c for c in f1.columns if c not in (best, baseline)]
    with style():
        figure = Figure(figsize=(4.2, 0.95 + 0.17 * lines + 0.15 * _is_long(best, baseline)))
        axes = figure.subplots()
        ys = np.arange(len(f1))
        axes.grid(False, axis="y")
        axes.hlines(ys, f1.min(axis=1), f1.max(axis=1), color=FAINT, lw=1.2, zorder=1)
        axes.plot(f1[best], ys, "o", color=BLUE, ms=6.5, zorder=4, label=wrapped(best, 26))
        if baseline and baseline != best:
            label = wrapped(baseline, 26)
            axes.plot(f1[baseline], ys, "D", mfc="white", mec=RED, ms=5.5, zorder=3, label=label)
        for i, other in enumerate(others):
            axes.plot(f1[other], ys, "|", color=GREY, ms=8, label="" if i else "other models")
        axes.set_yticks(ys, names)
        axes.set(xlim=(-0.02, 1.02), ylim=(len(f1) - 0.4, -0.6), xlabel="F1")
        if len(f1.columns) > 1:
            figure.legend(loc="outside upper left", ncols=1 if _is_long(best, baseline) else 3)
        return figure


def panels(
    labels: Sequence[Any],
    columns: int,
    height: float,
    draw: Callable[[Axes, Any], None],
    draw_below: Callable[[Axes, Any], None] | None = None,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Draws a panel for each label; with titles only if there are several, as a page has its own.

    Args:
        labels: labels of the models, or anything else that `draw` takes.
        columns: panels side by side.
        height: height of a panel, in inches.
        draw: draws the panel; takes axes and a label.
        draw_below: draws a second, lower panel below each; takes the same.
        titles: titles of the panels, if not `labels`.
    """
    titles = titles or labels
    columns = min(columns, len(labels))
    rows = -(-len(labels) // columns)
    parts = 2 if draw_below else 1
    with style():
        figure = Figure(figsize=(_PANEL * columns, height * rows))
        ratios = [3, 1] * rows if draw_below else [1] * rows
        grid: Any = figure.subplots(rows * parts, columns, squeeze=False, height_ratios=ratios)
        for place in range(rows * columns):
            row, column = divmod(place, columns)
            cells = [grid[row * parts + part, column] for part in range(parts)]
            if place >= len(labels):
                for axes in cells:
                    axes.set_axis_off()
                continue
            for axes, paint in zip(cells, (draw, draw_below), strict=False):
                if paint:
                    paint(axes, labels[place])
            if len(labels) > 1:
                cells[0].set_title(wrapped(titles[place], 30))
        return figure
