"""Classification: one class for each text; the answers are probabilities that sum to 1."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn import metrics

from keras_seqzoo.data.naming import label_numbers
from keras_seqzoo.data.targets import OneOf
from keras_seqzoo.metrics.decisions import (
    check_kept,
    coverage_curve,
    named_thresholds,
    threshold_of_all,
)
from keras_seqzoo.metrics.statistics import (
    best_mixture,
    best_temperature,
    calibrated_loss,
    calibration_error,
    intervals,
)
from keras_seqzoo.options import option
from keras_seqzoo.tasks.base import Head, Metric, Task

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_seqzoo.tasks.model import TextModel


UNSURE = "unsure"
SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)  # shares of rows answered, in a report


@dataclass(frozen=True)
class Classify(Task):
    """One class for each text. Outputs float32 probabilities `(rows, classes)` that sum to 1.

    The answer is the likeliest class, unless `decide` has set thresholds. With thresholds, the
    answer is a class whose probability reaches its threshold; of several, the one with the highest
    ratio of the two. If none does, the answer is the likeliest class without a threshold. If all
    classes have one, it is "unsure". Figures count "unsure" as the likeliest class, except:

    - `answered`: share of the rows whose answer is not "unsure".
    - `answered_error`: share of these rows whose answer is wrong.

    Figures of a report:

    - `accuracy`: share of right answers.
    - `macro_f1`: F1, averaged over the classes that have rows or predictions.
    - `weighted_f1`: F1, averaged over the classes by their number of rows.
    - `log_loss`: mean of -ln of the probability of the right class, in nats.
    - `calibration_error`: expected calibration error over 15 bins of equal width (Guo et al. 2017,
      On Calibration of Modern Neural Networks, eq. 3): the mean distance between confidence and
      accuracy, from 0 (calibrated) to 1.

    Tables: `per_class`, precision, recall, F1 and support of each class; `confusion`, counts, with
    a row for each true class and a column for each predicted one; `coverage`, the error if only a
    share of the rows were answered, those with the highest probabilities (see
    `metrics.decisions.coverage_curve`).

    Attributes:
        thresholds: lowest probability for each class, 0 for no threshold; () if no class has one.
    """

    thresholds: tuple[float, ...] = ()

    name = "classify"
    metrics = (
        Metric("macro_f1", "macro-F1", interval=True),
        Metric("accuracy", "accuracy", interval=True),
        Metric("weighted_f1", "weighted F1"),
        Metric("log_loss", "log loss", lower_is_better=True, decimals=3, unit="nats"),
        Metric("calibration_error", "calibration error", lower_is_better=True, decimals=3),
    )
    baselines = ("majority", "tfidf_logreg")
    api = "classify"
    watched = "val_calibrated_loss"
    compared = "accuracy"
    paired_test = "exact McNemar test"
    beats = "is right more often than"
    is_worse = "be right less often"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names."""
        return self.names

    def baselines_for(self, inputs: Any) -> tuple[str, ...]:
        """For windows of numbers, a regression over their values."""
        return ("majority", "window_logreg") if inputs.name == "series" else self.baselines

    @classmethod
    def of(cls, data: Any, classes: Sequence[str] | None) -> Classify:
        """Makes the task from the classes of training data, or from class names.

        Raises:
            ValueError: fewer than two classes, a repeated name, or data with another target.
        """
        target = getattr(data, "target", None)
        if classes is None and target is not None and target.kind != "class":
            raise ValueError(
                "A classifier learns one class for each row. Leave `task` out to build what the "
                "table "
                f"is for, or read it with target='class'. Received: {data!r}"
            )
        names = check_class_names(classes or getattr(data, "classes", None))
        return cls(OneOf(names, getattr(target, "horizon", None)))

    def output(self, logits: Any) -> Any:
        """Softmax, float32 for any precision of the encoder, so that probabilities sum to 1."""
        from keras_seqzoo.layers.temperature import ClassProbabilities

        return ClassProbabilities(dtype="float32", name="probabilities")(logits)

    def before_fit(self, model: TextModel) -> None:
        """Sets the temperature to 1 and removes decisions, which belong to the old weights."""
        layer = model.get_layer("probabilities")
        if self.with_state(model).thresholds:
            warnings.warn(
                "Decisions hold for the weights that they were made with: training removes them. "
                "Call decide(model, validation, …) again after it.",
                stacklevel=3,
            )
        layer.temperature.assign(1.0)
        if model.wide is not None:
            model.get_layer("wide").share.assign(0.0)
        layer.thresholds.assign(0 * layer.thresholds)

    def after_fit(
        self, model: TextModel, validation: Any, steps: int | None, calibrate: bool
    ) -> None:
        """If asked, fits the model's confidence to the validation rows."""
        if not calibrate:
            return
        if model.wide is None:
            temperature = best_temperature(*model.answers_to(validation, steps))
        else:
            share = model.get_layer("wide").share
            ways = [partial(share.assign, float(counts)) for counts in range(2)]
            labels, outputs = model.answers_to(validation, steps, ways)
            temperature, found = best_mixture(labels, outputs[:, 0], outputs[:, 1])
            share.assign(found)
        model.get_layer("probabilities").temperature.assign(temperature)

    def calibrated_loss(self, labels: Any, outputs: Any) -> float:
        """The log loss at the best temperature, in nats."""
        return calibrated_loss(labels, outputs)

    def with_state(self, model: TextModel) -> Classify:
        """The task with the thresholds of the model."""
        found = model.get_layer("probabilities").thresholds.numpy()
        return replace(self, thresholds=tuple(map(float, found)) if found.any() else ())

    def decide(
        self,
        labels: Any,
        outputs: Any,
        error: float | None,
        precision: Mapping[str, float],
        recall: Mapping[str, float],
        level: float,
    ) -> Classify:
        """See `Task`; an error gives all classes one threshold."""
        outputs = np.asarray(outputs, np.float32)
        if error is not None:
            wrong = outputs.argmax(axis=1) != labels
            found = (threshold_of_all(outputs.max(axis=1), wrong, error, level),) * len(self.names)
        else:
            truth = np.eye(len(self.names), dtype=bool)[labels]
            found = tuple(named_thresholds(self.names, truth, outputs, precision, recall, level))
        decided = replace(self, thresholds=found)
        if decided.may_be_unsure and UNSURE in self.names:
            raise ValueError(
                f"The answer {UNSURE!r} is reserved for texts for which no class is likely enough. "
                "Give the class another name, and build the model again. "
                f"Received: classes {self.names}"
            )
        if error is None:
            check_kept(self.names, truth, decided.chosen_labels(outputs), precision, recall)
        return decided

    @property
    def may_be_unsure(self) -> bool:
        """Whether there may be no answer."""
        return bool(self.thresholds) and all(self.thresholds)

    def decided(self, outputs: Any) -> npt.NDArray[np.intp]:
        """The position of the class answered for each row `(rows,)`; -1 for "unsure"."""
        scores = self._scores(np.asarray(outputs, np.float32), np.where)
        return np.where(scores.max(axis=1) < 0, -1, scores.argmax(axis=1))

    def chosen_labels(self, outputs: Any) -> npt.NDArray[np.bool_]:
        """Which class is answered for each row, bool `(rows, classes)`."""
        return self.decided(outputs)[:, np.newaxis] == np.arange(len(self.names))

    def _scores(self, outputs: Any, where: Callable[..., Any]) -> Any:
        """Scores that are highest for the class to answer, and below 0 for classes that may not be.

        Args:
            outputs: float32 probabilities `(rows, classes)`, of NumPy or TensorFlow.
            where: `where` of the same library.
        """
        if not self.thresholds:
            return outputs
        least = np.array(self.thresholds, np.float32)
        times = outputs / np.where(least > 0, least, 1)
        return where((outputs >= least) & (least > 0), 1 + times, where(least > 0, -1.0, outputs))

    def training(self) -> dict[str, Any]:
        """Cross-entropy, and the accuracy."""
        return {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}

    def learning(self, temperature: float) -> dict[str, Any]:
        """Cross-entropy at a temperature, and how often teacher and student agree."""
        import keras

        from keras_seqzoo.layers.losses import SoftenedCrossEntropy, same_class

        agreement = keras.metrics.MeanMetricWrapper(same_class, name="accuracy")
        return {"loss": SoftenedCrossEntropy(temperature), "metrics": [agreement]}

    def check_lessons(self, answers: npt.NDArray[Any]) -> None:
        """Raises a ValueError if probabilities do not sum to 1."""
        super().check_lessons(answers)
        wrong = (answers < 0).any(axis=1) | (np.abs(answers.sum(axis=1) - 1) > 1e-3)
        if wrong.any():
            raise ValueError(
                "A teacher of classes must answer with probabilities, which sum to 1. Take the "
                "softmax "
                f"of scores. Received: {answers[wrong][0].tolist()}"
            )

    def lessons(
        self, answers: npt.NDArray[Any], labels: Any, label_share: float, temperature: float
    ) -> npt.NDArray[np.float32]:
        """Probabilities at the temperature."""
        softened = softmax(np.log(np.maximum(answers, 1e-7)) / temperature, axis=1)
        sure = None if labels is None else np.eye(len(self.names), dtype=np.float32)[labels]
        return super().lessons(softened, sure, label_share, temperature)

    def encode(self, targets: Any, loss: str) -> Any:
        """Turns labels into label numbers, int32 `(rows,)`.

        Args:
            targets: as `data.naming.label_numbers` takes them; or one-hot, `(rows, classes)`,
                which pass unchanged to a loss that is not a sparse one.
            loss: name of the compiled loss.

        Raises:
            ValueError: a label that is missing, unknown, or could mean two classes.
        """
        labels = np.asarray(targets)
        if labels.ndim != 2 or labels.shape[1] == 1:
            return label_numbers(labels, self.names)
        if labels.dtype.kind not in "biuf" or labels.shape[1] != len(self.names):
            raise ValueError(
                "One-hot labels have a column of numbers for each class. Pass them so, or class "
                f"names. Received: {labels.dtype} of shape {labels.shape}, "
                f"{len(self.names)} classes"
            )
        if "sparse" not in loss:
            return labels.astype(np.float32)
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise ValueError(
                "The loss takes one class for each row. For shares of several classes, compile "
                "with "
                "loss='categorical_crossentropy'. "
                f"Received: a row of {labels[(labels == 1).sum(axis=1) != 1][0].tolist()}"
            )
        return labels.argmax(axis=1).astype(np.int32)

    def encode_batch(self, targets: tf.Tensor, is_foreign: bool, loss: str) -> tf.Tensor:
        """Turns the labels of a batch into label numbers, in the graph of a dataset.

        Raises:
            ValueError: labels of a dataset of texts that could be names or positions, or booleans.
        """
        import tensorflow as tf

        if targets.dtype == tf.string:
            targets = tf.reshape(targets, [-1])
            is_class = targets[:, tf.newaxis] == tf.constant(self.names)
            known = tf.debugging.Assert(
                tf.reduce_all(tf.reduce_any(is_class, axis=1)),
                ["Labels must be classes of the model. Received:", targets],
            )
            with tf.control_dependencies([known]):
                return tf.argmax(is_class, axis=1, output_type=tf.int32)
        places = [str(place) for place in range(len(self.names))]
        named = any(str(n) in self.names for n in range(-1, 2 * len(self.names)))
        if is_foreign and targets.shape.rank in (None, 1) and named and places != [*self.names]:
            raise ValueError(
                "These numbers may be positions of classes, or names of classes. Map labels that "
                "are names to strings, tf.strings.as_string(label); for positions, pass a table, "
                f"or texts and labels. Received: a dataset with {targets.dtype.name} labels, "
                f"classes {self.names}"
            )
        if targets.dtype == tf.bool and self.names != ("False", "True"):
            raise ValueError(
                "Booleans are the classes 'False' and 'True'. Map others to positions, "
                f"tf.cast(label, tf.int32). Received: classes {self.names}"
            )
        if targets.shape.rank == 2 and targets.shape[1] != 1 and "sparse" in loss:
            raise ValueError(
                "The loss takes one class for each row. Map one-hot labels, tf.argmax(label, "
                "axis=-1), "
                "or compile with loss='categorical_crossentropy'. "
                f"Received: labels of shape {targets.shape}"
            )
        return tf.cast(targets, tf.int32) if targets.dtype == tf.bool else targets

    def encode_class_weight(self, class_weight: Any, y: Any) -> Any:
        """Turns `class_weight` into weights by label number.

        Args:
            class_weight: a dict from a class (name or number, as in `encode`) to its weight; or
                `"balanced"`: rows / (classes · rows of the class).
            y: encoded labels; None if a dataset has them.

        Raises:
            ValueError: something else, or `"balanced"` without labels.
        """
        if class_weight is None:
            return None
        if isinstance(class_weight, str) and class_weight == "balanced":
            if y is None:
                raise ValueError(
                    "To balance classes, all labels must be known. Pass texts and labels, or a "
                    "table; or class_weight=table.class_weights(). "
                    "Received: class_weight='balanced' with a dataset"
                )
            numbers = y.argmax(axis=1) if y.ndim == 2 else y
            found, counts = np.unique(numbers, return_counts=True)
            weights = len(numbers) / (len(self.names) * counts)
            return dict(zip(found.tolist(), weights.tolist(), strict=True))
        if not isinstance(class_weight, Mapping):
            raise ValueError(
                "`class_weight` must be a dict with a weight for each class, or 'balanced'. "
                f"Received: class_weight={class_weight!r}"
            )
        numbers = label_numbers(list(class_weight), self.names).tolist()
        return dict(zip(numbers, map(float, class_weight.values()), strict=True))

    def answer(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The answered class as `label`, its `probability`, and all `probabilities`.

        The probability of "unsure" is that of the likeliest class.
        """
        import tensorflow as tf

        scores = self._scores(outputs, tf.where)
        best = tf.argmax(scores, axis=-1)
        label = tf.gather(tf.constant(self.names), best)
        probability = tf.reduce_max(outputs, axis=-1)
        if self.thresholds:
            said = tf.reduce_max(scores, axis=-1) >= 0
            of_best = tf.gather(outputs, best, axis=-1, batch_dims=1)
            label = tf.where(said, label, UNSURE)
            probability = tf.where(said, of_best, probability)
        return {"label": label, "probability": probability, "probabilities": outputs}

    def api_answer(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """All classes and scores; with thresholds, the answer and its score come before them.

        A client that takes the highest score, and the first of equal ones, so also gets "unsure".
        """
        import tensorflow as tf

        given = super().api_answer(outputs)
        if not self.thresholds:
            return given
        said = self.answer(outputs)
        return {
            "classes": tf.concat([said["label"][:, tf.newaxis], given["classes"]], axis=1),
            "scores": tf.concat([said["probability"][:, tf.newaxis], given["scores"]], axis=1),
        }

    def decode(self, outputs: npt.NDArray[Any]) -> list[dict[str, Any]]:
        """The answers in plain Python, a dict for each row."""
        outputs = np.asarray(outputs)
        return [
            {
                "label": UNSURE if best < 0 else self.names[best],
                "probability": float(row.max() if best < 0 else row[best]),
                "probabilities": row.tolist(),
            }
            for row, best in zip(outputs, self.decided(outputs).tolist(), strict=True)
        ]

    def chosen(self, outputs: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """The answered class; for "unsure", the likeliest."""
        decided = self.decided(outputs)
        return np.where(decided < 0, np.asarray(outputs).argmax(axis=1), decided)

    def figures(self, labels: Any, outputs: Any) -> dict[str, float]:
        """See the class."""
        predicted = self.chosen(outputs)
        numbers = range(len(self.names))
        figures = {
            "accuracy": float(metrics.accuracy_score(labels, predicted)),
            "macro_f1": float(metrics.f1_score(labels, predicted, average="macro")),
            "weighted_f1": float(metrics.f1_score(labels, predicted, average="weighted")),
            "log_loss": float(metrics.log_loss(labels, _summing_to_1(outputs), labels=numbers)),
            "calibration_error": calibration_error(labels, outputs),
        }
        if self.may_be_unsure:
            answered = self.decided(outputs) >= 0
            wrong = (predicted != labels)[answered]
            figures["answered"] = float(answered.mean())
            figures["answered_error"] = float(wrong.mean()) if len(wrong) else np.nan
        return figures

    def tables(self, labels: Any, outputs: Any) -> dict[str, pd.DataFrame]:
        """See the class."""
        predicted, numbers = self.chosen(outputs), list(range(len(self.names)))
        precision, recall, f1, support = metrics.precision_recall_fscore_support(
            labels, predicted, labels=numbers, zero_division=0
        )
        per_class = {"precision": precision, "recall": recall, "f1": f1, "support": support}
        return {
            "per_class": pd.DataFrame(per_class, index=pd.Index(self.names, name="class")),
            "confusion": pd.DataFrame(
                metrics.confusion_matrix(labels, predicted, labels=numbers),
                index=pd.Index(self.names, name="true"),
                columns=pd.Index(self.names, name="predicted"),
            ),
            "coverage": self.coverage(labels, outputs, SHARES),
        }

    def coverage(self, labels: Any, outputs: Any, shares: Sequence[float]) -> pd.DataFrame:
        """The error of the rows with the highest probabilities, see `coverage_curve`."""
        return coverage_curve(outputs.max(axis=1), outputs.argmax(axis=1) != labels, shares)

    def averages(self, report: Any) -> pd.DataFrame:
        """Macro and weighted averages over the classes."""
        scores = report.per_class[["precision", "recall", "f1"]]
        # As in scikit-learn, a class that no row has and no answer names does not count.
        occurs = report.confusion.to_numpy().sum(axis=0) + report.confusion.to_numpy().sum(1) > 0
        shares = report.per_class["support"] / len(report.labels)
        rows = {
            "macro average": scores[occurs].mean(),
            "weighted average": scores.mul(shares, axis=0).sum(),
        }
        return pd.DataFrame(rows).T.assign(support=len(report.labels))

    def warnings(self, report: Any) -> list[str]:
        """Warns of classes without rows, of a single answer, and if no answer is wrong."""
        found = []
        absent = report.per_class.index[report.per_class["support"] == 0]
        if len(absent):
            names = f"{', '.join(map(repr, absent[:5]))}{', …' if len(absent) > 5 else ''}"
            found.append(
                f"No row is of class {names}: the report cannot say how well the model finds it."
                if len(absent) == 1
                else f"No row is of the {len(absent):,} classes {names}: the report cannot say how "
                "well the model finds them."
            )
        if report.figures.get("answered") == 0:
            found.append('No row is answered: no probability reaches its threshold ("unsure").')
        rows = len(report.labels)
        if (only := self.only_answer(report)) is not None:
            share = (report.labels == self.names.index(only)).mean()
            found.append(
                f"All {rows:,} answers are {only!r}, which {share:.1%} of the rows are: the model "
                "does not tell the classes apart here."
            )
        if report.accuracy == 1:
            low = binomtest(rows, rows).proportion_ci(method="wilson").low
            found.append(
                f"Every answer is right, in {rows:,} row{'s' * (rows > 1)}: that leaves an "
                f"accuracy down to {low:.1%} possible (95 % Wilson interval)."
            )
        return found

    def only_answer(self, report: Any) -> str | None:
        """The class that all rows get, though they are of several; None otherwise."""
        answered = report.confusion.columns[report.confusion.sum() > 0]
        is_one = len(answered) == 1 and (report.per_class["support"] > 0).sum() > 1
        return str(answered[0]) if is_one else None

    def intervals(
        self, labels: Any, runs: Sequence[Any], tasks: Sequence[Any] = (), blocks: Any = None
    ) -> dict[str, tuple[float, float]]:
        """Intervals of `accuracy` and `macro_f1`; see `metrics.statistics.intervals`."""
        tasks = tasks or [self] * len(runs)
        said = [task.chosen(run) for task, run in zip(tasks, runs, strict=True)]
        return intervals(labels, said, len(self.names), blocks=blocks)

    def row_scores(self, labels: Any, outputs: Any) -> npt.NDArray[np.float64]:
        """1 for a right answer, 0 for a wrong one."""
        return (self.chosen(outputs) == labels).astype(np.float64)

    def worst(self, labels: Any, outputs: Any, most: int) -> npt.NDArray[np.intp]:
        """Wrong answers, the most confident first."""
        said = self.decided(outputs)
        wrong = np.flatnonzero((said != labels) & (said >= 0))
        return wrong[np.argsort(-outputs[wrong, said[wrong]], kind="stable")][:most]

    def changes(
        self, before: npt.NDArray[Any], after: npt.NDArray[Any], place: int | None, change: Any
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]:
        """Answers of another class, or that have become, or ceased to be, the class of `place`.

        What is left is the probability of the earlier class.
        """
        if change is not None:
            raise ValueError(
                "Only models of numbers take `change`. Leave `change` out. "
                f"Received: change={change!r} for classes"
            )
        best, answers = self.decided(before[np.newaxis])[0], self.decided(after)
        if best < 0 and place is None:
            return answers >= 0, -(after / np.array(self.thresholds)).max(axis=1)
        if place is None or place == best:
            return answers != best, after[:, best]
        return answers == place, -after[:, place]

    def moved(self, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> None:
        """None: every class may change."""

    def said(self, outputs: npt.NDArray[Any]) -> str:
        """The class, or "unsure"."""
        return str(self.decode(outputs[np.newaxis])[0]["label"])

    def as_dict(self) -> dict[str, Any]:
        """The task, with its thresholds if there are any."""
        decided = {"thresholds": list(self.thresholds)} if self.thresholds else {}
        return {**super().as_dict(), **decided}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Classify:
        """Makes the task from what `as_dict` returned."""
        made = super().from_dict(values)
        return cls(made.target, tuple(map(float, values.get("thresholds", ()))))


@dataclass(frozen=True, kw_only=True)
class ClassifyHead(Head):
    """The options of a classifier's head."""

    few_shot: bool = option(
        False, "for few texts per class: the encoder learns from pairs, then a regression is fitted"
    )
    wide: bool | None = option(
        None,
        "whether to fit a linear model of words and word pairs, too, and add its scores, with a "
        "weight chosen on the validation rows; needs `fit(calibrate=True)`",
        "yes for recurrent and static models of one text",
    )


TASK, OPTIONS = Classify, ClassifyHead
build = Classify.build


def task_of(model: Any) -> Task | None:
    """The task of a model of this package, or of one that it exported.

    Any other object with `classes` is a classifier; None if it has no `classes` either.
    """
    task: Task | None = getattr(model, "task", None)
    classes = getattr(model, "classes", None)
    names = () if classes is None else tuple(map(str, classes))
    return task or (Classify(OneOf(names)) if names else None)


def check_class_names(classes: Sequence[str] | None) -> tuple[str, ...]:
    """Returns class names as a tuple.

    Raises:
        ValueError: fewer than two names, or a repeated one.
    """
    if isinstance(classes, str) or classes is None or len(classes) < 2:
        raise ValueError(
            "A classifier needs the names of at least two classes. Pass a labelled table as "
            f"`data`, or `classes=[…]`. Received: classes={classes!r}"
        )
    names = tuple(str(name) for name in classes)
    if len(set(names)) < len(names):
        raise ValueError(f"Class names must differ. Received: classes={names}")
    return names


def _summing_to_1(probabilities: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rescales rows that sum to 1 ± 1e-7 after rounding to float32: scikit-learn rejects them."""
    sums = probabilities.sum(axis=1, keepdims=True)
    is_close = np.allclose(sums, 1, rtol=np.sqrt(np.finfo(np.float64).eps), atol=0)
    return probabilities if is_close else probabilities / sums
