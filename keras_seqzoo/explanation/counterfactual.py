"""`counterfactual`: the smallest deletion that changes a model's answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import comb, floor, log10
from typing import Any

import numpy as np
from pandas.api.types import is_list_like

from keras_seqzoo.checks import check_whole
from keras_seqzoo.explanation.arguments import place_of
from keras_seqzoo.explanation.removal import Answers, cut_up
from keras_seqzoo.explanation.words import Pieces, Question, Span


@dataclass(frozen=True)
class Counterfactual:
    """A deletion that changes the answer.

    Attributes:
        text: the user's text; for a pair the first text, a line break, and the second.
        removed: `(start, end)` of the removed tokens, in the characters of `text`, in order.
        text_left: the text without these tokens; for a pair both texts.
        label: the model's answer to `text_left`: the class, the labels, or the name of the number.
        probability: the probability of `label`, or of `target` if there is one, for `text_left`;
            for a number, the number itself.
        before: the model's answer to `text`.
        before_probability: the same as `probability` for `text`, of `before` or of `target`.
        is_smallest: whether it is proven that no deletion of fewer tokens changes the answer.
        evaluations: how many texts the model answered.
        target: the label that is added or removed, the most probable of several; the number that
            moves; the class that was asked for; "" if the class may change to any other.
    """

    text: str
    removed: tuple[Span, ...]
    text_left: Question
    label: str
    probability: float
    before: str
    before_probability: float
    is_smallest: bool
    evaluations: int
    target: str = ""

    @property
    def tokens(self) -> list[str]:
        """The removed tokens, as the user wrote them."""
        return [self.text[start:end] for start, end in self.removed]

    def as_dict(self) -> dict[str, Any]:
        """Returns everything in plain lists and numbers, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        words = ", ".join(repr(token) for token in self.tokens)
        proven = "the smallest deletion" if self.is_smallest else "a deletion"
        old, new, places = self.before_probability, self.probability, 3
        if not self.target:
            return f"{self.before} {old:.3f} → {self.label} {new:.3f} without {words} ({proven})"
        labels = f" ({self.before} → {self.label})"
        if self.label == self.before:  # numbers keep their names
            labels, places = "", max(0, 2 - floor(log10(abs(new - old))))
        return (
            f"{self.target} {old:.{places}f} → {new:.{places}f}{labels} without {words} ({proven})"
        )


def counterfactual(
    model: Any,
    text: Question,
    *,
    unit: str = "word",
    target: str | None = None,
    change: float | None = None,
    max_removed: int | None = None,
    max_evaluations: int = 2000,
    batch_size: int = 256,
) -> Counterfactual | None:
    """Finds the smallest deletion of tokens that changes the model's answer.

    The answer changes if it is another class, if a label is added or removed, or if a number moves
    by `change`, up or down.

    It tries all deletions of one token, then of two, of three, … for as long as `max_evaluations`
    allows. A deletion found in this way is proven to be smallest. Among equals, it takes the one
    that makes the old answer least probable, or moves the number most. Beyond that limit, it
    removes tokens greedily, and puts back those that the change does not need. This deletion is
    small, but not proven to be the smallest. At least one token is always left.

    Args:
        model: as `explain` takes it.
        text: the text, or a pair `(first, second)`; tokens of both may be removed.
        unit: `"word"` or `"token"`, as in `explain`.
        target: the class or label that must be added or removed, by default any; or the number that
            must move, by default the first.
        change: how far the number must move, in its unit; by default one standard deviation over
            the training rows. Classes and labels have none.
        max_removed: most tokens to leave out; by default all but one.
        max_evaluations: about how many texts the model may answer.
        batch_size: texts in each batch.

    Returns:
        The deletion; None if none was found.

    Raises:
        TypeError: `text` is neither a string nor a pair, or this model cannot be explained.
        ValueError: an unknown unit or target, a number below 1, or a `change` that is not known or
            has no meaning for this model.
    """
    is_pair = is_list_like(text) and len(text) == 2
    if not all(isinstance(part, str) for part in (text if is_pair else [text])):
        raise TypeError(
            f"`text` must be a string, or a pair (first, second). Received: {text!r:.80}"
        )
    if change is not None and (
        isinstance(change, bool) or not isinstance(change, int | float) or not change > 0
    ):
        raise ValueError(f"`change` must be a number above 0. Received: change={change!r}")
    check_whole(max_evaluations=max_evaluations, batch_size=batch_size)
    if max_removed is not None:
        check_whole(max_removed=max_removed)
    answers = Answers(model, batch_size)
    pieces = cut_up(model, [(text[0], text[1]) if is_pair else text], unit)[0]
    most = min(max_removed or len(pieces.read), len(pieces.read) - 1)
    place = None if target is None else place_of(target, answers.task)
    return _Search(answers, pieces, most, max_evaluations, place, change).run()


