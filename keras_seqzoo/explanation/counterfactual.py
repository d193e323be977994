"""`counterfactual`: the smallest deletion that changes a classifier's answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from keras_seqzoo.checks import check_whole
from keras_seqzoo.explanation.removal import Answers, Pieces, cut_up
from keras_seqzoo.explanation.words import Span


@dataclass(frozen=True)
class Counterfactual:
    """A deletion that changes the answer.

    Attributes:
        text: the user's text.
        removed: `(start, end)` of the tokens that go, in the characters of `text`, in order.
        text_left: what the model was asked about instead.
        label: its answer to that.
        probability: the probability of `label` then.
        before: its answer to `text`.
        before_probability: the probability of `before` for `text`.
        is_smallest: whether it is proven that no deletion of fewer tokens changes the answer.
        evaluations: texts that the model was asked about.
    """

    text: str
    removed: tuple[Span, ...]
    text_left: str
    label: str
    probability: float
    before: str
    before_probability: float
    is_smallest: bool
    evaluations: int

    @property
    def tokens(self) -> list[str]:
        """The tokens that go, as the user wrote them."""
        return [self.text[start:end] for start, end in self.removed]

    def as_dict(self) -> dict[str, Any]:
        """Returns everything in plain lists and numbers, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        words = ", ".join(repr(token) for token in self.tokens)
        proven = "the smallest deletion" if self.is_smallest else "a deletion"
        return (
            f"{self.before} {self.before_probability:.3f} → {self.label} {self.probability:.3f} "
            f"without {words} ({proven})"
        )


def counterfactual(
    model: Any,
    text: str,
    *,
    unit: str = "word",
    max_removed: int | None = None,
    max_evaluations: int = 2000,
    batch_size: int = 256,
) -> Counterfactual | None:
    """Finds the smallest deletion of tokens that changes the model's answer.

    All deletions of one token are tried, then all of two, of three, … for as long as
    `max_evaluations` allows: one that is found there is proven to be smallest. Of equals, the one
    that leaves the old answer least probable is taken. Beyond, tokens are left out greedily, and
    put back where the changed answer does without; that is a small deletion, not provenly the
    smallest. At least one token is always left.

    Args:
        model: as `explain` takes it.
        text: the text.
        unit: `"word"` or `"token"`, as in `explain`.
        max_removed: most tokens to leave out; by default all but one.
        max_evaluations: about how many texts the model may be asked about.
        batch_size: texts a batch.

    Returns:
        The deletion; None where none was found.

    Raises:
        TypeError: `text` is no string, or the model no classifier.
        ValueError: an unknown unit, or a number below 1.
    """
    if not isinstance(text, str):
        raise TypeError(f"`text` must be a string. Received: {text!r:.80}")
    check_whole(max_evaluations=max_evaluations, batch_size=batch_size)
    if max_removed is not None:
        check_whole(max_removed=max_removed)
    answers = Answers(model, batch_size)
    pieces = cut_up(model, [text], unit)[0]
    most = min(max_removed or pieces.read, pieces.read - 1)
    return _Search(answers, pieces, most, max_evaluations).run()


