"""Our GPT-2 and DistilBERT beside transformers', on the same weights; `make_facts.py` has facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import keras_seqzoo as sz

HERE = Path(__file__).parent
FACTS = json.loads((HERE / "facts.json").read_text())
TEXTS = FACTS["texts"]
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def generator() -> Any:
    return sz.build_model(str(HERE / "gpt2_tiny"), task="generate")


def facts(name: str, key: str) -> Any:
    return [answer[key] for answer in FACTS[name]["answers"]]


def test_gpt2_reads_the_same_ids(generator: Any) -> None:
    assert generator.preprocessor.tokenize(TEXTS).to_list() == facts("gpt2_tiny", "ids")


def test_gpt2_logits_are_those_of_transformers(generator: Any) -> None:
    features = generator.preprocessor(TEXTS)
    last = tf.reduce_sum(features["padding_mask"], axis=1) - 1
    logits = tf.gather(generator(features), last, batch_dims=1)
    np.testing.assert_allclose(logits, facts("gpt2_tiny", "last_logits"), atol=TOLERANCE)


def test_gpt2_pooled_states_are_those_of_transformers() -> None:
    model = sz.build_model(str(HERE / "gpt2_tiny"), task="embed")
    assert model.pooling == "last"
    np.testing.assert_allclose(
        sz.embed(model, TEXTS), facts("gpt2_tiny", "last_state"), atol=TOLERANCE
    )


def test_gpt2_writes_what_transformers_writes(generator: Any) -> None:
    expected = FACTS["gpt2_tiny"]["greedy"]
    # The end token has no text; up to it both write the same.
    end = expected.index(0) if 0 in expected else len(expected)
    text = generator.preprocessor.detokenize(tf.ragged.constant([expected[:end]], dtype=tf.int32))
    assert generator.generate(TEXTS[0], 32, "greedy") == text.numpy()[0].decode("utf-8", "replace")


def test_distilbert_states_are_those_of_transformers() -> None:
    model = sz.build_model(str(HERE / "distilbert_tiny"), task="embed", pooling="cls")
    ids = facts("distilbert_tiny", "ids")
    assert model.preprocessor(TEXTS[:1])["token_ids"].numpy().tolist() == ids[:1]
    np.testing.assert_allclose(
        sz.embed(model, TEXTS), facts("distilbert_tiny", "first_state"), atol=TOLERANCE
    )
    mean = sz.build_model(str(HERE / "distilbert_tiny"), task="embed")
    assert mean.pooling == "mean"
    np.testing.assert_allclose(
        sz.embed(mean, TEXTS), facts("distilbert_tiny", "mean_state"), atol=TOLERANCE
    )
