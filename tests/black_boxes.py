"""Classifiers that are a formula, so that the right explanation is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


class BlackBox:
    """A classifier of two classes whose answer is a function of the text."""

    classes = ("neg", "pos")

    def __init__(self, probability: Callable[[str], float]):
        self.probability = probability
        self.asked: list[str] = []
        self.batch_sizes: set[int | None] = set()

    def predict(self, x: Sequence[str], batch_size: int | None = None, verbose: Any = 0) -> Any:
        self.asked += list(x)
        self.batch_sizes.add(batch_size)
        positive = np.array([self.probability(text) for text in x])
        return np.stack([1 - positive, positive], axis=1)


def additive(weights: Mapping[str, float], base: float = 0.5) -> BlackBox:
    """Every word adds its weight, wherever it stands."""
    return BlackBox(lambda text: base + sum(weights.get(w, 0.0) for w in text.split()))


def containing(*groups: Sequence[str]) -> BlackBox:
    """Positive (0.9) where all words of one group are there, else negative (0.1)."""
    return BlackBox(lambda text: 0.9 if any(set(g) <= set(text.split()) for g in groups) else 0.1)


def negating(text: str) -> float:
    """Words of feeling, turned round by "not": not additive."""
    words = text.split()
    feeling = 1.5 * words.count("good") - 1.0 * words.count("bad") + 0.3 * words.count("film")
    if "not" in words:
        feeling = -0.8 * feeling
    return float(1 / (1 + np.exp(-feeling)))
