"""Calibration, intervals and tests of differences that scikit-learn does not have.

Every figure here is about test rows with answers. No TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp
from scipy.stats import binomtest, norm, t

from keras_seqzoo.checks import check_whole

_CELLS = 4_000_000  # resampled cells in memory at once
_BLOCKS = 16  # blocks of neighbouring windows
_FEW_BLOCKS = 5  # draws of fewer blocks show nothing


def calibration_bins(labels: Any, probabilities: Any, bins: int = 15) -> pd.DataFrame:
    """Sorts answers by the probability of the predicted class, the confidence.

    Args:
        labels: int `(rows,)`, the right answers, at least one.
        probabilities: float `(rows, classes)`, rows that sum to 1.
        bins: number of bins of equal width between 0 and 1.

    Returns:
        A row for each bin: `low` and `high` (a bin includes its upper edge), `rows`, and the means
        `confidence` and `accuracy` of these rows, NaN if a bin is empty.

    Raises:
        ValueError: no rows, shapes that do not fit, or fewer than one bin.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    check_whole(bins=bins)
    if len(labels) == 0 or probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise ValueError(
            "Calibration needs at least one row, and probabilities of shape (rows, classes). "
            f"Received: {len(labels)} labels, probabilities of shape {probabilities.shape}"
        )
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    bin_of = np.searchsorted(edges[1:-1], confidence, side="left")
    rows = np.bincount(bin_of, minlength=bins)
    filled = np.where(rows, rows, np.nan)
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "rows": rows,
            "confidence": np.bincount(bin_of, confidence, minlength=bins) / filled,
            "accuracy": np.bincount(bin_of, is_right, minlength=bins) / filled,
        }
    )


def calibration_error(labels: Any, probabilities: Any, bins: int = 15) -> float:
    """Returns the expected calibration error, from 0 (calibrated) to 1.

    The distance between confidence and accuracy, averaged over the bins of `calibration_bins` by
    their rows (Guo et al. 2017, On Calibration of Modern Neural Networks, eq. 3).

    Args:
        labels: int `(rows,)`.
        probabilities: float `(rows, classes)`.
        bins: number of bins of equal width.

    Raises:
        ValueError: as `calibration_bins`.
    """
    filled = calibration_bins(labels, probabilities, bins).query("rows > 0")
    gaps = (filled["confidence"] - filled["accuracy"]).abs()
    return float((gaps * filled["rows"]).sum() / filled["rows"].sum())


def intervals(
    labels: Any,
    predictions: Sequence[Any],
    num_classes: int,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    blocks: Any = None,
) -> dict[str, tuple[float, float]]:
    """Draws test rows with replacement to see how far chance moves a model's figures.

    The percentile bootstrap (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13)
    of the mean over the runs. For one test set, the same seed draws the same rows for all runs and
    all models.

    Args:
        labels: int `(rows,)`, the right answers, at least one.
        predictions: the answers of one or more runs, int `(rows,)` each.
        num_classes: number of classes; labels and predictions are from 0 to below it.
        samples: number of draws.
        level: share of the draws between the two ends, above 0 and below 1.
        seed: seed of the draws.
        blocks: as in `bootstrap`.

    Returns:
        `(low, high)` of `"accuracy"` and `"macro_f1"`. As in scikit-learn, a class that is
        neither true nor predicted in a draw does not count in its macro-F1. If all answers are
        right, or all wrong, all draws are the same and show nothing. Then the interval of the
        accuracy is a Wilson interval, and that of macro-F1 is NaN.

    Raises:
        ValueError: no rows, no runs, shapes that do not fit, or a number out of range.
    """
    truth, answers = np.asarray(labels), np.asarray(predictions)
    if truth.ndim != 1 or len(truth) == 0 or answers.ndim != 2 or answers.shape[1] != len(truth):
        raise ValueError(
            "Intervals need at least one row and one run, and as many predictions in each run as "
            f"labels. Received: labels of shape {truth.shape}, predictions of shape "
            f"{answers.shape}"
        )
    check_whole(samples=samples)
    if not 0 < level < 1:
        raise ValueError(f"level must be above 0 and below 1. Received: level={level!r}")
    numbers = np.concatenate([truth[None], answers])
    if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= num_classes:
        raise ValueError(
            "Labels and predictions must be whole numbers from 0 to below num_classes. "
            f"Received: {numbers.dtype} from {numbers.min()} to {numbers.max()}, "
            f"num_classes={num_classes!r}"
        )
    right = answers == truth
    if blocks is None and (right.all() or not right.any()):
        test = binomtest(int(right[0].sum()), len(truth))
        low, high = test.proportion_ci(level, method="wilson")
        return {"accuracy": (float(low), float(high)), "macro_f1": (np.nan, np.nan)}
    is_true = np.eye(num_classes)[truth]

    def figures(weights: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[Any]]:
        true_rows = weights @ is_true
        of_runs = []
        for predicted in answers:
            hits = weights @ (is_true * (predicted == truth)[:, None])
            of_runs.append(
                (
                    hits.sum(axis=1) / weights.sum(axis=1),
                    _macro_f1(hits, true_rows + weights @ np.eye(num_classes)[predicted]),
                )
            )
        return dict(zip(("accuracy", "macro_f1"), np.mean(of_runs, axis=0), strict=True))

    return bootstrap(figures, len(truth), samples, level, seed, blocks)


