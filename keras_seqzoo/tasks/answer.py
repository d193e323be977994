"""Answering questions: finds the part of a context that answers, or says that there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from keras_seqzoo.batches.pipeline import LENGTH_MULTIPLE
from keras_seqzoo.checks import check_rate, check_whole
from keras_seqzoo.data.targets import Answers
from keras_seqzoo.features import FEATURES
from keras_seqzoo.layers.answers import AnswerScores
from keras_seqzoo.metrics import answers as metrics
from keras_seqzoo.metrics.statistics import bootstrap
from keras_seqzoo.options import option
from keras_seqzoo.preprocessing.placed import AskedPreprocessor, cut_out
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.base import Metric, Task, targets_of
from keras_seqzoo.tasks.model import ServingFunction
from keras_seqzoo.tasks.tag import PlacedModel, SplitTexts, without_pooler

if TYPE_CHECKING:
    from keras_seqzoo.encoders.parts import EncoderParts

_FIELDS = ("answer", "start", "end", "probability", "no_answer")
_ALWAYS = 1e9  # as a threshold, no answer reaches it; negative, every answer does


@dataclass(frozen=True, kw_only=True)
class AnswerHead:
    """The options of a head that finds answers in contexts."""

    dropout: float | None = option(
        None, "before the scores of beginnings and ends", "the encoder's"
    )
    stride: int | None = option(
        None,
        "tokens from the start of one window over a long context to the start of the next",
        "half of what a window holds",
    )
    max_answer_length: int = option(30, "most words of an answer; punctuation marks count as words")


@dataclass(frozen=True)
class Answer(Task):
    """The answer to a question in its context. `predict` returns a dict for each row.

    The dict holds the `answer`, "" for none; `start` and `end`, the place of its first character in
    the context and the place after its last, -1 for none; its `probability`; and `no_answer`, the
    probability that there is none.

    A long context is read in windows: `probability` is the highest of them, `no_answer` the lowest.
    The model answers if the log-probability of the answer exceeds that of no answer by
    `threshold`. `fit` with validation rows chooses the threshold with the highest mean F1 there (of
    characters; Rajpurkar et al. 2018, Know What You Don't Know), and keeps it in the model.

    Figures of a report, computed as in SQuAD's script, but from 0 to 1:

    - `f1`, `exact_match`: means over all rows. If a row has several right answers, the nearest
      counts.
    - `answered_f1`, `answered_exact_match`: over the rows that have an answer.
    - `unanswered`: of the rows without an answer, the share for which the model gives none.

    Tables: `per_kind`, these figures for rows with an answer and rows without; `confusion`, whether
    a row has an answer, and whether the model gives one.

    Attributes:
        threshold: see above; 0 by default.
    """

    threshold: float = 0.0

    name = "answer"
    metrics = (
        Metric("f1", "F1", interval=True),
        Metric("exact_match", "exact match", interval=True),
        Metric("answered_f1", "F1, answered", interval=True),
        Metric("answered_exact_match", "exact match, answered", interval=True),
        Metric("unanswered", "no answer found", interval=True),
    )
    baselines = ("no_answer", "shared_words")
    must_beat = "no_answer"
    compared = "f1"

    @classmethod
    def of(cls, data: Any, classes: Sequence[str] | None) -> Answer:
        """Makes the task from training data; answers have no names."""
        if classes is not None:
            raise ValueError(
                "Answers are parts of contexts, and have no classes. Leave `classes` out. "
                f"Received: classes={classes!r}"
            )
        return cls(Answers() if data is None else targets_of(data, "answer", "where answers stand"))

    @classmethod
    def corpus(cls, data: Any) -> Any:
        """The training texts as the model reads them: words and punctuation marks split."""
        return SplitTexts.of(data)

    @classmethod
    def build(  # type: ignore[override]
        cls,
        parts: EncoderParts,
        data: Any,
        options: AnswerHead,
        *,
        classes: Sequence[str] | None = None,
        name: str,
    ) -> Answerer:
        """Builds and compiles a model; see `Task.build`."""
        if not parts.preprocessor.pair:
            raise ValueError(
                "A question is asked about a context. Pass a table of both: read_table(…, "
                f"target='answer'). Received: data={data!r:.200}"
            )
        model = Answerer(
            encoder=parts.encoder,
            preprocessor=AskedPreprocessor(parts.preprocessor),
            task=cls.of(data, classes),
            dropout=parts.dropout if options.dropout is None else options.dropout,
            stride=options.stride,
            max_answer_length=options.max_answer_length,
            causal=parts.causal,
            name=name,
        )
        model.compile(
            optimizer=parts.optimizer(),
            jit_compile=False,
            schedule=parts.schedule,
            warmup=parts.warmup,
        )
        return model

    @property
    def row_shape(self) -> tuple[int, ...]:
        """An answer is a dict."""
        return ()

    def as_outputs(self, outputs: Any) -> npt.NDArray[Any]:
        """An object array of dicts."""
        return np.array([*outputs, None], object)[:-1]

    def encode(self, targets: Any, loss: str) -> npt.NDArray[np.object_]:
        """Checks answers and their places, in the form in which a table encodes them."""
        return self.target.encode(targets)

    def with_state(self, model: Any) -> Answer:
        """The task with the threshold of the model."""
        return replace(self, threshold=float(model.get_layer("logits").threshold.numpy()))

    def after_fit(self, model: Any, validation: Any, steps: int | None, calibrate: bool) -> None:
        """Chooses the threshold on the validation rows."""
        model.get_layer("logits").threshold.assign(
            best_threshold(*model.found_in(validation, steps))
        )

    def outputs_of(self, answer: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Turns the answer of a server into what `predict` returns."""
        columns = (answer[name].tolist() for name in _FIELDS)
        return self.as_outputs(
            [
                {
                    k: v.decode() if isinstance(v, bytes) else v
                    for k, v in zip(_FIELDS, row, strict=True)
                }
                for row in zip(*columns, strict=True)
            ]
        )

    def decode(self, outputs: Any) -> list[dict[str, Any]]:
        """The dicts."""
        return [dict(row) for row in outputs]

    def scores(self, labels: Any, outputs: Any) -> npt.NDArray[np.float64]:
        """Exact match, F1, and whether there is an answer, for each row: float64 `(rows, 3)`."""
        rows = [
            (*metrics.scores([text for *_, text in true], said["answer"]), bool(true))
            for true, said in zip(self.target.spans(labels), outputs, strict=True)
        ]
        return np.array(rows, np.float64).reshape(-1, 3)

    def figures(self, labels: Any, outputs: Any) -> dict[str, float]:
        """See the class."""
        scores = self.scores(labels, outputs)
        return {k: float(v[0]) for k, v in _figures(np.ones((1, len(scores))), scores).items()}

    def tables(self, labels: Any, outputs: Any) -> dict[str, pd.DataFrame]:
        """See the class."""
        scores = self.scores(labels, outputs)
        has, given = scores[:, 2] > 0, np.array([bool(said["answer"]) for said in outputs])
        rows = []
        for chosen in (has, ~has):
            part = scores[chosen]
            means = part[:, :2].mean(axis=0) if len(part) else np.full(2, np.nan)
            rows.append({"exact_match": means[0], "f1": means[1], "support": len(part)})
        names = list(self.names)
        counts = [[int((t & s).sum()) for s in (given, ~given)] for t in (has, ~has)]
        return {
            "per_kind": pd.DataFrame(rows, index=pd.Index(names, name="truth")),
            "confusion": pd.DataFrame(
                counts, pd.Index(names, name="true"), pd.Index(names, name="predicted")
            ),
        }

    def warnings(self, report: Any) -> list[str]:
        """Warns if the model answers every row, or none, though rows of both kinds exist."""
        only = self.only_answer(report)
        if only == self.names[1]:
            return ["No question is given an answer: the model has learnt nothing yet."]
        return [] if only is None else ["Every question is given an answer, though some have none."]

    def only_answer(self, report: Any) -> str | None:
        """`"answer"` or `"no answer"` if the model says that of all rows, and some differ."""
        given = np.array([bool(said["answer"]) for said in report.outputs])
        has = self.target.strata(report.labels) == 0
        if given.all() and not has.all():
            return str(self.names[0])
        return str(self.names[1]) if has.any() and not given.any() else None

    def intervals(
        self, labels: Any, runs: Sequence[Any], tasks: Sequence[Any] = (), blocks: Any = None
    ) -> dict[str, tuple[float, float]]:
        """Intervals of all figures."""
        scores = [self.scores(labels, run) for run in runs]

        def figures(weights: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
            found = [_figures(weights, of_run) for of_run in scores]
            return {name: np.mean([one[name] for one in found], axis=0) for name in found[0]}

        return bootstrap(figures, len(labels), blocks=blocks)

    def row_scores(self, labels: Any, outputs: Any) -> npt.NDArray[np.float64]:
        """F1 of each answer."""
        return self.scores(labels, outputs)[:, 1]

    def worst(self, labels: Any, outputs: Any, most: int) -> npt.NDArray[np.intp]:
        """Rows with the lowest F1; among equals, the most confident answers first."""
        scores = self.row_scores(labels, outputs)
        sure = np.array([said["probability"] for said in outputs])
        rows = np.lexsort((-sure, scores))[:most]
        return rows[scores[rows] < 1]

    def explained(self, outputs: Any) -> npt.NDArray[np.float64]:
        """The probabilities of the best answer (0 if none is given) and of no answer."""
        rows = [
            (said["probability"] if said["answer"] else 0.0, said["no_answer"]) for said in outputs
        ]
        return np.array(rows, np.float64).reshape(-1, 2)

    def pieces(self, output: Any) -> list[dict[str, Any]]:
        """The answer, if there is one."""
        said = {"label": self.names[0], "text": output["answer"], **output}
        return [said] if output["answer"] else []

    def of_pieces(self, output: Any, pieces: list[dict[str, Any]]) -> Any:
        """The answer, or none."""
        return output if pieces else {**output, "answer": "", "start": -1, "end": -1}

    def said(self, outputs: npt.NDArray[Any]) -> str:
        """Whether there is an answer."""
        return str(self.names[0] if outputs[0] else self.names[1])

    def as_dict(self) -> dict[str, Any]:
        """The threshold, too."""
        return {**super().as_dict(), "threshold": self.threshold}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Answer:
        """Makes the task from what `as_dict` returned."""
        return cls(super().from_dict(values).target, float(values.get("threshold", 0.0)))


def _figures(weights: npt.NDArray[Any], scores: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """The figures of draws of rows, `(draws, rows)`; NaN if a draw has no rows of a kind."""

    def mean(values: npt.NDArray[Any], counted: npt.NDArray[Any]) -> npt.NDArray[Any]:
        total = weights @ counted
        found = np.divide(
            weights @ (values * counted), total, out=np.full(len(weights), np.nan), where=total > 0
        )
        return np.asarray(found)

    exact, f1, has = scores.T
    return {
        "f1": mean(f1, np.ones_like(has)),
        "exact_match": mean(exact, np.ones_like(has)),
        "answered_f1": mean(f1, has),
        "answered_exact_match": mean(exact, has),
        "unanswered": mean(f1, 1 - has),
    }


def best_threshold(margins: npt.NDArray[Any], scores: npt.NDArray[Any], has: Any) -> float:
    """The threshold with the highest mean F1.

    Args:
        margins: by how much the log-probability of each answer exceeds that of none `(rows,)`.
        scores: F1 of the answers, 0 for rows that should have none.
        has: whether a row should have an answer.

    Returns:
        A value half-way between two margins; 0 without rows. If all rows have an answer, it
        keeps every answer; if no row has one, it keeps none.
    """
    if not len(margins):
        return 0.0
    order = np.argsort(-margins, kind="stable")
    gains = np.where(has, scores, -1.0)[order]
    totals = np.concatenate([[0.0], np.cumsum(gains)])  # with the first n answers given
    ordered = np.concatenate([[_ALWAYS], margins[order], [-_ALWAYS]])
    is_between = ordered[:-1] > ordered[1:]  # equal margins are kept or left out together
    best = int(np.argmax(np.where(is_between, totals, -np.inf)))
    if best in (0, len(margins)):
        return float(_ALWAYS if best == 0 else -_ALWAYS)
    return float((ordered[best] + ordered[best + 1]) / 2)


TASK, OPTIONS = Answer, AnswerHead
build = Answer.build


@keras.saving.register_keras_serializable("keras_seqzoo")
class Answerer(PlacedModel):
    """A model that answers questions from their contexts.

    As a Keras model, it returns the scores of `AnswerScores`. `predict` finds the answers from
    them, see `Answer`.

    Args:
        encoder: functional model from the features to `sequence_output`.
        preprocessor: questions and contexts to tokens and the places of the contexts' words.
        task: the task, or what its `as_dict` returned.
        dropout: rate before the scores.
        stride: see `AnswerScores`.
        max_answer_length: most words of an answer.
        causal: see `AnswerScores`.
        special: see `AnswerScores`; the preprocessor sets it as soon as it has a vocabulary.
        separators: the same.
        **kwargs: arguments of `keras.Model`.
    """

    arguments = (
        "task", "dropout", "stride", "max_answer_length", "causal", "special", "separators",
    )  # fmt: skip
    preprocessor: AskedPreprocessor
    pooling = "mean"

    def __init__(
        self,
        encoder: keras.Model,
        preprocessor: AskedPreprocessor,
        task: Task | Mapping[str, Any],
        dropout: float = 0.0,
        stride: int | None = None,
        max_answer_length: int = 30,
        causal: bool = False,
        special: Sequence[int | None] | None = None,
        separators: int | None = None,
        **kwargs: Any,
    ):
        check_rate(dropout=dropout)
        check_whole(max_answer_length=max_answer_length)
        if stride is not None:
            check_whole(stride=stride)
        without_pooler(encoder)
        task = task if isinstance(task, Task) else task_from_dict(task)
        names = (*FEATURES, "starts", "ends", "question_ids")
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
        special = tuple(special or preprocessor.special)
        separators = preprocessor.tokens.separators if separators is None else separators
        scores = AnswerScores(
            encoder, preprocessor.sequence_length, special, separators, causal, stride, dropout,
            name="logits",
        )  # fmt: skip
        super().__init__(inputs, scores(inputs), **kwargs)
        self._task = task
        self.encoder = encoder
        self.preprocessor = preprocessor
        self.dropout = dropout
        self.stride = stride
        self.max_answer_length = max_answer_length
        self.causal = causal
        self.special = special
        self.separators = separators

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        """The mean over windows of the cross-entropies of beginning and end, in nats.

        Each of several replicas takes the mean over its own windows.
        """
        nats, weights = self.get_layer("logits").losses_of(y_pred, x, *_first_answers(y))
        if sample_weight is not None:
            of_row = tf.gather(tf.cast(sample_weight, nats.dtype), y_pred["rows"])
            nats, weights = nats * of_row, weights * of_row
        loss = tf.reduce_sum(nats) / tf.maximum(tf.reduce_sum(weights), 1e-6)
        loss = sum(self.losses, start=loss)
        return loss / tf.distribute.get_strategy().num_replicas_in_sync

    def _best(self, features: Mapping[str, tf.Tensor]) -> Any:
        scored = self(features, training=False)
        questions = tf.shape(features["token_ids"])[0]
        return self.get_layer("logits").best(scored, questions, self.max_answer_length)

    def answers(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers questions about contexts, strings `(batch, 2)`; columns `(batch,)`."""
        best = self._best(self.preprocessor.pack(self.preprocessor.encode(texts), LENGTH_MULTIPLE))
        margin = best.answer - best.nothing
        threshold = tf.convert_to_tensor(self.get_layer("logits").threshold)
        given = (best.starts >= 0) & (margin >= threshold)
        rows = tf.range(tf.size(given, tf.int64))
        starts, ends = (tf.where(given, at, 0) for at in (best.starts, best.ends))
        text, start, end = cut_out(texts[:, 1], rows, starts, ends)
        return {
            "answer": text,
            **{
                name: tf.where(given, at, -1)
                for name, at in (
                    ("start", starts), ("end", ends), ("start_byte", start), ("end_byte", end),
                )
            },
            "probability": tf.exp(tf.where(given, best.answer, best.nothing)),
            "no_answer": tf.exp(best.nothing),
        }  # fmt: skip

    def serving_functions(self) -> Mapping[str, ServingFunction]:
        """Only `serving_default`: features do not hold the places of words in a text."""

        def serving_default(text: tf.Tensor, text_pair: tf.Tensor) -> Mapping[str, tf.Tensor]:
            return self.answers(tf.stack([text, text_pair], axis=1))

        return {"serving_default": ServingFunction(serving_default, self.served_inputs)}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.string)], reduce_retracing=True)
    def _answer(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.answers(texts)

    def found_in(self, data: Any, steps: int | None) -> tuple[Any, Any, Any]:
        """Answers labelled rows without a threshold.

        Args:
            data: batches `(features, answers, …)`, as `fit` validates on, or one of them.
            steps: batches to read; all if None.

        Returns:
            What `best_threshold` takes; F1 is that of characters.
        """
        margins, scores, has = [], [], []
        _, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        batches = iter(data) if labels is None else [data]
        for features, labels, *_ in islice(batches, steps):
            best = self._found(features)
            margins += (best.answer - best.nothing).numpy().tolist()
            said = zip(best.starts.numpy().tolist(), best.ends.numpy().tolist(), strict=True)
            for (start, end), true in zip(
                said, self._task.target.spans(np.asarray(labels)), strict=True
            ):
                shared = [
                    2 * max(0, min(end, e) - max(start, s)) / (end - start + e - s)
                    for s, e, _ in true
                ]
                scores.append(max(shared, default=0.0) if start >= 0 else 0.0)
                has.append(bool(true))
        return np.array(margins), np.array(scores), np.array(has)

    @tf.function(reduce_retracing=True)
    def _found(self, features: Mapping[str, tf.Tensor]) -> Any:
        return self._best(features)


def _first_answers(labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The start and end of the first answer of each row, as a table encodes them; -1 for none.

    A replica that gets no row of a batch has one row of "".
    """
    places = []
    for pattern in (r"(?s)^\[\[(\d+), .*$", r"(?s)^\[\[\d+, (\d+), .*$"):
        found = tf.strings.regex_replace(labels, pattern, r"\1")
        places.append(
            tf.strings.to_number(tf.where(tf.strings.length(labels) < 3, "-1", found), tf.int32)
        )
    return places[0], places[1]
