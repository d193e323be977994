"""Shapley values of the words of texts: exact for few words, else from random orders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import factorial

import numpy as np

from keras_seqzoo.explanation.removal import Answers
from keras_seqzoo.explanation.words import Pieces, Question

LEAST_SAMPLES = 4
_MOST_EXACT = 8
_PAIRS_A_ROUND = 8


@dataclass(frozen=True)
class ShapleyValues:
    """The values of one text.

    Attributes:
        scores: float64 `(players, names)`; they sum to p(text) - p("").
        errors: float64 `(players, names)`, standard errors; None if the values are exact.
        convergence: pairs of evaluations so far and the largest standard error for the target.
    """

    scores: np.ndarray
    errors: np.ndarray | None
    convergence: tuple[tuple[int, float], ...]


def shapley_values(
    answers: Answers,
    pieces: Sequence[Pieces],
    players: Sequence[Sequence[np.ndarray]],
    targets: Sequence[int],
    samples: int,
    tolerances: Sequence[float],
    seed: int,
) -> list[ShapleyValues]:
    """Computes the values of all texts together, so that the model gets large batches.

    Args:
        answers: the model's answers.
        pieces: the texts with their tokens.
        players: for each text the places of the tokens that the model reads, in groups that are
            kept or removed together.
        targets: for each text the place of the name whose error must fall below the tolerance.
        samples: most random orders of a text.
        tolerances: for each text the standard error at which it is done.
        seed: seed of the orders, together with the text.
    """
    games = [
        _Game(p, groups, target, tolerance, _random(seed, p.text))
        for p, groups, target, tolerance in zip(pieces, players, targets, tolerances, strict=True)
    ]
    _play_all(answers, [game for game in games if len(game.players) <= _MOST_EXACT])
    active = [game for game in games if len(game.players) > _MOST_EXACT]
    most = -(-samples // 2)
    while active:
        _play_round(answers, active, min(_PAIRS_A_ROUND, most - len(active[0].pairs)))
        active = [g for g in active if g.largest_error() > g.tolerance and len(g.pairs) < most]
    return [game.values() for game in games]


@dataclass
class _Game:
    """A text, and what each of its players has added so far."""

    pieces: Pieces
    players: Sequence[np.ndarray]
    target: int
    tolerance: float
    random: np.random.Generator
    pairs: list[np.ndarray] = field(default_factory=list)
    exact: np.ndarray | None = None
    convergence: list[tuple[int, float]] = field(default_factory=list)
    asked: set[bytes] = field(default_factory=set)

    def question(self, present: np.ndarray) -> Question:
        """The text with only these players, bool `(players,)`."""
        self.asked.add(np.packbits(present).tobytes())
        mask = np.zeros(len(self.pieces.read), bool)
        for player in np.flatnonzero(present).tolist():
            mask[self.players[player]] = True
        return self.pieces.keep(mask)

    def errors(self) -> np.ndarray:
        """Standard errors `(players, names)`; orders and their reverses count as one draw."""
        return np.std(self.pairs, axis=0, ddof=1) / np.sqrt(len(self.pairs))

    def largest_error(self) -> float:
        return float(self.errors()[:, self.target].max())

    def values(self) -> ShapleyValues:
        if self.exact is not None:
            return ShapleyValues(self.exact, None, tuple(self.convergence))
        return ShapleyValues(np.mean(self.pairs, axis=0), self.errors(), tuple(self.convergence))


def _random(seed: int, text: str) -> np.random.Generator:
    # With the text in the seed, an explanation does not depend on the other texts.
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def _play_all(answers: Answers, games: Sequence[_Game]) -> None:
    """Computes values from all subsets of the players."""
    found = answers(
        game.question(subset) for game in games for subset in _subsets(len(game.players))
    )
    at = 0
    for game in games:
        n = len(game.players)
        subsets = _subsets(n)
        worth = found[at : at + len(subsets)]
        at += len(subsets)
        game.exact = np.zeros((n, worth.shape[1]))
        sizes = subsets.sum(axis=1)
        numbers = np.arange(len(subsets))
        for player in range(n):
            without = numbers[~subsets[:, player]]
            weights = np.array(
                [factorial(k) * factorial(n - k - 1) / factorial(n) for k in sizes[without]]
            )
            gains = worth[without + (1 << player)] - worth[without]
            game.exact[player] = weights @ gains
        game.convergence.append((len(subsets), 0.0))


def _subsets(players: int) -> np.ndarray:
    """All subsets, bool `(2**players, players)`: the bits of the row's number."""
    return (np.arange(1 << players)[:, np.newaxis] >> np.arange(players)) & 1 == 1


def _play_round(answers: Answers, games: Sequence[_Game], pairs: int) -> None:
    """Adds random orders, each with its reverse, to every game."""
    orders = [[game.random.permutation(len(game.players)) for _ in range(pairs)] for game in games]
    found = answers(
        game.question(present)
        for game, drawn in zip(games, orders, strict=True)
        for order in drawn
        for present in _prefixes(order)
    )
    at = 0
    for game, drawn in zip(games, orders, strict=True):
        n = len(game.players)
        for order in drawn:
            worth = found[at : at + 2 * (n + 1)].reshape(2, n + 1, -1)
            at += 2 * (n + 1)
            gains = np.zeros((n, worth.shape[2]))
            gains[order] += np.diff(worth[0], axis=0) / 2
            gains[order[::-1]] += np.diff(worth[1], axis=0) / 2
            game.pairs.append(gains)
        game.convergence.append((len(game.asked), game.largest_error()))


def _prefixes(order: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the players present while they are added in this order, then in its reverse."""
    for way in (order, order[::-1]):
        present = np.zeros(len(order), bool)
        yield present
        for player in way:
            present = present.copy()
            present[player] = True
            yield present
