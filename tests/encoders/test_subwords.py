"""Subword vectors: words that look alike are near each other."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_seqzoo as sz
from keras_seqzoo.encoders.subwords import SubwordEmbedding

WORDS = ["[PAD]", "[UNK]", "disappointing", "disappointment", "lovely", "a", "日"]


@pytest.fixture
def layer() -> SubwordEmbedding:
    keras.utils.set_random_seed(0)
    return SubwordEmbedding(5000, 32, WORDS)


def test_words_that_share_parts_are_near(layer: SubwordEmbedding) -> None:
    vectors = layer(np.array([[2, 3, 4]])).numpy()[0]
    near = np.corrcoef(vectors)
    assert near[0, 1] > 0.5
    assert abs(near[0, 2]) < 0.5


def test_vector_is_the_sum_of_its_parts_over_the_root_of_their_number(
    layer: SubwordEmbedding,
) -> None:
    # <a> has one 3-gram, "<a>", and nothing longer.
    vectors = layer(np.array([[5, 5]])).numpy()[0]
    parts = layer.parts[5][layer.parts[5] >= 0]
    assert len(parts) == 1
    np.testing.assert_allclose(vectors, layer.embeddings.numpy()[[parts[0]] * 2], atol=1e-6)
    lovely = layer.parts[4][layer.parts[4] >= 0]
    assert len(lovely) == 6 + 5 + 4
    expected = layer.embeddings.numpy()[lovely].sum(axis=0) / np.sqrt(15)
    np.testing.assert_allclose(layer(np.array([[4]])).numpy()[0, 0], expected, atol=1e-6)


def test_special_tokens_have_no_parts(layer: SubwordEmbedding) -> None:
    assert not layer(np.array([[0, 1]])).numpy().any()


def test_words_without_subwords_can_be_asked_for(tiny_table: sz.TextTable) -> None:
    model = sz.build_model("gru", tiny_table, units=4, subword_buckets=0)
    assert "subword_embedding" not in [layer.name for layer in model.encoder.layers]
    with pytest.raises(ValueError, match="`subword_buckets` must be a whole number"):
        sz.build_model("gru", tiny_table, subword_buckets=-1)


def test_parts_survive_the_file(layer: SubwordEmbedding, tmp_path: Path) -> None:
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    ids = np.arange(7)[None]
    np.testing.assert_array_equal(again.predict(ids, verbose=0), model.predict(ids, verbose=0))