class _Search:
    """Looks for a small set of tokens whose removal changes the answer."""

    def __init__(
        self,
        answers: Answers,
        pieces: Pieces,
        most: int,
        max_evaluations: int,
        place: int | None,
        change: float | None,
    ):
        self.answers = answers
        self.pieces = pieces
        self.most = most
        self.max_evaluations = max_evaluations
        self.place = place
        self.change = change
        self.full = answers([pieces.whole])[0]
        self.changes(self.full[np.newaxis])  # raises at once if an argument has no meaning

    def changes(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether answers `(rows, names)` are changed, and how much of the old one is left."""
        return self.answers.task.changes(self.full, rows, self.place, self.change)

    def run(self) -> Counterfactual | None:
        tokens = range(len(self.pieces.read))
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
        tokens = range(len(self.pieces.read))
        left = self._changes([(i,) for i in tokens])[1]
        order = np.argsort(left, kind="stable").tolist()
        if excluded == 1 and (pair := self._pair(order)) is not None:
            return pair
        found = [self._in_order(order), self._one_by_one(order)]
        candidates = [c for c in found if c is not None] or self._leaving_one(order)
        pruned = [p for p in map(self._prune, candidates) if len(p) <= self.most]
        return min(pruned, key=len, default=None)

    def _pair(self, order: Sequence[int]) -> tuple[int, ...] | None:
        """The best pair of the top tokens; uses up to a quarter of the evaluations left."""
        few = next(m for m in range(len(order), 1, -1) if m == 2 or self._affords(4 * comb(m, 2)))
        return self._best(list(combinations(order[:few], 2)))

    def _in_order(self, order: Sequence[int]) -> tuple[int, ...] | None:
        """The first tokens of an order without which the answer changes."""
        prefixes = [tuple(order[:size]) for size in range(1, len(order))]
        changed = np.flatnonzero(self._changes(prefixes)[0])
        return prefixes[changed[0]] if len(changed) else None

    def _one_by_one(self, order: Sequence[int]) -> tuple[int, ...] | None:
        """Removes one token at a time, always the one that now matters most."""
        removed: tuple[int, ...] = (order[0],)
        while len(removed) < self.most and self._affords(len(order) - len(removed)):
            options = [(*removed, i) for i in order if i not in removed]
            found = self._best(options)
            if found is not None:
                return found
            removed = options[int(np.argmin(self._changes(options)[1]))]
        return None

    def _leaving_one(self, order: Sequence[int]) -> list[tuple[int, ...]]:
        """All tokens but one; smaller steps show little if words can replace each other."""
        found = self._best([tuple(i for i in order if i != kept) for kept in order])
        return [] if found is None else [found]

    def _prune(self, removed: tuple[int, ...]) -> tuple[int, ...]:
        """Puts tokens back, first many at once, at last one by one, while the answer stays changed.

        Each token that stays removed is needed. Like delta debugging (Zeller & Hildebrandt 2002).
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
        """Among the options that change the answer, the one that leaves least of the old answer."""
        if not options:
            return None
        is_changed, left = self._changes(options)
        if not is_changed.any():
            return None
        return options[int(np.argmin(np.where(is_changed, left, np.inf)))]

    def _changes(self, options: Iterable[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
        return self.changes(self.answers(self.pieces.without(removed) for removed in options))

    def _affords(self, evaluations: int) -> bool:
        return self.answers.evaluations + evaluations <= self.max_evaluations

    def _result(self, removed: tuple[int, ...], is_smallest: bool) -> Counterfactual:
        left, task = self.pieces.without(removed), self.answers.task
        row = self.answers([left])[0]
        target = self.place if self.place is not None else task.moved(self.full, row)
        return Counterfactual(
            text=self.pieces.text,
            removed=tuple(self.pieces.spans[i] for i in self.pieces.read[sorted(removed)]),
            text_left=left,
            label=task.said(row),
            probability=float(row.max() if target is None else row[target]),
            before=task.said(self.full),
            before_probability=float(self.full.max() if target is None else self.full[target]),
            is_smallest=is_smallest,
            evaluations=self.answers.evaluations,
            target="" if target is None else task.names[target],
        )
