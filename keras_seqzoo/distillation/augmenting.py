"""Texts made of texts, for a teacher to answer: words left out, n-grams, and mixtures of two."""

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
    """How texts are made of texts: the rules of Tang et al. (2019) that need no tagger.

    Distilling Task-Specific Knowledge from BERT into Simple Neural Networks, section 3.3. Their
    mask is a word left out here: every teacher and every student reads the rest as it reads any
    text, while a mask would be a token that one of them has not learnt. Their third rule, another
    word of the same part of speech, needs a tagger, which this package has not.

    Attributes:
        copies: as many are made of each text; those that come out alike are dropped.
        mask: probability that a word is left out.
        ngram: probability that one to five words in a row are all that is kept.
        mix: probability that the beginning of the copy is followed by the end of another's.
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
        """Reads what a user passes as `augment`: copies, or a dict of the attributes.

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
        """Makes texts, none of which is among those given.

        Args:
            texts: strings; or pairs of strings, of which the first, the second and both are changed
                in turn.
            seed: of the draws.

        Returns:
            The new ones, text by text; of pairs tuples. At most `copies` of each.
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
