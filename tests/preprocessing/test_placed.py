"""Words and where they stand: in every text, over every tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_seqzoo.preprocessing.bytepair import BytePairPreprocessor, read_merges
from keras_seqzoo.preprocessing.placed import PlacedPreprocessor, split_words
from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor
from keras_seqzoo.preprocessing.words import WordPreprocessor

FOLDER = Path(__file__).parents[1] / "goldens"
GOLDENS = [golden["text"] for golden in json.loads((FOLDER / "goldens.json").read_text("utf-8"))]
PIECES = (FOLDER / "vocab.txt").read_text("utf-8").split("\n")[:-1]


def tokenizer(kind: str) -> Any:
    if kind == "words":
        return WordPreprocessor(16, ["paris", "good", "it"])
    if kind == "word pieces":
        return WordPiecePreprocessor(16, PIECES)
    vocabulary = json.loads((FOLDER / "vocab.json").read_text("utf-8"))
    return BytePairPreprocessor(16, vocabulary, read_merges(FOLDER / "merges.txt"))


def cut(texts: list[str]) -> list[list[str]]:
    words = split_words(tf.constant([text.encode() for text in texts], shape=[len(texts)]))
    found: list[list[str]] = [[] for _ in texts]
    columns = (c.numpy().tolist() for c in (words.rows, words.starts, words.ends))
    for row, start, end in zip(*columns, strict=True):
        found[row].append(texts[row][start:end])
    return found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's Paris, U.S.", ["It", "'", "s", "Paris", ",", "U", ".", "S", "."]),
        ("cafe\u0301 \ufe0f x\ufe0f", ["cafe\u0301", "x\ufe0f"]),
        ("👩\u200d👧👍🏽 🇩🇪", ["👩\u200d👧", "👍🏽", "🇩🇪"]),
        ("中国 Tokyo東京", ["中", "国", "Tokyo", "東", "京"]),
        ("so\u00adft Rome\u200b, 1\ufe0f\u20e3", ["so\u00adft", "Rome", ",", "1\ufe0f\u20e3"]),
        ("a\r\nb\x00c", ["a", "b", "c"]),
        ("\u0301a", ["a"]),
        ("", []),
        (" \t", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert cut([text]) == [words]


@pytest.mark.parametrize(
    "kind", ["words", "word pieces", pytest.param("byte pairs", marks=pytest.mark.slow)]
)
def test_every_word_has_tokens_of_its_own(kind: str) -> None:
    """What a tokenizer drops shifts nothing."""
    ours = PlacedPreprocessor(tokenizer(kind), 4)
    texts = ["good \ufe0f\u200d Paris", "\x01\u00ad good", "", *GOLDENS]
    tokens = ours.encode(texts)
    features = {k: v.numpy() for k, v in ours.pack(tokens, 8).items()}
    starts, ends = features["starts"], features["ends"]
    for row, words in enumerate(cut(texts)):
        places = np.flatnonzero(starts[row] >= 0)
        found = [texts[row][starts[row, p] : ends[row, p]] for p in places]
        assert found == words
        for word, first, last in zip(words, places, [*places, None][1:], strict=True):
            alone = [i for i in features["token_ids"][row, first:last] if i != ours.pad_id]
            plain = ours.tokens.tokenize([word]).to_list()[0]
            if kind != "byte pairs" and ours.pad_id not in plain:
                assert alone == (plain or [ours.unknown_id])
    assert features["padding_mask"].min(axis=0)[0] == 1
    assert features["letters"].shape == (*starts.shape, 4)
    together = {k: v.numpy() for k, v in ours(texts).items()}
    np.testing.assert_array_equal(together["starts"], starts[:, : together["starts"].shape[1]])


@pytest.mark.parametrize("kind", ["words", "word pieces", "byte pairs"])
def test_config_brings_back_the_same(kind: str) -> None:
    ours = PlacedPreprocessor(tokenizer(kind), 4)
    again = PlacedPreprocessor.from_config(ours.get_config())
    assert (again.letters, again.sequence_length) == (4, 16)
    assert type(again.tokens) is type(ours.tokens)


def test_lists_of_words_are_joined() -> None:
    ours = PlacedPreprocessor(tokenizer("words"))
    assert ours.as_inputs([["good", "Paris"], "it"]).numpy().tolist() == [b"good Paris", b"it"]