class _Search:
    """Looks for a small set of tokens without which the answer is another."""

    def __init__(self, answers: Answers, pieces: Pieces, most: int, max_evaluations: int):
        self.answers = answers
        self.pieces = pieces
        self.most = most
        self.max_evaluations = max_evaluations
        self.full = answers([pieces.text])[0]
        self.before = int(self.full.argmax())

    def run(self) -> Counterfactual | None:
        tokens = range(self.pieces.read)
        excluded = 0  # no deletion of so many tokens changes the answer
        for size in range(1, self.most + 1):
            if size > 1 and not self._affords(comb(len(tokens), size)):
                break
            found = self._best(list(combinations(tokens, size)))
            if found is not None:
                return self._result(found, is_smallest=True)
            excluded = size
        else:
            return None
        found = self._small_deletion(excluded)
        if found is None:
            return None
        return self._result(found, is_smallest=len(found) == excluded + 1)

    def _small_deletion(self, excluded: int) -> tuple[int, ...] | None:
        tokens = list(range(self.pieces.read))
        falls = self.full[self.before] - self._rows([(i,) for i in tokens])[:, self.before]
        order = np.argsort(-falls, kind="stable").tolist()
        if excluded == 1 and (pair := self._pair(order)) is not None:
            return pair
        found = [self._in_order(order), self._one_by_one(order)]
        candidates = [c for c in found if c is not None] or self._leaving_one(order)
        pruned = [p for p in map(self._prune, candidates) if len(p) <= self.most]
        return min(pruned, key=len, default=None)

    def _pair(self, order: Sequence[int]) -> tuple[int, ...] | None:
        """The best pair of the tokens that matter most alone, for a quarter of what is left."""
        few = next(m for m in range(len(order), 1, -1) if m == 2 or self._affords(4 * comb(m, 2)))
        return self._best(list(combinations(order[:few], 2)))

    def _in_order(self, order: Sequence[int]) -> tuple[int, ...] | None:
        """The first tokens of an order without which the answer changes."""
        prefixes = [tuple(order[:size]) for size in range(1, len(order))]
        changed = np.flatnonzero(self._rows(prefixes).argmax(axis=1) != self.before)
        return prefixes[changed[0]] if len(changed) else None

    def _one_by_one(self, order: Sequence[int]) -> tuple[int, ...] | None:
        """Each time leaves out the token that now matters most."""
        removed: tuple[int, ...] = (order[0],)
        while len(removed) < self.most and self._affords(len(order) - len(removed)):
            options = [(*removed, i) for i in order if i not in removed]
            found = self._best(options)
            if found is not None:
                return found
            removed = options[int(self._rows(options)[:, self.before].argmin())]
        return None

    def _leaving_one(self, order: Sequence[int]) -> list[tuple[int, ...]]:
        """All tokens but one; where words stand in for each other, no smaller step shows much."""
        found = self._best([tuple(i for i in order if i != kept) for kept in order])
        return [] if found is None else [found]

    def _prune(self, removed: tuple[int, ...]) -> tuple[int, ...]:
        """Puts tokens back, first many at once, at last one by one, while the answer stays changed.

        Of those that remain, each is needed. As delta debugging does (Zeller & Hildebrandt 2002).
        """
        size = len(removed) // 2
        while size:
            options = [removed[:at] + removed[at + size :] for at in range(0, len(removed), size)]
            found = self._best([option for option in options if option])
            if found is not None:
                removed = found
            else:
                size //= 2
            size = min(size, len(removed) // 2)
        return removed

    def _best(self, options: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
        """Of those that change the answer, the one that leaves the old answer least probable."""
        if not options:
            return None
        rows = self._rows(options)
        changed = np.flatnonzero(rows.argmax(axis=1) != self.before)
        if len(changed) == 0:
            return None
        return options[changed[rows[changed, self.before].argmin()]]

    def _rows(self, options: Iterable[tuple[int, ...]]) -> np.ndarray:
        return self.answers(self.pieces.without(removed) for removed in options)

    def _affords(self, evaluations: int) -> bool:
        return self.answers.evaluations + evaluations <= self.max_evaluations

    def _result(self, removed: tuple[int, ...], is_smallest: bool) -> Counterfactual:
        left = self.pieces.without(removed)
        row = self.answers([left])[0]
        return Counterfactual(
            text=self.pieces.text,
            removed=tuple(self.pieces.spans[i] for i in sorted(removed)),
            text_left=left,
            label=self.answers.classes[row.argmax()],
            probability=float(row.max()),
            before=self.answers.classes[self.before],
            before_probability=float(self.full[self.before]),
            is_smallest=is_smallest,
            evaluations=self.answers.evaluations,
        )
