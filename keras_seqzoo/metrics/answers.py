"""How well answers are found, as SQuAD's official script tells it (evaluate-v2.0.py)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_SIGNS = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(answer: str) -> str:
    """Without case, ASCII punctuation, English articles, and more than one space between words.

    Example:
        >>> normalised("The  U.S. army")
        'us army'
    """
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_SIGNS)).split())


def exact_match(true: str, said: str) -> float:
    """1 where two answers are normalised to the same, else 0."""
    return float(normalised(true) == normalised(said))


def f1(true: str, said: str) -> float:
    """F1 of the normalised words of two answers; where one has none, 1 if both have none."""
    words, others = normalised(true).split(), normalised(said).split()
    if not words or not others:
        return float(words == others)
    shared = (Counter(words) & Counter(others)).total()
    return 2 * shared / (len(words) + len(others))


def scores(true: Sequence[str], said: str) -> tuple[float, float]:
    """Exact match and F1 with the right answer that is nearest.

    Args:
        true: all right answers; none where there is no answer. One that has no word once it is
            normalised does not count.
        said: "" for no answer.
    """
    kept = [answer for answer in true if normalised(answer)] or [""]
    return max(exact_match(a, said) for a in kept), max(f1(a, said) for a in kept)
