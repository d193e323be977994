"""Scores of spans, held to seqeval's."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seqzoo.metrics.spans import by_type, confusion, counts_by_row, scores

NAMES = ("x", "y")


def drawn(seed: int) -> list[list[tuple[int, int, str]]]:
    """Random spans of words of a letter each."""
    rng = np.random.default_rng(seed)
    spans = []
    for _ in range(60):
        found, at = [], 0
        while at < 12:
            size = int(rng.integers(1, 4))
            if rng.random() < 0.5:
                found.append((2 * at, 2 * (at + size) - 1, NAMES[int(rng.integers(2))]))
            at += size
        spans.append(found)
    return spans


def test_scores_are_seqevals() -> None:
    """The numbers are those of seqeval 1.2.2 (`mode="strict"`, IOB2) for these spans as BIO tags.

    It is not installed for the tests: its source archive no longer builds as it asks to be built.
    """
    true, said = drawn(0), drawn(1)
    said = [t if i % 3 else s for i, (t, s) in enumerate(zip(true, said, strict=True))]
    ours = scores(counts_by_row(true, said).sum(axis=0))
    assert ours["f1"] == pytest.approx(0.6798866855524078)
    assert ours["precision"] == pytest.approx(0.6857142857142857)
    assert ours["recall"] == pytest.approx(0.6741573033707865)
    assert ours["f1"] < ours["partial_f1"] <= 1
    table = by_type(true, said, NAMES)
    assert table["f1"].tolist() == pytest.approx([0.6706586826347305, 0.6881720430107527])
    assert table["support"].tolist() == [85, 93]


def test_nothing_found_and_nothing_there() -> None:
    assert not any(scores(counts_by_row([[]], [[]]).sum(axis=0)).values())
    assert not any(scores(counts_by_row([[(0, 1, "x")]], [[]]).sum(axis=0)).values())


def test_confusion_and_parts() -> None:
    true = [[(0, 5, "x"), (6, 9, "y"), (10, 12, "x")], []]
    said = [[(0, 3, "x"), (6, 9, "x")], [(0, 1, "y")]]
    table = confusion(true, said, NAMES)
    assert table.loc["x", "x"] == 1
    assert table.loc["y", "x"] == 1
    assert table.loc["x", "nothing"] == 1
    assert table.loc["nothing", "y"] == 1
    assert table.to_numpy().sum() == 4
    counts = counts_by_row(true, said)
    assert counts.tolist() == [[3, 2, 0, 1, 1], [0, 1, 0, 0, 0]]
