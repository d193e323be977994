"""How well spans of texts are found: exactly, in part, and with which type.

A span is `(start, end, type)`; those of a text do not overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

NOTHING = "nothing"


def matches(true: Sequence[Any], said: Sequence[Any]) -> tuple[int, int, int]:
    """Counts of exact spans, true ones that one said of their type touches, and the reverse."""

    def touched(ones: Sequence[Any], others: Sequence[Any]) -> int:
        return sum(any(o[2] == s[2] and o[0] < s[1] and s[0] < o[1] for o in others) for s in ones)

    return len({*true} & {*said}), touched(true, said), touched(said, true)


def counts_by_row(true: Sequence[Any], said: Sequence[Any]) -> npt.NDArray[np.float64]:
    """For each text: true spans, spans said, and the counts of `matches`; float64 `(rows, 5)`."""
    rows = [(len(t), len(s), *matches(t, s)) for t, s in zip(true, said, strict=True)]
    return np.array(rows, np.float64).reshape(-1, 5)


def scores(counts: npt.NDArray[Any]) -> dict[str, Any]:
    """Precision, recall and F1 of sums of `counts_by_row`, `(…, 5)`; 0 if there are no spans.

    `partial_f1` counts a span as found if one of its type touches it.
    """
    true, said, exact, true_touched, said_touched = np.moveaxis(np.asarray(counts, float), -1, 0)

    def share(part: Any, whole: Any) -> Any:
        return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

    precision, recall = share(said_touched, said), share(true_touched, true)
    return {
        "f1": share(2 * exact, true + said),
        "precision": share(exact, said),
        "recall": share(exact, true),
        "partial_f1": share(2 * precision * recall, precision + recall),
    }


def by_type(true: Sequence[Any], said: Sequence[Any], names: Sequence[str]) -> pd.DataFrame:
    """The `scores` of each type, and its number of true spans."""
    rows = []
    for name in names:
        of_type = ([[s for s in row if s[2] == name] for row in rows] for rows in (true, said))
        sums = counts_by_row(*of_type).sum(axis=0)
        rows.append({k: float(v) for k, v in scores(sums).items()} | {"support": int(sums[0])})
    return pd.DataFrame(rows, index=pd.Index(names, name="type"))


def confusion(true: Sequence[Any], said: Sequence[Any], names: Sequence[str]) -> pd.DataFrame:
    """Counts of the types said for spans of each type; the last row and column are for no span.

    A true span is paired with the span said that shares the most characters with it.
    """
    labels = [*names, NOTHING]
    table = np.zeros((len(labels), len(labels)), np.int64)
    place = {name: i for i, name in enumerate(labels)}
    for ones, others in zip(true, said, strict=True):
        left = {*others}
        for start, end, kind in ones:
            shared = [(min(end, o[1]) - max(start, o[0]), o) for o in others]
            size, best = max(shared, default=(0, None), key=lambda pair: pair[0])
            found = best if size > 0 else None
            left.discard(found)
            table[place[kind], place[found[2] if found else NOTHING]] += 1
        for *_, kind in left:
            table[-1, place[kind]] += 1
    return pd.DataFrame(table, pd.Index(labels, name="true"), pd.Index(labels, name="predicted"))
