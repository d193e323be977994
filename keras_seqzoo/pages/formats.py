"""Formats numbers for readers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from keras_seqzoo.tasks.base import Metric

EN_DASH, MINUS = "\u2013", "\u2212"
UNKNOWN = EN_DASH


def number(table: pd.DataFrame, row: str, column: str) -> float:
    """Returns a figure of a table; NaN for an unknown one."""
    return float(table[column].astype(float)[row])


def decimals_for(values: Iterable[Any]) -> int:
    """Returns how many decimals a column needs: enough for its small values, few for large ones."""
    known = np.abs([float(v) for v in values if _is_known(v)])
    known = known[known > 0]
    if len(known) == 0 or np.all(known == np.round(known)) or known.max() >= 1000:
        return 0
    return 2 if known.max() < 100 and known.min() < 1 else 1 if known.min() < 100 else 0


def metric_decimals(metric: Metric, values: Iterable[Any]) -> int:
    """Returns how many decimals a figure has: 3, or `three_digits` if it has the data's unit."""
    return 3 if metric.unit is not None else three_digits(values)


def three_digits(values: Iterable[Any]) -> int:
    """Returns how many decimals show three digits of the largest value."""
    largest = max((abs(float(v)) for v in values if _is_known(v)), default=0.0)
    return max(0, 2 - int(np.floor(np.log10(largest)))) if largest else 0


def alike(values: Iterable[float]) -> list[str]:
    """Returns numbers of any size with the same decimals, three digits of the largest or more."""
    known = list(values)
    return [fixed(value, three_digits(known)) for value in known]


def metric_text(metric: Metric, value: float) -> str:
    """Returns a figure with its decimals."""
    return fixed(value, metric_decimals(metric, [value]))


def gap(metric: Metric, difference: float) -> str:
    """Returns the difference of two figures, such as `1.2 points of macro-F1`."""
    if metric.lower_is_better:
        return f"{metric_text(metric, abs(difference))} of {metric.title}"
    return f"{points(abs(difference)).lstrip('+')} points of {metric.title}"


def between(ends: Iterable[float], decimals: int) -> str:
    """Returns an interval in short form; "" for an unknown one."""
    low, high = ends
    if not np.isfinite(low):
        return ""
    dash = " to " if low < 0 else EN_DASH
    return f"{fixed(low, decimals)}{dash}{fixed(high, decimals)}"


def is_worse(metric: Metric, value: float, limit: float) -> bool:
    """Returns whether a figure is worse than another."""
    return value > limit if metric.lower_is_better else value < limit


def interval(table: pd.DataFrame, label: str, metric: Metric) -> Markup:
    """Returns the interval of a figure of a leaderboard, in brackets; "" without one."""
    if not metric.interval:
        return Markup("")
    low, high = (number(table, label, f"{metric.name}{end}") for end in ("_low", "_high"))
    if not np.isfinite(low):
        return Markup("")
    ends = (metric_text(metric, low), metric_text(metric, high))
    return Markup(" (95&nbsp;% interval {} to {})").format(*ends)


def bold(label: str) -> Markup:
    """Returns a model's name in a sentence."""
    return Markup("<bdi><b>{}</b></bdi>").format(label)


def fixed(value: Any, decimals: int) -> str:
    """Returns a number such as "1,234.5"; "<0.01" if it would round to 0, a dash for None."""
    if not _is_known(value):
        return UNKNOWN
    if -0.5 * 10**-decimals < value <= 0:
        value = 0.0
        decimals = 0 if decimals < 3 else decimals
    if 0 < value < 0.5 * 10**-decimals:
        return f"<{10**-decimals:.{decimals}f}"
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def aligned(values: Iterable[float]) -> list[str]:
    """Returns numbers that are mostly whole: without decimals, or all with one."""
    known = [float(value) for value in values]
    whole = all(value == round(value) for value in known)
    return [fixed(value, 0 if whole else 1) for value in known]


def p_value(value: float) -> str:
    """Returns `p = 0.21`, `p = 0.003` or `p < 0.001`, in one line."""
    if value < 0.001:
        return "p\u00a0<\u00a00.001"
    return f"p\u00a0=\u00a0{value:.2f}" if value >= 0.095 else f"p\u00a0=\u00a0{value:.3f}"


def points(difference: float) -> str:
    """Returns a difference of shares in hundredths, such as `+1.2`."""
    text = f"{100 * difference:+.1f}"
    return "0.0" if text[1:] == "0.0" else text.replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """Returns `48 s`, `12 min`, `3.2 h`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(amount: int, noun: str, plural: str = "") -> str:
    """Returns `1 row`, `2,000 rows`."""
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def breakable(name: str) -> Markup:
    """Returns a name that breaks after underscores and slashes rather than in a word."""
    return Markup(re.sub(r"([_/=])", r"\1<wbr>", str(escape(name))))


def listed(names: Sequence[str]) -> str:
    """Returns `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _is_known(value: Any) -> bool:
    return value is not None and bool(np.isfinite(float(value)))
