"""The baselines of every comparison: constant answers, and linear models."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_seqzoo.comparison.answer_baselines import ANSWER_BASELINES, NoAnswer
from keras_seqzoo.comparison.series_baselines import SERIES_BASELINES, SeriesBaseline
from keras_seqzoo.comparison.tag_baselines import TAG_BASELINES, TagBaseline
from keras_seqzoo.data.inputs import text_columns
from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.tasks import task_for
from keras_seqzoo.tasks.base import Task


class Baseline:
    """A scikit-learn pipeline with the methods of a model of this package.

    Attributes:
        task: the task that it answers; set by `fit`.
        pair: whether it reads pairs; set by `fit`.
        pipeline: the scikit-learn pipeline; set by `fit`.
        name: its name in tables, and in `Task.baselines`.
        description: what it does, in one line.
        title: its name in sentences.
        reads: whether its answers depend on its input.
    """

    task: Task
    pair: bool
    pipeline: Pipeline

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    reads: ClassVar[bool] = True

    def estimator(self, kind: str) -> Any:
        """Returns the last step of the pipeline for a kind of target."""
        raise NotImplementedError

    def fit(
        self, train: TextTable | SeriesTable, valid: TextTable | SeriesTable | None = None
    ) -> None:
        """Fits the pipeline.

        Args:
            train: labelled rows; every class must have one.
            valid: rows from which the task learns how to use a model's answers, such as thresholds.

        Raises:
            ValueError: no text has a word.
        """
        self.task = task_for(train)
        self.pair = train.inputs.name == "pair"
        steps = [self.estimator(self.task.target.kind)]
        if self.reads and train.inputs.name != "series":
            steps.insert(0, PairFeatures() if self.pair else _tfidf())
        labels = np.asarray(train.labels)
        is_one = labels.ndim == 2 and labels.shape[1] == 1  # scikit-learn warns about this
        self.pipeline = make_pipeline(*steps)
        rows = self.rows(train.questions)
        self.pipeline.fit(rows, labels[:, 0] if is_one else labels)
        if valid is not None and len(valid):
            self.task = self.task.learn(valid.labels, self.predict(valid.questions))

    def rows(self, x: Any) -> Any:
        """Returns the input of the pipeline for texts or pairs."""
        columns = list(text_columns(x).values())
        return list(zip(*columns, strict=True)) if self.pair else columns[0].tolist()

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> np.ndarray:
        """Returns the answers as a model of the task does, float64 `(rows, names)`.

        Args:
            x: texts, or pairs in the form that a table takes; a `SeriesTable`, or its windows.
            batch_size: not used.
            verbose: not used.
        """
        rows = self.rows(x)
        if not len(rows):
            return np.zeros((0, len(self.task.names)))
        pipeline = self.pipeline
        answers = (
            pipeline.predict_proba(rows) if is_classifier(pipeline) else pipeline.predict(rows)
        )
        return np.asarray(answers).reshape(len(rows), -1)

    def count_params(self) -> int:
        """Number of weights of the linear model, else one for each class, label or number."""
        last = self.pipeline[-1]
        last = last[-1] if isinstance(last, Pipeline) else last
        fitted = [e for e in getattr(last, "estimators_", [last]) if hasattr(e, "coef_")]
        return sum(e.coef_.size + np.size(e.intercept_) for e in fitted) or len(self.task.names)

    def size_mb(self) -> float:
        """Size of the fitted pipeline as a file, in MB of 1,000,000 bytes. Writes no file."""
        return len(pickle.dumps(self.pipeline)) / 1e6


class Majority(Baseline):
    """Answers every row with the shares of the classes or labels in the training rows."""

    name = "majority"
    title = "The shares in the training rows"
    description = "the shares of the classes in the training rows, whatever is asked"
    reads = False

    def rows(self, x: Any) -> Any:
        """Returns as many empty rows: only their number is used."""
        return np.zeros((len(x[0]) if isinstance(x, tuple) and self.pair else len(x), 1))

    def estimator(self, kind: str) -> Any:
        """Returns an estimator of the shares of classes, or of rows that have a label."""
        return DummyClassifier() if kind == "class" else DummyRegressor()


class Mean(Majority):
    """Answers every row with the mean of the training numbers."""

    name = "mean"
    title = "The mean of the training rows"
    description = "the mean of the training rows, whatever the text"


class TfidfLogreg(Baseline):
    """A logistic regression over TF-IDF vectors; for several labels, one for each."""

    name = "tfidf_logreg"
    title = "TF-IDF with logistic regression"
    description = "TF-IDF of words and pairs of words → logistic regression (scikit-learn)"

    def estimator(self, kind: str) -> Any:
        """Returns one regression, or one for each label."""
        regression = LogisticRegression(C=10, max_iter=1000)
        return regression if kind == "class" else OneVsRestClassifier(regression)


class TfidfRidge(Baseline):
    """A ridge regression over TF-IDF vectors."""

    name = "tfidf_ridge"
    title = "TF-IDF with ridge regression"
    description = "TF-IDF of words and pairs of words → ridge regression (scikit-learn)"

    def estimator(self, kind: str) -> Any:
        """Returns one regression for all numbers."""
        return Ridge()


class WindowLogreg(Baseline):
    """A logistic regression over windows of numbers."""

    name = "window_logreg"
    title = "Logistic regression over the window"
    description = "how far each value is from the last one → logistic regression (scikit-learn)"

    def rows(self, x: Any) -> Any:
        """Returns each value less the last one of its window, `(rows, window * columns)`."""
        windows = np.asarray(x.windows() if isinstance(x, SeriesTable) else x, np.float64)
        return (windows - windows[:, -1:]).reshape(len(windows), -1)

    def estimator(self, kind: str) -> Any:
        """Returns one regression."""
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


BASELINES: dict[str, type[Baseline | SeriesBaseline | TagBaseline | NoAnswer]] = {
    **{kind.name: kind for kind in (Majority, Mean, TfidfLogreg, TfidfRidge, WindowLogreg)},
    **SERIES_BASELINES,
    **TAG_BASELINES,
    **ANSWER_BASELINES,
}


class PairFeatures(TransformerMixin, BaseEstimator):
    """What two texts share and where they differ.

    The features are:

    - from their TF-IDF vectors a and b: |a - b|, a · b by word, and the cosine;
    - from their sets of words, pairs of words and letter trigrams: the size of the common part,
      as a share of all, of the first text and of the second;
    - the difference of their lengths in words, signed and absolute.
    """

    def fit(self, rows: Any, y: Any = None) -> PairFeatures:
        """Learns the words of the pairs `(rows, 2)`."""
        self.tfidf_ = _tfidf().fit([text for row in rows for text in row])
        return self

    def transform(self, rows: Any) -> sparse.csr_matrix:
        """Returns `(rows, features)`."""
        sides = [[str(text) for text in side] for side in zip(*rows, strict=True)]
        first, second = (self.tfidf_.transform(side) for side in sides)
        common = first.multiply(second)
        columns = [_sums(common)]
        for analyzer, size in (("word", 1), ("word", 2), ("char_wb", 3)):
            sets = HashingVectorizer(
                analyzer=analyzer, ngram_range=(size, size), binary=True, norm=None,
                alternate_sign=False,
            )  # fmt: skip
            a, b = (sets.transform(side) for side in sides)
            shared, of_first, of_second = _sums(a.multiply(b)), _sums(a), _sums(b)
            of_both = of_first + of_second - shared
            columns += [shared / np.maximum(n, 1) for n in (of_both, of_first, of_second)]
        lengths = np.array([[len(text.split()) for text in side] for side in sides], float)
        longer = (lengths[0] - lengths[1]) / np.maximum(lengths.sum(axis=0), 1)
        measures = np.stack([*columns, longer, np.abs(longer)], axis=1)
        return sparse.hstack([sparse.csr_matrix(measures), abs(first - second), common]).tocsr()


def _tfidf() -> TfidfVectorizer:
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)


def _sums(matrix: Any) -> npt.NDArray[np.float64]:
    return np.asarray(matrix.sum(axis=1)).ravel()
