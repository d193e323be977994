"""Labelling: any number of labels for each text, each with its own probability and threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics

from keras_seqzoo.data.targets import AnyOf
from keras_seqzoo.metrics.decisions import named_thresholds
from keras_seqzoo.metrics.statistics import bootstrap
from keras_seqzoo.tasks.base import Head, Metric, Task, no_temperature, targets_of

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_seqzoo.tasks.model import TextModel


@dataclass(frozen=True)
class Label(Task):
    """Any number of labels for each text. Outputs float32 probabilities `(rows, labels)`.

    A text gets the labels whose probabilities reach their thresholds. `fit` with validation rows
    chooses for each label the threshold with the highest F1 there (Lipton et al. 2014, Optimal
    Thresholding of Classifiers to Maximize F1 Measure), and keeps it in the model. Without
    validation rows, or if none has the label, the threshold stays 0.5. `decide` replaces thresholds
    by ones that reach a wanted precision or recall.

    Figures of a report, computed as in scikit-learn:

    - `macro_f1`, `micro_f1`, `sample_f1`: F1, averaged over the labels, over all answers, and over
      the texts (a text without labels that gets none counts as 1).
    - `subset_accuracy`: share of the texts that get all of their labels and no other.
    - `roc_auc`, `average_precision`: means over the labels that some rows have and others do not.

    Table: `per_label`, with precision, recall, F1, support, both areas and the threshold.

    Attributes:
        thresholds: lowest probability at which a text gets the label; 0.5 each by default.
    """

    thresholds: tuple[float, ...] = ()

    name = "label"
    metrics = (
        Metric("macro_f1", "macro-F1", interval=True),
        Metric("micro_f1", "micro-F1", interval=True),
        Metric("sample_f1", "sample F1"),
        Metric("subset_accuracy", "subset accuracy", interval=True),
        Metric("roc_auc", "ROC-AUC"),
        Metric("average_precision", "average precision"),
    )
    baselines = ("majority", "tfidf_logreg")
    api = "classify"
    compared = "sample_f1"

    def __post_init__(self) -> None:
        if not self.thresholds:
            object.__setattr__(self, "thresholds", (0.5,) * len(self.names))
        if len(self.thresholds) != len(self.names):
            raise ValueError(
                "Every label has a threshold. Pass as many as there are labels. "
                f"Received: thresholds={self.thresholds}, {len(self.names)} labels"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """The names."""
        return self.names

    @classmethod
    def of(cls, data: Any, classes: Sequence[str] | None) -> Label:
        """Makes the task from the labels of training data, or from their names."""
        if classes is not None:
            return cls(AnyOf(tuple(map(str, classes))))
        return cls(targets_of(data, "labels", "several labels for each text"))

    def begin(self, model: TextModel, data: Any) -> None:
        """Sets the head's first answers to the labels' shares in the training rows.

        Otherwise the first steps would only teach it which labels are rare (Lin et al. 2017, Focal
        Loss for Dense Object Detection, section 3.3).
        """
        if counts := getattr(data, "class_counts", None):
            has = np.array([counts[label] for label in self.names]) + 1
            model.get_layer("logits").bias.assign(np.log(has / (len(data) + 2 - has)))

    def output(self, logits: Any) -> Any:
        """Sigmoid."""
        from keras_seqzoo.layers.thresholds import LabelProbabilities

        return LabelProbabilities(dtype="float32", name="probabilities")(logits)

    def training(self) -> dict[str, Any]:
        """Binary cross-entropy, and the share of right answers to "has it this label?"."""
        return {"loss": "binary_crossentropy", "metrics": ["binary_accuracy"]}

    def learning(self, temperature: float) -> dict[str, Any]:
        """The task's own loss, which takes probabilities, and how often both agree on a label."""
        import keras

        from keras_seqzoo.layers.losses import same_labels

        no_temperature(temperature, self)
        agreement = keras.metrics.MeanMetricWrapper(same_labels, name="binary_accuracy")
        return {"metrics": [agreement]}

    def check_lessons(self, answers: npt.NDArray[Any]) -> None:
        """Raises a ValueError if probabilities do not lie between 0 and 1."""
        super().check_lessons(answers)
        wrong = ((answers < 0) | (answers > 1)).any(axis=1)
        if wrong.any():
            raise ValueError(
                "A teacher of labels must answer with a probability for each, 0 to 1. Take the "
                "sigmoid "
                f"of scores. Received: {answers[wrong][0].tolist()}"
            )

    def encode(self, targets: Any, loss: str) -> npt.NDArray[np.float32]:
        """Turns labels into 0 and 1, float32 `(rows, labels)`.

        Args:
            targets: 0 and 1 `(rows, labels)`, or probabilities in an array of floats; or a list of
                lists of label names.
            loss: unused.

        Raises:
            ValueError: something else, or an unknown label.
        """
        of_floats = isinstance(targets, np.ndarray) and targets.dtype.kind == "f"
        if (
            of_floats
            and targets.shape[1:] == (len(self.names),)
            and ((targets >= 0) & (targets <= 1)).all()
        ):
            return np.asarray(targets, np.float32)
        encoded: npt.NDArray[np.float32] = self.target.encode(targets)
        return encoded

    def encode_batch(self, targets: tf.Tensor, is_foreign: bool, loss: str) -> tf.Tensor:
        """Checks the form of a batch."""
        import tensorflow as tf

        if targets.dtype == tf.string or targets.shape[1:] != (len(self.names),):
            raise ValueError(
                f"Labels of a dataset are 0 or 1, of shape (batch, {len(self.names)}). Map them "
                f"so. Received: {targets.dtype.name} of shape {targets.shape}"
            )
        return tf.cast(targets, tf.float32)

    def with_state(self, model: TextModel) -> Label:
        """The task with the thresholds of the model."""
        layer = model.get_layer("probabilities")
        return replace(self, thresholds=tuple(map(float, layer.thresholds.numpy())))

    def after_fit(
        self, model: TextModel, validation: Any, steps: int | None, calibrate: bool
    ) -> None:
        """Chooses the thresholds on the validation rows."""
        learnt = self.learn(*model.answers_to(validation, steps))
        model.get_layer("probabilities").thresholds.assign(learnt.thresholds)

    def learn(self, labels: Any, outputs: Any) -> Label:
        """The task with the best thresholds for these answers."""
        return replace(self, thresholds=tuple(map(float, best_thresholds(labels, outputs))))

    def decide(
        self,
        labels: Any,
        outputs: Any,
        error: float | None,
        precision: Mapping[str, float],
        recall: Mapping[str, float],
        level: float,
    ) -> Label:
        """See `Task`; labels that are not named keep their thresholds."""
        if error is not None:
            raise ValueError(
                "A text may have any number of labels, so a model of labels is never unsure. "
                f"Pass precision or recall by label. Received: error={error!r} for labels"
            )
        truth = np.asarray(labels) > 0
        found = named_thresholds(self.names, truth, outputs, precision, recall, level)
        kept = zip(self.thresholds, found, strict=True)
        return replace(self, thresholds=tuple(new or old for old, new in kept))

    def answer(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """`labels`, the likeliest first, with "" after the last one, and all `probabilities`.

        `labels` has as many columns as the text with the most labels in the batch, one at least.
        """
        import tensorflow as tf

        has = outputs >= tf.constant(self.thresholds)
        counts = tf.reduce_sum(tf.cast(has, tf.int32), axis=1)
        order = tf.argsort(tf.where(has, outputs, -1.0), axis=1, direction="DESCENDING")
        names = tf.gather(tf.constant(self.names), order)
        shown = tf.where(tf.sequence_mask(counts, len(self.names)), names, "")
        most = tf.maximum(tf.reduce_max(tf.concat([counts, [1]], 0)), 1)
        return {"labels": shown[:, :most], "probabilities": outputs}

    def decode(self, outputs: npt.NDArray[Any]) -> list[dict[str, Any]]:
        """`labels`, the likeliest first, and all `probabilities`."""
        outputs = np.asarray(outputs, np.float32)
        has = self.chosen_labels(outputs)
        return [
            {
                "labels": [self.names[i] for i in np.argsort(-row, kind="stable") if mine[i]],
                "probabilities": row.tolist(),
            }
            for row, mine in zip(outputs, has, strict=True)
        ]

    def chosen_labels(self, outputs: Any) -> npt.NDArray[np.bool_]:
        """Which labels each text gets, bool `(rows, labels)`."""
        return np.asarray(outputs, np.float32) >= np.array(self.thresholds, np.float32)

    def figures(self, labels: Any, outputs: Any) -> dict[str, float]:
        """See the class."""
        answers, truth = self.chosen_labels(outputs), np.asarray(labels) > 0
        table = self._per_label(truth, outputs, answers)
        return {
            "macro_f1": float(metrics.f1_score(truth, answers, average="macro", zero_division=0)),
            "micro_f1": float(metrics.f1_score(truth, answers, average="micro", zero_division=0)),
            "sample_f1": float(
                metrics.f1_score(truth, answers, average="samples", zero_division=1)
            ),
            "subset_accuracy": float((truth == answers).all(axis=1).mean()),
            "roc_auc": float(table["roc_auc"].mean()),
            "average_precision": float(table["average_precision"].mean()),
        }

    def tables(self, labels: Any, outputs: Any) -> dict[str, pd.DataFrame]:
        """See the class."""
        truth = np.asarray(labels) > 0
        return {"per_label": self._per_label(truth, outputs, self.chosen_labels(outputs))}

    def _per_label(self, truth: Any, outputs: Any, answers: Any) -> pd.DataFrame:
        precision, recall, f1, support = metrics.precision_recall_fscore_support(
            truth, answers, average=None, zero_division=0
        )
        varies = truth.any(axis=0) & ~truth.all(axis=0)
        areas = {
            name: [
                float(area(truth[:, i], outputs[:, i])) if varies[i] else np.nan
                for i in range(len(self.names))
            ]
            for name, area in (
                ("roc_auc", metrics.roc_auc_score),
                ("average_precision", metrics.average_precision_score),
            )
        }
        columns = {"precision": precision, "recall": recall, "f1": f1, "support": support, **areas}
        table = pd.DataFrame(columns, index=pd.Index(self.names, name="label"))
        return table.assign(threshold=self.thresholds)

    def warnings(self, report: Any) -> list[str]:
        """Warns of labels that no row has, and if all texts get the same labels."""
        found = []
        absent = [str(n) for n in report.per_label.index[report.per_label["support"] == 0]]
        if absent:
            found.append(
                f"No row has the label{'s' * (len(absent) > 1)} "
                f"{', '.join(map(repr, absent[:5]))}: the report cannot say how well the model "
                f"finds {'it' if len(absent) == 1 else 'them'}."
            )
        if self.only_answer(report) is not None:
            found.append("All texts get the same labels: the model does not tell the texts apart.")
        return found

    def only_answer(self, report: Any) -> str | None:
        """The labels that all texts get, though not all have the same; None otherwise."""
        answers = self.chosen_labels(report.outputs)
        if (answers != answers[0]).any() or (report.labels == report.labels[0]).all():
            return None
        return ", ".join(n for n, has in zip(self.names, answers[0], strict=True) if has) or "none"

    def intervals(
        self, labels: Any, runs: Sequence[Any], tasks: Sequence[Any] = (), blocks: Any = None
    ) -> dict[str, tuple[float, float]]:
        """Intervals of both F1 and of the subset accuracy."""
        truth = np.asarray(labels) > 0
        tasks = tasks or [self] * len(runs)
        answers = [task.chosen_labels(run) for task, run in zip(tasks, runs, strict=True)]

        def figures(weights: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
            found: dict[str, list[Any]] = {"macro_f1": [], "micro_f1": [], "subset_accuracy": []}
            for said in answers:
                hits = weights @ (truth & said)
                sums = weights @ (truth.astype(float) + said)
                f1 = np.divide(2 * hits, sums, out=np.zeros_like(hits), where=sums > 0)
                found["macro_f1"].append(f1.mean(axis=1))
                found["micro_f1"].append(2 * hits.sum(1) / np.maximum(sums.sum(1), 1))
                found["subset_accuracy"].append((weights @ (truth == said).all(1)) / weights.sum(1))
            return {name: np.mean(values, axis=0) for name, values in found.items()}

        return bootstrap(figures, len(truth), blocks=blocks)

    def row_scores(self, labels: Any, outputs: Any) -> npt.NDArray[np.float64]:
        """F1 of each text's labels, 1 if it has none and gets none."""
        truth, said = np.asarray(labels) > 0, self.chosen_labels(outputs)
        sums = truth.sum(axis=1) + said.sum(axis=1)
        hits = 2.0 * (truth & said).sum(axis=1)
        return np.divide(hits, sums, out=np.ones(len(truth)), where=sums > 0)

    def worst(self, labels: Any, outputs: Any, most: int) -> npt.NDArray[np.intp]:
        """Texts with the lowest F1; among equals, the largest errors of probability first."""
        scores = self.row_scores(labels, outputs)
        off = np.abs(np.asarray(outputs) - labels).sum(axis=1)
        rows = np.lexsort((-off, scores))[:most]
        return rows[scores[rows] < 1]

    def changes(
        self, before: npt.NDArray[Any], after: npt.NDArray[Any], place: int | None, change: Any
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]:
        """Answers with other labels, or in which the label of `place` has come or gone.

        What is left is the smallest distance of a label to its threshold, negative if it crossed.
        """
        if change is not None:
            raise ValueError(
                "Only models of numbers take `change`. Leave `change` out. "
                f"Received: change={change!r} for labels"
            )
        names = slice(None) if place is None else [place]
        said, now = self.chosen_labels(before)[names], self.chosen_labels(after)[:, names]
        above = (after - np.array(self.thresholds))[:, names]
        return (now != said).any(axis=1), np.where(said, above, -above).min(axis=1)

    def moved(self, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> int:
        """The label that is furthest beyond its threshold."""
        left = [self.changes(before, after[np.newaxis], i, None)[1] for i in range(len(before))]
        return int(np.argmin(left))

    def said(self, outputs: npt.NDArray[Any]) -> str:
        """The labels, the likeliest first."""
        return ", ".join(self.decode(outputs[np.newaxis])[0]["labels"]) or "no label"

    def as_dict(self) -> dict[str, Any]:
        """The task, with its thresholds."""
        return {**super().as_dict(), "thresholds": list(self.thresholds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Label:
        """Makes the task from what `as_dict` returned."""
        made = super().from_dict(values)
        return cls(made.target, tuple(map(float, values.get("thresholds", ()))))


def best_thresholds(truth: Any, outputs: Any) -> npt.NDArray[np.float32]:
    """The threshold with the highest F1 for each label, float32 `(labels,)`.

    It lies half-way to the next lower probability that occurs; a label that no row has keeps 0.5.

    Args:
        truth: 0 or 1 `(rows, labels)`.
        outputs: probabilities `(rows, labels)`.
    """
    chosen = np.full(np.shape(truth)[1], 0.5, np.float32)
    for i in range(len(chosen)):
        real, scores = np.asarray(truth)[:, i] > 0, np.asarray(outputs, np.float64)[:, i]
        if not real.any():
            continue
        order = np.argsort(-scores, kind="stable")
        hits = np.cumsum(real[order])
        f1 = 2 * hits / (np.arange(1, len(real) + 1) + real.sum())
        ordered = np.append(scores[order], -1.0)
        last = ordered[:-1] > ordered[1:]  # equal probabilities are taken or left together
        best = int(np.argmax(np.where(last, f1, -1)))
        chosen[i] = max(0.0, (ordered[best] + ordered[best + 1]) / 2)
    return chosen


TASK, OPTIONS = Label, Head
build = Label.build
