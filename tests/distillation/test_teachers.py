from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import NEGATIVE, POSITIVE
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from keras_seqzoo.data.targets import AnyOf, Number, OneOf
from keras_seqzoo.distillation import teachers
from keras_seqzoo.distillation.teachers import Teacher, ask
from keras_seqzoo.tasks.classify import Classify
from keras_seqzoo.tasks.label import Label
from keras_seqzoo.tasks.regress import Regress

TEXTS = POSITIVE + NEGATIVE
TASK = Classify(OneOf(("negative", "positive")))


class Lexicon:
    """A model of somebody else's: it knows one word of each kind."""

    classes = ("positive", "negative")

    def __init__(self, sure: float = 0.9):
        self.sure = sure
        self.asked: list[int] = []

    def predict(self, texts: list[str]) -> list[list[float]]:
        self.asked.append(len(texts))
        good = [self.sure if "good" in text or "great" in text else 0.2 for text in texts]
        return [[p, 1 - p] for p in good]


class Answering:
    """A model that always answers the same."""

    def __init__(self, row: Any, classes: Any = ("negative", "positive")):
        self.row = row
        if classes is not None:
            self.classes = classes

    def predict(self, texts: list[str]) -> Any:
        return np.array([self.row] * len(texts))


def test_columns_come_in_the_order_of_the_student():
    answers = Teacher(Lexicon(), TASK, pair=False)(["a good film"])
    np.testing.assert_allclose(answers, [[0.1, 0.9]], rtol=1e-6)
    assert answers.dtype == np.float32


def test_models_of_this_package_their_files_and_scikit_learns_teach(tiny_model, tiny_export):
    wanted = tiny_model.predict(TEXTS, verbose=0)
    for model in (tiny_model, tiny_export, str(tiny_export)):
        np.testing.assert_allclose(Teacher(model, TASK, False)(TEXTS), wanted, atol=1e-5)
    linear = make_pipeline(CountVectorizer(), MultinomialNB())
    linear.fit(TEXTS, ["positive"] * 8 + ["negative"] * 8)
    answers = Teacher(linear, TASK, False)(TEXTS)
    np.testing.assert_allclose(answers, linear.predict_proba(TEXTS), rtol=1e-6)


def test_numbers_need_no_names():
    task = Regress(Number(("stars",)))
    answers = Teacher(Answering(3.5, None), task, False)(TEXTS)
    np.testing.assert_array_equal(answers, np.full((16, 1), 3.5))


@pytest.mark.parametrize(
    ("model", "task", "pair", "message"),
    [
        (Answering([0.5, 0.5], ("bad", "good")), TASK, False, "those of its student, in any order"),
        (Answering([0.2, 0.3, 0.5], "abc"), TASK, False, "those of its student, in any order"),
        (Answering([0.5, 0.5], None), TASK, False, "Give it an attribute `classes`"),
    ],
)
def test_a_teacher_of_other_names_is_refused(model, task, pair, message):
    with pytest.raises(ValueError, match=message):
        Teacher(model, task, pair)


def test_a_teacher_of_another_task_or_other_inputs_is_refused(tiny_model, tmp_path):
    labels = Label(AnyOf(("negative", "positive")))
    with pytest.raises(ValueError, match=r"task 'classify'.*a student of the task 'label'"):
        Teacher(tiny_model, labels, False)
    with pytest.raises(ValueError, match="a teacher of texts, a student of pairs"):
        Teacher(tiny_model, TASK, True)
    with pytest.raises(TypeError, match="Received: function"):
        Teacher(lambda texts: texts, TASK, False)
    with pytest.raises(FileNotFoundError):
        Teacher(tmp_path / "nothing.keras", TASK, False)


@pytest.mark.parametrize(
    ("row", "task", "message"),
    [
        ([2.0, -1.0], TASK, "sum to 1. Take the softmax"),
        ([0.7, 0.7], TASK, "sum to 1. Take the softmax"),
        ([np.nan, 1.0], TASK, r"must be finite numbers.*Received: \[nan, 1.0\]"),
        ([0.2, 0.3, 0.5], TASK, r"shape \(1, 2\)"),
        (["negative", "x"], TASK, "answers with numbers"),
        ([1.5, 0.5], Label(AnyOf(("negative", "positive"))), "0 to 1. Take the sigmoid"),
    ],
)
def test_answers_that_cannot_be_are_refused(row, task, message):
    with pytest.raises(ValueError, match=message):
        Teacher(Answering(row), task, False)(["a text"])


def kept(teacher: Lexicon, cache: Path, texts: list[str] = TEXTS) -> np.ndarray:
    return ask(Teacher(teacher, TASK, False), texts, cache, lambda done, total: None)


def test_a_teacher_is_asked_once(tmp_path, monkeypatch):
    monkeypatch.setattr(teachers, "_BLOCK", 10)
    first = Lexicon()
    answers = kept(first, tmp_path)
    assert first.asked == [10, 6]
    again = Lexicon()
    np.testing.assert_array_equal(kept(again, tmp_path), answers)
    assert again.asked == [8]  # a few, to see that it is the same
    np.testing.assert_array_equal(ask(Teacher(first, TASK, False), TEXTS, None, print), answers)


def test_what_an_interruption_or_damage_has_left_out_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(teachers, "_BLOCK", 4)

    class Tiring(Lexicon):
        def predict(self, texts):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().predict(texts)

    with pytest.raises(KeyboardInterrupt):
        kept(Tiring(), tmp_path)
    whole = Lexicon()
    answers = kept(whole, tmp_path)
    assert whole.asked == [4, 4, 4]  # the first four again, to see that it is the same
    file = next(tmp_path.glob("answers-*/8.npy"))
    file.write_bytes(file.read_bytes()[:100])
    mended = Lexicon()
    np.testing.assert_array_equal(kept(mended, tmp_path), answers)
    assert mended.asked == [4, 4]


def test_answers_of_another_teacher_and_to_other_texts_are_not_taken(tmp_path):
    kept(Lexicon(), tmp_path)
    other = kept(Lexicon(sure=0.7), tmp_path)
    np.testing.assert_allclose(other[4], [0.3, 0.7], rtol=1e-6)
    fewer = Lexicon()
    assert len(kept(fewer, tmp_path, TEXTS[:5])) == 5
    assert fewer.asked == [5]


def test_lessons_mix_in_labels_where_they_are_known():
    answers = np.array([[0.2, 0.8], [0.5, 0.5]], np.float32)
    mixed = TASK.lessons(answers, np.array([0]), 0.25, 1.0)
    np.testing.assert_allclose(mixed, [[0.4, 0.6], [0.5, 0.5]], rtol=1e-5)
    numbers = Regress(Number(("stars",))).lessons(np.array([[4.0]]), np.array([[2.0]]), 0.5, 1.0)
    np.testing.assert_allclose(numbers, [[3.0]])
    softened = TASK.lessons(answers, None, 0.0, 2.0)
    np.testing.assert_allclose(softened, [[1 / 3, 2 / 3], [0.5, 0.5]], rtol=1e-5)


def test_what_has_no_temperature_or_no_lessons_says_so():
    with pytest.raises(ValueError, match="softens the probabilities of classes"):
        Label(AnyOf(("a", "b"))).learning(2.0)
    from keras_seqzoo.tasks.embed import Embed

    with pytest.raises(ValueError, match="classes, labels and numbers"):
        Embed().learning(1.0)
