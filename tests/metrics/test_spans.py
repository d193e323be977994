"""Scores of spans, held to seqeval's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keras_seqzoo.metrics.spans import by_type, confusion, counts_by_row, scores

NAMES = ("x", "y")


def drawn(seed: int) -> tuple[list[list[str]], list[list[tuple[int, int, str]]]]:
    """Random tags of words of a letter each, and their spans."""
    rng = np.random.default_rng(seed)
    tags, spans = [], []
    for _ in range(60):
        row, found, at = [], [], 0
        while at < 12:
            size = int(rng.integers(1, 4))
            if rng.random() < 0.5:
                kind = NAMES[int(rng.integers(2))]
                row += [f"B-{kind}", *[f"I-{kind}"] * (size - 1)]
                found.append((2 * at, 2 * (at + size) - 1, kind))
            else:
                row += ["O"] * size
            at += size
        tags.append(row)
        spans.append(found)
    return tags, spans


def test_scores_are_seqevals() -> None:
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    from seqeval.scheme import IOB2

    _, true = drawn(0)
    _, said = drawn(1)
    said = [t if i % 3 else s for i, (t, s) in enumerate(zip(true, said, strict=True))]

    def tags(rows: Any) -> list[list[str]]:
        made = []
        for row in rows:
            found = ["O"] * 16
            for start, end, kind in row:
                found[start // 2 : (end + 1) // 2] = [f"I-{kind}"] * ((end + 1 - start) // 2)
                found[start // 2] = f"B-{kind}"
            made.append(found)
        return made

    pair = (tags(true), tags(said))
    strict = {"mode": "strict", "scheme": IOB2}
    ours = scores(counts_by_row(true, said).sum(axis=0))
    assert ours["f1"] == pytest.approx(seqeval.f1_score(*pair, **strict))
    assert ours["precision"] == pytest.approx(seqeval.precision_score(*pair, **strict))
    assert ours["recall"] == pytest.approx(seqeval.recall_score(*pair, **strict))
    assert ours["f1"] < ours["partial_f1"] <= 1
    theirs = seqeval.classification_report(*pair, **strict, output_dict=True)
    for name, row in by_type(true, said, NAMES).iterrows():
        assert row["f1"] == pytest.approx(theirs[name]["f1-score"])
        assert row["support"] == theirs[name]["support"]


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
