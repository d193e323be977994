"""Encoders of TF Hub on our own graph: the same answers and gradients, and what else it does."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import keras
import keras_hub
import modules
import numpy as np
import pytest
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.hub.backbone import BackboneEncoder, encoder_of
from keras_seqzoo.hub.encoder import HubEncoder, hub_encoder
from keras_seqzoo.hub.transformer import TransformerEncoder
from keras_seqzoo.serving.saved import SavedPredictor
from keras_seqzoo.serving.versions import CARD

CHECKPOINT = Path(__file__).parents[1] / "parity" / "distilbert_tiny"
RANDOM_BERT = "small_bert_L-2_H-128_A-2_random"
TEXTS = [
    "a good film",
    "",
    "such a long and winding story that the others are padded to it",
    "poor",
]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bert")
    return modules.write_bert(root / "bert", modules.write_vocabulary(root))


def ids(rows: int = 3, length: int = 7) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    mask = (np.arange(length) < np.array([length, 3, 1])[:rows, None]).astype(np.int32)
    draw = rng.integers(0, len(modules.PIECES), (2, rows, length)) * mask
    parts = {"token_ids": draw[0], "padding_mask": mask, "segment_ids": draw[1] % 2}
    return {name: tf.constant(part, tf.int32) for name, part in parts.items()}


def of_loss(encoder: Any, features: Any, training: bool = False) -> tuple[Any, dict[str, Any]]:
    """A number that all answers have a part in, and its gradients by name."""
    mask = tf.cast(features["padding_mask"], tf.float32)[..., None]
    with tf.GradientTape() as tape:
        answers = encoder(features, training=training)
        sequence = answers["sequence_output"] * mask
        weights = tf.sin(tf.range(sequence.shape[-1], dtype=tf.float32))
        loss = tf.reduce_sum(tf.square(sequence) * weights)
        loss += tf.reduce_sum(answers["pooled_output"] * weights)
    gradients = tape.gradient(loss, [w.value for w in encoder.trainable_weights])
    names = [w.path.removeprefix(f"{encoder.name}/") for w in encoder.trainable_weights]
    return loss, {n: tf.convert_to_tensor(g) for n, g in zip(names, gradients, strict=True)}


THEIRS = {
    "token_embedding": "word_embeddings_embeddings",
    "position_embedding": "position_embedding_embeddings",
    "segment_embedding": "type_embeddings_embeddings",
    "embedding_norm_gamma": "embeddings_layer_norm_gamma",
    "layer_0_attention_kernel": "transformer_layer_0_self_attention_attention_output_kernel",
    "layer_0_intermediate_bias": "transformer_layer_0_intermediate_bias",
    "layer_1_output_norm_beta": "transformer_layer_1_output_layer_norm_beta",
    "pooler_kernel": "pooler_transform_kernel",
}


def hold_to_module(folder: Path, features: Any) -> TransformerEncoder:
    ours, own = hub_encoder(folder, dropout=False), hub_encoder(folder, native=False)
    assert isinstance(ours, TransformerEncoder)
    assert isinstance(own, HubEncoder)
    wanted, theirs = of_loss(own, features)
    for training in (False, True):
        found, gradients = of_loss(ours, features, training)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        for name, their_name in THEIRS.items():
            g = theirs[their_name]
            off = np.abs(tf.reshape(gradients[name], g.shape) - g).max() / np.abs(g).max()
            assert off < 1e-4, name
    return ours


@pytest.mark.parametrize("activation", ["gelu_tanh", "gelu", "relu"])
def test_answers_and_gradients_are_the_module_s(tmp_path: Path, activation: str) -> None:
    vocabulary = modules.write_vocabulary(tmp_path)
    folder = modules.write_bert(tmp_path / activation, vocabulary, activation=activation)
    assert hold_to_module(folder, ids()).activation == activation


def test_embeddings_of_another_width(tmp_path: Path) -> None:
    vocabulary = modules.write_vocabulary(tmp_path)
    folder = modules.write_bert(tmp_path / "narrow", vocabulary, width=4)
    assert hold_to_module(folder, ids()).embedding_dim == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", [RANDOM_BERT, "minilm_L-6_H-384_A-12"])
def test_real_modules_are_rebuilt(shared: Any, name: str) -> None:
    folder = shared("hub", name)
    model = sz.build_model(str(folder), classes=["a", "b"])
    hold_to_module(folder, model.preprocessor(TEXTS))


BACKBONES = {
    "BertBackbone": {"vocabulary_size": 32},
    "DistilBertBackbone": {"vocabulary_size": 32},
    "ElectraBackbone": {"vocab_size": 32, "embedding_dim": 4},
    "RobertaBackbone": {"vocabulary_size": 32},
}


@pytest.mark.parametrize("kind", BACKBONES)
def test_answers_and_gradients_are_the_backbone_s(kind: str) -> None:
    backbone = getattr(keras_hub.models, kind)(
        num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16, max_sequence_length=9,
        dropout=0.0, **BACKBONES[kind],
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for weight in backbone.weights:
        weight.assign(weight + 0.3 * rng.normal(size=weight.shape))
    features = ids()
    own = encoder_of(backbone, native=False)
    assert isinstance(own, BackboneEncoder)
    ours = encoder_of(backbone, dtype="float32", name="backbone")
    assert isinstance(ours, TransformerEncoder)
    wanted, theirs = of_loss(own, features)
    found, gradients = of_loss(ours, features, training=True)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    for name, their_name in {
        "token_embedding": "token_embedding/embeddings",
        "layer_0_attention_kernel": "layer_0/self_attention_layer/attention_output/kernel",
        "layer_1_output_norm_gamma": "transformer_layer_1/feedforward_layer_norm/gamma",
    }.items():
        g = next(g for path, g in theirs.items() if path.endswith(their_name))
        off = np.abs(tf.reshape(gradients[name], g.shape) - g).max() / np.abs(g).max()
        assert off < 1e-4, name


def test_a_backbone_that_is_nearly_like_it_keeps_its_graph() -> None:
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=32, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    )
    backbone.get_layer("pooled_dense").activation = keras.activations.relu
    with pytest.warns(UserWarning, match=r"KerasHub's graph, which is slower, as its answers"):
        assert isinstance(encoder_of(backbone, name="backbone"), BackboneEncoder)


def test_xla_and_padding_change_nothing(bert: Path) -> None:
    encoder = hub_encoder(bert, dropout=False)
    features = ids()
    wanted, gradients = of_loss(encoder, features)
    encoder.xla = True
    compiled = tf.function(lambda f: of_loss(encoder, f, True), jit_compile=True)
    found, of_xla = compiled(features)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(of_xla[name], gradient, atol=1e-4, err_msg=name)


def test_dropout_is_the_module_s_and_can_be_drawn_again(bert: Path) -> None:
    def drawn() -> Any:
        keras.utils.set_random_seed(3)
        encoder = hub_encoder(bert)
        return [encoder(ids(), training=True)["pooled_output"].numpy() for _ in range(2)]

    first, again = drawn(), drawn()
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0] - first[1]).max() > 0
    assert hub_encoder(bert).dropout == pytest.approx(modules.RATE)
    frozen = hub_encoder(bert, tune=False)
    calm = frozen(ids())["pooled_output"]
    np.testing.assert_array_equal(frozen(ids(), training=True)["pooled_output"], calm)


def test_a_file_holds_no_program(bert: Path, tiny_table: Any, tmp_path: Path) -> None:
    model = sz.build_model(str(bert), tiny_table, trainable="last:1")
    model.fit(tiny_table, batch_size=8, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        loaded.predict(TEXTS, verbose=0), model.predict(TEXTS, verbose=0), atol=1e-6
    )
    assert len(loaded.trainable_weights) == len(model.trainable_weights)


def test_low_rank_matrices_are_trained_in_place_of_the_weights(
    bert: Path, tiny_table: Any, tmp_path: Path
) -> None:
    whole = sz.build_model(str(bert), tiny_table).encoder(ids())["pooled_output"]
    model = sz.build_model(str(bert), tiny_table, lora_rank=2)
    np.testing.assert_array_equal(model.encoder(ids())["pooled_output"], whole)
    names = {w.name for w in model.encoder.trainable_weights}
    assert names == {
        f"layer_{n}_{part}_lora_{of}" for n in (0, 1) for part in ("query", "value") for of in "ab"
    }
    before = {w.name: w.numpy() for w in model.encoder.weights}
    model.fit(tiny_table, batch_size=8, epochs=2, verbose=0)
    changed = {w.name for w in model.encoder.weights if (w.numpy() != before[w.name]).any()}
    assert changed - {"seed_generator_state"} == names
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        loaded.predict(TEXTS, verbose=0), model.predict(TEXTS, verbose=0), atol=1e-6
    )
    assert {w.name for w in loaded.encoder.trainable_weights} == names
    exported = sz.export_model(loaded, tmp_path / "served")
    assert json.loads((exported / CARD).read_text("utf-8"))["module_graph"] is False
    served = SavedPredictor(exported)
    np.testing.assert_allclose(served.predict(TEXTS), model.predict(TEXTS, verbose=0), atol=1e-5)


def test_half_precision(bert: Path, tiny_table: Any, tmp_path: Path) -> None:
    vocabulary = modules.write_vocabulary(tmp_path)
    other = modules.write_bert(tmp_path / "relu", vocabulary, activation="relu")
    assert hub_encoder(other, dtype="mixed_bfloat16").activation == "relu"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = sz.build_model(str(bert), tiny_table, dtype="mixed_bfloat16")
    whole = hub_encoder(bert)(ids())["sequence_output"]
    half = model.encoder(ids())["sequence_output"]
    assert half.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(half, tf.float32), whole, atol=0.1)
    loss = model.fit(tiny_table, batch_size=8, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(loss).all()


@pytest.mark.parametrize("kind", ["module", "checkpoint"])
def test_two_replicas_train_it_as_one_does(bert: Path, tiny_table: Any, kind: str) -> None:
    source = str(bert if kind == "module" else CHECKPOINT)
    found = []
    for devices in (["CPU:0", "CPU:1"], ["CPU:0"]):
        keras.utils.set_random_seed(0)
        with sz.distribution("mirrored", devices=devices, verbose=False).scope():
            model = sz.build_model(source, tiny_table, dropout=0.0)
        for layer in model.encoder.layers:
            if isinstance(layer, TransformerEncoder):
                layer.dropout = 0.0
        model.optimizer.learning_rate = 1e-3
        model.fit(sz.make_dataset(tiny_table, model, 8), epochs=2, verbose=0)
        found.append(model.predict(TEXTS, verbose=0))
    np.testing.assert_allclose(*found, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"extra": True}, r"a weight that BERT does not have, transformer/layer_0/gate"),
        ({"sign": -1.0}, "its answers differ from BERT's"),
        ({"rates": (0.1, 0.3)}, r"the rates \[0.1, 0.3\]"),
    ],
)
def test_a_module_nearly_like_it_keeps_its_graph(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    folder = modules.write_bert(tmp_path / "m", modules.write_vocabulary(tmp_path), **changes)
    with pytest.warns(UserWarning, match=f"keeps its own graph, which is slower, as.*{why}"):
        layer = hub_encoder(folder)
    assert isinstance(layer, HubEncoder)
    with pytest.raises(ValueError, match=f"low-rank.*lora_rank=2.*{why}"):
        hub_encoder(folder, lora_rank=2)


def test_wrong_values_are_explained() -> None:
    sizes = {"vocabulary_size": 9, "sequence_length": 4, "num_segments": 0, "num_layers": 1}
    with pytest.raises(ValueError, match="multiple of `num_heads`"):
        TransformerEncoder(**sizes, num_heads=3, hidden_dim=8, intermediate_dim=8)
    with pytest.raises(ValueError, match="`activation` must be one of"):
        TransformerEncoder(
            **sizes, num_heads=2, hidden_dim=8, intermediate_dim=8, activation="swish"
        )
    encoder = TransformerEncoder(**sizes, num_heads=2, hidden_dim=8, intermediate_dim=8)
    with pytest.raises(ValueError, match=r"those of the encoder.*token_embedding"):
        encoder.fill({})
