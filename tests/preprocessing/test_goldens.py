"""The ids of the reference tokenizers on texts of every kind; see `goldens/make_goldens.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from keras_seqzoo.preprocessing.bytepair import BytePairPreprocessor, read_merges
from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor

FOLDER = Path(__file__).parents[1] / "goldens"
GOLDENS = json.loads((FOLDER / "goldens.json").read_text("utf-8"))


@pytest.fixture(params=["word_pieces", "byte_pairs"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def ours(kind: str) -> Any:
    if kind == "word_pieces":
        pieces = (FOLDER / "vocab.txt").read_text("utf-8").split("\n")[:-1]
        return WordPiecePreprocessor(512, pieces)
    vocabulary = json.loads((FOLDER / "vocab.json").read_text("utf-8"))
    return BytePairPreprocessor(512, vocabulary, read_merges(FOLDER / "merges.txt"))


@pytest.mark.parametrize("in_graph", [False, True])
def test_ids_are_those_of_the_reference(kind: str, ours: Any, in_graph: bool) -> None:
    tokenize = tf.function(ours.tokenize) if in_graph else ours.tokenize
    ids = tokenize(tf.constant([golden["text"] for golden in GOLDENS])).to_list()
    for golden, row in zip(GOLDENS, ids, strict=True):
        assert row == golden[kind], (golden["text"], golden.get("differs"))
    assert len(GOLDENS) > 190
