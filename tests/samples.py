"""Texts that tests share."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_seqzoo.data.table import TextTable

POSITIVE = [
    "a good film", "great fun", "I loved it", "a lovely story", "good, great, lovely!",
    "the cast was great", "such a good book", "loved the cast",
]  # fmt: skip
NEGATIVE = [
    "a bad film", "awful and dull", "I hated it", "a dull story", "bad, awful, dull!",
    "the cast was awful", "such a bad book", "hated the cast",
]  # fmt: skip

# Answers to these texts, as `TextTable.from_texts` takes them, and the target where it is not seen.
ANSWERS: dict[str, tuple[Any, str | None]] = {
    "class": (["pos"] * 8 + ["neg"] * 8, None),
    "labels": ([["good", "film"], ["good"]] * 4 + [["bad"], []] * 4, None),
    "number": (np.linspace(100, 500, 16), "number"),
    "numbers": (np.stack([np.linspace(1, 5, 16), np.arange(16)], axis=1), "number"),
}


def table_of(inputs: str, answers: str) -> TextTable:
    """The texts, or pairs of them, with answers of a kind."""
    texts = POSITIVE + NEGATIVE
    labels, target = ANSWERS[answers]
    pairs = list(zip(texts, texts[::-1], strict=True))
    return TextTable.from_texts(pairs if inputs == "pair" else texts, labels, target=target)
