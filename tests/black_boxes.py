"""Models that are a formula, so that the right explanation is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_seqzoo.data.targets import AnyOf, Number
from keras_seqzoo.tasks.label import Label
from keras_seqzoo.tasks.regress import Regress


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


class TaskBox(BlackBox):
    """A model of a task whose outputs are a function of the text or pair."""

    def __init__(self, task: Any, outputs: Callable[[Any], Sequence[float]]):
        self.task = task
        self.outputs = outputs
        self.asked: list[Any] = []
        self.batch_sizes: set[int | None] = set()

    def predict(self, x: Sequence[Any], batch_size: int | None = None, verbose: Any = 0) -> Any:
        self.asked += list(x)
        return np.array([self.outputs(text) for text in x], float)


def weighed(text: Any, weights: Mapping[str, float]) -> float:
    """The weights of all words of a text; those of a pair's second text count against it."""
    first, second = (text, "") if isinstance(text, str) else text
    return sum(weights.get(w, 0.0) for w in first.split()) - sum(
        weights.get(w, 0.0) for w in second.split()
    )


def numbering(weights: Mapping[str, float], base: float = 50.0, std: float = 20.0) -> TaskBox:
    """Two numbers: every word adds its weight to the first one, and twice that to the second."""
    task = Regress(Number(("stars", "price")), (base, base), (std, 2 * std))
    return TaskBox(task, lambda x: (base + weighed(x, weights), base + 2 * weighed(x, weights)))


def labelling(**weights: Mapping[str, float]) -> TaskBox:
    """Labels by name: 0.5 and the weights of the words there are, at thresholds of 0.6."""
    task = Label(AnyOf(tuple(weights)), (0.6,) * len(weights))
    return TaskBox(task, lambda x: [0.5 + weighed(x, own) for own in weights.values()])


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
