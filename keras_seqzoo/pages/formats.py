"""Numbers as readers want them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

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


def fixed(value: Any, decimals: int) -> str:
    """Returns a number with thousands apart; "<0.01" for what would round to 0, a dash for None."""
    if not _is_known(value):
        return UNKNOWN
    if value == 0:
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
    """Returns a name that breaks after its underscores and slashes before it breaks in a word."""
    return Markup(re.sub(r"([_/=])", r"\1<wbr>", str(escape(name))))


def listed(names: Sequence[str]) -> str:
    """Returns `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _is_known(value: Any) -> bool:
    return value is not None and bool(np.isfinite(float(value)))
