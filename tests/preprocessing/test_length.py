"""`sequence_length` holds the special tokens and one more, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import modules
import pytest

from keras_seqzoo.preprocessing.bytepair import BytePairPreprocessor, learn_byte_pairs
from keras_seqzoo.preprocessing.sentencepiece import (
    SentencePiecePreprocessor,
    learn_sentence_pieces,
)
from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor
from keras_seqzoo.preprocessing.words import WordPreprocessor

TEXTS = ["a good film", "the dull story", ""]
MAKERS: dict[str, tuple[int, Callable[[int], Any]]] = {
    "words": (1, lambda n: WordPreprocessor(n, vocabulary=["good", "film"])),
    "word pieces": (3, lambda n: WordPiecePreprocessor(n, modules.PIECES)),
    "byte pairs": (1, lambda n: BytePairPreprocessor(n, *PAIRS)),
    "byte pairs, one": (2, lambda n: BytePairPreprocessor(n, *PAIRS, start_token="a")),
    "byte pairs, two": (3, lambda n: BytePairPreprocessor(n, *PAIRS, "a", "b")),
    "sentence pieces": (1, lambda n: SentencePiecePreprocessor(n, PROTO)),
    "sentence pieces, one": (2, lambda n: SentencePiecePreprocessor(n, PROTO, end_id=2)),
    "sentence pieces, two": (3, lambda n: SentencePiecePreprocessor(n, PROTO, 1, 2)),
}
PAIRS = learn_byte_pairs([TEXTS], 300)
PROTO = learn_sentence_pieces([TEXTS * 10], 60)


@pytest.mark.parametrize("name", MAKERS)
def test_a_length_without_room_for_a_token_is_refused(name: str) -> None:
    least, make = MAKERS[name]
    for short in range(1, least):
        with pytest.raises(ValueError, match=rf"`sequence_length` must.*\b{least}\b.*={short}$"):
            make(short)(TEXTS)
    packed = make(least)(TEXTS)
    assert packed["token_ids"].shape == (len(TEXTS), least)
    assert packed["padding_mask"].numpy()[:2].all(), "one token and all the special ones"
