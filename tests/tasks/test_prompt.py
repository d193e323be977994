"""Prompting: scores of whole labels, calibration, few-shot examples, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_seqzoo as sz

CORPUS = [
    f"Review: {text}\nSentiment: {label}"
    for text, label in (
        ("a good film", "very positive"), ("a dull story", "bad"), ("good", "very positive"),
        ("dull and long", "bad"), ("so good", "very positive"), ("a dull film", "bad"),
    )
]  # fmt: skip
TEMPLATE = "Review: {text}\nSentiment: {label}"
CLASSES = ["bad", "very positive", "so so"]
TEXTS = ["a good film", "", "dull 日本", "the film was good\n\nand bad " * 20]
TINY = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "intermediate_dim": 64}


@pytest.fixture(scope="module")
def language_model() -> Any:
    keras.utils.set_random_seed(0)
    model = sz.build_model(
        "gpt2", CORPUS * 10, task="generate", weights=None, sequence_length=64, dropout=0.0,
        vocabulary_size=400, **TINY,
    )  # fmt: skip
    model.schedule, model.warmup = "constant", 0.0
    model.optimizer.learning_rate = 0.005
    model.fit(CORPUS * 10, epochs=60, batch_size=8, verbose=0)
    return model


@pytest.fixture(scope="module")
def weights(language_model: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("lm") / "lm.keras")
    language_model.save(path)
    return path


def build(weights: str, **options: Any) -> Any:
    settings = {"classes": CLASSES, "template": TEMPLATE, **options}
    return sz.build_model("gpt2", task="prompt", weights=weights, **settings)


@pytest.fixture(scope="module")
def model(weights: str) -> Any:
    return build(weights)


@pytest.fixture(scope="module")
def calibrated(weights: str) -> Any:
    return build(weights, calibrate=["N/A"])


def scores(language_model: Any, prompt: str, label: str) -> float:
    """Log-likelihood of a label, by one pass over the whole string."""
    pairs = language_model.preprocessor
    begin, whole = pairs.tokenize([prompt, prompt + " " + label]).to_list()
    assert whole[: len(begin)] == begin
    ids = np.array([whole])
    features = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    logits = language_model({**features, "segment_ids": np.zeros_like(ids)})
    logs = tf.nn.log_softmax(logits[0]).numpy()
    return float(sum(logs[i - 1, whole[i]] for i in range(len(begin), len(whole))))


def test_label_is_scored_whole(model: Any, language_model: Any) -> None:
    assert {len(ids) for ids in model.label_ids} > {1}, "labels of several tokens"
    texts = TEXTS[:3]
    prompts = [f"Review: {text}\nSentiment:" for text in texts]
    logs = np.array([[scores(language_model, p, label) for label in CLASSES] for p in prompts])
    expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(texts, verbose=0), expected, atol=1e-5)


def test_it_reads_the_prompt(model: Any) -> None:
    answers = model.predict(["a good film", "a dull story"], verbose=0)
    positive = answers[:, CLASSES.index("very positive")]
    assert positive[0] > positive[1] + 0.3


def test_padding_and_batch_mates_change_nothing(model: Any) -> None:
    together = model.predict_on_batch(TEXTS)
    alone = np.concatenate([model.predict_on_batch([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(model.predict(TEXTS, verbose=0), alone, atol=1e-5)
    features = {k: np.pad(v, ((0, 0), (0, 3))) for k, v in model.preprocessor(TEXTS[:1]).items()}
    np.testing.assert_allclose(model.predict(features, verbose=0), alone[:1], atol=1e-5)


def test_long_text_is_cut_and_the_question_stays(model: Any) -> None:
    pairs = model.preprocessor.tokens
    ids = model.preprocessor.pack(model.preprocessor.tokenize(TEXTS[3:]))["token_ids"]
    text = pairs.detokenize(tf.RaggedTensor.from_tensor(ids)).numpy()[0].decode()
    assert text.startswith("Review: the film was good\n\nand bad the")
    assert text.endswith("\nSentiment:")
    longest = max(map(len, model.label_ids))
    assert ids.shape[1] == 64 - longest + 1, "the labels still fit"


def test_calibration_makes_content_free_text_even(model: Any, calibrated: Any) -> None:
    np.testing.assert_allclose(calibrated.predict(["N/A"], verbose=0), [[1 / 3] * 3], atol=1e-3)
    plain = model.predict(TEXTS, verbose=0)
    expected = plain / model.predict(["N/A"], verbose=0)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(calibrated.predict(TEXTS, verbose=0), expected, atol=1e-3)


def test_examples_stand_before_the_question(weights: str) -> None:
    shown = build(weights, template="{text}: {label}", examples=[("fine", "so so")])
    assert shown.preprocessor.before == "fine: so so\n\n"
    table = sz.TextTable.from_texts(["x", "y"], ["bad", "so so"])
    shown = build(weights, template="{text}: {label}", examples=table)
    assert shown.preprocessor.before == "x: bad\n\ny: so so\n\n"


def test_labels_may_be_other_words(weights: str) -> None:
    by_name = build(weights, labels={"bad": "0", "very positive": "1", "so so": "2"})
    in_order = build(weights, labels=["0", "1", "2"])
    assert by_name.label_ids == in_order.label_ids
    assert by_name.classes == tuple(CLASSES)


@pytest.mark.slow
def test_it_is_a_classifier_like_any(model: Any, calibrated: Any, tmp_path: Path) -> None:
    table = sz.TextTable.from_texts(TEXTS[:3], ["bad", "so so", "bad"], classes=CLASSES)
    report = sz.evaluate(model, table)
    expected = model.predict(table, verbose=0)
    assert report.accuracy == pytest.approx((expected.argmax(axis=1) == table.labels).mean())
    calibrated.save(tmp_path / "m.keras")
    expected = calibrated.predict(TEXTS, verbose=0)
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded.predict(TEXTS, verbose=0), expected, atol=1e-5)
    served = tf.saved_model.load(str(sz.export_model(loaded, tmp_path / "e")))
    answer = served.signatures["serving_default"](text=tf.constant(TEXTS))
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    assert answer["label"].numpy()[0].decode() == CLASSES[expected[0].argmax()]
    assert set(served.signatures) == {"serving_default", "classify", "tokens"}
    graph = served.signatures["serving_default"].graph.as_graph_def()
    nodes = [node for function in graph.library.function for node in function.node_def]
    assert not [node.op for node in nodes if node.op.startswith("Xla")]
    with pytest.raises(NotImplementedError, match="without training"):
        model.fit(table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": "Sentiment: {label}"}, r"must have \{text\} once"),
        ({"template": "{label}: {text}"}, "at its end"),
        ({"template": "{text} {text} {label}"}, r"must have \{text\} once"),
        ({"classes": ["so", "so so"]}, "No label may begin another.*'so' and 'so so'"),
        ({"classes": ["good", "  "]}, "A label must be a word.*'  '"),
        ({"classes": ["one"]}, "at least two classes"),
        ({"labels": ["a", "b"]}, "a word for each class"),
        ({"labels": {"bad": "a", "x": "b", "so so": "c"}}, "a word for each class"),
        ({"examples": [("text", "unknown")]}, "pairs of a text and the name of a class"),
        ({"examples": ["text"]}, "pairs of a text and the name of a class"),
        ({"examples": [("a b c d " * 20, "bad")]}, "leave room for the text"),
        ({"calibrate": "N/A"}, "in a list"),
        ({"units": 3}, "no such option"),
    ],
)
def test_wrong_prompts_are_explained(weights: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(weights, **options)


def test_encoders_that_read_both_ways_are_refused(tiny_table: Any) -> None:
    with pytest.raises(ValueError, match="reads both ways"):
        sz.build_model("distilbert", tiny_table, task="prompt", weights=None, **TINY)
    with pytest.raises(ValueError, match="reads both ways"):
        sz.build_model("bigru", tiny_table, task="prompt")


def test_recurrent_language_models_are_refused(tiny_table: Any) -> None:
    with pytest.raises(ValueError, match="GPT-2"):
        sz.build_model("gru", tiny_table, task="prompt")
