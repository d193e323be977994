"""Assigns rows to training, validation and test, and finds rows that hold the same text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

from keras_seqzoo.data.reading import READ_ROWS, shorten


def check_seed(seed: int) -> None:
    """Raises ValueError unless `seed` is an integer that NumPy and scikit-learn both take."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(
            f"seed must be an integer from 0 to 2**32 - 1. Use seed=0. Received: {seed!r}"
        )


def rows_in(rows: int, name: str, size: float) -> int:
    """Returns the number of rows that a fraction or a number of rows means, out of `rows`.

    Raises:
        ValueError: neither a fraction from 0 to below 1 nor a number of rows. Names `name`.
    """
    is_count = isinstance(size, int | np.integer) and not isinstance(size, bool)
    if is_count and size >= 0:
        return int(size)
    if isinstance(size, float) and 0 <= size < 1:
        return max(1, round(size * rows)) if size else 0
    raise ValueError(
        f"{name} must be a fraction from 0 to below 1, or a number of rows as an integer. "
        f"Use {name}=0.1, or {name}=0 for none. Received: {name}={size!r}"
    )


def positions(indices: Any, rows: int) -> npt.NDArray[np.intp]:
    """Returns row positions that are given as positions or as a mask.

    Args:
        indices: positions, or one boolean for each row.
        rows: rows of the table.

    Raises:
        ValueError: neither.
    """
    chosen = np.asarray(indices)
    if chosen.dtype == bool and chosen.shape == (rows,):
        return np.flatnonzero(chosen)
    if chosen.size == 0:
        return chosen.astype(np.intp)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise ValueError(
            f"indices must be row positions, or one boolean for each of the {rows:,} rows. "
            f"Received: {chosen.dtype} of shape {chosen.shape}"
        )
    return chosen.astype(np.intp)


def stratified_parts(
    sizes: Sequence[int],
    labels: npt.NDArray[np.int32] | None,
    classes: tuple[str, ...],
    seed: int,
) -> list[npt.NDArray[np.intp]]:
    """Draws the rows of each part at random, with the same share of each class in all parts.

    Args:
        sizes: rows in the training, validation and test part; their sum is all rows.
        labels: int32 `(rows,)`, or `None` to draw without regard to class.
        classes: class names, for messages.
        seed: seed of scikit-learn's `train_test_split`.

    Returns:
        Row positions of the three parts, in random order; if there is only one part, all rows in
        order.

    Raises:
        ValueError: a class has too few rows for these sizes.
    """
    if labels is not None:
        _check_class_sizes(sizes, labels, classes)
    rest = np.arange(sum(sizes))
    parts = [rest[:0], rest[:0]]
    for part in (1, 0):
        if sizes[part + 1]:
            strata = None if labels is None else labels[rest]
            if strata is not None:
                _check_pairs(strata, classes)
            rest, parts[part] = train_test_split(
                rest, test_size=sizes[part + 1], random_state=seed, stratify=strata
            )
    return [rest, *parts]


def spread_parts(
    sizes: Sequence[int], strata: npt.NDArray[np.intp], seed: int
) -> list[npt.NDArray[np.intp]]:
    """Draws the rows of each part at random, evenly over rows that are sorted by stratum.

    Each part gets its share of every run of similar rows, to within a row or two, even if they are
    rare. This is systematic sampling, which works for strata of any number and size.

    Args:
        sizes: rows in each part; their sum is all rows.
        strata: int `(rows,)`; rows with close numbers are similar.
        seed: seed of the draw.

    Returns:
        Row positions of each part, in random order.
    """
    random = np.random.default_rng(seed)
    order = np.lexsort((random.random(len(strata)), strata))
    # Each part has one row in each of equal stretches of the order.
    places = [(np.arange(size) + random.random(size)) / size for size in sizes]
    part_of = np.repeat(np.arange(len(sizes)), sizes)[np.argsort(np.concatenate(places))]
    return [random.permutation(order[part_of == part]) for part in range(len(sizes))]


def _check_class_sizes(
    sizes: Sequence[int], labels: npt.NDArray[np.int32], classes: tuple[str, ...]
) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    parts = [size for size in sizes if size]
    small = [
        f"{classes[i]} ({counts[i]})" for i in np.flatnonzero((counts > 0) & (counts < len(parts)))
    ]
    if small:
        raise ValueError(
            f"Each class needs a row for each of the {len(parts)} parts of a split. Merge or "
            f"drop the small classes, or pass valid=0 or test=0. "
            f"Received: classes {shorten(small)}"
        )
    present = int((counts > 0).sum())
    if len(parts) > 1 and min(parts) < present:
        raise ValueError(
            f"Each part of a stratified split needs at least as many rows as there are "
            f"classes. Make valid and test larger, or 0. Received: parts of "
            f"{', '.join(map(str, sizes))} rows, {present} classes"
        )


def _check_pairs(strata: npt.NDArray[np.int32], classes: tuple[str, ...]) -> None:
    counts = np.bincount(strata, minlength=len(classes))
    single = [classes[label] for label in np.flatnonzero(counts == 1)]
    if single:
        raise ValueError(
            f"Test rows must leave two rows of each class for training and validation. "
            f"Make test smaller, or merge or drop the small classes. "
            f"Received: one row left of {shorten(single)}"
        )


def text_ids(texts: pd.Series) -> npt.NDArray[np.uint64]:
    """Numbers texts: equal if they differ only in case or surrounding space.

    The numbers are 64-bit hashes, so memory holds only these, not all the folded texts at once.
    """
    ids = np.zeros(len(texts), np.uint64)
    for start in range(0, len(texts), READ_ROWS):
        block = texts.iloc[start : start + READ_ROWS].str.strip().str.casefold()
        ids[start : start + READ_ROWS] = pd.util.hash_pandas_object(block, index=False)
    return ids


def count_in_several(ids: npt.NDArray[np.uint64], groups: npt.NDArray[Any]) -> int:
    """Counts the ids that occur in more than one group."""
    pairs = pd.DataFrame({"id": ids, "group": groups}).drop_duplicates()
    return int(pairs.loc[pairs["id"].duplicated(), "id"].nunique())
