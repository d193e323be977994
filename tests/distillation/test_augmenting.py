from __future__ import annotations

import re

import pytest

from keras_seqzoo.distillation.augmenting import Augmentation

TEXTS = ["I loved this very good film, really!", "a dull and awful story about nothing at all"]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def is_part(copy: list[str], text: list[str]) -> bool:
    """Whether the words of a copy are some of the text's, in order."""
    rest = iter(text)
    return all(word in rest for word in copy)


def test_copies_lack_words_and_are_repeatable():
    made = Augmentation(20, ngram=0.0).texts(TEXTS, seed=0)
    assert len(made) == len({*made}) > 10
    assert not {*made} & {*TEXTS}
    assert all(any(is_part(words(copy), words(text)) for text in TEXTS) for copy in made)
    assert Augmentation(20, ngram=0.0).texts(TEXTS, seed=0) == made
    assert Augmentation(20, ngram=0.0).texts(TEXTS, seed=1) != made


def test_an_ngram_is_one_to_five_words_in_a_row():
    made = Augmentation(20, mask=0.0, ngram=0.999).texts(["a b c d e f g h"], seed=0)
    assert all(copy in "a b c d e f g h" for copy in made)
    assert {len(words(copy)) for copy in made} == {1, 2, 3, 4, 5}


def test_a_mixture_begins_with_one_text_and_ends_with_another():
    made = Augmentation(20, mask=0.0, ngram=0.0, mix=0.999).texts(["a b c d", "w x y z"], seed=0)
    assert "a b y z" in made or "a b c z" in made
    halves = re.compile(
        r"(a( b( c( d)?)?)?|w( x( y( z)?)?)?)? ?((((a )?b )?c )?d|(((w )?x )?y )?z)?"
    )
    assert all(halves.fullmatch(copy) for copy in made)


def test_of_pairs_the_first_the_second_and_both_are_changed_in_turn():
    pairs = [("a b c d e f", "u v w x y z")]
    made = Augmentation(30, mask=0.4, ngram=0.0).texts(pairs, seed=0)
    changed = {(first != pairs[0][0], second != pairs[0][1]) for first, second in made}
    assert changed == {(True, False), (False, True), (True, True)}


def test_nothing_is_made_of_nothing():
    assert Augmentation(5).texts(["", "  ", "one"], seed=0) == []
    assert Augmentation(0).texts(TEXTS, seed=0) == []
    assert Augmentation(5).texts([], seed=0) == []


def test_what_a_user_passes_is_read_and_checked():
    assert Augmentation.of(5) == Augmentation(copies=5)
    assert Augmentation.of({"copies": 2, "mix": 0.5}) == Augmentation(2, mix=0.5)
    with pytest.raises(ValueError, match=r"dict of copies, mask, ngram, mix\. Received: drop"):
        Augmentation.of({"drop": 0.5})
    with pytest.raises(ValueError, match="`mask` must be a rate"):
        Augmentation.of({"mask": 2})
    with pytest.raises(ValueError, match="`copies` must be a whole number"):
        Augmentation.of("20")
