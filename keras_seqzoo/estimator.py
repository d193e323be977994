"""`TextEstimator`: a model of the zoo as a classifier or regressor of scikit-learn."""

from __future__ import annotations

import logging
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, column_or_1d

from keras_seqzoo import zoo
from keras_seqzoo.checks import check_positive
from keras_seqzoo.data.splitting import check_seed, rows_in
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.quiet import import_tensorflow, logging_from

TASKS = ("classify", "regress")


def _classifies(estimator: TextEstimator) -> bool:
    return estimator.task != "regress"


class TextEstimator(BaseEstimator):
    """A classifier or regressor of texts for scikit-learn: pipelines, cross-validation, searches.

    `fit` builds the model, sets rows aside for validation, and trains with `fit_settings`: it stops
    early, and calibrates probabilities. A fitted estimator can be pickled.

    Args:
        model: a name of `list_models`, or any other model that `build_model` takes.
        task: `"classify"`, or `"regress"` for numbers. scikit-learn needs to know this
            before `fit`, so `y` cannot decide it.
        epochs: most passes over the rows. Default: from `fit_settings`.
        batch_size: rows in each step. Default: from `fit_settings`.
        learning_rate: learning rate, above 0. Default: the model's own.
        valid: share of the rows for validation, or their number as an integer; at least one row
            of each class. 0: all rows are for training, and nothing is calibrated.
        seed: random seed of the split, weights and order; `None`: no seed, so that each `fit`
            differs.
        verbose: as in `keras.Model.fit`.
        **options: options of `build_model`, such as `units=128`. They are parameters like the
            others: `GridSearchCV(estimator, {"units": [32, 64]})`.

    Attributes:
        model_: the trained model, for `evaluate`, `explain`, `export_model` or `model_.save`.
        classes_: the classes in order `(classes,)`, with the dtype of `y`; only for classes.
        history_: figures by epoch, as Keras's `History.history`.

    Example:
        >>> import keras_seqzoo as sz
        >>> texts = ["a good film", "good fun", "a bad film", "so bad"] * 4
        >>> estimator = sz.TextEstimator("gru", epochs=1, units=8)
        >>> estimator.fit(texts, [1, 1, 0, 0] * 4).classes_
        array([0, 1])
        >>> estimator.predict_proba(["a good film"]).shape
        (1, 2)
    """

    def __init__(
        self,
        model: str = "gru",
        *,
        task: str = "classify",
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        valid: float = 0.1,
        seed: int | None = 0,
        verbose: Any = 0,
        **options: Any,
    ):
        self.model = model
        self.task = task
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.valid = valid
        self.seed = seed
        self.verbose = verbose
        self._options = options

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name, including the model's options."""
        return {**super().get_params(deep), **self._options}

    def set_params(self, **params: Any) -> TextEstimator:
        """Sets parameters; all other names are options of the model, which `fit` checks."""
        own = super().get_params()
        super().set_params(**{k: v for k, v in params.items() if k in own})
        self._options = self._options | {k: v for k, v in params.items() if k not in own}
        return self

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TextEstimator:  # noqa: N803
        """Builds and trains the model.

        Args:
            X: texts: a list, an array or a Series of strings `(rows,)`, or a single column of them
                `(rows, 1)`; pairs of texts have two columns `(rows, 2)`.
            y: classes `(rows,)`, strings, whole numbers or booleans; or numbers, float `(rows,)` or
                `(rows, numbers)`.
            sample_weight: weight of each row in the loss, at least 0, `(rows,)`. A row of weight 0
                is not used; in calibration, all others count equally.

        Returns:
            The estimator.

        Raises:
            ValueError: unsuitable parameters, texts, `y` or weights; fewer than two classes.
        """
        if self.task not in TASKS:
            raise ValueError(
                f"`task` must be one of {TASKS}. For others take build_model(…, task=…). "
                f"Received: task={self.task!r}"
            )
        if self.learning_rate is not None:
            check_positive(learning_rate=self.learning_rate)
        texts = _texts(X)
        if y is None:
            raise ValueError(
                "fit requires y to be passed, but the target y is None. Pass the answers to learn. "
                "Received: y=None"
            )
        if _classifies(self):
            classes, places = _classes(y)
            names = [str(value) for value in classes.tolist()]
            labels = [names[place] for place in places]
            table = TextTable.from_texts(texts, labels, classes=names, target="class")
        else:
            table = TextTable.from_texts(texts, _numbers(y), target="number")
        weights = _weights(sample_weight, len(table))
        if weights is not None:  # else rows without weight would choose the epoch
            counted = weights > 0
            table, weights = table.take(counted), weights[counted]
        parts = self._split(table)
        train, valid = map(table.take, parts)
        train_weights, valid_weights = ((weights if weights is None else weights[p]) for p in parts)
        with _seeded(self.seed), logging_from(logging.ERROR):
            from keras_seqzoo.training.callbacks import fit_settings

            model = zoo.build_model(self.model, train, task=self.task, **self._options)
            if self.learning_rate is not None:
                model.optimizer.learning_rate = self.learning_rate
            settings = fit_settings(
                model,
                train,
                epochs=self.epochs,
                batch_size=self.batch_size,
                validated=len(valid) > 0,
            )
            history = model.fit(
                train,
                sample_weight=train_weights,
                validation_data=(valid, None, valid_weights) if len(valid) else None,
                verbose=self.verbose,
                **settings,
            )
        self.model_, self.history_ = model, history.history
        if _classifies(self):
            self.classes_ = classes
        elif hasattr(self, "classes_"):  # from an earlier fit
            del self.classes_
        return self

    def _split(self, table: TextTable) -> list[npt.NDArray[np.intp]]:
        """Positions of the rows for training and for validation."""
        size = rows_in(len(table), "valid", self.valid)
        if size and isinstance(self.valid, float):
            size = max(size, len(table.classes))
        if size >= len(table):
            raise ValueError(
                "`valid` must leave rows to learn. Make it smaller, or 0. "
                f"Received: valid={self.valid!r} of {len(table):,} rows"
            )
        if self.seed is not None:
            check_seed(self.seed)
        target: Any = table.target
        return list(target.draw(table.labels, [len(table) - size, size, 0], self.seed or 0)[:2])

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """The likeliest class of each text `(rows,)`; or its numbers, in the shape of `y`.

        Args:
            X: texts, as `fit` takes them.

        Raises:
            NotFittedError: before `fit`.
            ValueError: unsuitable texts.
        """
        outputs = self._outputs(X)
        if _classifies(self):
            return np.asarray(self.classes_[outputs.argmax(axis=1)])
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    @available_if(_classifies)
    def predict_proba(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """The probability of each class, float64 `(rows, classes)`, in the order of `classes_`.

        Args:
            X: texts, as `fit` takes them.

        Raises:
            NotFittedError: before `fit`.
            ValueError: unsuitable texts.
        """
        return self._outputs(X)

    def _outputs(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        check_is_fitted(self, "model_")
        texts = TextTable.from_texts(_texts(X)).texts
        with logging_from(logging.ERROR):
            return np.asarray(self.model_.predict(texts, batch_size=256, verbose=0), np.float64)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """The accuracy of `predict`; for numbers R²."""
        figure = accuracy_score if _classifies(self) else r2_score
        return float(figure(y, self.predict(X), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if _classifies(self):
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        else:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
            tags.target_tags.multi_output = True
        tags.target_tags.required = True
        tags.non_deterministic = self.seed is None
        tags.input_tags.string = tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """The parameters, and the bytes of the model's `.keras` file."""
        state = {**super().__getstate__()}
        if "model_" in state:
            with _keras_file() as path:
                self.model_.save(path)
                state["model_"] = path.read_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "model_" in state:
            from keras_seqzoo.tasks.keras_file import load_keras_file

            with _keras_file() as path:
                path.write_bytes(state["model_"])
                # To unpickle runs the pickle's programs anyway.
                self.model_ = load_keras_file(path, trust=True)


@contextmanager
def _keras_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "model.keras"


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Seeds Keras, and restores the state of the user's random numbers of Python and NumPy."""
    import_tensorflow()
    import keras

    states = random.getstate(), np.random.get_state()
    if seed is not None:
        keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _texts(X: Any) -> npt.NDArray[np.object_]:  # noqa: N803
    """Texts `(rows,)`, or pairs of them `(rows, 2)`; none is missing."""
    texts = np.asarray(X, dtype=object)
    shape = texts.shape
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] not in (1, 2)):
        raise ValueError(
            "`X` must hold one text for each row, (rows,), or pairs of them, (rows, 2). Pass one "
            "column, or "
            f"put a single text in a list. Received: X of type {type(X).__name__}, shape {shape}"
        )
    for place, text in np.ndenumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                "`X` must hold strings. Leave rows without a text out, and write numbers as "
                f"strings. Received: {text!r:.80} in row {place[0]} (counted from 0)"
            )
    return texts[:, 0] if shape[1:] == (1,) else texts


def _classes(y: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """The classes in order, and the position of each row's class."""
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = column_or_1d(values, warn=True)
    if values.ndim != 1:
        raise ValueError(
            "A text has one class: `y` is (rows,). For several labels, see build_model(…, "
            f"task='label'). Received: y of shape {values.shape}"
        )
    if pd.isna(values).any():
        raise ValueError(
            "Every text needs a class. Leave the others out. Received: a missing value in y, in "
            f"row {int(np.flatnonzero(pd.isna(values))[0])} (counted from 0)"
        )
    if values.dtype.kind == "f" and (values != np.round(values)).any():
        raise ValueError(
            "Classes are strings, whole numbers or booleans. Pass task='regress' to learn "
            "continuous numbers. "
            f"Received: y with {values[values != np.round(values)][0]!r}"
        )
    try:
        classes, places = np.unique(values, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"Classes are of one type. Write all as strings. Received: y with {error}"
        ) from error
    if len(classes) < 2:
        raise ValueError(
            "A classifier needs at least two classes. Add rows of another class. "
            f"Received: y with {len(classes)} class{'es' * (len(classes) != 1)}, {classes.tolist()}"
        )
    return classes, places


def _numbers(y: Any) -> npt.NDArray[np.float64]:
    """Numbers `(rows,)` or `(rows, numbers)`."""
    try:
        values = np.asarray(y, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`y` must hold numbers. For classes pass task='classify'. Received: {error}"
        ) from error
    if not np.isfinite(values).all():
        row = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            "`y` must hold finite numbers. Leave the other rows out. "
            f"Received: {values[tuple(row)]} in row {row[0]} (counted from 0)"
        )
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _weights(sample_weight: Any, rows: int) -> npt.NDArray[np.float32] | None:
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, np.float32)
    good = np.isfinite(weights) & (weights >= 0)
    if weights.shape != (rows,) or not good.all() or not weights.any():
        raise ValueError(
            f"`sample_weight` must hold a number for each of the {rows:,} rows, at least 0, and "
            f"not all of them zero. Received: sample_weight of shape {weights.shape}, "
            f"{weights.min(initial=np.inf):g} to {weights.max(initial=-np.inf):g}"
        )
    return weights
