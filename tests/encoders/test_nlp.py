"""GPT-2, DistilBERT, RoBERTa and DeBERTa-v3: from scratch, from folders, low rank, and refused."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.encoders.nlp import encoder_parameters
from keras_seqzoo.preprocessing.bytepair import END, byte_signs
from keras_seqzoo.preprocessing.sentencepiece import learn_sentence_pieces

TINY = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
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


@pytest.mark.parametrize(
    ("name", "millions"),
    # From the papers and model pages: 124, 355, 774 and 1,558 M (GPT-2, its tied embedding once),
    # 66 M, 125 M, and for DeBERTa-v3 141 M (44 M and an embedding of 98 M).
    [("gpt2", 124), ("gpt2_medium", 355), ("gpt2_large", 774), ("gpt2_xl", 1558),
     ("distilbert", 66), ("roberta_base", 125), ("deberta_v3_small", 141)],
)  # fmt: skip
def test_sizes_are_those_of_the_papers(name: str, millions: float) -> None:
    assert sz.model_card(name).parameters / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize("name", KINDS)
def test_parameters_are_counted_as_built(name: str, tiny_table: Any) -> None:
    model = scratch(name, tiny_table)
    size = {**TINY, "vocabulary_size": len(model.preprocessor.vocabulary)}
    architecture = sz.model_card(name).fixed["architecture"]
    assert model.encoder.count_params() == encoder_parameters(architecture, size, 16)


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
    with pytest.raises(ValueError, match=r"GPT-2 generates and answers prompts.*OPTBackbone"):
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
def test_wrong_options_are_explained(
    name: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        scratch(name, None, classes=["a", "b"], **options)


def test_wrong_sizes_are_explained(tiny_table: Any) -> None:
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


def test_lora_of_a_hub_graph_is_refused(shared: Callable[..., Path], tiny_table: Any) -> None:
    folder = str(shared("hub", "small_bert_L-2_H-128_A-2_random"))
    with pytest.raises(ValueError, match="can not be taken apart for low-rank"):
        sz.build_model(folder, tiny_table, lora_rank=8)


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
