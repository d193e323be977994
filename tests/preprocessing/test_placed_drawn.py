"""Words and where they stand, in texts that are drawn at random."""

from __future__ import annotations

import pytest
import regex
import tensorflow as tf

from keras_seqzoo.preprocessing.placed import PlacedPreprocessor, split_words
from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor

pytest.importorskip("hypothesis", reason="drawn texts need hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

characters = st.one_of(
    st.sampled_from("aé1 .,'\n\r\u0301\ufe0f\u200d\u200b👩👍🏽🇩中한\u0600\u0e33क\u094d"),
    st.characters(exclude_categories=["Cs"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(characters, max_size=12), max_size=4))
def test_words_cover_what_is_no_space_and_cut_no_character(texts: list[str]) -> None:
    texts = [*texts, "Ann"]
    words = split_words(tf.constant([text.encode() for text in texts]))
    at = [0] * len(texts)
    columns = (c.numpy().tolist() for c in (words.rows, words.starts, words.ends))
    for row, start, end in zip(*columns, strict=True):
        text = texts[row]
        # A vowel that readers see as part of the letter before it is of no word without one.
        between = regex.sub(r"\p{GCB=SpacingMark}", "", text[at[row] : start])
        assert not regex.search(r"[\p{L}\p{N}\p{P}\p{S}]", between)
        assert at[row] <= start < end <= len(text)
        assert text[start:end].strip()
        # A mark after a control character stands alone to Unicode; to us it is of no word.
        for place in (start, end):
            assert any(place in (0, m.end()) for m in regex.finditer(r"\X", text))
        at[row] = end


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(characters, min_size=1, max_size=3), min_size=1, max_size=5))
def test_what_a_tokenizer_drops_shifts_nothing(words: list[str]) -> None:
    """Each word of the text has a first token, in order, whatever stands between."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ann", "##s"]
    ours = PlacedPreprocessor(WordPiecePreprocessor(512, pieces))
    text = " ".join(["Anns", *words, "Anns"])
    features = {k: v.numpy()[0] for k, v in ours([text]).items()}
    expected = split_words(tf.constant([text.encode()]))
    is_word = features["starts"] >= 0
    assert features["starts"][is_word].tolist() == expected.starts.numpy().tolist()
    assert features["ends"][is_word].tolist() == expected.ends.numpy().tolist()
    firsts = features["token_ids"][is_word]
    assert firsts[0] == firsts[-1] == 4
