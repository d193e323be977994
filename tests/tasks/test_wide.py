"""A linear model beside a network: what it is, how much it counts, and that it stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import keras_seqzoo as sz
from keras_seqzoo.metrics.statistics import best_mixture
from keras_seqzoo.serving.export import export_model
from keras_seqzoo.tasks.wide import learn_wide

SIZE = {"units": 4, "embedding_dim": 8}


def rows(count: int, seed: int) -> sz.TextTable:
    """Texts whose class is told by pairs of words, and by no word alone."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(count):
        mood, turned = rng.integers(2, size=2)
        said = f"{['very', 'not'][turned]} {['bad', 'good'][mood]}"
        words = [*rng.choice(["film", "book", "soup", "it", "was", "the"], 5), said]
        texts.append(" ".join(np.roll(words, rng.integers(6))))
        labels.append(["negative", "positive"][mood ^ turned])
    return sz.TextTable.from_texts(texts, labels, ["negative", "positive"])


@pytest.fixture(scope="module")
def train() -> sz.TextTable:
    return rows(200, 0)


def scores(model: Any, texts: Any) -> Any:
    ids = model.preprocessor(tf.constant(list(texts)))["token_ids"]
    return np.asarray(model.get_layer("wide").scores(ids))


def test_without_letters_it_is_scikit_learn_s(
    train: sz.TextTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras_seqzoo.tasks.wide._LETTERS", 1e-6)
    peer = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+"),
        LogisticRegression(C=10, max_iter=1000),
    ).fit(train.texts, train.labels)
    model = sz.build_model("gru", train, **SIZE)
    for data in (
        (model.preprocessor(tf.constant(train.texts)), np.asarray(train.labels)),
        (sz.make_dataset(train, model, 32, shuffle=True), None),
    ):
        learn_wide(model.get_layer("wide"), model.preprocessor.vocabulary, *data)
        texts = [*rows(50, 1).texts, "good good good film unseen", "", "unseen"]
        expected = peer.predict_proba(texts)
        np.testing.assert_allclose(softmax(scores(model, texts), axis=1), expected, atol=0.03)


def test_words_of_like_spelling_share_what_they_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["wonderful", "wonderfully", "wonders", "dreadful", "dreadfully", "dreads"] * 4
    labels = [*(["good"] * 3 + ["bad"] * 3) * 4]
    table = sz.TextTable.from_texts(
        [*texts, "a wonder", "a dread"], [*labels, "bad", "good"], ["bad", "good"]
    )
    model = sz.build_model("gru", table, **SIZE)

    def margin() -> float:
        model.fit_beside(sz.make_dataset(table, model, 8), None, None, None)
        bad, good = scores(model, ["wonder"])[0]
        return good - bad

    shared = margin()
    monkeypatch.setattr("keras_seqzoo.tasks.wide._LETTERS", 1e-6)
    assert shared > margin() + 0.2


def test_three_classes_and_one_without_a_row() -> None:
    table = sz.TextTable.from_texts(
        ["a b", "a c", "d e", "d f", "g h", "g i"], ["x", "x", "y", "y", "z", "z"],
        ["w", "x", "y", "z"],
    )  # fmt: skip
    model = sz.build_model("gru", table, **SIZE)
    model.fit_beside(sz.make_dataset(table, model, 4), None, None, None)
    found = scores(model, ["a", "d", "g", "unknown"])
    assert found[:3].argmax(axis=1).tolist() == [1, 2, 3]
    assert found[3].argmin() == 0


