"""Exports whose transformer multiplies whole numbers of 8 bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import modules
import numpy as np
import pytest
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.hub.int8 import _Product
from keras_seqzoo.serving.session import SavedSession
from keras_seqzoo.serving.versions import CARD

TEXTS = ["a good film", "", "such a long and dull story the cast hated it", "lovely fun!"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("bert")
    table = sz.TextTable.from_texts(TEXTS, ["yes", "no", "no", "yes"])
    keras.utils.set_random_seed(0)
    module = modules.write_bert(root / "bert", modules.write_vocabulary(root))
    model = sz.build_model(str(module), table)
    model.get_layer("logits").bias.assign([0.1, -0.1])
    return model


@pytest.fixture(scope="module")
def session(model: Any, tmp_path_factory: pytest.TempPathFactory) -> SavedSession:
    folder = tmp_path_factory.mktemp("int8")
    return SavedSession(sz.export_model(model, folder, optimize="int8", warmup=TEXTS))


def probabilities(session: SavedSession, texts: list[str]) -> Any:
    asked = {"text": np.array([text.encode() for text in texts], object)}
    return session.run("serving_default", asked)["probabilities"]


def test_answers_are_nearly_the_models(model: Any, session: SavedSession) -> None:
    answers = probabilities(session, TEXTS)
    wanted = model.predict(TEXTS, verbose=0)
    np.testing.assert_allclose(answers, wanted, atol=0.02)
    assert np.abs(answers - wanted).max() > 1e-6  # they are not of the same numbers
    card = json.loads((session.path / CARD).read_text("utf-8"))
    assert card["optimized"]["optimize"] == "int8"
    assert card["optimized"]["texts"] == len(TEXTS)
    found = np.abs(answers - wanted).max()
    assert card["optimized"]["largest_difference"] == pytest.approx(found, abs=1e-5)


def test_an_answer_does_not_depend_on_the_texts_beside(session: SavedSession) -> None:
    alone = np.concatenate([probabilities(session, [text]) for text in TEXTS])
    np.testing.assert_allclose(alone, probabilities(session, TEXTS), atol=1e-6)


def test_it_holds_bytes_in_place_of_the_kernels(model: Any, session: SavedSession) -> None:
    kept = tf.train.list_variables(str(session.path / "variables" / "variables"))
    reader = tf.train.load_checkpoint(str(session.path / "variables" / "variables"))
    types = reader.get_variable_to_dtype_map()
    whole = sorted(tuple(shape) for name, shape in kept if types[name] == tf.int8)
    kernels = [
        tuple(w.shape)
        for w in model.encoder.weights
        if ("kernel" in w.path and "pooler" not in w.path) or "token_embedding" in w.path
    ]
    assert whole == sorted(kernels)


def test_the_model_goes_on_as_before(model: Any, session: SavedSession, tmp_path: Path) -> None:
    again = SavedSession(sz.export_model(model, tmp_path))
    np.testing.assert_allclose(
        probabilities(again, TEXTS), model.predict(TEXTS, verbose=0), atol=1e-6
    )


def test_a_session_fuses_products_with_their_bias_and_gelu(model: Any, tmp_path: Path) -> None:
    session = SavedSession(sz.export_model(model, tmp_path))
    asked, ran = session.signatures["serving_default"], tf.compat.v1.RunMetadata()
    session._session.run(
        asked.outputs["probabilities"].name,
        {asked.inputs["text"].name: np.array([b"a good film"], object)},
        tf.compat.v1.RunOptions(output_partition_graphs=True),
        ran,
    )
    nodes = [node for graph in ran.partition_graphs for node in graph.node]
    if not any("Mkl" in node.op for node in nodes):
        pytest.skip("oneDNN is off on this machine")
    fused = [tuple(node.attr["fused_ops"].list.s) for node in nodes if "FusedMatMul" in node.op]
    layers = model.encoder.get_layer("hub_encoder").num_layers
    assert fused.count((b"BiasAdd", b"GeluApproximate")) == layers


@pytest.mark.parametrize("share", [0.0, 0.75])
def test_a_product_is_within_its_steps(share: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(64, 32)).astype(np.float32)
    if share:
        values[:, 3] *= 30  # as a channel is behind some norms
    kernel = rng.normal(size=(32, 16)).astype(np.float32)
    bias = rng.normal(size=16).astype(np.float32)
    product = tf.function(_Product(kernel, bias, (values.min(0), values.max(0)), share))
    found, wanted = product(tf.constant(values), None).numpy(), values @ kernel + bias
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()
    relu = product(tf.constant(values), "relu").numpy()
    np.testing.assert_allclose(relu, np.maximum(found, 0), rtol=1e-5)


def test_what_cannot_be_is_refused(tiny_model: Any, model: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be one of .*Received: optimize='int4'"):
        sz.export_model(model, tmp_path / "a", optimize="int4")
    with pytest.raises(ValueError, match=r"takes transformers .*Leave it out"):
        sz.export_model(tiny_model, tmp_path / "a", optimize="int8")
    assert not (tmp_path / "a").exists()
