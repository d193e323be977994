"""What a `.keras` file and a config bring back: what is trainable, and the vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import modules
import numpy as np
import pytest

import keras_seqzoo as sz
from keras_seqzoo.hub.resolve import plain_handle

TEXTS, LABELS = ["good film", "bad film"] * 4, [1, 0] * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("module")
    return modules.write_encoder(root / "tiny_bert", modules.write_vocabulary(root))


def _hub(folder: Path, **options: Any) -> Any:
    return sz.build_model(str(folder), classes=["a", "b"], **options)


def _bert(folder: Path, **options: Any) -> Any:
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 8}
    return sz.build_model("bert_base", TEXTS, classes=["a", "b"], weights=None, **sizes, **options)


def _gru(folder: Path) -> Any:
    return sz.build_model("gru", TEXTS, classes=["a", "b"], units=4)


def _encoder(model: Any) -> None:
    model.encoder.trainable = False


def _layer(model: Any) -> None:
    model.encoder.layers[-1].trainable = False


def _head(model: Any) -> None:
    model.get_layer("logits").trainable = False


def _whole(model: Any) -> None:
    model.trainable = False


def _thawed(model: Any) -> None:
    model.encoder.trainable = False
    model.encoder.trainable = True


@pytest.mark.parametrize("build", [_hub, _bert, _gru])
@pytest.mark.parametrize("change", [_encoder, _layer, _head, _whole, _thawed])
def test_what_is_trainable_survives_a_file(
    build: Callable[..., Any], change: Callable[[Any], None], folder: Path, tmp_path: Path
) -> None:
    model = build(folder)
    change(model)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=False)
    assert [w.trainable for w in loaded.weights] == [w.trainable for w in model.weights]
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    assert [x.trainable for x in loaded.layers] == [x.trainable for x in model.layers]


@pytest.mark.parametrize("build", [_hub, _bert])
def test_a_frozen_encoder_thaws(build: Callable[..., Any], folder: Path) -> None:
    model = build(folder, trainable=False, pooling="pooled")
    assert not model.encoder.trainable_weights
    model.encoder.trainable = True
    model.compile("adam", "sparse_categorical_crossentropy")
    before = [weight.numpy() for weight in model.encoder.weights]
    model.fit(TEXTS, LABELS, verbose=0)
    for old, weight in zip(before, model.encoder.weights, strict=True):
        assert np.abs(weight.numpy() - old).max() > 0 or "segment" in weight.path, weight.path


@pytest.mark.parametrize("build", [_bert, _gru])
@pytest.mark.parametrize("way", ["json", "config"])
def test_a_model_without_its_vocabulary_does_not_answer(
    build: Callable[..., Any], way: str, folder: Path, tmp_path: Path
) -> None:
    model = build(folder)
    if way == "json":
        made = keras.models.model_from_json(model.to_json())
    else:
        made = type(model).from_config(model.get_config())
    made.set_weights(model.get_weights())
    with pytest.raises(ValueError, match=r"has no vocabulary.*Received: Word"):
        made.predict(TEXTS, verbose=0)
    with pytest.raises(ValueError, match=r"has no vocabulary.*Received: Word"):
        sz.export_model(made, tmp_path)
    made.preprocessor = model.preprocessor
    np.testing.assert_array_equal(made.predict(TEXTS, verbose=0), model.predict(TEXTS, verbose=0))


def test_what_could_not_be_loaded_is_not_saved(folder: Path, tmp_path: Path) -> None:
    model = _gru(folder)
    with pytest.raises(ValueError, match=r"ends in \.keras.*Received: .*m\.h5"):
        model.save(tmp_path / "m.h5")
    with pytest.raises(NotImplementedError, match="cannot load again"):
        model.quantize("int8")
    assert not list(tmp_path.iterdir())


def test_a_file_without_settings_of_training_is_no_beginning(tmp_path: Path) -> None:
    sz.build_model("gru", TEXTS, task="embed", units=4).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"a classifier or a language model.*a TextEmbedder"):
        sz.build_model("gru", TEXTS, classes=["a", "b"], weights=str(tmp_path / "m.keras"))


@pytest.mark.parametrize("name", ["", "/", "//"])
def test_no_name_is_no_model(name: str) -> None:
    with pytest.raises(ValueError, match=r"registered model|must hold a SavedModel"):
        sz.build_model(name, TEXTS, classes=["a", "b"])


def test_what_a_browser_appends_to_a_handle_is_dropped() -> None:
    handle = "https://www.kaggle.com/models/google/electra/tensorFlow2/small/2"
    assert plain_handle(f"{handle}?tfhub-redirect=true#top") == handle
    assert plain_handle("https://example.org/m?token=1") == "https://example.org/m?token=1"


def test_keras_clones_a_model_as_any_other_subclass(folder: Path) -> None:
    model = _bert(folder)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    features = model.preprocessor(TEXTS)
    assert np.allclose(copy.predict(features, verbose=0), model.predict(TEXTS, verbose=0))


def test_schedule_and_half_precision_survive_a_file(folder: Path, tmp_path: Path) -> None:
    model = _bert(folder, dtype="mixed_float16")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    model.fit(TEXTS, LABELS, batch_size=2, epochs=2, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert (again.schedule, again.warmup) == (model.schedule, model.warmup) == ("linear", 0.1)
    assert isinstance(again.optimizer, keras.optimizers.LossScaleOptimizer)
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations)
    assert float(again.optimizer.dynamic_scale) == float(model.optimizer.dynamic_scale)
    policies = [layer.dtype_policy.name for layer in model.layers]
    assert [layer.dtype_policy.name for layer in again.layers] == policies
    assert keras.config.dtype_policy().name == "float32"


def test_compile_configs_of_before_are_understood(folder: Path) -> None:
    model = _gru(folder)
    config = {**model.get_compile_config(), "schedule": "cosine", "warmup": 0.2, "built": False}
    model.compile_from_config(config)
    assert (model.schedule, model.warmup) == ("cosine", 0.2)
