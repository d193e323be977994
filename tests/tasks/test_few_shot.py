"""Few labels: pairs bring classes together, the head is a regression, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from samples import NEGATIVE, POSITIVE
from sklearn.linear_model import LogisticRegression

import keras_seqzoo as sz
from keras_seqzoo.tasks.few_shot import pair_loss, regression

TEXTS = POSITIVE + NEGATIVE
TINY: dict[str, Any] = {"units": 8, "embedding_dim": 8, "dropout": 0.0}


def build(table: sz.TextTable, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    model = sz.build_model("gru", table, few_shot=True, **TINY, **options)
    model.optimizer.learning_rate = 0.02
    return model


def separation(vectors: np.ndarray, labels: Any) -> float:
    """Mean cosine within classes, less that between."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = np.equal.outer(labels, labels)
    cosines = unit @ unit.T
    within = cosines[alike & ~np.eye(len(labels), dtype=bool)]
    return float(within.mean() - cosines[~alike].mean())


@pytest.fixture(scope="module")
def learnt(tiny_table: sz.TextTable) -> tuple[Any, float, Any]:
    """A model, how far classes were apart before it learnt, and its history."""
    model = build(tiny_table)
    before = separation(sz.embed(model, TEXTS), tiny_table.labels)
    history = model.fit(
        tiny_table, batch_size=8, epochs=2, validation_data=tiny_table, verbose=0
    ).history
    return model, before, history


def test_vectors_of_a_class_come_together(learnt: Any, tiny_table: sz.TextTable) -> None:
    model, before, history = learnt
    assert separation(sz.embed(model, TEXTS), tiny_table.labels) > before + 0.5
    assert history["loss"][1] < history["loss"][0]
    assert history.keys() == {"loss", "val_loss", "val_accuracy"}
    assert history["val_accuracy"][-1] == model.evaluate(tiny_table, verbose=0)[1] == 1


def test_the_head_is_the_logistic_regression_of_the_training_rows(
    learnt: Any, tiny_table: sz.TextTable
) -> None:
    vectors = sz.embed(learnt[0], TEXTS)
    vectors /= np.sqrt((vectors**2).sum(axis=1).mean())
    linear = LogisticRegression(C=1.0).fit(vectors, tiny_table.labels)
    expected = linear.predict_proba(vectors)
    np.testing.assert_allclose(learnt[0].predict(TEXTS, verbose=0), expected, atol=1e-3)


def test_a_regression_of_three_classes_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(12, 4)), np.arange(12) % 3
    vectors *= 7 / np.sqrt((vectors**2).sum(axis=1).mean())
    kernel, bias = regression(vectors.astype(np.float32), labels)
    expected = LogisticRegression(C=1.0).fit(vectors / 7, labels).predict_log_proba(vectors / 7)
    found = tf.nn.log_softmax(vectors @ kernel + bias)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_file_goes_on_as_the_model_would(learnt: Any, tmp_path: Path) -> None:
    learnt[0].save(tmp_path / "few.keras")
    loaded: Any = keras.models.load_model(tmp_path / "few.keras")
    expected = learnt[0].predict(TEXTS, verbose=0)
    np.testing.assert_allclose(loaded.predict(TEXTS, verbose=0), expected, atol=1e-6)
    history = loaded.fit(TEXTS, ["positive"] * 8 + ["negative"] * 8, verbose=0).history
    assert history["loss"][0] < learnt[2]["loss"][0]
    assert loaded.evaluate(TEXTS, ["positive"] * 8 + ["negative"] * 8, verbose=0)[1] == 1


def test_the_loss_is_that_of_all_pairs() -> None:
    vectors = tf.constant([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    labels = tf.constant([0, 0, 1])
    # Within: one pair with the cosine 0. Between: the cosines 1 and 0.
    assert float(pair_loss(labels, vectors)) == pytest.approx((1 + (1 + 0) / 2) / 2)
    assert float(pair_loss(tf.constant([0, 1, 2]), vectors)) == pytest.approx(1 / 6)
    assert float(pair_loss(tf.constant([0]), vectors[:1])) == 0


@pytest.mark.slow
def test_a_dataset_and_its_seed_decide_the_training(tiny_table: sz.TextTable) -> None:
    answers = []
    for _ in range(2):
        model = build(tiny_table)
        rows = sz.make_dataset(tiny_table, model, 4, shuffle=True, seed=3)
        model.fit(rows, verbose=0)
        answers.append(model.predict(TEXTS, verbose=0))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


@pytest.mark.slow
def test_a_training_that_was_broken_off_goes_on(tiny_table: sz.TextTable, tmp_path: Path) -> None:
    class Breaks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 12:
                raise KeyboardInterrupt

    def fit(model: Any, *callbacks: Any) -> np.ndarray:
        rows = sz.make_dataset(tiny_table, model, 4, shuffle=True, seed=3)
        model.fit(rows, callbacks=[*callbacks], verbose=0)
        return np.asarray(model.predict(TEXTS, verbose=0))

    recovery = sz.Recovery(tmp_path, steps=5)
    broken = build(tiny_table)
    with pytest.raises(KeyboardInterrupt):
        fit(broken, Breaks(), recovery)
    # What is kept of it answers from what it had learnt.
    vectors = sz.embed(broken, TEXTS)
    kernel, bias = regression(vectors, tiny_table.labels)
    expected = tf.nn.softmax(vectors @ kernel + bias)
    np.testing.assert_allclose(broken.predict(TEXTS, verbose=0), expected, atol=1e-3)
    resumed = fit(build(tiny_table), sz.Recovery(tmp_path, steps=5))
    np.testing.assert_allclose(resumed, fit(build(tiny_table)), atol=1e-5)


def endless(model: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((TEXTS, [0] * 16)).batch(4).repeat()


def generator() -> Iterator[Any]:
    yield ["good", "bad"], [0, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((TEXTS[:9], ["positive"] * 8 + ["negative"]), "two or more texts.*'negative' 1$"),
        ((TEXTS[:8], ["positive"] * 8), "two or more texts.*'negative' 0$"),
        ((["good"], ["positive"]), "Received: 'negative' 0, 'positive' 1$"),
        ((endless,), "dataset that ends.*a dataset without an end"),
        ((lambda model: generator(),), "dataset that ends.*a generator"),
        ((TEXTS,), "Pass a labelled table.*without labels"),
    ],
)
def test_rows_that_make_no_pairs_are_refused(learnt: Any, given: Any, message: str) -> None:
    given = [part(learnt[0]) if callable(part) else part for part in given]
    with pytest.raises(ValueError, match=message):
        learnt[0].fit(*given, verbose=0)


@pytest.mark.parametrize(
    "given", [{"class_weight": "balanced"}, {"sample_weight": [1] * 16}, {"steps_per_epoch": 2}]
)
def test_weights_and_steps_are_refused(learnt: Any, given: Any, tiny_table: Any) -> None:
    with pytest.raises(ValueError, match=f"Leave the argument out. Received: {next(iter(given))}"):
        learnt[0].fit(tiny_table, **given)


def test_a_head_of_two_layers_is_refused(tiny_table: sz.TextTable) -> None:
    with pytest.raises(ValueError, match=r"Leave head_dim out.*head_dim=4"):
        build(tiny_table, head_dim=4)


def test_only_classes_are_learnt_from_few() -> None:
    table = sz.TextTable.from_texts(TEXTS, np.linspace(0, 1, 16), target="number")
    with pytest.raises(
        ValueError, match=r"for the task 'regress'. 'classify' has it.*few_shot=True"
    ):
        build(table)
