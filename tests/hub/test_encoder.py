"""`HubEncoder`: what a module must be, what trains, and what a file holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import modules
import numpy as np
import pytest
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.hub.encoder import HubEncoder, hub_encoder

RANDOM_BERT = "small_bert_L-2_H-128_A-2_random"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("module")
    return modules.write_encoder(root / "tiny_bert", modules.write_vocabulary(root))


@pytest.fixture
def model(folder: Path, tiny_table: Any) -> Any:
    keras.utils.set_random_seed(0)
    return sz.build_model(str(folder), tiny_table, pooling="pooled", dropout=0.0)


def _features(rows: int = 2, length: int = 5) -> dict[str, np.ndarray]:
    ids = np.arange(rows * length, dtype=np.int32).reshape(rows, length)
    return {
        "token_ids": ids, "padding_mask": np.ones_like(ids), "segment_ids": np.zeros_like(ids),
    }  # fmt: skip


def test_answers_are_the_module_s(folder: Path) -> None:
    features = _features()
    module = tf.saved_model.load(str(folder))
    expected = module(
        {"input_word_ids": features["token_ids"], "input_mask": features["padding_mask"],
         "input_type_ids": features["segment_ids"]}, False, None,
    )  # fmt: skip
    answer = hub_encoder(folder)(features)
    np.testing.assert_array_equal(answer["sequence_output"], expected["sequence_output"])
    np.testing.assert_array_equal(answer["pooled_output"], expected["pooled_output"])


def test_layer_tells_its_sizes(folder: Path) -> None:
    layer = hub_encoder(folder)
    assert layer.hidden_dim == modules.HIDDEN
    assert layer.vocabulary_size == len(modules.PIECES)
    assert layer.sequence_length == modules.POSITIONS
    assert len(layer.trainable_weights) == 2 + modules.LAYERS + 1


@pytest.mark.slow
def test_fifty_steps_lower_the_loss_and_move_all_weights(model: Any, tiny_table: Any) -> None:
    before = [w.numpy() for w in model.trainable_weights]
    model.optimizer.learning_rate = 0.03
    loss = model.fit(tiny_table, batch_size=8, epochs=25, verbose=0).history["loss"]
    assert loss[-1] < 0.5 * loss[0]
    assert len(before) == 2 + modules.LAYERS + 1 + 2
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert np.abs(weight.numpy() - old).max() > 1e-4, weight.path


@pytest.mark.parametrize(
    ("trainable", "moved"),
    [
        (False, set()),
        ("last:1", {"layer_2", "pooler"}),
        ("last:2", {"layer_1", "layer_2", "pooler"}),
    ],
)
def test_frozen_weights_stay(
    folder: Path, tiny_table: Any, trainable: Any, moved: set[str]
) -> None:
    model = sz.build_model(str(folder), tiny_table, trainable=trainable, pooling="pooled")
    layer = model.encoder.get_layer("hub_encoder")
    before = {w.name: w.numpy() for w in layer.weights}
    model.fit(tiny_table, batch_size=8, epochs=2, verbose=0)
    changed = {w.name for w in layer.weights if np.abs(w.numpy() - before[w.name]).max() > 0}
    assert {next(m for m in moved if m in name) for name in changed} == moved


def test_training_reaches_the_module(folder: Path) -> None:
    features = _features()
    tuned, frozen = hub_encoder(folder), hub_encoder(folder, tune=False)
    calm = tuned(features, training=False)["pooled_output"]
    assert np.abs(tuned(features, training=True)["pooled_output"] - calm).max() > 0
    np.testing.assert_array_equal(frozen(features, training=True)["pooled_output"], calm)
    without = HubEncoder.from_config(hub_encoder(folder, dropout=False).get_config())
    without.set_weights(tuned.get_weights())
    np.testing.assert_array_equal(without(features, training=True)["pooled_output"], calm)


def test_module_without_training_is_taken(tmp_path: Path, tiny_table: Any) -> None:
    module = modules.Calm(modules.write_vocabulary(tmp_path))
    module.__call__.get_concrete_function(modules.specs())
    tf.saved_model.save(module, str(tmp_path / "calm"))
    model = sz.build_model(str(tmp_path / "calm"), tiny_table, pooling="pooled")
    assert len(model.encoder.trainable_weights) == 2 + modules.LAYERS + 1
    before = [w.numpy() for w in model.encoder.trainable_weights]
    model.fit(tiny_table, epochs=1, verbose=0)
    assert any(
        np.abs(weight.numpy() - old).max() > 0
        for old, weight in zip(before, model.encoder.trainable_weights, strict=True)
    )


@pytest.mark.parametrize("trainable", ["last:9", "last:0", "first:1", "none"])
def test_wrong_trainable_is_explained(folder: Path, tiny_table: Any, trainable: str) -> None:
    with pytest.raises(ValueError, match=r"'last:N' with N from 1 to 3.*Received: trainable="):
        sz.build_model(str(folder), tiny_table, trainable=trainable)


@pytest.mark.slow
def test_file_needs_no_folder_and_is_refused_in_safe_mode(
    folder: Path, tiny_table: Any, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    model = sz.build_model(str(copy), tiny_table, trainable="last:2")
    model.fit(tiny_table, batch_size=8, verbose=0)
    expected = model.predict(["a good film", ""], verbose=0)
    model.save(tmp_path / "m.keras")
    exported = sz.export_model(model, tmp_path / "exported")
    shutil.rmtree(copy)

    with pytest.raises(ValueError, match=r"A graph is a program.*safe_mode=False"):
        keras.models.load_model(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=False)
    np.testing.assert_allclose(loaded.predict(["a good film", ""], verbose=0), expected, atol=1e-6)
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    loaded.fit(tiny_table, batch_size=8, verbose=0)
    loaded.save(tmp_path / "again.keras")

    script = (
        "import sys, tensorflow as tf, tensorflow_text; sys.modules['keras'] = None;"
        "m = tf.saved_model.load(sys.argv[1]);"
        "print(m.signatures['serving_default'](text=tf.constant(['a good film', '']))"
        "['probabilities'].numpy().tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(exported)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(eval(done.stdout), expected, atol=1e-5)


@pytest.mark.slow
def test_two_replicas_train_the_module(folder: Path, tiny_table: Any) -> None:
    strategy = sz.distribution("mirrored", devices=["CPU:0", "CPU:1"], verbose=False)
    with strategy.scope():
        model = sz.build_model(str(folder), tiny_table, pooling="pooled", dropout=0.0)
    layer = model.encoder.get_layer("hub_encoder")
    before = [w.numpy() for w in layer.weights]
    model.optimizer.learning_rate = 0.01
    data = sz.make_dataset(tiny_table, model, 8)
    loss = model.fit(data, epochs=15, verbose=0).history["loss"]
    assert loss[-1] < loss[0]
    for old, weight in zip(before, layer.weights, strict=True):
        assert np.abs(weight.numpy() - old).max() > 0, weight.path
        replicas = [value.numpy() for value in weight.value.values]
        np.testing.assert_array_equal(replicas[0], replicas[1])


def test_other_precision_is_told(folder: Path, tiny_table: Any) -> None:
    with pytest.warns(UserWarning, match=r"computes in float32.*mixed_bfloat16"):
        model = sz.build_model(str(folder), tiny_table, dtype="mixed_bfloat16")
    assert model.encoder(model.preprocessor(["good"]))["sequence_output"].dtype == tf.float32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sz.build_model(str(folder), tiny_table)


def test_missing_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        sz.build_model(str(tmp_path / "nothing"), classes=["a", "b"])


def test_folder_without_saved_model_is_explained(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(ValueError, match=r"must hold a SavedModel.*which holds \['readme.txt'\]"):
        sz.build_model(str(tmp_path), classes=["a", "b"])


def test_old_format_is_explained(tmp_path: Path) -> None:
    (tmp_path / "tfhub_module.pb").touch()
    with pytest.raises(ValueError, match="old format for TensorFlow 1"):
        sz.build_model(str(tmp_path), classes=["a", "b"])


@pytest.mark.parametrize("damage", ["variables/variables.data-00000-of-00001", "saved_model.pb"])
def test_truncated_file_is_explained(folder: Path, tmp_path: Path, damage: str) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    content = (copy / damage).read_bytes()
    (copy / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"damaged or not wholly downloaded.*Received"):
        sz.build_model(str(copy), classes=["a", "b"])


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (modules.Nnlm, r"a call of string\[None\]"),
        (modules.Image, r"a call of float32\[None, 4, 4"),
    ],
)
def test_other_modules_are_explained(tmp_path: Path, module: Any, found: str) -> None:
    tf.saved_model.save(module(), str(tmp_path / "module"))
    with pytest.raises(ValueError, match=f"not a text encoder.*which has {found}"):
        sz.build_model(str(tmp_path / "module"), classes=["a", "b"])


def test_module_of_tensorflow_1_is_explained(tmp_path: Path) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        ids = tf.compat.v1.placeholder(tf.int32, [None, None])
        outputs = tf.cast(ids, tf.float32)
        tf.compat.v1.saved_model.simple_save(
            session, str(tmp_path / "v1"), {"input_ids": ids}, {"pooled_output": outputs}
        )
    with pytest.raises(ValueError, match=r"the signature 'serving_default' of input_ids"):
        sz.build_model(str(tmp_path / "v1"), classes=["a", "b"])


def test_positions_are_respected(folder: Path, tiny_table: Any) -> None:
    with pytest.raises(ValueError, match=r"has 16 positions.*Received: sequence_length=17"):
        sz.build_model(str(folder), tiny_table, sequence_length=17)
    model = sz.build_model(str(folder), tiny_table)
    assert model.preprocessor(["good " * 50])["token_ids"].shape == (1, 16)


def test_cased_text_is_folded_for_an_uncased_model(model: Any) -> None:
    loud, calm = model.predict(["A GOOD Film", "a good film"], verbose=0)
    np.testing.assert_array_equal(loud, calm)


@pytest.mark.slow
def test_real_graph_trains(shared: Any, tiny_table: Any) -> None:
    """A graph that TF Hub's own exporter wrote, with random weights."""
    keras.utils.set_random_seed(0)
    name = str(shared("hub", RANDOM_BERT))
    model = sz.build_model(name, tiny_table, pooling="pooled", dropout=0.0)
    before = [w.numpy() for w in model.trainable_weights]
    model.optimizer.learning_rate = 1e-3
    loss = model.fit(tiny_table, batch_size=8, epochs=25, verbose=0).history["loss"]
    assert loss[-1] < 0.5 * loss[0]
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert np.abs(weight.numpy() - old).max() > 0, weight.path


@pytest.mark.slow
def test_real_graph_does_not_care_for_padding_and_batch_mates(shared: Any) -> None:
    model = sz.build_model(str(shared("hub", RANDOM_BERT)), classes=["a", "b"])
    texts = ["a good film", "", "such a long and winding story that others are padded to it"]
    together = model.predict_on_batch(texts)
    alone = np.concatenate([model.predict_on_batch([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
