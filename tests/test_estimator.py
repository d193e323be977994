"""`TextEstimator`: what scikit-learn's tools do with it, and what it says of bad input."""

from __future__ import annotations

import pickle
import random
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples import NEGATIVE, POSITIVE
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import validate_data

import keras_seqzoo as sz

TEXTS = POSITIVE + NEGATIVE
CLASSES = ["yes"] * 8 + ["no"] * 8
TINY = {"embedding_dim": 8, "learning_rate": 0.2, "wide": False}


@pytest.fixture(scope="module")
def fitted() -> Any:
    """A classifier that has learnt the sixteen texts."""
    return sz.TextEstimator("static", epochs=8, **TINY).fit(TEXTS, CLASSES)


def test_it_learns_classes_and_answers_with_them(fitted: Any) -> None:
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert fitted.predict(TEXTS).tolist() == CLASSES
    assert fitted.score(TEXTS, CLASSES) == 1
    probabilities = fitted.predict_proba(TEXTS)
    np.testing.assert_allclose(probabilities, fitted.model_.predict(TEXTS, verbose=0), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (probabilities[:8, 1] > 0.5).all()


@pytest.mark.parametrize(
    "rows",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, object)[:, None],
        pd.Series(TEXTS, index=range(5, 21)),
        pd.DataFrame({"text": TEXTS}),
    ],
    ids=["list", "tuple", "strings", "column", "series", "frame"],
)
def test_it_takes_texts_of_every_form(fitted: Any, rows: Any) -> None:
    assert fitted.predict(rows).tolist() == CLASSES


def test_a_pickle_answers_alike(fitted: Any) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert again.get_params() == fitted.get_params()
    assert again.classes_.tolist() == ["no", "yes"]
    assert not hasattr(pickle.loads(pickle.dumps(clone(fitted))), "model_")


def test_the_options_of_the_model_are_parameters() -> None:
    estimator = sz.TextEstimator("gru", units=8)
    assert estimator.get_params()["units"] == 8
    assert "units=8" in repr(estimator)
    assert clone(estimator).set_params(units=16, epochs=3).get_params() == {
        **estimator.get_params(),
        "units": 16,
        "epochs": 3,
    }
    assert estimator.get_params()["units"] == 8
    with pytest.raises(ValueError, match=r"Did you mean 'units'"):
        estimator.set_params(unitz=3).fit(TEXTS, CLASSES)


def test_searches_and_cross_validation_run_it_in_a_pipeline() -> None:
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    pipeline = make_pipeline(lower, sz.TextEstimator("static", epochs=1, **TINY))
    assert is_classifier(pipeline)
    search = GridSearchCV(pipeline, {"textestimator__embedding_dim": [4]}, cv=2)
    search.fit(np.array(TEXTS), CLASSES)
    assert search.best_estimator_[-1].model_.encoder.output["pooled_output"].shape[-1] == 4
    scores = cross_val_score(pipeline, pd.Series(TEXTS), CLASSES, cv=2, scoring="neg_log_loss")
    assert np.isfinite(scores).all()


def test_numbers_are_answered_as_they_were_given() -> None:
    numbers = np.linspace(100, 200, 16)
    estimator = sz.TextEstimator("static", task="regress", epochs=2, valid=4, embedding_dim=8)
    assert is_regressor(estimator)
    assert not hasattr(estimator, "predict_proba")
    assert estimator.fit(TEXTS, numbers).predict(TEXTS).shape == (16,)
    assert abs(estimator.predict(TEXTS).mean() - 150) < 30  # in the unit of y
    assert estimator.score(TEXTS, numbers) == r2_score(numbers, estimator.predict(TEXTS))
    two = np.stack([numbers, numbers / 2], axis=1)
    assert estimator.set_params(epochs=1).fit(TEXTS, two).predict(TEXTS[:3]).shape == (3, 2)


def test_numbers_have_no_classes_of_an_earlier_fit() -> None:
    estimator = sz.TextEstimator("static", epochs=1, embedding_dim=8).fit(TEXTS, CLASSES)
    assert hasattr(estimator, "classes_")
    estimator.set_params(task="regress").fit(TEXTS, range(len(TEXTS)))
    assert not hasattr(estimator, "classes_")


def test_it_takes_pairs() -> None:
    pairs = pd.DataFrame({"first": TEXTS, "second": TEXTS[::-1]})
    estimator = sz.TextEstimator("static", epochs=1, embedding_dim=8).fit(pairs, CLASSES)
    assert estimator.model_.pair
    assert estimator.predict_proba(pairs[:3]).shape == (3, 2)


def test_a_seed_makes_trainings_alike_and_leaves_the_user_s_own_randomness() -> None:
    np.random.seed(3)
    random.seed(3)
    expected = np.random.random(), random.random()
    np.random.seed(3)
    random.seed(3)
    estimator = sz.TextEstimator("static", epochs=1, **TINY)
    first = estimator.fit(TEXTS, CLASSES).predict_proba(TEXTS)
    assert (np.random.random(), random.random()) == expected
    np.testing.assert_array_equal(estimator.fit(TEXTS, CLASSES).predict_proba(TEXTS), first)