def test_it_counts_as_much_as_the_validation_rows_say_and_stays(
    train: sz.TextTable, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    valid = rows(100, 2)
    model = sz.build_model("gru", train, **SIZE)
    model.fit(train, validation_data=valid, epochs=1, verbose=0)
    assert float(model.get_layer("wide").share) == 0
    alone = model.evaluate(valid, verbose=0)[0]
    history = model.fit(train, validation_data=valid, epochs=1, verbose=0, calibrate=True)
    assert float(model.get_layer("wide").share) > 0
    loss, accuracy = model.evaluate(valid, verbose=0)
    assert loss < min(alone, history.history["val_loss"][0]) / 2
    assert accuracy > 0.95
    answers = model.predict(valid.texts, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(valid.texts, verbose=0), answers, atol=1e-6)
    served = tf.saved_model.load(str(export_model(model, tmp_path / "exported")))
    given = served.signatures["serving_default"](text=tf.constant(valid.texts[:9]))
    np.testing.assert_allclose(given["probabilities"], answers[:9], atol=1e-5)
    # Its encoder begins another model, which has such a part of its own.
    other = sz.build_model("gru", train, weights=str(tmp_path / "model.keras"))
    assert other.wide == model.wide
    # Training goes on without it, and without `calibrate` it is left out again.
    history = model.fit(train, validation_data=valid, epochs=1, verbose=0)
    assert float(model.get_layer("wide").share) == 0
    assert model.evaluate(valid, verbose=0)[0] == pytest.approx(history.history["val_loss"][0])


def test_what_is_linear_has_no_gradients(train: sz.TextTable) -> None:
    model = sz.build_model("gru", train, **SIZE)
    assert sz.explain(model, "very good", method="integrated_gradients")
    model.get_layer("wide").share.assign(0.5)
    with pytest.raises(ValueError, match=r"no gradients.*'occlusion'.*wide=False"):
        sz.explain(model, "very good", method="integrated_gradients")


def test_rows_that_are_read_once_are_the_network_s(train: sz.TextTable) -> None:
    model = sz.build_model("gru", train, **SIZE)
    batches = ((train.texts[at : at + 50], train.labels[at : at + 50]) for at in range(0, 200, 50))
    model.fit(
        batches, steps_per_epoch=4, validation_data=rows(20, 3), calibrate=True, verbose=0
    )  # fmt: skip
    assert not model.get_layer("wide").idf.numpy().any()
    endless = sz.make_dataset(train, model, 50).repeat()
    model.fit(
        endless, steps_per_epoch=2, validation_data=rows(20, 3), calibrate=True, verbose=0
    )  # fmt: skip
    assert model.get_layer("wide").idf.numpy().any()


@pytest.mark.parametrize(
    "given", [{"tokens": "byte_pairs"}, {"few_shot": True}, {"inputs": "pair"}]
)
def test_what_has_no_words_of_one_text_has_no_linear_part(train: Any, given: Any) -> None:
    if "inputs" in given:
        train = sz.TextTable.from_texts([("a", "b"), ("c", "d")], ["x", "y"])
    assert sz.build_model("gru", train, **SIZE, **given).wide is None
    with pytest.raises(ValueError, match=r"Or leave `wide` out\. Received: wide=True"):
        sz.build_model("gru", train, **SIZE, **given, wide=True)


def test_a_mixture_takes_what_helps() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=400)
    good = np.eye(2)[labels] * 2 + rng.normal(size=(400, 2))
    noise = rng.normal(size=(400, 2))

    def mixed(first: Any, second: Any) -> tuple[float, float]:
        return best_mixture(labels, softmax(first, axis=1), softmax(first + second, axis=1))

    temperature, share = mixed(good, noise)
    assert share / temperature < 0.15
    temperature, share = mixed(noise, good)
    assert share / temperature > 0.8
    assert temperature > 5
    # Three rows, all right, make nothing certain.
    sure = np.eye(2)[[0, 1, 1]] * 3
    temperature, share = best_mixture(
        [0, 1, 1], softmax(sure, axis=1), softmax(2 * sure, axis=1)
    )  # fmt: skip
    assert 0.5 < temperature < 2
    assert 0 <= share < 2


def test_weights_of_rows_and_classes_count(train: sz.TextTable) -> None:
    model = sz.build_model("gru", train, **SIZE)
    features, labels = model.preprocessor(tf.constant(train.texts)), np.asarray(train.labels)

    def said(sample_weight: Any = None, class_weight: Any = None) -> float:
        model.fit_beside(features, labels, sample_weight, class_weight)
        return float(softmax(scores(model, ["it was"]), axis=1)[0, 1])

    plain = said()
    assert said(class_weight={1: 20.0}) > plain + 0.2
    assert said(sample_weight=np.where(labels == 1, 20.0, 1.0)) > plain + 0.2
    assert said(class_weight={0: 20.0}) < plain - 0.2


@pytest.mark.parametrize("texts", [["", " ", "", ""], ["a", "b", "c", "d"]])
def test_texts_without_a_known_word_leave_it_out(texts: list[str]) -> None:
    table = sz.TextTable.from_texts(texts, ["x", "y", "x", "y"])
    model = sz.build_model("gru", table, vocabulary=["good"], **SIZE)
    model.fit(table, validation_data=table, calibrate=True, epochs=1, verbose=0)
    assert np.isfinite(model.predict(["good", ""], verbose=0)).all()


def test_of_many_classes_it_is_there_when_asked_for() -> None:
    options = {"vocabulary": [f"w{i}" for i in range(20_000)], **SIZE}
    classes = [f"c{i}" for i in range(1000)]
    assert sz.build_model("gru", classes=classes, **options).wide is None
    assert sz.build_model("gru", classes=classes[:100], **options).wide == (20_002, 41_943)
