"""The leaderboard of the page: cells of text, the best of each column, bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from keras_seqzoo.evaluation.results import Entry, Results
from keras_seqzoo.pages.by_task import sections_of
from keras_seqzoo.pages.figures import is_drawn
from keras_seqzoo.pages.formats import (
    between,
    decimals_for,
    fixed,
    is_worse,
    metric_decimals,
    number,
    three_digits,
)
from keras_seqzoo.pages.frames import best_baseline
from keras_seqzoo.tasks.base import Metric, Task


@dataclass(frozen=True)
class Column:
    """A column of figures: its key, group and title, and whether more is better."""

    key: str
    group: str
    title: str
    unit: str = ""
    more_is_better: bool = False
    scale: float = 1.0
    decimals: int | None = None

    @property
    def name(self) -> str:
        """Its name in places that do not show its group."""
        is_plain = self.group in ("Quality", "Size")
        return self.title if is_plain else f"{self.group.lower()} {self.title}"


_COSTS = (
    Column("parameters", "Size", "weights", "millions", scale=1e-6),
    Column("size_mb", "Size", "on disk", "MB"),
    Column("memory_mb", "Size", "memory", "MB", decimals=0),
    Column("training_s", "Training", "time", "s"),
    Column("examples_per_s", "Training", "speed", "rows/s", more_is_better=True, decimals=0),
    Column("p50_ms", "Answering", "median", "ms"),
    Column("p95_ms", "Answering", "p95", "ms"),
    Column("texts_per_s", "Answering", "speed", "rows/s", more_is_better=True, decimals=0),
)
_MOST_BARS = 2
_BAR = 104.0


@dataclass(frozen=True)
class Cell:
    """A figure: its text, whether it is the column's best, its value, bar and interval."""

    text: str
    is_best: bool
    value: str
    bar: Markup | None = None
    interval: str = ""


@dataclass(frozen=True)
class Row:
    """A model: its figures, or the reason why there are none."""

    label: str
    is_baseline: bool
    is_below: bool
    missing: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Ranking:
    """The whole table.

    Attributes:
        columns: the columns of figures.
        groups: names of column groups, and how many columns each has.
        rows: a row for each model.
        scales: the ends of the bars, by the key of each column with bars.
    """

    columns: tuple[Column, ...]
    groups: tuple[tuple[str, int], ...]
    rows: tuple[Row, ...]
    scales: dict[str, tuple[str, str]]


def ranking(results: Results, table: pd.DataFrame) -> Ranking:
    """Makes cells of a leaderboard; columns without any figure are left out."""
    metric = results.task.metric()
    columns = tuple(c for c in _columns(results.task, table) if table[c.key].notna().any())
    baseline = best_baseline(table)
    entries = {entry.label: entry for entry in results.entries}
    bests = {c.key: _best(table, c) for c in columns}
    decimals = {c.key: _decimals(table, c) if c.decimals is None else c.decimals for c in columns}
    ranged = [m for m in results.task.metrics if m.interval]
    scales = {m.name: _scale(table, m, metric) for m in ranged[:_MOST_BARS]}
    intervals = {m.name for m in ranged}
    limit = number(table, baseline, metric.name) if baseline else np.nan
    rows = []
    for label in table.index:
        entry = entries[str(label)]
        cells = []
        for c in columns:
            value = number(table, str(label), c.key)
            known = bool(np.isfinite(value))
            cells.append(
                Cell(
                    text=fixed(value * c.scale if known else None, decimals[c.key]),
                    is_best=known and len(table) > 1 and value == bests[c.key],
                    value=repr(value) if known else "",
                    bar=_bar(results, entry, table, c.key, scales[c.key], baseline)
                    if known and c.key in scales
                    else None,
                    interval=between(
                        (number(table, entry.label, f"{c.key}_{e}") for e in ("low", "high")),
                        decimals[c.key],
                    )
                    if known and c.key in intervals
                    else "",
                )
            )
        rows.append(
            Row(
                label=entry.label,
                is_baseline=entry.is_baseline,
                is_below=not entry.is_baseline
                and is_worse(metric, number(table, entry.label, metric.name), limit),
                missing=entry.missing,
                cells=tuple(cells) if entry.runs else (),
            )
        )
    names = [c.group for c in columns]
    groups = tuple((name, names.count(name)) for name in dict.fromkeys(names))
    return Ranking(columns, groups, tuple(rows), {k: _ends(scale) for k, scale in scales.items()})


