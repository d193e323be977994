"""The leaderboard as the page shows it: cells of text, the best of each column, bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from keras_seqzoo.evaluation.results import Entry, Results
from keras_seqzoo.pages.figures import shown_from
from keras_seqzoo.pages.files import best_baseline
from keras_seqzoo.pages.formats import EN_DASH, decimals_for, fixed, number


@dataclass(frozen=True)
class Column:
    """A column of figures: where it stands, what it is called, and which end is the good one."""

    key: str
    group: str
    title: str
    unit: str = ""
    more_is_better: bool = False
    scale: float = 1.0
    decimals: int | None = None

    @property
    def name(self) -> str:
        """What it is called where its group is not seen."""
        is_plain = self.group in ("Quality", "Size")
        return self.title if is_plain else f"{self.group.lower()} {self.title}"


COLUMNS = (
    Column("macro_f1", "Quality", "macro-F1", more_is_better=True, decimals=3),
    Column("accuracy", "Quality", "accuracy", more_is_better=True, decimals=3),
    Column("log_loss", "Quality", "log loss", "nats", decimals=3),
    Column("calibration_error", "Quality", "calibration error", decimals=3),
    Column("parameters", "Size", "weights", "millions", scale=1e-6),
    Column("size_mb", "Size", "on disk", "MB"),
    Column("memory_mb", "Size", "memory", "MB", decimals=0),
    Column("training_s", "Training", "time", "s"),
    Column("examples_per_s", "Training", "speed", "texts/s", more_is_better=True, decimals=0),
    Column("p50_ms", "Answering", "median", "ms"),
    Column("p95_ms", "Answering", "p95", "ms"),
    Column("texts_per_s", "Answering", "speed", "texts/s", more_is_better=True, decimals=0),
)
_BARS = ("macro_f1", "accuracy")
_BAR = 104.0


@dataclass(frozen=True)
class Cell:
    """A figure: its text, whether it is the column's best, its bar and interval, and its value."""

    text: str
    is_best: bool
    value: str
    bar: Markup | None = None
    interval: str = ""


@dataclass(frozen=True)
class Row:
    """A model: its figures, or none and the reason."""

    label: str
    is_baseline: bool
    is_below: bool
    missing: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Ranking:
    """The whole table. `groups` are names of column groups and how many columns each has."""

    columns: tuple[Column, ...]
    groups: tuple[tuple[str, int], ...]
    rows: tuple[Row, ...]
    scales: dict[str, tuple[float, float]]


def ranking(results: Results, table: pd.DataFrame) -> Ranking:
    """Makes cells of a leaderboard; columns without any figure are left out."""
    columns = tuple(c for c in COLUMNS if table[c.key].notna().any())
    baseline = best_baseline(table)
    entries = {entry.label: entry for entry in results.entries}
    bests = {c.key: _best(table, c) for c in columns}
    decimals = {c.key: _decimals(table, c) if c.decimals is None else c.decimals for c in columns}
    scales = {key: _scale(table, key) for key in _BARS}
    limit = number(table, baseline, "macro_f1") if baseline else -np.inf
    rows = []
    for label in table.index:
        entry = entries[str(label)]
        cells = []
        for c in columns:
            value = number(table, str(label), c.key)
            known = bool(np.isfinite(value))
            drawn = known and c.key in _BARS
            cells.append(
                Cell(
                    text=fixed(value * c.scale if known else None, decimals[c.key]),
                    is_best=known and len(table) > 1 and value == bests[c.key],
                    value=repr(value) if known else "",
                    bar=_bar(results, entry, table, c.key, scales[c.key], baseline)
                    if drawn
                    else None,
                    interval=_interval(table, entry.label, c.key) if drawn else "",
                )
            )
        rows.append(
            Row(
                label=entry.label,
                is_baseline=entry.is_baseline,
                is_below=not entry.is_baseline and number(table, entry.label, "macro_f1") < limit,
                missing=entry.missing,
                cells=tuple(cells) if entry.runs else (),
            )
        )
    names = [c.group for c in columns]
    groups = tuple((name, names.count(name)) for name in dict.fromkeys(names))
    return Ranking(columns, groups, tuple(rows), scales)


def _decimals(table: pd.DataFrame, column: Column) -> int:
    # A baseline that takes next to nothing is no reason for more decimals everywhere.
    models = table.loc[~table["baseline"].astype(bool), column.key]
    return decimals_for((models if models.notna().any() else table[column.key]) * column.scale)


def _best(table: pd.DataFrame, column: Column) -> float:
    # A baseline that always says the same would have won every cost.
    rows = table
    if column.group != "Quality" and not table["baseline"].all():
        rows = table[~table["baseline"].astype(bool)]
    values = rows[column.key].astype(float)
    return float(values.max() if column.more_is_better else values.min())


def _interval(table: pd.DataFrame, label: str, key: str) -> str:
    low, high = (number(table, label, f"{key}{end}") for end in ("_low", "_high"))
    return f"{low:.3f}{EN_DASH}{high:.3f}" if np.isfinite(low) else ""


def _scale(table: pd.DataFrame, key: str) -> tuple[float, float]:
    """Limits of the bars: of all rows but baselines so bad that they would flatten the others."""
    known = table[table["macro_f1"].notna()]
    table = known[known["macro_f1"] >= shown_from(known)]
    ends = [f"{key}{end}" for end in ("_low", "_high", "_min", "_max")]
    values = table[ends].to_numpy(float)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.floor(values.min() * 20) / 20, np.ceil(values.max() * 20) / 20
    return float(low), float(max(high, low + 0.05))


def _bar(
    results: Results,
    entry: Entry,
    table: pd.DataFrame,
    key: str,
    scale: tuple[float, float],
    baseline: str | None,
) -> Markup:
    """Draws the interval, the mean as a dot and each run as a tick, on a scale all rows share."""

    def x(value: float) -> str:
        share = (min(max(value, scale[0]), scale[1]) - scale[0]) / (scale[1] - scale[0])
        return f"{4 + (_BAR - 8) * share:.1f}"

    low, high, mean = (number(table, entry.label, f"{key}{e}") for e in ("_low", "_high", ""))
    parts = [f'<path class="track" d="M4 8H{_BAR - 4:g}"/>']
    if mean < scale[0]:
        return _svg([*parts, '<path class="dot" d="M0 8l6-4v8z"/>'])
    if np.isfinite(low):
        parts.append(f'<path class="range" d="M{x(low)} 8H{x(high)}"/>')
    if len(entry.runs) > 1:
        ticks = "".join(f"M{x(getattr(r, key))} 3V13" for r in results.reports[entry.label])
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
