"""The fast LSTM and GRU: Keras's results, TensorFlow's gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seqzoo.layers import recurrent
from keras_seqzoo.layers.recurrent import FastGRU, FastLSTM

PAIRS = {"LSTM": (keras.layers.LSTM, FastLSTM), "GRU": (keras.layers.GRU, FastGRU)}


@pytest.fixture(params=list(PAIRS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def _pair(kind: str, width: int, **options: Any) -> tuple[Any, Any]:
    """Keras's layer and ours with the same weights."""
    random = np.random.default_rng(0)
    theirs, ours = (layer(**options) for layer in PAIRS[kind])
    for layer in (theirs, ours):
        layer.build((None, None, width))
    weights = [random.normal(size=w.shape, scale=0.4) for w in theirs.get_weights()]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    return theirs, ours


def _gradients(layer: Any, x: tf.Tensor, mask: Any, states: Any, in_graph: bool) -> Any:
    """Outputs of a layer, and the gradients of a random sum of them."""

    def run(x: tf.Tensor, mask: Any, states: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((x, states))
            outputs = tf.nest.flatten(layer(x, mask=mask, initial_state=states, training=True))
            loss = tf.add_n([tf.reduce_sum(tf.sin(3.0 * output)) for output in outputs])
        weights = [weight.value for weight in layer.trainable_weights]
        return outputs, tape.gradient(loss, [x, *states, *weights])

    if in_graph:
        # Of unknown batch and length, as in training.
        x_spec = tf.TensorSpec([None, None, x.shape[-1]])
        state_specs = [tf.TensorSpec([None, state.shape[-1]]) for state in states]
        function = tf.function(lambda x, states: run(x, mask, states))
        return function.get_concrete_function(x_spec, state_specs)(x, states)
    return run(x, mask, states)


def _assert_same(theirs: Any, ours: Any) -> None:
    for one, other in zip(tf.nest.flatten(theirs), tf.nest.flatten(ours), strict=True):
        assert one.shape == other.shape
        scale = float(tf.reduce_max(tf.abs(one))) if tf.size(one) else 1.0
        np.testing.assert_allclose(one, other, atol=1e-5 * max(scale, 1.0))


@pytest.mark.parametrize("in_graph", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mask_of", ["none", "right padding", "gaps"])
@pytest.mark.parametrize("backwards", [False, True])
def test_outputs_and_gradients_are_keras_s(
    kind: str, backwards: bool, mask_of: str, in_graph: bool
) -> None:
    random = np.random.default_rng(1)
    for sequences, (batch, time, width, units) in (
        (True, (5, 11, 3, 4)), (False, (2, 4, 1, 2)), (True, (1, 1, 2, 1)), (False, (3, 22, 5, 3)),
    ):  # fmt: skip
        theirs, ours = _pair(
            kind, width, units=units, return_sequences=sequences, return_state=True,
            go_backwards=backwards, zero_output_for_mask=batch == 5,
        )  # fmt: skip
        x = tf.constant(random.normal(size=(batch, time, width)), tf.float32)
        states = [
            tf.constant(random.normal(size=(batch, units)), tf.float32)
            for _ in range(2 if kind == "LSTM" else 1)
        ]
        mask = {
            "none": None,
            "right padding": tf.sequence_mask(random.integers(0, time + 1, batch), time),
            "gaps": tf.constant(random.random((batch, time)) < 0.6),
        }[mask_of]
        _assert_same(
            _gradients(theirs, x, mask, states, in_graph),
            _gradients(ours, x, mask, states, in_graph),
        )


def test_empty_batch_is_answered(kind: str) -> None:
    _, ours = _pair(kind, 3, units=4, return_sequences=True)
    answer = tf.function(ours)(tf.zeros([0, 6, 3]))
    assert answer.shape == (0, 6, 4)


def test_shapes_are_known_to_keras(kind: str) -> None:
    ours = PAIRS[kind][1]
    assert ours(4, return_sequences=True)(keras.Input((None, 3))).shape == (None, None, 4)
    assert ours(4)(keras.Input((7, 3))).shape == (None, 4)


def test_both_directions_under_a_mask(kind: str) -> None:
    theirs, ours = (
        keras.layers.Bidirectional(layer(4, return_sequences=True)) for layer in PAIRS[kind]
    )
    x = tf.random.stateless_normal([4, 9, 3], [1, 2])
    mask = tf.sequence_mask([9, 1, 4, 0], 9)
    theirs.build(x.shape)
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    assert type(ours.backward_layer) is PAIRS[kind][1]
    _assert_same(theirs(x, mask=mask), ours(x, mask=mask))


def test_fit_file_and_export_agree_with_keras(kind: str, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    ids, labels = random.integers(0, 50, (16, 11)), random.integers(0, 2, 16)
    models = []
    for layer in PAIRS[kind]:
        inputs = keras.Input((None,), dtype="int32")
        x = keras.layers.Embedding(50, 6)(inputs)
        x = layer(5)(x)
        model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
        model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
        models.append(model)
    theirs, ours = models
    ours.set_weights(theirs.get_weights())
    for model in models:
        model.fit(ids, labels, batch_size=5, epochs=3, shuffle=False, verbose=0)
    _assert_same(theirs.get_weights(), ours.get_weights())
    ours.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert type(loaded.layers[2]) is PAIRS[kind][1]
    expected = ours.predict(ids, verbose=0)
    np.testing.assert_allclose(loaded.predict(ids, verbose=0), expected, atol=1e-6)
    ours.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(served.serve(tf.constant(ids, tf.int32)), expected, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"recurrent_dropout": 0.1}, {"dropout": 0.1}, {"activation": "relu"}, {"use_bias": False},
     {"unroll": True}, {"dtype": "mixed_bfloat16"}, {"dtype": "float16"}],
)  # fmt: skip
def test_what_is_not_plain_is_keras_s_own(
    kind: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("the fast loop was taken")

    monkeypatch.setattr(recurrent, "_inner_loop", fail)
    theirs, ours = _pair(kind, 3, units=4, **options)
    x = tf.random.stateless_normal([2, 3, 3], [3, 4])
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-3)
    with pytest.raises(AssertionError, match="fast loop"):
        PAIRS[kind][1](4)(x)


def test_a_gpu_is_left_to_keras(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = PAIRS[kind][1](4)
    layer.build((None, None, 3))
    assert recurrent._is_plain(layer)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["a GPU"])
    assert not recurrent._is_plain(layer)
