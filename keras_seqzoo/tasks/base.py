"""What a task knows: its head, loss, figures, and the form of its answers. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_seqzoo.data.targets import target_from_dict
from keras_seqzoo.names import shown_names
from keras_seqzoo.options import option
from keras_seqzoo.tasks import BY_NAME

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_seqzoo.encoders.parts import EncoderParts
    from keras_seqzoo.tasks.model import TextModel


class Metric(NamedTuple):
    """A figure of a report.

    Attributes:
        name: of the figure, such as `"macro_f1"`.
        title: the same for readers, such as `"macro-F1"`.
        lower_is_better: whether a smaller one is better.
        interval: whether `Task.intervals` gives one.
        decimals: how many decimals to show.
        unit: such as `"nats"`; "" for none, None for the unit of the data.
    """

    name: str
    title: str
    lower_is_better: bool = False
    interval: bool = False
    decimals: int = 4
    unit: str | None = ""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The options of a head that answers from one vector."""

    pooling: str | None = option(
        None,
        'how the token vectors become one: `"mean"`, `"max"`, `"last"`, `"cls"` or `"pooled"`',
        "the family's",
    )
    dropout: float | None = option(None, "before every layer of the head", "the encoder's")
    head_dim: int | None = option(
        None, "width of a ReLU layer before the last one", "no such layer"
    )


