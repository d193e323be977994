"""The baselines that every comparison has: the majority, and TF-IDF with logistic regression."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline


class SklearnClassifier:
    """A pipeline of scikit-learn that takes texts, with the methods of a classifier of ours.

    Args:
        name: one of `BASELINES`.
        classes: class names in label order.
    """

    def __init__(self, name: str, classes: Sequence[str]):
        self.name = name
        self.classes = tuple(classes)
        self.pipeline: Pipeline = _PIPELINES[name]()

    def fit(self, texts: Any, labels: np.ndarray) -> None:
        """Fits the pipeline; every class must have a row."""
        self.pipeline.fit(list(texts), labels)

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> np.ndarray:
        """Returns probabilities, float64 `(rows, classes)`."""
        return self.pipeline.predict_proba(list(x)) if len(x) else np.zeros((0, len(self.classes)))

    def count_params(self) -> int:
        """Number of fitted weights: of the regression, or the shares of the classes."""
        last = self.pipeline[-1]
        coefficients = getattr(last, "coef_", None)
        return (
            int(coefficients.size + last.intercept_.size)
            if coefficients is not None
            else len(self.classes)
        )

    def size_mb(self) -> float:
        """Size of the fitted pipeline as a file, in MB of 1,000,000 bytes. None is written."""
        return len(pickle.dumps(self.pipeline)) / 1e6


def _majority() -> Pipeline:
    return make_pipeline(DummyClassifier(strategy="prior"))


def _tfidf_logreg() -> Pipeline:
    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=10, max_iter=1000),
    )


_PIPELINES = {"majority": _majority, "tfidf_logreg": _tfidf_logreg}
