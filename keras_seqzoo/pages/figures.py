"""The figures of a report, drawn by matplotlib without its global state.

Each function returns a `matplotlib.figure.Figure`, ready to be saved. Those with `labels` draw a
panel for each of these models, `columns` side by side; all panels of a call, and of calls with the
same results, have the same limits, so that they can be compared. They take the `table` of
`keras_seqzoo.pages.frames` that belongs to them, and make it where it is not given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from keras_seqzoo.evaluation.choose import pareto_front
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
from keras_seqzoo.tasks.classify import Classify

COSTS = {
    "p95_ms": "time of one text, 95th percentile (ms)",
    "size_mb": "size on disk (MB)",
    "training_s": "training time (s)",
}
MOST_NUMBERED = 12  # classes of a matrix whose cells can hold numbers
MOST_NAMED = 15  # classes of `f1_by_class`
_LONGEST_NAME = 32
_MOST_ON_AXIS = 6  # more names would leave the cells no room for their numbers
_PANEL = 3.1


def cost_quality(table: pd.DataFrame, cost: str) -> Figure:
    """Draws macro-F1 over a cost, and the models that no other beats in both.

    Args:
        table: as `leaderboard` makes it.
        cost: a key of `COSTS`; at least one model must have it.
    """
    known = table[table[cost].notna() & table["macro_f1"].notna()]
    known = known[known[cost] > 0]
    low = shown_from(known)
    known = known[known["macro_f1"] >= low]
    xs, ys = known[cost].to_numpy(float), known["macro_f1"].to_numpy(float)
    with style():
        figure = Figure(figsize=(3.9, 3.4))
        axes = figure.subplots()
        axes.set_xscale("log")
        decades = max(_decades(xs), 0.3)
        axes.set_xlim(xs.min() / 10 ** (0.16 * decades), xs.max() * 10 ** (0.16 * decades))
        room = max(float(np.ptp(ys)), 0.02) * 0.18
        axes.set_ylim(ys.min() - room, min(ys.max() + room, 1.02))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _decades(xs) < 1.6 else (1,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.10g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(COSTS[cost])
        axes.set_ylabel("macro-F1")
        front = known.loc[pareto_front(known, cost, Classify.metrics[0])]
        axes.step(front[cost], front["macro_f1"], where="post", color=INK, lw=1, zorder=2)
        axes.vlines(xs, known["macro_f1_low"], known["macro_f1_high"], color=FAINT, lw=2, zorder=1)
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
            np.column_stack(_corners(front[cost], front["macro_f1"])),
        )
        return figure


def shown_from(known: pd.DataFrame) -> float:
    """The macro-F1 from which `cost_quality` draws: baselines far below all models are left out."""
    models = known.loc[~known["baseline"].astype(bool), "macro_f1"].astype(float)
    if models.empty:
        return 0.0
    below = known.loc[known["macro_f1"] < models.min(), "macro_f1"].astype(float)
    far = models.min() - max(1.5 * float(np.ptp(models)), 0.05)
    return float(below[below >= far].min()) if (below >= far).any() else float(models.min())


def learning_curves(
    results: Results,
    labels: Sequence[str],
    columns: int = 1,
    table: pd.DataFrame | None = None,
) -> Figure:
    """Draws training and validation loss by epoch; the kept run strong, other seeds thin."""
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
        axes.set_ylabel("loss (nats)")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.legend(loc="best", handlelength=2.4)

    return _panels(labels, columns, 2.3, draw)


def confusion_matrices(results: Results, labels: Sequence[str], columns: int = 1) -> Figure:
    """Draws counts, a row a true class, shaded by their share of the row.

    Where there are many classes, or long names, axes count the classes from 1 (see
    `has_numbered_classes`); beyond `MOST_NUMBERED` classes, cells have no numbers.
    """
    count = len(results.classes)
    names = [wrapped(name, 16) for name in results.classes]
    plain = not has_numbered_classes(results)
    across = plain and count <= 4 and max(map(len, results.classes)) <= 9

    def draw(axes: Axes, label: str) -> None:
        counts = results.report(label).confusion.to_numpy()
        of_class = counts.sum(axis=1, keepdims=True)
        shares = counts / np.where(of_class, of_class, 1)
        axes.grid(False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(True)
        if count > MOST_NUMBERED:
            axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="none")
            ticks = np.unique([0, *range(9, count, 10 if count <= 60 else 20)])
            axes.set_xticks(ticks, [str(t + 1) for t in ticks])
            axes.set_yticks(ticks, [str(t + 1) for t in ticks])
            return
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
        axes.invert_yaxis()
        numbers = [str(i + 1) for i in range(count)]
        middle = np.arange(count) + 0.5
        axes.set_xticks(middle, names if across else numbers)
        rows = names if across else [f"{n}  {i}" for n, i in zip(names, numbers, strict=True)]
        axes.set_yticks(middle, rows if plain else numbers)
        digits = max(len(f"{counts.max():,}") * count, 1)
        for (row, column), value in np.ndenumerate(counts):
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{value:,}",
                ha="center",
                va="center",
                fontsize=min(10.0, 250 / max(digits, 25)),
                color="white" if shares[row, column] > 0.55 else INK if value else GREY,
            )

    return _panels(labels, columns, 2.7 if count <= 5 else 3.0, draw)


def has_numbered_classes(results: Results) -> bool:
    """Whether `confusion_matrices` writes numbers in place of the names of classes."""
    longest = max(map(len, results.classes))
    return len(results.classes) > _MOST_ON_AXIS or longest > _LONGEST_NAME


def reliability(
    results: Results,
    labels: Sequence[str],
    columns: int = 1,
    table: pd.DataFrame | None = None,
) -> Figure:
    """Draws how often answers of a confidence are right, and how many rows have it."""
    table = frames.calibration(results) if table is None else table
    rows_most = float(table["rows"].max())
    left = float(table.loc[table["rows"] > 0, "low"].min()) - 0.02
    ticks = [tick for tick in np.linspace(0, 1, 6) if tick >= left]

    def draw(axes: Axes, label: str) -> None:
        bins = table[(table["model"] == label) & (table["rows"] > 0)]
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, linestyle=":")
        axes.vlines(bins["confidence"], bins["confidence"], bins["accuracy"], color=RED, lw=1.2)
        axes.plot(bins["confidence"], bins["accuracy"], "o-", color=BLUE, markersize=4)
        axes.set(xlim=(left, 1.02), ylim=(-0.02, 1.02), ylabel="share right")
        axes.set_xticks(ticks, [""] * len(ticks))
        axes.set_yticks(np.linspace(0, 1, 6))

    def draw_rows(axes: Axes, label: str) -> None:
        bins = table[table["model"] == label]
        width = bins["high"] - bins["low"]
        axes.bar(bins["low"], bins["rows"], width * 0.92, align="edge", color="#9db4c8")
        axes.set(xlim=(left, 1.02), ylim=(0, rows_most * 1.08), xlabel="confidence", ylabel="rows")
        axes.set_xticks(ticks)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True))

    return _panels(labels, columns, 3.2, draw, draw_rows)


def accuracy_by_length(
    results: Results,
    labels: Sequence[str],
    columns: int = 1,
    table: pd.DataFrame | None = None,
) -> Figure:
    """Draws accuracy of short and long texts with 95 % intervals, the other models faint behind."""
    table = frames.lengths(results) if table is None else table
    low = max(float(table["low_ci"].min()) - 0.03, 0.0)

    def draw(axes: Axes, label: str) -> None:
        for name, other in table.groupby("model", sort=False):
            if name != label:
                axes.plot(np.arange(len(other)), other["accuracy"], color=FAINT, lw=1, zorder=1)
        own = table[table["model"] == label]
        middle = np.arange(len(own))
        accuracy = own["accuracy"]
        axes.errorbar(
            middle,
            accuracy,
            np.abs([accuracy - own["low_ci"], own["high_ci"] - accuracy]),
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
        axes.set(xlim=(-0.4, len(own) - 0.6), ylim=(low, 1.02))
        axes.set(xlabel="words a text", ylabel="accuracy")

    return _panels(labels, columns, 2.4, draw)


def f1_by_class(results: Results, best: str, baseline: str | None = None) -> Figure:
    """Draws F1 of each class: the best model, the best baseline, and the others faint.

    Args:
        results: at least one model with answers.
        best: label of the model by which classes are sorted, worst first. Of more than
            `MOST_NAMED` classes, so many of its worst are drawn.
        baseline: label of a baseline to be marked.
    """
    table = frames.classes(results)
    f1 = table.pivot(index="class", columns="model", values="f1").reindex(list(results.classes))
    # A class without rows has no F1 to speak of.
    f1 = f1[results.report(best).per_class["support"].to_numpy() > 0]
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


def _panels(
    labels: Sequence[str],
    columns: int,
    height: float,
    draw: Callable[[Axes, str], None],
    draw_below: Callable[[Axes, str], None] | None = None,
) -> Figure:
    """Draws a panel a label; titles only where there are several, for a page has its own."""
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
                cells[0].set_title(wrapped(labels[place], 30))
        return figure


def _corners(xs: pd.Series, ys: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Returns the corners of a line that goes right first, then up."""
    return np.repeat(xs.to_numpy(float), 2)[1:], np.repeat(ys.to_numpy(float), 2)[:-1]


def _decades(values: np.ndarray) -> float:
    return float(np.log10(values.max() / values.min())) if len(values) else 0.0


def _is_long(*names: str | None) -> bool:
    return sum(len(name or "") for name in names) > 30
