"""A text in pieces, the words that explain an answer marked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.pages.formats import MINUS

_STEPS = 4
_LEAST = 0.1


@dataclass(frozen=True)
class Piece:
    """Part of a text.

    Attributes:
        text: as the user wrote it.
        score: what it adds to the probability; 0 where it is not marked.
        strength: of the mark, 1 to 4; 0 for none.
    """

    text: str
    score: float = 0.0
    strength: int = 0

    @property
    def sign(self) -> str:
        """What is written before the word: plus, minus or nothing."""
        return "" if not self.strength else "+" if self.score > 0 else MINUS


def pieces(explanation: Explanation) -> list[Piece]:
    """Splits an explained text into marked and plain pieces.

    Parts of one word are summed up, and pieces below a tenth of the strongest stay plain. Joined,
    the pieces are the text.
    """
    words = _words(explanation)
    strongest = max((abs(score) for _, _, score in words), default=0.0)
    found, at = [], 0
    for start, end, score in words:
        share = abs(score) / strongest if strongest > 0 else 0.0
        if share < _LEAST:
            continue
        if start > at:
            found.append(Piece(explanation.text[at:start]))
        strength = int(np.ceil(share * _STEPS))
        found.append(Piece(explanation.text[start:end], score, strength))
        at = end
    if at < len(explanation.text):
        found.append(Piece(explanation.text[at:]))
    return found


def _words(explanation: Explanation) -> list[tuple[int, int, float]]:
    """Joins tokens that touch and push the same way: parts of one word."""
    words: list[tuple[int, int, float]] = []
    for (start, end), score in zip(explanation.spans, explanation.scores, strict=True):
        value = float(np.nan_to_num(score))
        if end <= start:
            continue
        if words and words[-1][1] == start and words[-1][2] * value > 0:
            words[-1] = (words[-1][0], end, words[-1][2] + value)
        else:
            words.append((start, end, value))
    return words
