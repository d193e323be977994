"""How well answers are found, by the measures of SQuAD's official script (evaluate-v2.0.py)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_SIGNS = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(answer: str) -> str:
    """Returns an answer in lower case, without ASCII punctuation, English articles and extra space.

    Example:
        >>> normalised("The  U.S. army")
        'us army'
    """
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_SIGNS)).split())


def exact_match(true: str, said: str) -> float:
    """1 if two answers are equal once normalised, else 0."""
    return float(normalised(true) == normalised(said))


def f1(true: str, said: str) -> float:
    """F1 of the normalised words of two answers; 1 if neither has words, 0 if only one has none."""
    words, others = normalised(true).split(), normalised(said).split()
    if not words or not others:
        return float(words == others)
    shared = (Counter(words) & Counter(others)).total()
    return 2 * shared / (len(words) + len(others))


def scores(true: Sequence[str], said: str) -> tuple[float, float]:
    """Exact match and F1 with the nearest right answer.

    Args:
        true: all right answers; empty if there is no answer. An answer without words once
            normalised does not count.
        said: the model's answer; "" for no answer.
    """
    kept = [answer for answer in true if normalised(answer)] or [""]
    return max(exact_match(a, said) for a in kept), max(f1(a, said) for a in kept)
