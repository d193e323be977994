"""Made-up results for tests of tables and choices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_seqzoo.data.targets import OneOf
from keras_seqzoo.evaluation.results import Costs, Entry, Results, Run
from keras_seqzoo.tasks.classify import Classify


def answers(labels: np.ndarray, wrong: Sequence[int], sure: float = 0.9) -> np.ndarray:
    """Probabilities of two classes that are right but for some rows."""
    said = labels.copy()
    said[list(wrong)] = 1 - said[list(wrong)]
    probabilities = np.full((len(labels), 2), 1 - sure)
    probabilities[np.arange(len(labels)), said] = sure
    return probabilities


def made(**wrong: Sequence[int]) -> Results:
    """Results on 200 rows: a model each, named with the rows in which it errs."""
    labels = np.arange(200) % 2
    entries = [
        Entry(
            label,
            is_baseline=label == "base",
            runs=[Run(0, answers(labels, rows), valid_loss=0.5)],
            # The first is the dearest.
            costs=Costs(p95_ms=100 / 10**i, size_mb=300 / 10**i, memory_mb=1000.0),
        )
        for i, (label, rows) in enumerate(wrong.items())
    ]
    return Results("made", Classify(OneOf(("no", "yes"))), [""] * 200, labels, entries)
