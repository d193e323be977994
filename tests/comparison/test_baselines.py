"""The baselines of every kind of input and target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from samples import ANSWERS, NEGATIVE, POSITIVE, table_of
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

import keras_seqzoo as sz
from keras_seqzoo.comparison.baselines import BASELINES, PairFeatures
from keras_seqzoo.tasks import TASK_OF_TARGET, task_for

TEXTS = POSITIVE + NEGATIVE
PAIRS = list(zip(TEXTS, TEXTS[::-1], strict=True))


def fitted(name: str, table: Any, valid: Any = None) -> Any:
    baseline = BASELINES[name]()
    baseline.fit(table, valid)
    return baseline


@pytest.mark.parametrize("target", ANSWERS)
@pytest.mark.parametrize("inputs", ["text", "pair"])
def test_they_have_the_face_of_a_model(inputs: str, target: str) -> None:
    table = table_of(inputs, target)
    simple, linear = (fitted(name, table, table) for name in task_for(table).baselines)
    for baseline in (simple, linear):
        answers = baseline.predict(table.texts, batch_size=4, verbose=0)
        assert answers.shape == (16, len(table.target.names))
        assert baseline.task.target == table.target
        assert baseline.predict(table.texts[:0]).shape == (0, len(table.target.names))
        assert baseline.count_params() >= len(table.target.names)
        assert 0 < baseline.size_mb() < 1
        if inputs == "pair":
            columns = (table.texts[:, 0].tolist(), table.texts[:, 1].tolist())
            np.testing.assert_array_equal(baseline.predict(columns), answers)
    assert np.ptp(simple.predict(table.texts), axis=0).max() == 0
    best = [sz.evaluate(b, table).figures[simple.task.metric().name] for b in (linear, simple)]
    assert (best[0] < best[1]) is simple.task.metric().lower_is_better


def test_every_task_with_a_truth_names_baselines_that_there_are() -> None:
    for target in ANSWERS:
        task = task_for(table_of("text", target))
        assert task.name == TASK_OF_TARGET[task.target.kind]
        assert set(task.baselines) <= set(BASELINES)


def test_the_simple_ones_say_the_shares_or_the_mean_of_the_training_rows() -> None:
    shares = fitted("majority", table_of("text", "labels")).predict(["anything"])
    np.testing.assert_allclose(shares, [[0.25, 0.25, 0.5]])  # bad, film, good
    mean = fitted("mean", table_of("text", "numbers")).predict(["anything", "else"])
    np.testing.assert_allclose(mean, [[3, 7.5]] * 2)


def test_numbers_are_those_of_ridge_regression() -> None:
    table = table_of("text", "number")
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(table.texts)
    expected = Ridge().fit(features, table.labels[:, 0]).predict(features)
    found = fitted("tfidf_ridge", table).predict(table.texts)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)


def test_thresholds_of_labels_are_chosen_on_the_validation_rows() -> None:
    table = table_of("text", "labels")
    assert fitted("tfidf_logreg", table).task.thresholds == (0.5, 0.5, 0.5)
    # Where all rows have every label, whatever is answered should be enough.
    every = sz.TextTable.from_texts(TEXTS, np.ones((16, 3)), classes=table.classes, target="labels")
    baseline = fitted("tfidf_logreg", table, every)
    assert baseline.task.chosen_labels(baseline.predict(every.texts)).all()


def test_a_label_that_no_training_row_has_is_answered_with_no_chance() -> None:
    labels = np.zeros((16, 2))
    labels[:8, 0] = 1
    table = sz.TextTable.from_texts(TEXTS, labels, classes=["a", "b"], target="labels")
    with pytest.warns(UserWarning, match="not 1 is present|Label"):
        answers = fitted("tfidf_logreg", table).predict(TEXTS)
    assert (answers[:, 1] == 0).all()


def test_pairs_are_told_apart_by_what_they_share() -> None:
    pairs = [("red bus", "red bus"), ("red bus", "red car"), ("tall tree", "red bus")]
    features = PairFeatures().fit(pairs).transform(pairs).toarray()
    assert features[[0, 2], 0].tolist() == pytest.approx([1, 0])  # the cosine
    assert 0 < features[1, 0] < 1
    # Common words: of all, of those of the first, of those of the second.
    words = PairFeatures().fit(PAIRS).transform([("one two", "two three four"), ("!", "?")])
    assert words.toarray()[0, 1:4].tolist() == pytest.approx([1 / 4, 1 / 2, 1 / 3])
    assert words.toarray()[0, 10:12].tolist() == pytest.approx([-1 / 5, 1 / 5])
    assert np.isfinite(words.toarray()).all()