@dataclass(frozen=True)
class Task:
    """A task and the target of a model. Everything that depends on the task is here.

    A new task is a file with a subclass of this class, and a line in `tasks.TASKS`.

    Attributes:
        target: the right answers' form; None if a task compares nothing with a truth.
        name: of the task.
        metrics: the figures of a report; the first one ranks models.
        baselines: names of the models that `compare` adds to those of the zoo.
        must_beat: the baseline that costs nothing; a report says so if a model is not better than
            it. "" for none.
        api: TF Serving's API on `tf.Example`s that it answers: `"classify"` or `"regress"`; "" for
            none.
        in_unit_of_inputs: whether answers are in the unit of the numbers that a model reads.
        watched: figure of the validation rows that ends training early and chooses the epoch.
        letters: how many letters of each word an encoder with letters reads.
        outcome: what its answers are called, such as "probability", in pages and messages.
        compared: the metric of `row_scores`, which paired tests compare; "" for the first of
            `metrics`.
        paired_test: name of the test of `row_scores`.
        beats: the verb for the better of two models.
        is_worse: the verb for a worse model; used if no difference is shown.
    """

    target: Any = None

    name: ClassVar[str] = ""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    baselines: ClassVar[tuple[str, ...]] = ()
    must_beat: ClassVar[str] = ""
    api: ClassVar[str] = ""
    outcome: ClassVar[str] = "probability"
    compared: ClassVar[str] = ""
    paired_test: ClassVar[str] = "paired permutation test"
    beats: ClassVar[str] = "answers better than"
    is_worse: ClassVar[str] = "answer worse"
    in_unit_of_inputs: ClassVar[bool] = False
    watched: ClassVar[str] = "val_loss"
    letters: ClassVar[int] = 0

    @classmethod
    def of(cls, data: Any, classes: Sequence[str] | None) -> Task:
        """Makes the task from the target of training data, or from class names.

        Raises:
            ValueError: both are missing, or the task does not take them.
        """
        raise NotImplementedError

    @classmethod
    def build(
        cls,
        parts: EncoderParts,
        data: Any,
        options: Head,
        *,
        classes: Sequence[str] | None = None,
        name: str,
    ) -> TextModel:
        """Builds and compiles a model of this task over an encoder.

        Args:
            parts: the encoder, its preprocessor and its family's defaults.
            data: training data; its target is used if `classes` is None.
            options: of the head.
            classes: class names in label order.
            name: name of the model.

        Raises:
            ValueError: there is no target, or a value is out of its range.
        """
        from keras_seqzoo.tasks.head import build_head

        task = cls.of(data, classes)
        model = build_head(task, parts, options, name)
        task.begin(model, data)
        return model

    def begin(self, model: TextModel, data: Any) -> None:
        """Sets the first weights of a new head; most heads start with random ones.

        Args:
            model: a new model.
            data: training data: None, or any kind that `build_model` takes.
        """

    def baselines_for(self, inputs: Any) -> tuple[str, ...]:
        """The `baselines` that read such inputs, see `data.inputs.Input`."""
        return self.baselines

    @classmethod
    def corpus(cls, data: Any) -> Any:
        """Training data in the form from which an encoder learns its vocabulary."""
        return data

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in order: classes, labels or numbers."""
        return () if self.target is None else tuple(self.target.names)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names, if they name classes or labels."""
        return ()

    # The head and its training

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of the outputs of a row."""
        return (len(self.names),)

    def output(self, logits: Any) -> Any:
        """The model's output from the scores of the last layer: symbolic `(batch, names)`."""
        raise NotImplementedError

    def training(self) -> dict[str, Any]:
        """The loss and the metrics, as `compile` takes them."""
        raise NotImplementedError

    def encode(self, targets: Any, loss: str) -> Any:
        """Turns what a user passes as `y` into what the loss takes.

        Args:
            targets: in any form that a table takes.
            loss: name of the compiled loss.

        Raises:
            ValueError: a value is missing or of the wrong kind.
        """
        return np.asarray(targets) if isinstance(targets, (list, tuple)) else targets

    def encode_batch(self, targets: tf.Tensor, is_foreign: bool, loss: str) -> tf.Tensor:
        """The same for a batch of a dataset, in its graph.

        Args:
            targets: of a batch.
            is_foreign: whether they come from a dataset of texts, not from `make_dataset`.
            loss: name of the compiled loss.
        """
        return targets

    def encode_class_weight(self, class_weight: Any, y: Any) -> Any:
        """Turns `class_weight` into weights by label number.

        Args:
            class_weight: what `fit` was given.
            y: targets as `encode` returns them; None if a dataset has them.

        Raises:
            ValueError: the task has no classes to weight.
        """
        if class_weight is not None:
            raise ValueError(
                "`class_weight` needs one class for each row. Leave it out; to weight rows, pass "
                f"sample_weight. Received: class_weight={class_weight!r} for the "
                f"task {self.name!r}"
            )

    def check_table(self, table: Any) -> None:
        """Raises a ValueError if the target of a table is not that of the model."""
        if table.target is None or self.target is None:
            return
        if table.target.kind != self.target.kind:
            raise ValueError(
                "The table must have the target that the model was built for. Build a model for "
                "this table: build_model("
                f"name, table). Received: a model of the task {self.name!r} "
                f"({shown_names(self.names)}), and a table of the target {table.target.kind!r} "
                f"({shown_names(table.target.names)})"
            )
        if tuple(table.target.names) != self.names:
            raise ValueError(
                f"The table's {self.noun} must be the model's, in the same order, else numbers "
                f"mean something else. Read the table with read_table(…, classes=model.classes). "
                f"Received: table.classes={tuple(table.target.names)}, model.classes={self.names}"
            )

        ahead = [getattr(target, "horizon", None) for target in (self.target, table.target)]
        if None not in ahead and len(set(ahead)) == 2:
            raise ValueError(
                f"The table must have the horizon of the model, {ahead[0]}. Read the series with "
                f"it. Received: a horizon of {ahead[1]}, {table!r}"
            )

    def with_state(self, model: TextModel) -> Task:
        """The task with what the model's weights hold for it, such as thresholds."""
        return self

    def before_fit(self, model: TextModel) -> None:
        """Undoes what `after_fit` has set, if it would change training."""

    def after_fit(
        self, model: TextModel, validation: Any, steps: int | None, calibrate: bool
    ) -> None:
        """Sets what a task learns from the validation rows; most learn nothing.

        Args:
            model: a trained model.
            validation: the dataset or arrays that `fit` validated on.
            steps: batches of the dataset to read; all if None.
            calibrate: whether to fit the model's confidence to these rows.
        """

    def calibrated_loss(self, labels: Any, outputs: Any) -> float:
        """The loss after the confidence of the answers is fitted to these rows.

        Args:
            labels: as `encode` returns them.
            outputs: what the model's `predict` returns, at temperature 1.

        Raises:
            ValueError: the answers are not probabilities of classes.
        """
        raise ValueError(
            "Only probabilities of classes can be calibrated. Watch 'val_loss' instead. "
            f"Received: val_calibrated_loss for the task {self.name!r}"
        )

    def learn(self, labels: Any, outputs: Any) -> Task:
        """The task with what it learns from answers to validation rows; most learn nothing."""
        return self

    # How a student learns a teacher's answers, see `distillation`

    def learning(self, temperature: float) -> dict[str, Any]:
        """The loss and metrics with which a student learns a teacher's answers.

        Args:
            temperature: above 0.

        Raises:
            ValueError: a student cannot learn answers of this task, or they have no temperature.
        """
        raise ValueError(
            "A student can learn classes, labels and numbers from a teacher. Build one with such "
            f"a task. Received: a student of the task {self.name!r}"
        )

    def check_lessons(self, answers: npt.NDArray[Any]) -> None:
        """Raises a ValueError if a teacher's answers `(rows, names)` are not possible."""
        if not np.isfinite(answers).all():
            raise ValueError(
                "A teacher's answers must be finite numbers. Check the texts that it fails on. "
                f"Received: {answers[~np.isfinite(answers).all(axis=1)][0].tolist()}"
            )

    def lessons(
        self, answers: npt.NDArray[Any], labels: Any, label_share: float, temperature: float
    ) -> npt.NDArray[Any]:
        """The targets that a student learns, float32 `(rows, names)`.

        Args:
            answers: the teacher's.
            labels: of the first rows, as a table encodes them; None if none are known.
            label_share: how much the labels count, at least 0 and below 1.
            temperature: as in `learning`.
        """
        lessons = np.array(answers, np.float32)
        if labels is not None:
            known = lessons[: len(labels)]
            known += np.float32(label_share) * (labels - known)
        return lessons

    def decide(
        self,
        labels: Any,
        outputs: Any,
        error: float | None,
        precision: Mapping[str, float],
        recall: Mapping[str, float],
        level: float,
    ) -> Any:
        """The task with thresholds that meet the wanted error, precision or recall on new rows.

        Args:
            labels: the truth, as a table encodes it.
            outputs: what the model's `predict` returns.
            error: highest share of wrong answers among those given, others being left out as
                unsure; None to answer all.
            precision: lowest precision, by class or label.
            recall: lowest recall, by class or label.
            level: share of all draws of rows in which this must hold.

        Raises:
            ValueError: no thresholds can meet this, or the task has none.
        """
        raise ValueError(
            "Only classes and labels have thresholds. Build a model of the task 'classify' or "
            "'label'. "
            f"Received: a model of the task {self.name!r}"
        )

    # Answers

    @property
    def noun(self) -> str:
        """A word for the names, such as "classes"."""
        return "names" if self.target is None else self.target.noun

    def answer(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """What a server answers to a batch, in the exported graph."""
        raise NotImplementedError

    def outputs_of(self, answer: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The model's outputs `(rows, names)`, from what a server answered to a batch."""
        return answer["probabilities"]

    def as_outputs(self, outputs: Any) -> npt.NDArray[Any]:
        """Outputs in the form that figures are computed from: float64 `(rows, *row_shape)`."""
        return np.asarray(outputs, np.float64)

    def decode(self, outputs: npt.NDArray[Any]) -> list[dict[str, Any]]:
        """The answers of outputs `(rows, …)` in plain Python, a dict for each row."""
        raise NotImplementedError

    def columns_of(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """A dict of `decode` with a column for each name: `p_<name>`, `value_<name>`."""
        found: dict[str, Any] = {}
        for key, value in told.items():
            if prefix := BY_NAME.get(key):
                names = (f"{prefix}_{name}" for name in self.names)
                found |= dict(zip(names, value, strict=True))
            else:
                found[key] = value
        return found

    def to_frame(self, outputs: Any) -> pd.DataFrame:
        """What `decode` returns as a frame, with the columns of `columns_of`.

        Raises:
            ValueError: the outputs do not fit in a frame: vectors, probabilities of every token.
        """
        if type(self).decode is Task.decode:
            raise ValueError(
                "The outputs of this task do not fit in a frame of answers. Leave `as_frame` "
                f"out. Received: as_frame=True for the task {self.name!r}"
            )
        return pd.DataFrame([self.columns_of(told) for told in self.decode(outputs)])

    def api_answer(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """What TF Serving's `api` answers to a batch, in the graph; here all names and scores."""
        import tensorflow as tf

        names = tf.tile(tf.constant([self.names]), [tf.shape(outputs)[0], 1])
        return {"classes": names, "scores": outputs}

    # Figures

    @property
    def plural(self) -> str:
        """Of `outcome`."""
        return "probabilities" if self.outcome == "probability" else f"{self.outcome}s"

    def metric(self, name: str | None = None) -> Metric:
        """One of `metrics`; the first, by which models are ranked, if None.

        Raises:
            ValueError: the task has no such metric.
        """
        known = {metric.name: metric for metric in self.metrics}
        if name is None:
            return self.metrics[0]
        if name not in known:
            raise ValueError(f"`metric` must be one of {tuple(known)}. Received: metric={name!r}")
        return known[name]

    def figures(self, labels: Any, outputs: Any) -> dict[str, float]:
        """The figures of `metrics` by name.

        Args:
            labels: the truth as a table encodes it, at least one row.
            outputs: what the model's `predict` returns.
        """
        raise NotImplementedError

    def tables(self, labels: Any, outputs: Any) -> dict[str, pd.DataFrame]:
        """Further tables of a report, by name; the first one is `Report.to_frame`'s."""
        return {}

    def averages(self, report: Any) -> pd.DataFrame | None:
        """Rows of averages to put under the first table of a `Report`; None for none."""
        return None

    def warnings(self, report: Any) -> list[str]:
        """Why the figures of a `Report` say less than they seem to: a sentence for each reason."""
        return []

    def only_answer(self, report: Any) -> str | None:
        """The answer that all rows get, though the truth differs between rows; None otherwise."""
        return None

    def intervals(
        self, labels: Any, runs: Sequence[Any], tasks: Sequence[Any] = (), blocks: Any = None
    ) -> dict[str, tuple[float, float]]:
        """95 % intervals over draws of rows, for the mean of each figure over the runs.

        Args:
            labels: as in `figures`.
            runs: the outputs of one or more runs.
            tasks: the task of each run, if runs have learnt something of their own, such as
                thresholds; this one by default.
            blocks: of rows that are drawn together; see `metrics.statistics.bootstrap`.
        """
        raise NotImplementedError

    def row_scores(self, labels: Any, outputs: Any) -> npt.NDArray[np.float64]:
        """How good each answer is `(rows,)`, higher is better: what paired tests compare."""
        raise NotImplementedError

    def worst(self, labels: Any, outputs: Any, most: int) -> npt.NDArray[np.intp]:
        """Rows of the answers that are furthest from the truth, `(up to most,)`, furthest first."""
        scores = self.row_scores(labels, outputs)
        rows = np.argsort(scores, kind="stable")[:most]
        return rows[scores[rows] < 0]

    # Explanations

    def explained(self, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The numbers to explain: `(rows, names)`."""
        return outputs

    def pieces(self, output: Any) -> list[dict[str, Any]] | None:
        """The pieces of a text that make up its answer; None if answers are not pieces.

        Each has `label`, which is one of `names`, `text`, and `start` and `end` in characters.
        """
        return None

    def of_pieces(self, output: Any, pieces: list[dict[str, Any]]) -> Any:
        """The answer reduced to these of its pieces."""
        return pieces

    def chosen(self, outputs: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Which of `names` to explain by default, `(rows,)`: the likeliest.

        Args:
            outputs: as `explained` returns them.
        """
        return np.asarray(outputs).argmax(axis=1)

    @property
    def spread(self) -> tuple[float, ...] | None:
        """How far each number can be expected to move: 1 for a probability; None if unknown."""
        return (1.0,) * len(self.names) if self.outcome == "probability" else None

    def changes(
        self, before: npt.NDArray[Any], after: npt.NDArray[Any], place: int | None, change: Any
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]:
        """Says which answers differ from an earlier one: here, whose number moved by `change`.

        Args:
            before: float `(names,)`, as `explained` returns it.
            after: float `(rows, names)`.
            place: of the class or label that must come or go, by default any; or of the number
                that must move, by default the first.
            change: how far the number must have moved; by default its `spread`.

        Returns:
            Whether each answer differs, `(rows,)`, and how much is left of the earlier answer:
            the lower, the further from it.

        Raises:
            ValueError: the task does not take `change`, or needs it.
        """
        spread = 0.0 if self.spread is None else self.spread[place or 0]
        if not (least := spread if change is None else change):
            raise ValueError(
                "The model does not know the spread of its training rows, so it cannot choose how "
                f"far a {self.outcome} must move. Pass change=… in its unit. "
                f"Received: change={change!r}"
            )
        moved = np.abs(after - before)[:, place or 0]
        return moved >= least, -moved

    def moved(self, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> int | None:
        """Place of the name that describes a change, answers `(names,)`; None for all names."""
        return 0

    def said(self, outputs: npt.NDArray[Any]) -> str:
        """The answer to one row, `(names,)`, in words; for numbers, their names."""
        return ", ".join(self.names)

    def as_dict(self) -> dict[str, Any]:
        """Returns the task and its target, ready for JSON; `tasks.task_from_dict` reads it."""
        target = None if self.target is None else self.target.as_dict()
        return {"name": self.name, "target": target}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Task:
        """Makes the task from what `as_dict` returned."""
        target = values.get("target")
        return cls(None if target is None else target_from_dict(target))


def targets_of(data: Any, kind: str, what: str) -> Any:
    """Returns the target of training data.

    Args:
        data: a table or stream.
        kind: of the target that it must have.
        what: the target in words, for the message.

    Raises:
        ValueError: the data has no target, or one of another kind.
    """
    target = getattr(data, "target", None)
    if target is None or target.kind != kind:
        raise ValueError(
            f"This task learns {what}. Pass a table as `data`: read_table(…, label=…, "
            f"target={kind!r}). Received: data={data!r:.200}"
        )
    return target


def no_temperature(temperature: float, task: Task) -> None:
    """Raises a ValueError if a temperature is given for answers that have none."""
    if temperature != 1:
        raise ValueError(
            f"A temperature softens the probabilities of classes. Leave it out for {task.noun}. "
            f"Received: temperature={temperature!r}"
        )