def _columns(task: Task, table: pd.DataFrame) -> list[Column]:
    shown = [m for m in task.metrics if m.name not in sections_of(task).hidden]
    return [
        *(
            Column(
                m.name,
                "Quality",
                m.title,
                m.unit or "",
                more_is_better=not m.lower_is_better,
                decimals=metric_decimals(m, table[m.name]),
            )
            for m in shown
        ),
        *_COSTS,
    ]


def _decimals(table: pd.DataFrame, column: Column) -> int:
    # A baseline with tiny costs must not add decimals everywhere.
    models = table.loc[~table["baseline"].astype(bool), column.key]
    return decimals_for((models if models.notna().any() else table[column.key]) * column.scale)


def _best(table: pd.DataFrame, column: Column) -> float:
    # Without this, a baseline that always gives the same answer would win every cost.
    rows = table
    if column.group != "Quality" and not table["baseline"].all():
        rows = table[~table["baseline"].astype(bool)]
    values = rows[column.key].astype(float)
    return float(values.max() if column.more_is_better else values.min())


def _scale(table: pd.DataFrame, metric: Metric, first: Metric) -> tuple[float, float]:
    """Limits of the bars, without baselines so bad that they would flatten the others."""
    ends = [f"{metric.name}{end}" for end in ("_low", "_high", "_min", "_max")]
    values = table.loc[is_drawn(table, first), ends].to_numpy(float)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    wide = float(np.ptp(values))
    per_unit = 20 if metric.unit is not None else 2 / 10 ** np.floor(np.log10(wide or 1.0))
    low, high = np.floor(values.min() * per_unit), np.ceil(values.max() * per_unit)
    return float(low / per_unit), float(max(high, low + 1) / per_unit)


def _ends(scale: tuple[float, float]) -> tuple[str, str]:
    wide = scale[1] - scale[0]
    decimals = 2 if 0.02 < wide <= 5 else three_digits([wide])
    low, high = (fixed(end, decimals) for end in scale)
    return low, high


def _bar(
    results: Results,
    entry: Entry,
    table: pd.DataFrame,
    key: str,
    scale: tuple[float, float],
    baseline: str | None,
) -> Markup:
    """Draws the interval, the mean as a dot and each run as a tick, on the scale of all rows."""

    def x(value: float) -> str:
        share = (min(max(value, scale[0]), scale[1]) - scale[0]) / (scale[1] - scale[0])
        return f"{4 + (_BAR - 8) * share:.1f}"

    low, high, mean = (number(table, entry.label, f"{key}{e}") for e in ("_low", "_high", ""))
    parts = [f'<path class="track" d="M4 8H{_BAR - 4:g}"/>']
    if mean < scale[0]:
        return _svg([*parts, '<path class="dot" d="M0 8l6-4v8z"/>'])
    if mean > scale[1]:
        return _svg([*parts, f'<path class="dot" d="M{_BAR:g} 8l-6-4v8z"/>'])
    if np.isfinite(low):
        parts.append(f'<path class="range" d="M{x(low)} 8H{x(high)}"/>')
    if len(entry.runs) > 1:
        ticks = "".join(f"M{x(r.figures[key])} 3V13" for r in results.reports[entry.label])
        parts.append(f'<path class="runs" d="{ticks}"/>')
    if baseline and len(table) > 1:
        parts.append(f'<path class="limit" d="M{x(number(table, baseline, key))} 0V16"/>')
    if entry.is_baseline:
        parts.append(f'<rect class="dot" x="-3" y="-3" width="6" height="6" '
                     f'transform="translate({x(mean)} 8) rotate(45)"/>')  # fmt: skip
    else:
        parts.append(f'<circle class="dot" cx="{x(mean)}" cy="8" r="3.6"/>')
    return _svg(parts)


def _svg(parts: list[str]) -> Markup:
    return Markup(
        f'<svg class="bar" viewBox="0 0 {_BAR:g} 16" width="{_BAR:g}" height="16" '
        f'aria-hidden="true">{"".join(parts)}</svg>'
    )
