from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from samples import NEGATIVE, POSITIVE, table_of
from scipy.special import log_softmax, softmax

import keras_seqzoo as sz
from keras_seqzoo.layers.losses import SoftenedCrossEntropy, same_class, same_labels

TINY = {"units": 8, "embedding_dim": 16, "dropout": 0.0}
TEXTS = POSITIVE + NEGATIVE


class Opinion:
    """A teacher that is asked how often."""

    classes = ("positive", "negative")

    def __init__(self) -> None:
        self.asked = 0

    def predict(self, texts: list[str]) -> list[list[float]]:
        self.asked += len(texts)
        good = [0.9 if {"good", "great", "loved", "lovely"} & {*t.split()} else 0.3 for t in texts]
        return [[p, 1 - p] for p in good]


def test_a_student_learns_the_answers_and_comes_out_compiled_as_it_was(tiny_table):
    keras.utils.set_random_seed(0)
    student = sz.build_model("gru", tiny_table, **TINY)
    student.optimizer.learning_rate = 0.03
    optimizer, teacher = student.optimizer, Opinion()
    history = sz.distill(
        teacher,
        student,
        TEXTS,
        unlabelled=["good, that"],
        augment=3,
        temperature=2.0,
        validation_data=sz.make_dataset(tiny_table, student, 16),
        epochs=8,
        verbose=0,
    )
    wanted = np.array(teacher.predict(TEXTS))[:, ::-1]
    answers = student.predict(TEXTS, verbose=0)
    assert np.abs(answers - wanted).mean() < 0.15
    # What is validated are the right answers, at no temperature.
    labels = tiny_table.labels
    right = (answers.argmax(axis=1) == labels).mean()
    assert history.history["val_accuracy"][-1] == pytest.approx(right)
    loss = -np.log(answers[range(16), labels]).mean()
    assert history.history["val_loss"][-1] == pytest.approx(loss, rel=1e-4)
    assert student.loss == "sparse_categorical_crossentropy"
    assert student.optimizer is optimizer


@pytest.mark.slow
@pytest.mark.parametrize("answers", ["labels", "number"])
def test_labels_and_numbers_are_learnt_too(answers):
    table = table_of("pair", answers)

    class Teacher:
        classes = table.target.names

        def predict(self, pairs: list[tuple[str, str]]) -> Any:
            return np.tile(table.labels.mean(axis=0), (len(pairs), 1))

    keras.utils.set_random_seed(0)
    student = sz.build_model("gru", table, **TINY)
    before = student.evaluate(table, verbose=0)[0]
    history = sz.distill(Teacher(), student, table, augment=1, epochs=3, verbose=0)
    assert history.history["loss"][-1] < before
    assert 0 < history.history.get("binary_accuracy", [0.5])[-1] <= 1
    assert student.evaluate(table, verbose=0)[0] < before


@pytest.mark.slow
def test_a_distillation_that_was_stopped_goes_on(tiny_table, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    def begun(epochs: int, *callbacks: Any) -> tuple[Any, Any, Opinion]:
        keras.utils.set_random_seed(0)
        student, teacher = sz.build_model("gru", tiny_table, **TINY), Opinion()
        recovery = [*callbacks, sz.Recovery(tmp_path / "recovery")]
        try:
            history = sz.distill(
                teacher, student, tiny_table, augment=2, cache=tmp_path / "answers",
                callbacks=recovery, epochs=epochs, verbose=0,
            )  # fmt: skip
        except KeyboardInterrupt:
            history = None
        assert student.loss == "sparse_categorical_crossentropy"
        return student, history, teacher

    *_, whole_teacher = begun(1)
    assert whole_teacher.asked > 16
    begun(4, Stop())
    student, history, teacher = begun(4)
    assert history.epoch == [0, 1, 2, 3]
    assert teacher.asked == 8
    straight, *_ = begun(4)
    np.testing.assert_allclose(
        student.predict(TEXTS, verbose=0), straight.predict(TEXTS, verbose=0), atol=1e-5
    )


def test_what_cannot_be_distilled_is_refused(tiny_model, tiny_table):
    def distil(*args: Any, **kwargs: Any) -> None:
        sz.distill(*args, verbose=0, **kwargs)

    with pytest.raises(ValueError, match="texts, at least one"):
        distil(Opinion(), tiny_model, [])
    with pytest.raises(TypeError, match="compiled model of this package"):
        distil(Opinion(), Opinion(), tiny_table)
    with pytest.raises(ValueError, match=r"one text a row\. Pass such rows"):
        distil(Opinion(), tiny_model, tiny_table, unlabelled=[("a", "b")])
    with pytest.raises(ValueError, match="`temperature` must be a number above 0"):
        distil(Opinion(), tiny_model, tiny_table, temperature=0)
    with pytest.raises(ValueError, match="`label_share` must be a rate"):
        distil(Opinion(), tiny_model, tiny_table, label_share=1.5)
    with pytest.raises(ValueError, match="target that the model was built for"):
        distil(Opinion(), tiny_model, table_of("text", "labels"))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_that_of_the_formula(temperature):
    random = np.random.default_rng(0)
    taught, said = random.normal(size=(2, 5, 3)) * 2
    lessons = softmax(taught / temperature, axis=1)
    wanted = -(temperature**2) * (lessons * log_softmax(said / temperature, axis=1)).sum(1).mean()
    loss = SoftenedCrossEntropy(temperature)
    assert float(loss(lessons, softmax(said, axis=1))) == pytest.approx(wanted, rel=1e-5)
    labels = np.array([0, 2, 1, 1, 0])
    wanted = -log_softmax(said, axis=1)[range(5), labels].mean()
    for column in (labels, labels[:, None]):
        assert float(loss(column, softmax(said, axis=1))) == pytest.approx(wanted, rel=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.temperature == temperature


def test_agreement_counts_shares_and_positions():
    said = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    for truth in ([0, 1, 1], [[0], [1], [1]], [[0.7, 0.3], [0.1, 0.9], [0.4, 0.6]]):
        np.testing.assert_array_equal(same_class(np.array(truth, "float32"), said), [1, 1, 0])
    of_labels = same_labels(np.array([[1, 0.6], [0, 0.4], [0.2, 1]]), said)
    np.testing.assert_allclose(of_labels, [0.5, 0.5, 0.0])
