"""Thresholds that keep a promise: an error, a precision or a recall on rows not yet seen.

What is found on validation rows is the better for having been looked for there, and a threshold
that just reaches a wanted figure on them misses it on new rows as often as not. Those found here
hold, of all draws of validation rows, in a wanted share. No TensorFlow.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import convolve
from scipy.stats import beta, binom

from keras_seqzoo.checks import check_between
from keras_seqzoo.names import shown_names

_STEP = 1.02  # from one number of rows that is tried to the next
_FEW = 200  # rows that are added one by one


def error_threshold(scores: Any, wrong: Any, error: float, level: float) -> float | None:
    """The lowest threshold from which on the error is promised.

    Each threshold is tested: had it the error `error`, would so few of the rows from it on be
    wrong? The lowest that passes is taken, and since there are many, each must pass at a stricter
    level than 1 - `level`: the one at which rows of just that error pass anywhere, the surest
    first, with a probability of 1 - `level`. That probability is computed, not bounded, from the
    distribution of the walk of errors. Sources: Angelopoulos et al. (2021), Learn then Test
    (thresholds as tests); Pocock (1977), Group sequential methods (one level for all looks);
    Geifman and El-Yaniv (2017), Selective Classification for Deep Neural Networks, whose bound
    divides by the number of tests. It holds where rows are drawn alike, and surer answers err no
    more often.

    Args:
        scores: how sure each answer is `(rows,)`.
        wrong: bool `(rows,)`.
        error: above 0 and below 1.
        level: in which share of all draws of rows the promise shall hold, above 0 and below 1.

    Returns:
        A threshold half-way to the next lower score; None where none passes.
    """
    scores = np.asarray(scores, np.float32)
    order = np.argsort(-scores, kind="stable")
    ordered, errors = scores[order], np.cumsum(np.asarray(wrong, bool)[order])
    # Of equal scores all are answered or none, and fewer rows than these show nothing.
    looks = np.flatnonzero(np.append(ordered[:-1] > ordered[1:], True)[: len(ordered)]) + 1
    looks = looks[looks * math.log1p(-error) <= math.log(1 - level)]
    if not len(looks):
        return None
    steps = (np.log(looks) / math.log(_STEP)).astype(int)
    looks = looks[np.append(steps[:-1] < steps[1:], True)]
    strictness = _strictness(tuple(looks.tolist()), error, level)
    passes = binom.cdf(errors[looks - 1], looks, error) <= strictness
    return _between(ordered, int(looks[passes][-1])) if passes.any() else None


def recall_threshold(scores: Any, recall: float, level: float) -> float | None:
    """The highest threshold that a wanted share of rows reaches.

    A tolerance limit without a distribution (Wilks 1941): the share of all rows below the n-th
    lowest of some has a beta distribution, whatever the scores.

    Args:
        scores: of the rows that are to be found `(rows,)`.
        recall: above 0 and below 1.
        level: as in `error_threshold`.

    Returns:
        A threshold half-way to the next lower score; None where there are too few rows.
    """
    ordered = -np.sort(-np.asarray(scores, np.float32))
    rows = len(ordered)
    missed = np.arange(rows)
    holds = beta.cdf(1 - recall, missed + 1, rows - missed) >= level
    return _between(ordered, rows - int(missed[holds][-1])) if holds.any() else None


def least_error(scores: Any, wrong: Any, level: float) -> float | None:
    """The least error of two digits that `error_threshold` promises; None if none below 1."""
    rows = np.arange(1, len(scores) + 1)
    errors = np.cumsum(np.asarray(wrong, bool)[np.argsort(-np.asarray(scores), kind="stable")])
    # As if one threshold were tested, and as if each one were in its own right.
    low, high = (
        float(np.nanmin(beta.ppf(1 - tail, errors + 1, rows - errors), initial=1.0))
        for tail in (1 - level, (1 - level) / max(len(rows), 1))
    )
    while high - low > 0.02 * high:
        middle = (low + high) / 2
        if error_threshold(scores, wrong, middle, level) is None:
            low = middle
        else:
            high = middle
    while low < 1:
        digit = 10.0 ** (math.floor(math.log10(low)) - 1)
        low = round((math.floor(low / digit + 1e-9) + 1) * digit, 12)
        if low < 1 and error_threshold(scores, wrong, low, level) is not None:
            return low
    return None


def most_recall(rows: int, level: float) -> float:
    """The highest recall of three digits that `recall_threshold` promises of so many rows."""
    return math.floor(1000 * (1 - level) ** (1 / rows) + 1e-9) / 1000 if rows else 0.0


def threshold_of_all(scores: Any, wrong: Any, error: float, level: float) -> float:
    """As `error_threshold`, of answers of all classes.

    Raises:
        ValueError: no threshold promises the error; tells the nearest.
    """
    found = error_threshold(scores, wrong, error, level)
    if found is None:
        least = least_error(scores, wrong, level)
        raise ValueError(
            "No threshold promises that error on new rows; "
            + ("none promises any. " if least is None else f"the nearest is error={least:g}. ")
            + "Pass a larger one, more rows, or a lower level. "
            f"Received: error={error:g}, level={level:g}, {len(scores):,} rows"
        )
    return found


def named_thresholds(
    names: Sequence[str],
    truth: npt.NDArray[np.bool_],
    outputs: Any,
    precision: Mapping[str, float],
    recall: Mapping[str, float],
    level: float,
) -> list[float]:
    """The threshold of each class or label that keeps what is wanted of it; 0 where nothing is.

    Args:
        names: of the classes or labels.
        truth: which each row has `(rows, names)`.
        outputs: probabilities `(rows, names)`.
        precision: by name, above 0 and below 1.
        recall: by name, the same.
        level: as in `error_threshold`.

    Raises:
        ValueError: an unknown name, one with both, a value out of its range, or one that no
            threshold promises; tells the nearest.
    """
    found = [0.0] * len(names)
    for what, wanted in (("precision", precision), ("recall", recall)):
        for name, value in wanted.items():
            if name not in names or (name in precision and name in recall):
                raise ValueError(
                    "A class or label has one threshold. Pass either the precision or the recall "
                    f"that you want for it, by name. Received: {what}={{{name!r}: {value!r}}} of "
                    f"{shown_names(names)}"
                )
            check_between(**{what: value})
            place = list(names).index(name)
            has, scores = truth[:, place], np.asarray(outputs, np.float32)[:, place]
            if what == "precision":
                threshold = error_threshold(scores, ~has, 1 - value, level)
            else:
                threshold = recall_threshold(scores[has], value, level)
            if threshold is None:
                rows = f"{int(has.sum()):,} of {len(has):,} rows are {name!r}"
                raise _unmet(what, name, value, _nearest(what, scores, has, level), level, rows)
            found[place] = max(threshold, float(np.finfo(np.float32).tiny))
    return found


def _nearest(what: str, scores: Any, has: npt.NDArray[np.bool_], level: float) -> float:
    if what == "recall":
        return most_recall(int(has.sum()), level)
    return round(1 - (least_error(scores, ~has, level) or 1), 12)


def _unmet(
    what: str, name: str, value: float, nearest: float, level: float, rows: str
) -> ValueError:
    return ValueError(
        f"No threshold promises that {what} on new rows: "
        + (
            f"the nearest is {what}={{{name!r}: {nearest:g}}}. "
            if nearest > 0
            else "none promises any. "
        )
        + "Pass a lower one, more rows, or a lower level. "
        f"Received: {what}={{{name!r}: {value:g}}}, level={level:g}; {rows}"
    )


def check_kept(
    names: Sequence[str],
    truth: npt.NDArray[np.bool_],
    given: npt.NDArray[np.bool_],
    precision: Mapping[str, float],
    recall: Mapping[str, float],
) -> None:
    """Raises where classes that compete for rows take from each other what was wanted.

    Args:
        names: of the classes.
        truth: which each row is `(rows, classes)`.
        given: which is said of it.
        precision: wanted, by name.
        recall: wanted, by name.
    """
    for what, wanted, of in (("precision", precision, given), ("recall", recall, truth)):
        for name, value in wanted.items():
            place = list(names).index(name)
            rows = int(of[:, place].sum())
            share = (truth & given)[:, place].sum() / rows if rows else 0.0
            if share < value:
                raise ValueError(
                    "A text that reaches the thresholds of several classes is given one of them, "
                    f"which leaves {name!r} a {what} of {share:.3f} on these rows. Ask for fewer "
                    f"classes, or for less. Received: {what}={{{name!r}: {value:g}}}"
                )


def coverage_curve(scores: Any, wrong: Any, shares: Sequence[float]) -> pd.DataFrame:
    """The error of the surest rows.

    Args:
        scores: how sure each answer is `(rows,)`, at least one.
        wrong: bool `(rows,)`.
        shares: of the rows that are answered.

    Returns:
        A row a share, the index `coverage`: `threshold`, the lowest score answered; `rows`, one at
        least; `wrong`, how many of them; and `error`, the share of these. Of equal scores, those
        in the data first.
    """
    scores = np.asarray(scores, np.float64)
    order = np.argsort(-scores, kind="stable")
    rows = np.maximum(np.round(np.asarray(shares) * len(scores)).astype(int), 1)
    errors = np.cumsum(np.asarray(wrong, bool)[order])[rows - 1]
    columns = {"threshold": scores[order][rows - 1], "rows": rows, "wrong": errors}
    return pd.DataFrame(columns, pd.Index(shares, name="coverage")).assign(error=errors / rows)


def _between(ordered: npt.NDArray[np.float32], rows: int) -> float:
    """A threshold that the first rows reach, and no other: half-way where there is room."""
    upper = ordered[rows - 1]
    lower = ordered[rows] if rows < len(ordered) else np.float32(0)
    middle = np.float32((float(upper) + float(lower)) / 2)
    return float(middle if middle > lower else upper)


@functools.lru_cache(64)
def _strictness(looks: tuple[int, ...], error: float, level: float) -> float:
    """At which level each look is tested so that all together err as often as is allowed."""
    sizes = np.diff(looks, prepend=0)
    further = [binom.pmf(np.arange(size + 1), size, error) for size in sizes]
    low, high = (1 - level) / len(looks), 1 - level
    while high > 1.01 * low:
        middle = math.sqrt(low * high)
        if _passing_anywhere(np.array(looks), further, error, middle) <= 1 - level:
            low = middle
        else:
            high = middle
    return low


def _passing_anywhere(
    looks: npt.NDArray[Any], further: Sequence[npt.NDArray[Any]], error: float, strictness: float
) -> float:
    """How probably rows of that error pass a test at any of the looks.

    Args:
        looks: numbers of rows.
        further: of each look the probabilities of 0, 1, … errors in the rows since the one before.
        error: of the rows.
        strictness: level of each test.
    """
    most = binom.ppf(strictness, looks, error).astype(int)  # errors with which a look passes
    most -= binom.cdf(most, looks, error) > strictness
    left, passed = np.ones(1), 0.0  # probabilities of errors so far, where no look has passed
    for added, limit in zip(further, most, strict=True):
        joined = np.convolve if len(added) < _FEW else convolve  # by Fourier transform
        left = np.maximum(joined(left, added)[: max(most[-1], 0) + 1], 0)
        passed += float(left[: limit + 1].sum())
        left[: limit + 1] = 0
    return passed
