"""What a task knows: its head, loss and figures, and how its answers are told. No TensorFlow."""

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
        decimals: as many are shown.
        unit: what it is counted in, such as `"nats"`; "" for nothing, None for the unit of the
            data.
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
        'how one vector is made of all: `"mean"`, `"max"`, `"last"`, `"cls"` or `"pooled"`',
        "the family's",
    )
    dropout: float | None = option(None, "before every layer of the head", "the encoder's")
    head_dim: int | None = option(
        None, "width of a ReLU layer before the last one", "no such layer"
    )


@dataclass(frozen=True)
class Task:
    """A task and the target of a model. Everything that depends on the task is asked here.

    A new task is a file with a subclass of this, and a line in `tasks.TASKS`.

    Attributes:
        target: what a row is to be answered; None where nothing is compared with a truth.
        name: of the task.
        metrics: the figures of a report; by the first one models are ranked.
        baselines: names of the models that `compare` puts beside those of the zoo.
        must_beat: the one of them that costs nothing, of which a model is told that it is not
            better; "" for none.
        api: TF Serving's API on `tf.Example`s that it answers: `"classify"` or `"regress"`; "" for
            none.
        in_unit_of_inputs: whether answers are in the unit of the numbers that a model reads.
        watched: figure of the validation rows by which a training ends, and an epoch is kept.
        letters: of each word, as many as an encoder that knows them is to read.
        outcome: what its answers are called, such as "probability", in pages and messages.
        compared: the metric whose rows `row_scores` are, of which paired tests tell; the first of
            `metrics` where it is "".
        paired_test: of `row_scores`, by name.
        beats: what is said of the better of two models.
        is_worse: what is not shown of one that is as good.
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
        """Makes the task of the target of training data, or of class names.

        Raises:
            ValueError: neither is there, or one that the task does not take.
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
            data: training data; its target is taken where `classes` is None.
            options: of the head.
            classes: class names in label order.
            name: name of the model.

        Raises:
            ValueError: no target, or a value out of its range.
        """
        from keras_seqzoo.tasks.head import build_head

        task = cls.of(data, classes)
        model = build_head(task, parts, options, name)
        task.begin(model, data)
        return model

    def begin(self, model: TextModel, data: Any) -> None:
        """Sets what a new head begins with; most begin at random.

        Args:
            model: just built.
            data: training data, which may be None or of any kind that `build_model` takes.
        """

    def baselines_for(self, inputs: Any) -> tuple[str, ...]:
        """Those of `baselines` that read such inputs, see `data.inputs.Input`."""
        return self.baselines

    @classmethod
    def corpus(cls, data: Any) -> Any:
        """Training data as an encoder that learns its vocabulary reads it."""
        return data

    @property
    def names(self) -> tuple[str, ...]:
        """What is answered: classes, labels, or numbers, in the order of the outputs."""
        return () if self.target is None else tuple(self.target.names)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names, where they are of classes or labels."""
        return ()

    # The head and its training

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of the outputs of a row."""
        return (len(self.names),)

    def output(self, logits: Any) -> Any:
        """The model's output, of the scores of the last layer: symbolic `(batch, names)`."""
        raise NotImplementedError

    def training(self) -> dict[str, Any]:
        """The loss and the metrics, as `compile` takes them."""
        raise NotImplementedError

    def encode(self, targets: Any, loss: str) -> Any:
        """Turns what a user passes as `y` into what the loss takes.

        Args:
            targets: in any form that a table takes, too.
            loss: name of the compiled loss.

        Raises:
            ValueError: a value that is missing or unsuitable.
        """
        return np.asarray(targets) if isinstance(targets, (list, tuple)) else targets

    def encode_batch(self, targets: tf.Tensor, is_foreign: bool, loss: str) -> tf.Tensor:
        """The same for a batch of a dataset, in its graph.

        Args:
            targets: of a batch.
            is_foreign: whether they come with texts, so that `make_dataset` has not made them.
            loss: name of the compiled loss.
        """
        return targets

    def encode_class_weight(self, class_weight: Any, y: Any) -> Any:
        """Turns `class_weight` into weights by label number.

        Args:
            class_weight: what `fit` was given.
            y: targets as `encode` returns them; None where a dataset has them.

        Raises:
            ValueError: classes are weighted where there are none.
        """
        if class_weight is not None:
            raise ValueError(
                "`class_weight` needs one class for each row. Leave it out; to weight rows, pass "
                f"sample_weight. Received: class_weight={class_weight!r} for the "
                f"task {self.name!r}"
            )

    def check_table(self, table: Any) -> None:
        """Raises where the target of a table is not that of the model."""
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
        """The task with what a model's weights tell of its answers."""
        return self

    def before_fit(self, model: TextModel) -> None:
        """Takes back what `after_fit` has set, where training would feel it."""

    def after_fit(
        self, model: TextModel, validation: Any, steps: int | None, calibrate: bool
    ) -> None:
        """Sets what a task learns of the validation rows; most learn nothing.

        Args:
            model: trained.
            validation: the dataset or arrays that `fit` validated on.
            steps: of the dataset that it read; all if None.
            calibrate: whether it shall be as sure as these rows say.
        """

    def calibrated_loss(self, labels: Any, outputs: Any) -> float:
        """The loss of answers that are as sure as these rows say.

        Args:
            labels: as `encode` returns them.
            outputs: what the model's `predict` returns, at temperature 1.

        Raises:
            ValueError: the answers are no probabilities of classes.
        """
        raise ValueError(
            "Only probabilities of classes can be calibrated. Watch 'val_loss' instead. "
            f"Received: val_calibrated_loss for the task {self.name!r}"
        )

    def learn(self, labels: Any, outputs: Any) -> Task:
        """The task with what it learns of answers to validation rows; most learn nothing."""
        return self

    # What a teacher's answers are to a student, see `distillation`

    def learning(self, temperature: float) -> dict[str, Any]:
        """What a student is compiled with for a teacher's answers, in the place of its own.

        Args:
            temperature: above 0.

        Raises:
            ValueError: the answers of this task cannot be learnt, or have no temperature.
        """
        raise ValueError(
            "A student can learn classes, labels and numbers from a teacher. Build one with such "
            f"a task. Received: a student of the task {self.name!r}"
        )

    def check_lessons(self, answers: npt.NDArray[Any]) -> None:
        """Raises a ValueError where a teacher's answers `(rows, names)` cannot be."""
        if not np.isfinite(answers).all():
            raise ValueError(
                "A teacher's answers must be finite numbers. Check the texts that it fails on. "
                f"Received: {answers[~np.isfinite(answers).all(axis=1)][0].tolist()}"
            )

    def lessons(
        self, answers: npt.NDArray[Any], labels: Any, label_share: float, temperature: float
    ) -> npt.NDArray[Any]:
        """What a student learns, float32 `(rows, names)`.

        Args:
            answers: the teacher's.
            labels: of the first rows, as a table encodes them; None where none are known.
            label_share: how much these count, at least 0 and below 1.
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
        """The task with thresholds that keep what is wanted on new rows.

        Args:
            labels: the truth, as a table encodes it.
            outputs: what the model's `predict` returns.
            error: that of the answers given, where others may be left out; None if all are given.
            precision: wanted, by class or label.
            recall: wanted, by class or label.
            level: in which share of all draws of rows it shall hold.

        Raises:
            ValueError: what is wanted cannot be kept, or the task has no thresholds.
        """
        raise ValueError(
            "Only classes and labels have thresholds. Build a model of the task 'classify' or "
            "'label'. "
            f"Received: a model of the task {self.name!r}"
        )

    # Answers

    @property
    def noun(self) -> str:
        """What the names are, such as "classes"."""
        return "names" if self.target is None else self.target.noun

    def answer(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """What a server answers to a batch, in its graph."""
        raise NotImplementedError

    def outputs_of(self, answer: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The model's outputs `(rows, names)` of what a server answered to a batch."""
        return answer["probabilities"]

    def as_outputs(self, outputs: Any) -> npt.NDArray[Any]:
        """Outputs as figures are computed of them: float64 `(rows, *row_shape)`."""
        return np.asarray(outputs, np.float64)

    def decode(self, outputs: npt.NDArray[Any]) -> list[dict[str, Any]]:
        """The same of outputs `(rows, …)` in plain Python, a dict a row."""
        raise NotImplementedError

    def columns_of(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """What `decode` tells of a row with a column a name: `p_<name>`, `value_<name>`."""
        found: dict[str, Any] = {}
        for key, value in told.items():
            if prefix := BY_NAME.get(key):
                names = (f"{prefix}_{name}" for name in self.names)
                found |= dict(zip(names, value, strict=True))
            else:
                found[key] = value
        return found

    def to_frame(self, outputs: Any) -> pd.DataFrame:
        """What `decode` tells, a row each, with the columns of `columns_of`.

        Raises:
            ValueError: the task's outputs are no answers: vectors, probabilities of every token.
        """
        if type(self).decode is Task.decode:
            raise ValueError(
                "The outputs of this task do not fit in a frame of answers. Leave `as_frame` "
                f"out. Received: as_frame=True for the task {self.name!r}"
            )
        return pd.DataFrame([self.columns_of(told) for told in self.decode(outputs)])

    def api_answer(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """What that one answers to a batch, in its graph: to classify, all names and scores."""
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
            ValueError: it has no such metric.
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
        """Rows to put under the first table of a `Report`; None for none."""
        return None

    def warnings(self, report: Any) -> list[str]:
        """What makes the figures of a `Report` say less than they seem to, a sentence each."""
        return []

    def only_answer(self, report: Any) -> str | None:
        """What every answer is, though the truth differs from row to row; None otherwise."""
        return None

    def intervals(
        self, labels: Any, runs: Sequence[Any], tasks: Sequence[Any] = (), blocks: Any = None
    ) -> dict[str, tuple[float, float]]:
        """95 % intervals of figures over draws of rows, of the mean over several runs.

        Args:
            labels: as in `report`.
            runs: the outputs of one or more runs.
            tasks: the task of each run, where runs have learnt something of their own, such as
                thresholds; this one by default.
            blocks: of rows that are not drawn one by one; see `metrics.statistics.bootstrap`.
        """
        raise NotImplementedError

    def row_scores(self, labels: Any, outputs: Any) -> npt.NDArray[np.float64]:
        """How good each answer is `(rows,)`, more being better: what paired tests compare."""
        raise NotImplementedError

    def worst(self, labels: Any, outputs: Any, most: int) -> npt.NDArray[np.intp]:
        """Rows of the answers that are furthest from the truth, `(up to most,)`, furthest first."""
        scores = self.row_scores(labels, outputs)
        rows = np.argsort(scores, kind="stable")[:most]
        return rows[scores[rows] < 0]

    # Explanations

    def explained(self, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The numbers that explanations are about: `(rows, names)`."""
        return outputs

    def pieces(self, output: Any) -> list[dict[str, Any]] | None:
        """The pieces of a text that an answer to it is; None where answers are something else.

        Each has `label`, which is one of `names`, `text`, and `start` and `end` in characters.
        """
        return None

    def of_pieces(self, output: Any, pieces: list[dict[str, Any]]) -> Any:
        """The answer that has these of its pieces alone."""
        return pieces

    def chosen(self, outputs: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Which of `names` is explained where nobody says, `(rows,)`: the likeliest.

        Args:
            outputs: as `explained` returns them.
        """
        return np.asarray(outputs).argmax(axis=1)

    @property
    def spread(self) -> tuple[float, ...] | None:
        """What is much for each of the numbers: 1 for a probability; None where nobody knows."""
        return (1.0,) * len(self.names) if self.outcome == "probability" else None

    def changes(
        self, before: npt.NDArray[Any], after: npt.NDArray[Any], place: int | None, change: Any
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]:
        """Tells which answers are others than one before: here, whose number moved by `change`.

        Args:
            before: float `(names,)`, as `explained` returns it.
            after: float `(rows, names)`.
            place: of the class or label that is to come or go, by default any; or of the number
                that is to move, by default the first.
            change: how far the number must have moved; by default its `spread`.

        Returns:
            Whether each is another, `(rows,)`, and how much is left of the one before, less being
            further from it.

        Raises:
            ValueError: `change` where it means nothing, or is not known.
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
        """Place of the name by which one changed answer is told, each `(names,)`; None for all."""
        return 0

    def said(self, outputs: npt.NDArray[Any]) -> str:
        """The answer to one row, `(names,)`, in words alone; of numbers, what they are called."""
        return ", ".join(self.names)

    def as_dict(self) -> dict[str, Any]:
        """Returns the task and its target, ready for JSON; `tasks.task_from_dict` reads it."""
        target = None if self.target is None else self.target.as_dict()
        return {"name": self.name, "target": target}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Task:
        """Makes the task of what `as_dict` returned."""
        target = values.get("target")
        return cls(None if target is None else target_from_dict(target))


def targets_of(data: Any, kind: str, what: str) -> Any:
    """Returns the target of training data.

    Args:
        data: a table or stream.
        kind: of the target that it must have.
        what: that is, for the message.

    Raises:
        ValueError: there is none, or another one.
    """
    target = getattr(data, "target", None)
    if target is None or target.kind != kind:
        raise ValueError(
            f"This task learns {what}. Pass a table as `data`: read_table(…, label=…, "
            f"target={kind!r}). Received: data={data!r:.200}"
        )
    return target


def no_temperature(temperature: float, task: Task) -> None:
    """Raises a ValueError where answers that have none are to be softened."""
    if temperature != 1:
        raise ValueError(
            f"A temperature softens the probabilities of classes. Leave it out for {task.noun}. "
            f"Received: temperature={temperature!r}"
        )
