"""Thresholds that keep a promise: an error, a precision or a recall on rows not yet seen.

A threshold chosen on validation rows looks better there than it is. One that just reaches a wanted
figure on them misses it on new rows about half of the time. The promises here hold for a wanted
share of all draws of validation rows. No TensorFlow.
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

_STEP = 1.02  # factor from one tried number of rows to the next
_FEW = 200  # rows that are added one by one


def error_threshold(scores: Any, wrong: Any, error: float, level: float) -> float | None:
    """The lowest threshold for which the error can be promised.

    Each threshold is tested: if its error were `error`, would so few rows from it on be
    wrong? The result is the lowest threshold that passes. Because there are many, each must pass at
    a stricter level than 1 - `level`. At this level, rows with exactly that error pass at any
    threshold, from the surest row on, with a probability of 1 - `level`. That probability is
    computed, not bounded, from the distribution of the walk of errors. The promise holds if all
    rows come from the same distribution, and surer answers are not wrong more often.

    The sources are Angelopoulos et al. (2021), Learn then Test (thresholds as tests); Pocock
    (1977), Group sequential methods (one level for all looks); and Geifman and El-Yaniv (2017),
    Selective Classification for Deep Neural Networks, whose bound divides by the number of tests.

    Args:
        scores: how sure each answer is `(rows,)`.
        wrong: whether each answer is wrong, bool `(rows,)`.
        error: the error to promise, above 0 and below 1.
        level: share of all draws of rows in which the promise must hold, above 0 and below 1.

    Returns:
        A threshold half-way to the next lower score; None if none passes.
    """
    scores = np.asarray(scores, np.float32)
    order = np.argsort(-scores, kind="stable")
    ordered, errors = scores[order], np.cumsum(np.asarray(wrong, bool)[order])
    # Rows with equal scores are answered together, and fewer rows than these show nothing.
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

    A distribution-free tolerance limit (Wilks 1941): the share of all rows below the n-th lowest
    of a sample has a beta distribution, whatever the scores.

    Args:
        scores: scores of the rows to find `(rows,)`.
        recall: the recall to promise, above 0 and below 1.
        level: as in `error_threshold`.

    Returns:
        A threshold half-way to the next lower score; None if there are too few rows.
    """
    ordered = -np.sort(-np.asarray(scores, np.float32))
    rows = len(ordered)
    missed = np.arange(rows)
    holds = beta.cdf(1 - recall, missed + 1, rows - missed) >= level
    return _between(ordered, rows - int(missed[holds][-1])) if holds.any() else None


def least_error(scores: Any, wrong: Any, level: float) -> float | None:
    """The least error, with two digits, that `error_threshold` promises; None if none below 1."""
    rows = np.arange(1, len(scores) + 1)
    errors = np.cumsum(np.asarray(wrong, bool)[np.argsort(-np.asarray(scores), kind="stable")])
    # As if only one threshold were tested, and as if each had its own test.
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
    """The highest recall, with three digits, that `recall_threshold` promises for so many rows."""
    return math.floor(1000 * (1 - level) ** (1 / rows) + 1e-9) / 1000 if rows else 0.0


def threshold_of_all(scores: Any, wrong: Any, error: float, level: float) -> float:
    """Like `error_threshold`, for answers of all classes.

    Raises:
        ValueError: no threshold promises the error; names the nearest possible error.
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
    """The threshold of each class or label that keeps its wanted figure; 0 without one.

    Args:
        names: names of the classes or labels.
        truth: which classes or labels each row has `(rows, names)`.
        outputs: probabilities `(rows, names)`.
        precision: wanted precision by name, above 0 and below 1.
        recall: wanted recall by name, above 0 and below 1.
        level: as in `error_threshold`.

    Raises:
        ValueError: an unknown name, a name with both, a value out of its range, or one that no
            threshold promises; names the nearest possible value.
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
    """Raises if classes that compete for rows miss the wanted figures.

    Args:
        names: names of the classes.
        truth: whether each row has each class, bool `(rows, classes)`.
        given: whether each row was given each class, bool `(rows, classes)`.
        precision: wanted precision by name.
        recall: wanted recall by name.
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
        wrong: whether each answer is wrong, bool `(rows,)`.
        shares: shares of the rows to answer.

    Returns:
        A row for each share, with the index `coverage`: `threshold`, the lowest score answered;
        `rows`, at least one; `wrong`, how many of them are wrong; and `error`, the share of these.
        Equal scores keep their order in the data.
    """
    scores = np.asarray(scores, np.float64)
    order = np.argsort(-scores, kind="stable")
    rows = np.maximum(np.round(np.asarray(shares) * len(scores)).astype(int), 1)
    errors = np.cumsum(np.asarray(wrong, bool)[order])[rows - 1]
    columns = {"threshold": scores[order][rows - 1], "rows": rows, "wrong": errors}
    return pd.DataFrame(columns, pd.Index(shares, name="coverage")).assign(error=errors / rows)


def _between(ordered: npt.NDArray[np.float32], rows: int) -> float:
    """A threshold that only the first rows reach: half-way to the next score if possible."""
    upper = ordered[rows - 1]
    lower = ordered[rows] if rows < len(ordered) else np.float32(0)
    middle = np.float32((float(upper) + float(lower)) / 2)
    return float(middle if middle > lower else upper)


@functools.lru_cache(64)
def _strictness(looks: tuple[int, ...], error: float, level: float) -> float:
    """The level of the test at each look, so that all together err as often as allowed."""
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
    """The probability that rows with that error pass a test at any of the looks.

    Args:
        looks: numbers of rows at which the test looks.
        further: for each look the probabilities of 0, 1, … errors in the rows since the last look.
        error: error of the rows.
        strictness: level of each test.
    """
    most = binom.ppf(strictness, looks, error).astype(int)  # errors with which a look passes
    most -= binom.cdf(most, looks, error) > strictness
    left, passed = np.ones(1), 0.0  # probabilities of errors so far, if no look has passed
    for added, limit in zip(further, most, strict=True):
        joined = np.convolve if len(added) < _FEW else convolve  # by Fourier transform
        left = np.maximum(joined(left, added)[: max(most[-1], 0) + 1], 0)
        passed += float(left[: limit + 1].sum())
        left[: limit + 1] = 0
    return passed
