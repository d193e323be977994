"""Vectors of texts and of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_seqzoo as sz

TEXTS = ["a good film", "", "I hated the dull story", "bad"]


@pytest.fixture(scope="module")
def bert(tiny_table: Any) -> Any:
    keras.utils.set_random_seed(0)
    options = sz.model_card("bert_base").tiny
    return sz.build_model("bert_base", tiny_table, weights=None, **options)


def test_vectors_are_what_the_head_reads(tiny_model: Any) -> None:
    vectors = sz.embed(tiny_model, TEXTS)
    assert vectors.dtype == np.float32
    kernel, bias = (w.numpy() for w in tiny_model.get_layer("logits").weights)
    logits = vectors @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tiny_model.predict(TEXTS, verbose=0), expected, atol=1e-5)


def test_order_and_batches_change_nothing(bert: Any) -> None:
    whole = sz.embed(bert, TEXTS)
    np.testing.assert_allclose(sz.embed(bert, TEXTS, batch_size=1), whole, atol=1e-5)
    np.testing.assert_allclose(sz.embed(bert, TEXTS[::-1])[::-1], whole, atol=1e-5)


def test_tokens_are_ragged_by_real_length(bert: Any) -> None:
    tokens = sz.embed(bert, TEXTS, tokens=True, batch_size=2)
    lengths = bert.preprocessor(TEXTS)["padding_mask"].numpy().sum(axis=1)
    assert isinstance(tokens, tf.RaggedTensor)
    assert tokens.row_lengths().numpy().tolist() == lengths.tolist()
    alone = bert.encoder(bert.preprocessor(TEXTS[2:3]))["sequence_output"][0]
    np.testing.assert_allclose(tokens[2].numpy(), alone, atol=1e-5)
    np.testing.assert_allclose(sz.embed(bert, TEXTS)[2], tokens[2].numpy().mean(axis=0), atol=1e-5)


def test_no_texts_give_no_vectors(bert: Any) -> None:
    assert sz.embed(bert, []).shape == (0, 16)
    assert sz.embed(bert, [], tokens=True).shape.as_list() == [0, None, 16]


def test_embedder_is_a_model_of_its_own(tiny_table: Any, tmp_path: Path) -> None:
    model = sz.build_model("bigru", tiny_table, task="embed", units=4, pooling="max")
    vectors = model.predict(TEXTS, verbose=0)
    assert vectors.shape == (4, 8)
    np.testing.assert_allclose(sz.embed(model, TEXTS), vectors, atol=1e-5)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded.predict(TEXTS, verbose=0), vectors, atol=1e-5)
    served = tf.saved_model.load(str(sz.export_model(model, tmp_path / "out")))
    assert set(served.signatures) == {"serving_default", "embed", "tokens"}
    for name in ("serving_default", "embed"):
        answer = served.signatures[name](text=tf.constant(TEXTS))["embedding"]
        np.testing.assert_allclose(answer, vectors, atol=1e-5)
    answer = served.signatures["tokens"](**model.preprocessor(TEXTS))["embedding"]
    np.testing.assert_allclose(answer, vectors, atol=1e-5)


def test_classifier_s_savedmodel_embeds_too(tiny_model: Any, tiny_export: Path) -> None:
    served = tf.saved_model.load(str(tiny_export))
    answer = served.signatures["embed"](text=tf.constant(TEXTS))["embedding"]
    np.testing.assert_allclose(answer, sz.embed(tiny_model, TEXTS), atol=1e-5)


def test_wrong_arguments_are_explained(tiny_table: Any, tiny_model: Any) -> None:
    with pytest.raises(TypeError, match=r"takes a model of keras_seqzoo.*Received: Sequential"):
        sz.embed(keras.Sequential(), ["a"])
    with pytest.raises(TypeError, match="list or array of strings"):
        sz.embed(tiny_model, "a good film")
    with pytest.raises(ValueError, match="Vectors have no classes"):
        sz.build_model("gru", tiny_table, task="embed", classes=["a", "b"])
    with pytest.raises(ValueError, match="`pooling` of this model must be one of"):
        sz.build_model("gru", tiny_table, task="embed", pooling="cls")


def test_vectors_are_not_evaluated(tiny_table: Any) -> None:
    model = sz.build_model("gru", tiny_table, task="embed", units=4)
    with pytest.raises(TypeError, match=r"compares answers with the truth.*TextEmbedder"):
        sz.evaluate(model, tiny_table)
