"""Masked language models: learnt from running text, asked, saved, exported, and built upon."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras
import modules
import numpy as np
import pytest
import tensorflow as tf
from cpp_session import ask_cpp
from safetensors.numpy import load_file, save_file

import keras_seqzoo as sz
from keras_seqzoo.serving.saved import SavedPredictor
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.keras_file import load_keras_file

VERSES = ["the film was good and the plot was clever", "the food was bad and the waiter was rude"]
TEXTS = VERSES * 20
DETECT = {"objective": "replaced_token_detection"}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "electra, detection, next sentence": ("electra_small", {**DETECT, "next_sentence": True}),
    "roberta": ("roberta_base", {"whole_words": True}),
    "deberta, detection": (
        "deberta_v3_small",
        {**DETECT, "vocabulary_size": 60, "sequence_length": 64, "generator_layers": 1},
    ),
}


def build(name: str, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    settings = {**sz.model_card(name).tiny, "weights": None, "sequence_length": 24, **options}
    return sz.build_model(name, TEXTS, task="fill_mask", **settings)


@pytest.fixture(scope="module")
def learnt() -> Any:
    """A model that knows two sentences."""
    model = build("bert_base", hidden_dim=32)
    model.schedule, model.warmup = "constant", 0.0
    model.optimizer.learning_rate = 0.01
    model.fit(TEXTS, batch_size=20, epochs=50, verbose=0)
    return model


def asked(model: Any) -> list[str]:
    mask = model.mask.text
    return [
        f"the food was bad and the {mask} was rude",
        f"the film was {mask} and the {mask} was clever",
    ]


def assert_alike(ours: Any, theirs: Any) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        for one, two in zip(mine, other, strict=True):
            assert [token for token, _ in one] == [token for token, _ in two]
            np.testing.assert_allclose([p for _, p in one], [p for _, p in two], atol=1e-5)


def test_a_frame_has_the_masks_of_each_text(learnt: Any) -> None:
    frame = learnt.predict(asked(learnt), as_frame=True)
    assert frame.columns.tolist() == ["masks"]
    told = [[[tuple(t.values()) for t in mask] for mask in masks] for masks in frame["masks"]]
    assert_alike(told, learnt.predict(asked(learnt)))


def test_fills_masks(learnt: Any) -> None:
    first, second = learnt.predict(asked(learnt))
    assert [len(first), len(second), len(first[0])] == [1, 2, 5]
    told = [[token for token, _ in mask] for mask in (*first, *second)]
    assert all(
        word in tokens for word, tokens in zip(["waiter", "good", "plot"], told, strict=True)
    )
    chances = [p for _, p in first[0]]
    assert chances == sorted(chances, reverse=True)
    assert 0.3 < sum(chances) <= 1.0001
    assert learnt.predict([]).shape == (0,)
    table = sz.TextTable.from_texts(asked(learnt))
    batches = tf.data.Dataset.from_tensor_slices(asked(learnt)).batch(1)
    for given in (table, batches):
        assert_alike(learnt.predict(given), [first, second])
    [only] = learnt.predict(asked(learnt)[1:])
    assert_alike([only], [second])


def test_figures_are_those_of_the_scores(learnt: Any) -> None:
    measured = learnt.evaluate(TEXTS, verbose=0, return_dict=True)
    assert measured == learnt.evaluate(TEXTS, verbose=0, return_dict=True)
    nats: list[float] = []  # of hidden tokens; the loss is a mean over batches
    right: list[bool] = []
    for features, targets, weights in sz.make_dataset(TEXTS, learnt):
        scores = tf.nn.log_softmax(learnt(features)["tokens"])
        chosen = tf.gather(scores, targets["tokens"], axis=-1, batch_dims=2)[weights > 0]
        nats += (-chosen).numpy().tolist()
        said = tf.argmax(scores, -1, output_type=tf.int32)
        right += (said == targets["tokens"])[weights > 0].numpy().tolist()
    assert measured["perplexity"] == pytest.approx(math.exp(np.mean(nats)), rel=1e-4)
    assert measured["accuracy"] == pytest.approx(np.mean(right), rel=1e-4)
    assert measured["perplexity"] < 3


def test_its_file_is_where_others_begin(learnt: Any, tmp_path: Path) -> None:
    file = tmp_path / "pretrained.keras"
    learnt.save(file)
    loaded = load_keras_file(file)
    assert (
        loaded.task == learnt.task == task_from_dict(json.loads(json.dumps(loaded.task.as_dict())))
    )
    assert_alike(loaded.predict(asked(learnt)), learnt.predict(asked(learnt)))
    expected = learnt.encoder.get_weights()
    table = sz.TextTable.from_texts(TEXTS, ["film", "food"] * 20)
    model = sz.build_model("bert_base", table, weights=str(file), pooling="pooled")
    assert model.preprocessor.vocabulary == learnt.preprocessor.vocabulary
    for ours, theirs in zip(model.encoder.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert all(weight.trainable for weight in model.encoder.weights), "also what was left out"
    again = sz.build_model("bert_base", TEXTS, task="fill_mask", weights=str(file))
    assert again.evaluate(TEXTS, verbose=0) == pytest.approx(learnt.evaluate(TEXTS, verbose=0))


def test_what_cannot_be_answered_is_told(learnt: Any) -> None:
    with pytest.raises(ValueError, match=r"Write the mask token '\[MASK\]'.*'no such' in row 1"):
        learnt.predict(["a [MASK]", "no such"])
    with pytest.raises(ValueError, match="1 masks in row 0, of which 0 are read"):
        learnt.predict(["film " * 30 + "[MASK]"])
    with pytest.raises(ValueError, match=r"Write the mask token '\[MASK\]'.*none in text 2"):
        learnt.task.decode([[[("a", 1.0)]], []])
    with pytest.raises(ValueError, match="all empty"):
        learnt.fit(["", " "], verbose=0)
    with pytest.raises(FileNotFoundError, match="no such file"):
        learnt.fit("nowhere.txt", verbose=0)
    with pytest.raises(ValueError, match="its own target"):
        learnt.fit(TEXTS, [1] * len(TEXTS), verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_rate": 0.0}, "above 0 and below 1"),
        ({"mask_rate": 1.5}, "above 0 and below 1"),
        ({"objective": "causal"}, "`objective` must be one of"),
        ({"top_k": 0}, "`top_k` must be a whole number"),
        ({"generator_dim": 8}, "Only the objective"),
        ({**DETECT, "generator_dim": 5}, "a multiple of 8"),
        ({"classes": ["a", "b"]}, "there are no classes"),
        ({"vocabulary": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "film"]}, "needs an encoder that"),
    ],
)
def test_options_out_of_range_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("bert_base", **options)


@pytest.mark.parametrize("name", ["gpt2", "bilstm"])
def test_models_without_a_mask_token_are_told(name: str) -> None:
    with pytest.raises(ValueError, match="task='generate'"):
        build(name)


@pytest.mark.slow
def test_pairs_and_files_of_others_are_refused(tmp_path: Path, tiny_table: Any) -> None:
    with pytest.raises(ValueError, match="single texts"):
        sz.build_model(
            "bert_base", sz.TextTable.from_texts([("a", "b")] * 2), task="fill_mask", weights=None
        )
    sz.build_model("gru", tiny_table, units=4).save(tmp_path / "gru.keras")
    with pytest.raises(ValueError, match="Build 'gru' instead"):
        sz.build_model("bert_base", TEXTS, task="fill_mask", weights=str(tmp_path / "gru.keras"))


@pytest.mark.slow
def test_a_checkpoint_s_own_head_is_read(tmp_path: Path) -> None:
    """As transformers names it; its scores are those of the formula."""
    source = Path(__file__).parents[1] / "parity" / "distilbert_tiny"
    rng = np.random.default_rng(0)
    pieces = (source / "vocab.txt").read_text().split()
    head = {
        "vocab_transform.weight": rng.normal(size=(16, 16)),
        "vocab_transform.bias": rng.normal(size=16),
        "vocab_layer_norm.weight": rng.normal(size=16),
        "vocab_layer_norm.bias": rng.normal(size=16),
        "vocab_projector.bias": rng.normal(size=len(pieces)),
    }
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(source / "model.safetensors")
    save_file(
        weights | {k: v.astype(np.float32) for k, v in head.items()},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    model = sz.build_model(str(tmp_path), task="fill_mask")
    features = model.preprocessor(["a good film"])
    vectors = model.encoder(features)["sequence_output"].numpy()
    x = vectors @ head["vocab_transform.weight"].T + head["vocab_transform.bias"]
    x = np.asarray(tf.nn.gelu(x))
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    x = x * head["vocab_layer_norm.weight"] + head["vocab_layer_norm.bias"]
    rows = weights["distilbert.embeddings.word_embeddings.weight"]
    expected = x @ rows.T + head["vocab_projector.bias"]
    scores = model({**features, "mask_positions": tf.constant([[0, 1, 2]])})["tokens"]
    np.testing.assert_allclose(scores, expected[:, :3], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_saved_and_served(kind: str, tmp_path: Path) -> None:
    name, options = KINDS[kind]
    model = build(name, **options)
    model.optimizer.learning_rate = 0.01
    before = model.evaluate(TEXTS, verbose=0, return_dict=True)
    model.fit(TEXTS, validation_data=VERSES, batch_size=20, epochs=2, verbose=0)
    after = model.evaluate(TEXTS, verbose=0, return_dict=True)
    assert after["loss"] < before["loss"]
    assert after["perplexity"] < before["perplexity"]
    figures = {"loss", "accuracy", "perplexity"}
    figures |= {"next_sentence_accuracy"} if "next sentence" in kind else set()
    figures |= {"detection_accuracy"} if "detection" in kind else set()
    assert set(after) == figures
    model.save(tmp_path / "model.keras")
    texts = [*asked(model), "é \u4e2d " + model.mask.text]
    expected = model.predict(texts)
    loaded = load_keras_file(tmp_path / "model.keras")
    assert_alike(loaded.predict(texts), expected)
    assert loaded.evaluate(TEXTS, verbose=0) == pytest.approx(model.evaluate(TEXTS, verbose=0))
    tags = sz.TextTable.from_texts(VERSES, [[(4, 8, "x")], []], target="tags")
    answers = sz.TextTable.from_texts((["what ?", "why ?"], VERSES), ["film", ""], target="answer")
    for table in (tags, answers):
        other = sz.build_model(name, table, weights=str(tmp_path / "model.keras"))
        for ours, theirs in zip(
            other.encoder.get_weights(), model.encoder.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    if kind.startswith("electra"):  # scores of the others come from the same graph
        assert_served_alike(model, texts, expected, tmp_path)


def assert_served_alike(model: Any, texts: list[str], expected: Any, folder: Path) -> None:
    exported = sz.export_model(model, folder / "served")
    served = SavedPredictor(exported)
    assert served.task == model.task
    assert_alike(served.predict(texts), expected)
    answer = ask_cpp(exported, {"text": np.array([*(t.encode() for t in texts), b"none"], object)})
    assert_alike(model.task.outputs_of(answer), [*expected, []])
    flat = served._module.signatures["masks"](text=tf.constant(texts))
    assert flat["row_splits"].numpy().tolist() == [0, 1, 3, 4]
    assert flat["token"].numpy()[0, 0].decode() == expected[0][0][0][0]


@pytest.mark.slow
def test_a_hub_graph_learns_to_fill_masks(tmp_path: Path) -> None:
    folder = modules.write_encoder(tmp_path / "encoder", modules.write_vocabulary(tmp_path))
    model = sz.build_model(str(folder), task="fill_mask")
    model.optimizer.learning_rate = 0.01
    before = model.evaluate(TEXTS, verbose=0)[0]
    model.fit(TEXTS, batch_size=20, epochs=4, verbose=0)
    assert model.evaluate(TEXTS, verbose=0)[0] < before
    with pytest.raises(ValueError, match="shares the encoder's embeddings"):
        sz.build_model(str(folder), task="fill_mask", **DETECT)


@pytest.mark.slow
def test_two_replicas_train_as_one() -> None:
    """But for the means over hidden tokens, whose number differs from replica to replica."""
    losses = []
    for strategy in (
        tf.distribute.get_strategy(),
        sz.distribution("mirrored", devices=["CPU:0", "CPU:1"], verbose=False),
    ):
        with strategy.scope():
            model = build("bert_base", num_layers=1)
        data = sz.make_dataset(TEXTS, model, 10, shuffle=True, seed=0)
        losses.append(model.fit(data, epochs=2, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=0.03)
