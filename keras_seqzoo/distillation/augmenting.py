"""Makes more texts for a teacher to answer: words left out, n-grams, and mixtures of two texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_seqzoo.checks import check_not_negative, check_rate
from keras_seqzoo.explanation.words import Span, kept_text, word_spans

_LONGEST_NGRAM = 5


@dataclass(frozen=True)
class Augmentation:
    """How to make texts from texts: the rules of Tang et al. (2019) that need no tagger.

    Distilling Task-Specific Knowledge from BERT into Simple Neural Networks, section 3.3. Instead
    of their mask, a word is left out here: every teacher and every student can read the rest like
    any text, but one of them may not have learnt a mask token. Their third rule, another word of
    the same part of speech, needs a tagger, which this package does not have.

    Attributes:
        copies: number of copies of each text; duplicates are dropped.
        mask: probability of leaving out a word.
        ngram: probability of keeping only one to five words in a row.
        mix: probability that the end of another copy follows the beginning of a copy.
    """

    copies: int = 20
    mask: float = 0.1
    ngram: float = 0.25
    mix: float = 0.0

    def __post_init__(self) -> None:
        check_not_negative(copies=self.copies)
        check_rate(mask=self.mask, ngram=self.ngram, mix=self.mix)

    @classmethod
    def of(cls, augment: Any) -> Augmentation:
        """Reads the value of `augment`: a number of copies, or a dict of the attributes.

        Raises:
            ValueError: an unknown attribute, or a value out of its range.
        """
        if isinstance(augment, cls):
            return augment
        if not isinstance(augment, Mapping):
            return cls(augment)
        known = [field.name for field in fields(cls)]
        if unknown := augment.keys() - {*known}:
            raise ValueError(
                f"`augment` is a number of copies, or a dict of {', '.join(known)}. "
                f"Received: {', '.join(sorted(map(str, unknown)))}"
            )
        return cls(**augment)

    def texts(self, texts: Sequence[Any], seed: int) -> list[Any]:
        """Makes texts that are not among the given ones.

        Args:
            texts: strings; or pairs of strings, in which the first, the second and both are changed
                in turn.
            seed: seed of the draws.

        Returns:
            The new texts, text by text; for pairs, tuples. At most `copies` of each.
        """
        random = np.random.default_rng(seed)
        rows = [(text,) if isinstance(text, str) else tuple(text) for text in texts]
        sides = [_Side(column) for column in zip(*rows, strict=True)]
        known = {*rows}
        made = []
        for row, number in (
            (row, number) for row in range(len(rows)) for number in range(self.copies)
        ):
            changed = range(len(sides)) if number % 3 == 2 else [number % 3 % len(sides)]
            copy = tuple(
                self._changed(side, row, random) if place in changed else rows[row][place]
                for place, side in enumerate(sides)
            )
            if all(copy) and copy not in known:
                known.add(copy)
                made.append(copy if len(copy) > 1 else copy[0])
        return made

    def _changed(self, side: _Side, row: int, random: np.random.Generator) -> str:
        words = len(side.spans[row])
        kept = random.random(words) >= self.mask
        if words and random.random() < self.ngram:
            length = int(random.integers(1, _LONGEST_NGRAM + 1))
            first = int(random.integers(max(words - length, 0) + 1))
            kept[:first] = kept[first + length :] = False
        if random.random() >= self.mix:
            return side.part(row, kept)
        other = int(random.integers(len(side.spans)))
        ends = np.arange(len(side.spans[other])) >= random.integers(len(side.spans[other]) + 1)
        kept[random.integers(words + 1) :] = False
        return " ".join(filter(None, (side.part(row, kept), side.part(other, ends))))


class _Side:
    """A column of texts, split into words."""

    def __init__(self, texts: Sequence[str]):
        self.texts = texts
        self.spans: list[list[Span]] = [word_spans(text) for text in texts]

    def part(self, row: int, kept: npt.NDArray[np.bool_]) -> str:
        return kept_text(self.texts[row], self.spans[row], kept)