def test_weights_go_with_their_rows() -> None:
    # The rows of weight 0 say the opposite.
    texts, labels = TEXTS * 2, CLASSES + CLASSES[::-1]
    estimator = sz.TextEstimator("static", epochs=8, **TINY)
    estimator.fit(texts, labels, sample_weight=[0] * 16 + [1] * 16)
    assert estimator.score(TEXTS, CLASSES) < 0.1


@pytest.mark.parametrize("labels", [[3, -1], [True, False], [1.0, 0.0]])
def test_classes_keep_their_type_and_order(labels: list[Any]) -> None:
    given = np.array([labels[0]] * 8 + [labels[1]] * 8)
    estimator = sz.TextEstimator("static", epochs=8, valid=0, **TINY).fit(TEXTS, given)
    assert estimator.classes_.dtype == given.dtype
    assert estimator.classes_.tolist() == labels[::-1]
    assert estimator.predict(TEXTS).tolist() == given.tolist()
    assert "val_loss" not in estimator.history_


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.5, 2.5], [0, 1], "must hold strings"),
        (np.zeros((2, 3)), [0, 1], r"one text for each row.*shape \(2, 3\)"),
        (["a", None], [0, 1], "must hold strings.*None in row 1"),
        (["a", float("nan")], [0, 1], "must hold strings.*nan in row 1"),
        ([("a", "b"), ("c", 3)], [0, 1], "must hold strings.*3 in row 1"),
        ("a text", [0, 1], "put a single text in a list"),
        (["a", "b", "c"], [0, 1], "3 texts, 2 labels"),
        ([], [], "at least two classes"),
        (["a", "b"], None, "y=None"),
        (["a", "b"], [1, 1], r"at least two classes.*1 class, \[1\]"),
        (["a", "b"], [0.5, 1.5], "task='regress'"),
        (["a", "b"], ["x", None], "missing value in y, in row 1"),
        (["a", "b"], np.eye(2), r"y of shape \(2, 2\)"),
        (["a", "b"], np.array(["x", 1], object), "of one type"),
    ],
)
def test_bad_rows_are_told(x: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sz.TextEstimator("static").fit(x, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"task": "label"}, "`task` must be one of"),
        ({"model": "grue"}, "Did you mean 'gru'"),
        ({"epochs": 0}, "`epochs` must be a whole number"),
        ({"batch_size": 0.5}, "`batch_size` must be a whole number"),
        ({"learning_rate": -1}, "`learning_rate` must be a number above 0"),
        ({"valid": 1.5}, "valid must be a fraction"),
        ({"valid": 16}, "`valid` must leave rows to learn"),
        ({"seed": -1}, "seed must be an integer"),
    ],
)
def test_bad_parameters_are_told_by_fit(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sz.TextEstimator("static").set_params(**parameters).fit(TEXTS, CLASSES)


@pytest.mark.parametrize("y", [[np.nan, *range(15)], [np.inf, *range(15)], CLASSES])
def test_bad_numbers_are_told(y: Any) -> None:
    with pytest.raises(ValueError, match="`y` must hold"):
        sz.TextEstimator("static", task="regress").fit(TEXTS, y)


@pytest.mark.parametrize("weights", [[1] * 15, [0] * 16, [-1, *[1] * 15], [np.nan, *[1] * 15]])
def test_bad_weights_are_told(weights: Any) -> None:
    with pytest.raises(ValueError, match="`sample_weight` must hold"):
        sz.TextEstimator("static").fit(TEXTS, CLASSES, weights)


def test_what_is_not_fitted_says_so(fitted: Any) -> None:
    for method in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(clone(fitted), method)(TEXTS)
    with pytest.raises(ValueError, match="must hold strings"):
        fitted.predict([None])


class OfNumbers(sz.TextEstimator):
    """An estimator that writes rows of numbers as words, which is what scikit-learn checks with."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.string = tags.input_tags.one_d_array = False
        for kind in (tags.classifier_tags, tags.regressor_tags):
            if kind is not None:
                kind.poor_score = True  # words that tell of no order
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> OfNumbers:  # noqa: N803
        super().fit(_words(validate_data(self, X)), y, sample_weight)
        return self

    def _outputs(self, X: Any) -> Any:  # noqa: N803
        if not hasattr(self, "model_"):
            return super()._outputs(X)
        return super()._outputs(_words(validate_data(self, X, reset=False)))


def _words(rows: Any) -> list[str]:
    return [" ".join(f"w{i}x{value:.0f}" for i, value in enumerate(row)) for row in rows]


# What a model that is trained in steps cannot hold, and why.
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "rows are drawn in batches, and some validate",
}


@pytest.mark.slow  # 40 checks, each with models of its own; as a regressor they take as long again
def test_scikit_learn_s_checks_hold() -> None:
    estimator = OfNumbers("static", epochs=1, batch_size=256, embedding_dim=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(estimator, on_fail=None, expected_failed_checks=EXPECTED)
    assert len(found) > 40
    assert [check["check_name"] for check in found if check["status"] == "failed"] == []