def bootstrap(
    figures: Callable[[npt.NDArray[np.float64]], Mapping[str, npt.NDArray[Any]]],
    rows: int,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    blocks: Any = None,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of figures that are computed for many draws of rows at once.

    It makes the draws of `intervals`. `scipy.stats.bootstrap` would call Python once for each draw,
    or gather every row of every draw.

    Args:
        figures: function from weights `(samples, rows)`, how often each row was drawn, to the
            figures by name, each `(samples,)`.
        rows: number of rows, at least one.
        samples: number of draws.
        level: share of the draws between the two ends.
        seed: seed of the draws.
        blocks: blocks of dependent rows, int `(rows,)`, as `blocks_in_time` numbers them. They
            are drawn whole (Künsch 1989, The Jackknife and the Bootstrap for General Stationary
            Observations). Because they are few, the interval takes quantiles further out
            (Hesterberg 2015, What Teachers Should Know about the Bootstrap, the expanded
            percentile interval). With fewer than five blocks the ends are NaN.
    """
    rng = np.random.default_rng(seed)
    count = rows if blocks is None else int(np.max(blocks)) + 1
    block = max(1, _CELLS // rows)
    drawn = []
    for start in range(0, samples, block):
        weights = _draw(rng, count, min(block, samples - start))
        drawn.append(figures(weights if blocks is None else weights[:, blocks]))
    tail = (1 - level) / 2
    if blocks is not None:
        if count < _FEW_BLOCKS:
            return dict.fromkeys(drawn[0], (np.nan, np.nan))
        tail = float(norm.cdf(np.sqrt(count / (count - 1)) * t.ppf(tail, count - 1)))
    ends = [tail, 1 - tail]
    return {
        name: (float(low), float(high))
        for name in drawn[0]
        for low, high in [np.quantile(np.concatenate([part[name] for part in drawn]), ends)]
    }


def blocks_in_time(times: Any, horizon: int) -> npt.NDArray[np.intp]:
    """Numbers blocks of windows that are close in time, of all series together.

    The answers to neighbours are about the same steps, so neighbours are right and wrong together.
    A test or an interval of single windows would count this as more evidence than it is. Sums over
    a few long blocks are nearly independent, whatever the dependence within. There are about 16
    blocks, each at least twice as long as the horizon (Canay, Romano and Shaikh 2017, Randomization
    Tests Under an Approximate Symmetry Assumption, on time series).

    Args:
        times: times of the windows `(rows,)`, in any order.
        horizon: number of steps that the answer to a window is about.

    Returns:
        int `(rows,)`, from 0 on.
    """
    distinct, places = np.unique(np.asarray(times), return_inverse=True)
    length = max(2 * horizon, -(-len(distinct) // _BLOCKS))
    # A short block at the end would count as much as the others.
    return np.minimum(places // length, max(len(distinct) // length - 1, 0))


def _draw(rng: np.random.Generator, rows: int, samples: int) -> npt.NDArray[np.float64]:
    """How often each row is in each sample: `(samples, rows)`."""
    drawn = rng.integers(0, rows, (samples, rows)) + np.arange(samples)[:, None] * rows
    counts = np.bincount(drawn.ravel(), minlength=samples * rows)
    return counts.reshape(samples, rows).astype(np.float64)


def _macro_f1(hits: np.ndarray, true_and_predicted: np.ndarray) -> np.ndarray:
    """Macro-F1 from counts `(samples, classes)`: right ones, and the sum of true and predicted."""
    occurs = true_and_predicted > 0
    f1 = np.divide(2 * hits, true_and_predicted, out=np.zeros_like(hits), where=occurs)
    return f1.sum(axis=1) / occurs.sum(axis=1)


def mcnemar(right_a: Any, right_b: Any) -> float:
    """Returns how likely such a difference between two models is by chance alone.

    McNemar's test (1947, Note on the sampling error of the difference between correlated
    proportions) in its exact form, two-sided: if only one of the models got a row right,
    it is as likely to be either of them. Dietterich (1998, Approximate Statistical
    Tests for Comparing Supervised Classification Learning Algorithms) recommends it if each
    model is trained once.

    Args:
        right_a: bool `(rows,)`, whether the first model is right.
        right_b: bool `(rows,)`, whether the second model is right, for the same rows.

    Returns:
        The p value; 1.0 if the models are right in the same rows.

    Raises:
        ValueError: not two arrays of the same length.
    """
    right_a, right_b = np.asarray(right_a), np.asarray(right_b)
    if right_a.dtype != bool or right_b.dtype != bool or right_a.shape != right_b.shape:
        raise ValueError(
            "McNemar's test compares answers to the same rows, as two arrays of bool. "
            f"Received: {right_a.dtype} {right_a.shape}, {right_b.dtype} {right_b.shape}"
        )
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b).pvalue)


def paired_tests(
    differences: Sequence[Any], samples: int = 9999, seed: int = 0, blocks: Any = None
) -> np.ndarray:
    """Returns how likely each difference between two models is by chance alone.

    The sign-flip permutation test (Fisher 1935, The Design of Experiments, §21), two-sided: if the
    models were equally good, each row's difference could just as well have the other sign. If rows
    are right or wrong, this is McNemar's test, which is exact. Else signs are drawn, and p is
    (1 + draws that differ as much) / (1 + draws), as in `scipy.stats.permutation_test`, which would
    draw them again for each pair of models.

    Args:
        differences: float `(rows,)` for each pair of models, the score of the first model's
            answer to a row less that of the second's.
        samples: number of draws.
        seed: seed of the draws.
        blocks: blocks of dependent rows, int `(rows,)`, as `blocks_in_time` numbers them. The
            sign of a block's sum is flipped, not of each row (see there). With q blocks, p is not
            below 2 / 2^q.

    Returns:
        The p values `(pairs,)`; 1.0 if the models are equally good in all rows.
    """
    rows = [np.asarray(row, np.float64) for row in differences]
    if blocks is not None:
        rows = [np.bincount(blocks, row).astype(np.float64) for row in rows]
    found = np.array([_of_signs(row) for row in rows])
    drawn = np.isnan(found)
    if drawn.any():
        table = np.stack(rows, axis=1)[:, drawn]
        least = np.abs(table.sum(axis=0)) * (1 - 1e-9)  # a difference by rounding counts as equal
        rng = np.random.default_rng(seed)
        block = max(1, _CELLS // len(table))
        as_much = np.zeros(table.shape[1])
        for start in range(0, samples, block):
            size = (min(block, samples - start), len(table))
            signs = rng.integers(0, 2, size, np.int8).astype(np.float64) * 2 - 1
            as_much += (np.abs(signs @ table) >= least).sum(axis=0)
        found[drawn] = (1 + as_much) / (1 + samples)
    return found


def _of_signs(row: npt.NDArray[np.float64]) -> float:
    """The p value of differences that are -1, 0 or 1; NaN for others."""
    return mcnemar(row > 0, row < 0) if np.isin(row, (-1, 0, 1)).all() else np.nan


def holm(p_values: Any) -> np.ndarray:
    """Returns p values corrected for the number of tests, in the same order.

    Holm (1979, A simple sequentially rejective multiple test procedure): if you
    accept those below 0.05, the chance of even one false difference stays below 0.05.

    Args:
        p_values: float `(tests,)`, from 0 to 1.

    Raises:
        ValueError: not a row of numbers from 0 to 1.
    """
    p_values = np.asarray(p_values, np.float64)
    if p_values.ndim != 1 or not np.all((p_values >= 0) & (p_values <= 1)):
        raise ValueError(
            f"p values must be a row of numbers from 0 to 1. Received: {p_values.tolist()}"
        )
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return adjusted


def accuracy_by_length(labels: Any, predicted: Any, lengths: Any, bins: int = 5) -> pd.DataFrame:
    """Shows whether long texts are answered worse than short ones.

    Args:
        labels: int `(rows,)`, the right answers, at least one.
        predicted: int `(rows,)`, the model's answers.
        lengths: `(rows,)`, the lengths of the texts, in any unit.
        bins: groups of about the same number of rows; fewer if many texts are equally long,
            because these stay together.

    Returns:
        A row for each group, short texts first: `low` and `high`, the smallest and largest length
        in it, `rows`, `accuracy`, and its 95 % Wilson interval `low_ci` to `high_ci`.

    Raises:
        ValueError: no rows, arrays that differ in length, or fewer than one bin.
    """
    labels, predicted, lengths = np.asarray(labels), np.asarray(predicted), np.asarray(lengths)
    check_whole(bins=bins)
    if labels.ndim != 1 or len(labels) == 0 or not labels.shape == predicted.shape == lengths.shape:
        raise ValueError(
            "Labels, predictions and lengths must be of the same rows, at least one. "
            f"Received: shapes {labels.shape}, {predicted.shape}, {lengths.shape}"
        )
    rows = []
    right = pd.DataFrame({"length": lengths, "right": predicted == labels})
    for _, group in right.groupby(_length_groups(lengths, bins)):
        test = binomtest(int(group["right"].sum()), len(group))
        low_ci, high_ci = test.proportion_ci(method="wilson")
        rows.append(
            {
                "low": group["length"].min(),
                "high": group["length"].max(),
                "rows": len(group),
                "accuracy": float(group["right"].mean()),
                "low_ci": float(low_ci),
                "high_ci": float(high_ci),
            }
        )
    return pd.DataFrame(rows)


def mean_by_length(values: Any, lengths: Any, bins: int = 5) -> pd.DataFrame:
    """Shows whether a figure of each row differs between long texts and short ones.

    Args:
        values: the figure of each row, float `(rows,)`, at least one.
        lengths: `(rows,)`, as in `accuracy_by_length`.
        bins: as in `accuracy_by_length`.

    Returns:
        A row for each group, short texts first: `low`, `high`, `rows`, `mean`, and its 95 % t
        interval `low_ci` to `high_ci`, NaN for a single row.
    """
    frame = pd.DataFrame({"length": np.asarray(lengths), "value": np.asarray(values, float)})
    groups = frame.groupby(_length_groups(frame["length"].to_numpy(), bins))
    found = groups.agg(
        low=("length", "min"),
        high=("length", "max"),
        rows=("value", "size"),
        mean=("value", "mean"),
        error=("value", "sem"),
    ).reset_index(drop=True)
    reach = found.pop("error") * t.ppf(0.975, np.maximum(found["rows"] - 1, 1))
    return found.assign(low_ci=found["mean"] - reach, high_ci=found["mean"] + reach)


def _length_groups(lengths: npt.NDArray[Any], bins: int) -> npt.NDArray[np.intp]:
    """Numbers groups of about the same number of rows, short texts first."""
    values, counts = np.unique(lengths, return_counts=True)
    wanted = len(lengths) * np.arange(1, bins) / bins
    nearest = np.abs(counts.cumsum()[:, None] - wanted).argmin(axis=0)
    upper = values[np.unique(nearest)]
    return np.searchsorted(upper, lengths, side="left")


def best_temperature(labels: Any, probabilities: Any) -> float:
    """The temperature with the least log loss, by which to divide the scores of a classifier.

    Guo et al. (2017), On Calibration of Modern Neural Networks, section 4.2. The logarithm of the
    temperature has a normal prior around 0 with a standard deviation of 1, so that a few rows, all
    of them right, do not make a model certain.

    Args:
        labels: positions of classes `(rows,)`, or shares of them `(rows, classes)`.
        probabilities: `(rows, classes)`, at temperature 1, of rows that the model did not learn.

    Returns:
        The temperature, 0.1 to 20.
    """
    logs = _logs(probabilities)
    shares = _shares(labels, logs.shape[1])

    def nats(power: float) -> float:
        return _nats(shares, logs / np.exp(power)) + power**2 / 2

    return float(np.exp(minimize_scalar(nats, bounds=np.log([0.1, 20]), method="bounded").x))


def best_mixture(labels: Any, alone: Any, added: Any) -> tuple[float, float]:
    """The weight of a second classifier's scores when added to a first's, with the least log loss.

    Stacking (Wolpert 1992, Stacked Generalization) with one weight for all classes. As in
    `best_temperature`, few rows decide little. The temperature has the same prior. The share
    divided by it, which multiplies the second's scores in all, has a normal prior around 0 with a
    standard deviation of 1.

    Args:
        labels: as in `best_temperature`.
        alone: probabilities `(rows, classes)` of the first, at temperature 1.
        added: the same if the second's scores are added to the first's.

    Returns:
        The temperature, 0.1 to 20, and the share, 0 to 20 times the temperature, of
        (first + share · second) / temperature.
    """
    logs = _logs(alone)
    second = _logs(added) - logs
    shares = _shares(labels, logs.shape[1])

    def nats(given: npt.NDArray[np.float64]) -> float:
        power, count = given
        mixed = logs / np.exp(power) + count * second
        return _nats(shares, mixed) + power**2 / 2 + count**2 / 2

    bounds = [tuple(np.log([0.1, 20])), (0, 20)]
    power, count = minimize(nats, [0.0, 0.5], bounds=bounds, method="L-BFGS-B").x
    return float(np.exp(power)), float(count * np.exp(power))


def calibrated_loss(labels: Any, probabilities: Any) -> float:
    """The log loss of a classifier at its `best_temperature`, in nats per row."""
    logs = _logs(probabilities)
    scaled = logs / best_temperature(labels, probabilities)
    return _nats(_shares(labels, logs.shape[1]), scaled) / len(logs)


def _logs(probabilities: Any) -> npt.NDArray[np.float64]:
    return np.log(np.clip(np.asarray(probabilities, np.float64), 1e-30, 1))


def _shares(labels: Any, classes: int) -> npt.NDArray[np.float64]:
    shares = np.asarray(labels)
    if shares.ndim == 1 or shares.shape[1] == 1:
        return np.eye(classes)[shares.ravel().astype(int)]
    return shares


def _nats(shares: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> float:
    return float((shares * (logsumexp(scores, axis=1, keepdims=True) - scores)).sum())
