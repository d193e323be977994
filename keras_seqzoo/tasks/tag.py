"""Tagging: pieces of a text, each of a type, such as the names of persons and places."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from keras_seqzoo.batches.pipeline import LENGTH_MULTIPLE
from keras_seqzoo.checks import check_rate
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.data.targets import Tags
from keras_seqzoo.features import FEATURES
from keras_seqzoo.layers.excerpts import Excerpts
from keras_seqzoo.layers.tags import Pieces, TagScores, tags_of_spans
from keras_seqzoo.metrics import spans as metrics
from keras_seqzoo.metrics.statistics import bootstrap
from keras_seqzoo.options import option
from keras_seqzoo.preprocessing.placed import PlacedPreprocessor, cut_out, split_words
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.base import Metric, Task, targets_of
from keras_seqzoo.tasks.model import ServingFunction, TextModel, as_rows

if TYPE_CHECKING:
    from keras_seqzoo.encoders.parts import EncoderParts

# Values that fill the columns of an answer after its last piece.
_FILLED = {
    "label": "",
    "text": "",
    "start": -1,
    "end": -1,
    "start_byte": -1,
    "end_byte": -1,
    "probability": 0.0,
}


@dataclass(frozen=True, kw_only=True)
class TagHead:
    """The options of a head that tags words."""

    dropout: float | None = option(None, "before the scores of tags", "the encoder's")
    crf: bool | None = option(
        None,
        "whether to learn which tag follows which; without, only impossible orders are left out",
        "for recurrent encoders",
    )


@dataclass(frozen=True)
class Tag(Task):
    """Tagged pieces of a text. `predict` returns an object array `(rows,)` of lists of dicts.

    Each dict is a piece: its `label` (the type), its `text`, `start` and `end` (the place of the
    first character and the place after the last) and its `probability`: that exactly these words
    are a piece of this type.

    Figures of a report, over all pieces:

    - `f1`, `precision`, `recall`: of pieces with exactly the right characters and type, as
      seqeval's strict mode counts entities.
    - `partial_f1`: a piece counts as found if one of its type overlaps it.

    Tables: `per_type`, the same figures and the support of each type; `confusion`, counts, with a
    row for each true type, and a column for each type answered at its place, or `nothing`.
    """

    name = "tag"
    metrics = (
        Metric("f1", "F1", interval=True),
        Metric("precision", "precision", interval=True),
        Metric("recall", "recall", interval=True),
        Metric("partial_f1", "partial F1", interval=True),
    )
    baselines = ("dictionary", "linear_crf")
    compared = "f1"
    letters = 16

    @classmethod
    def of(cls, data: Any, classes: Sequence[str] | None) -> Tag:
        """Makes the task from the types of training data, or from their names."""
        if classes is not None:
            return cls(Tags(tuple(map(str, classes))))
        return cls(targets_of(data, "tags", "tagged pieces of texts"))

    @classmethod
    def corpus(cls, data: Any) -> Any:
        """The training texts as the model reads them: words and punctuation marks split."""
        return SplitTexts.of(data)

    @classmethod
    def build(  # type: ignore[override]
        cls,
        parts: EncoderParts,
        data: Any,
        options: TagHead,
        *,
        classes: Sequence[str] | None = None,
        name: str,
    ) -> Tagger:
        """Builds and compiles a tagger; see `Task.build`."""
        if parts.preprocessor.pair:
            raise ValueError(
                "Pieces of one text are tagged. Read the table with one text column. "
                "Received: pairs of texts"
            )
        names = getattr(parts.encoder, "input", {})
        letters = names["letters"].shape[-1] if "letters" in names else 0
        model = Tagger(
            encoder=parts.encoder,
            preprocessor=PlacedPreprocessor(parts.preprocessor, letters),
            task=cls.of(data, classes),
            dropout=parts.dropout if options.dropout is None else options.dropout,
            crf=bool(letters) if options.crf is None else options.crf,
            name=name,
        )
        model.compile(
            optimizer=parts.optimizer(),
            jit_compile=False,
            schedule=parts.schedule,
            warmup=parts.warmup,
        )
        return model

    def baselines_for(self, inputs: Any) -> tuple[str, ...]:
        """The linear CRF, if its library is installed (`keras-seqzoo[crf]`)."""
        has_crf = importlib.util.find_spec("pycrfsuite") is not None
        return self.baselines if has_crf else self.baselines[:1]

    @property
    def classes(self) -> tuple[str, ...]:
        """The types."""
        return self.names

    @property
    def row_shape(self) -> tuple[int, ...]:
        """An answer is a list."""
        return ()

    def as_outputs(self, outputs: Any) -> npt.NDArray[Any]:
        """An object array of lists."""
        return as_rows(outputs)

    def encode(self, targets: Any, loss: str) -> npt.NDArray[np.int32]:
        """Turns lists of spans `(start, end, type)` into int32 `(rows, most, 3)`."""
        return self.target.encode(targets)

    def outputs_of(self, answer: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Turns the answer of a server into what `predict` returns."""
        fields = ("label", "text", "start", "end", "probability")
        return as_rows(
            [
                [
                    dict(zip(fields, map(_plain, piece), strict=True))
                    for piece in zip(*columns, strict=True)
                    if piece[2] >= 0
                ]
                for columns in zip(*(answer[name].tolist() for name in fields), strict=True)
            ]
        )

    def decode(self, outputs: Any) -> list[dict[str, Any]]:
        """The pieces of each text, as `spans`."""
        return [{"spans": list(row)} for row in outputs]

    def spans(self, outputs: Any) -> list[list[tuple[int, int, str]]]:
        """The pieces of each text, `(start, end, type)` in order."""
        return [[(p["start"], p["end"], p["label"]) for p in row] for row in outputs]

    def _counts(self, labels: Any, outputs: Any) -> npt.NDArray[np.float64]:
        return metrics.counts_by_row(self.target.spans(labels), self.spans(outputs))

    def figures(self, labels: Any, outputs: Any) -> dict[str, float]:
        """See the class."""
        sums = self._counts(labels, outputs).sum(axis=0)
        return {name: float(value) for name, value in metrics.scores(sums).items()}

    def tables(self, labels: Any, outputs: Any) -> dict[str, pd.DataFrame]:
        """See the class."""
        true, said = self.target.spans(labels), self.spans(outputs)
        return {
            "per_type": metrics.by_type(true, said, self.names),
            "confusion": metrics.confusion(true, said, self.names),
        }

    def warnings(self, report: Any) -> list[str]:
        """Warns of types without pieces, and if the model finds no piece."""
        absent = [str(n) for n in report.per_type.index[report.per_type["support"] == 0]]
        found = []
        if absent:
            found.append(
                f"No row has a piece of the type{'s' * (len(absent) > 1)} "
                f"{', '.join(map(repr, absent[:5]))}: the report cannot say how well the model "
                f"finds {'it' if len(absent) == 1 else 'them'}."
            )
        if self.only_answer(report) is not None:
            found.append("Nothing is tagged in any text: the model has learnt nothing yet.")
        return found

    def only_answer(self, report: Any) -> str | None:
        """Says that nothing is tagged, if some rows have pieces; None otherwise."""
        is_any = any(map(len, report.outputs)) or not (report.labels >= 0).any()
        return None if is_any else "nothing"

    def intervals(
        self, labels: Any, runs: Sequence[Any], tasks: Sequence[Any] = (), blocks: Any = None
    ) -> dict[str, tuple[float, float]]:
        """Intervals of all figures."""
        counts = [self._counts(labels, run) for run in runs]

        def figures(weights: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
            found = [metrics.scores(weights @ of_run) for of_run in counts]
            return {name: np.mean([one[name] for one in found], axis=0) for name in found[0]}

        return bootstrap(figures, len(labels), blocks=blocks)

    def row_scores(self, labels: Any, outputs: Any) -> npt.NDArray[np.float64]:
        """F1 of each text's pieces, 1 if it has none and the model finds none."""
        counts = self._counts(labels, outputs)
        return np.where(counts[:, :2].sum(axis=1) == 0, 1.0, metrics.scores(counts)["f1"])

    def explained(self, outputs: Any) -> npt.NDArray[np.float64]:
        """The highest probability of a piece of each type, 0 if there is none."""
        rows = [
            [
                max((p["probability"] for p in row if p["label"] == n), default=0.0)
                for n in self.names
            ]
            for row in outputs
        ]
        return np.array(rows, np.float64).reshape(len(rows), len(self.names))

    def pieces(self, output: Any) -> list[dict[str, Any]]:
        """All pieces."""
        return list(output)

    def said(self, outputs: npt.NDArray[Any]) -> str:
        """The types of the pieces found, in order."""
        return ", ".join(n for n, p in zip(self.names, outputs, strict=True) if p) or "nothing"

    def worst(self, labels: Any, outputs: Any, most: int) -> npt.NDArray[np.intp]:
        """Texts with the most pieces that the model missed or made up."""
        counts = self._counts(labels, outputs)
        wrong = counts[:, 0] + counts[:, 1] - 2 * counts[:, 2]
        rows = np.argsort(-wrong, kind="stable")[:most]
        return rows[wrong[rows] > 0]


TASK, OPTIONS = Tag, TagHead
build = Tag.build


class PlacedModel(TextModel):
    """A model that answers with places in texts; it needs the texts, not only their features."""

    def _answer(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """What a server answers to a batch of texts, in a graph."""
        raise NotImplementedError

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        as_frame: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Returns the answers of the task in the order of `x`: an object array `(rows,)`.

        Args:
            x: texts, or pairs of them; a `TextTable`, or a dataset of batches. A tagger also takes
                lists of words, which it joins with single spaces.
            batch_size: texts in a batch; 32 by default.
            verbose: not used.
            as_frame: whether to return a pandas frame with the answers in its columns.
            **kwargs: not used.

        Raises:
            TypeError: something else, such as features, which do not hold the text.
        """
        if as_frame:
            return self.task.to_frame(self.predict(x, batch_size, verbose, **kwargs))
        if isinstance(x, TextTable):
            self.check_table(x)
            x = x.texts
        if isinstance(x, tf.data.Dataset):
            parts = [b[0] if isinstance(b, tuple) else b for b in x]
            parts = [tf.stack(p, 1) if isinstance(p, tuple) else p for p in parts]
            x = tf.concat(parts, 0) if parts else []
        texts = self.preprocessor.as_inputs(x)
        sizes = tf.reduce_sum(tf.reshape(tf.strings.length(texts), [-1, 1 + self.pair]), 1).numpy()
        order = np.argsort(sizes, kind="stable")
        answers = np.empty(len(order), object)
        size = batch_size or 32
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            found = self._answer(tf.gather(texts, rows))
            answers[rows] = self._task.outputs_of({k: v.numpy() for k, v in found.items()})
        return answers


@keras.saving.register_keras_serializable("keras_seqzoo")
class Tagger(PlacedModel):
    """A model that tags pieces of texts.

    As a Keras model, it returns scores of tags, float32 `(batch, length, 1 + 2 · types)`, at the
    first token of each word. `predict` turns them into pieces, see `Tag`.

    Args:
        encoder: functional model from the features to `sequence_output`.
        preprocessor: texts to words, their tokens and places.
        task: the types, or what its `as_dict` returned.
        dropout: rate before the scores.
        crf: whether to learn transitions between tags.
        special: see `PlacedPreprocessor.special`; set as soon as there is a vocabulary.
        **kwargs: arguments of `keras.Model`.
    """

    arguments = ("task", "dropout", "crf", "special")
    preprocessor: PlacedPreprocessor
    pooling = "mean"

    def __init__(
        self,
        encoder: keras.Model,
        preprocessor: PlacedPreprocessor,
        task: Task | Mapping[str, Any],
        dropout: float = 0.0,
        crf: bool = False,
        special: Sequence[int | None] | None = None,
        **kwargs: Any,
    ):
        check_rate(dropout=dropout)
        without_pooler(encoder)
        task = task if isinstance(task, Task) else task_from_dict(task)
        names = (*FEATURES, "starts", "ends")
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
        if preprocessor.letters:
            shape = (None, preprocessor.letters)
            inputs["letters"] = keras.Input(shape, dtype="int32", name="letters")
        special = tuple(special or preprocessor.special)
        read = Excerpts(encoder, preprocessor.sequence_length, special, name="excerpts")
        vectors = read(inputs)
        vectors = keras.layers.Dropout(dropout, name="dropout")(vectors)
        scores = TagScores(len(task.names), crf, name="logits")(vectors)
        super().__init__(inputs, scores, **kwargs)
        self._task = task
        self.encoder = encoder
        self.preprocessor = preprocessor
        self.dropout = dropout
        self.crf = crf
        self.special = special

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        """The negative log-likelihood of the tags, in nats per word.

        Each of several replicas takes the mean over its own words.
        """
        scores, lengths, starts, ends = _words(x, y_pred)
        tags = tags_of_spans(starts, ends, tf.cast(y, tf.int32))
        nats = self.get_layer("logits").losses_of(scores, lengths, tags)
        given = 1.0 if sample_weight is None else tf.cast(sample_weight, nats.dtype)
        weights = given * tf.ones_like(nats)
        words = tf.reduce_sum(weights * tf.cast(lengths, nats.dtype))
        loss = tf.reduce_sum(weights * nats) / tf.maximum(words, 1.0)
        loss = sum(self.losses, start=loss)
        return loss / tf.distribute.get_strategy().num_replicas_in_sync

    def pieces(self, texts: tf.Tensor) -> tuple[Pieces, dict[str, tf.Tensor]]:
        """Finds pieces in strings `(batch,)`; also returns the answer's columns, `(pieces,)` each.

        Byte places count the original bytes. Character places count U+FFFD for bytes that are not
        UTF-8.
        """
        features = self.preprocessor.pack(self.preprocessor.encode(texts), LENGTH_MULTIPLE)
        scores = self(features, training=False)
        found = self.get_layer("logits").pieces(*_words(features, scores))
        text, start, end = cut_out(texts, found.rows, found.starts, found.ends)
        return found, {
            "label": tf.gather(tf.constant(self._task.names), found.kinds),
            "text": text,
            "start": found.starts,
            "end": found.ends,
            "start_byte": start,
            "end_byte": end,
            "probability": found.probabilities,
        }

    def serving_functions(self) -> Mapping[str, ServingFunction]:
        """`serving_default`, a row per text, and `spans`, a row per piece, with `row_splits`."""

        def serving_default(text: tf.Tensor) -> Mapping[str, tf.Tensor]:
            return self._by_text(text)

        def spans(text: tf.Tensor) -> Mapping[str, tf.Tensor]:
            found, columns = self.pieces(text)
            rows = tf.RaggedTensor.from_value_rowids(
                found.kinds, found.rows, nrows=tf.size(text, tf.int64), validate=False
            )
            return {**columns, "row_splits": rows.row_splits}

        return {
            "serving_default": ServingFunction(serving_default, self.served_inputs),
            "spans": ServingFunction(spans, self.served_inputs),
        }

    def _by_text(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        found, columns = self.pieces(texts)
        rows = tf.size(texts, tf.int64)
        made = {
            name: tf.RaggedTensor.from_value_rowids(v, found.rows, nrows=rows, validate=False)
            for name, v in columns.items()
        }
        # At least one column: in JSON, an empty list has no type.
        most = tf.reduce_max(tf.concat([made["label"].row_lengths(), [1]], 0))
        shape = tf.stack([rows, most])
        return {name: v.to_tensor(_FILLED[name], shape=shape) for name, v in made.items()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], reduce_retracing=True)
    def _answer(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._by_text(texts)


def without_pooler(encoder: keras.Model) -> None:
    """Freezes the pooler, for models that do not use it, so that it gets no gradient."""
    for weight in encoder.weights:
        if "pool" in weight.path or "pair_comparison" in weight.path:
            weight.trainable = False


def _words(features: Mapping[str, Any], scores: Any) -> tuple[Any, Any, Any, Any]:
    """Scores, number, starts and ends of the words of texts, taken at their first tokens."""
    is_word = features["starts"] >= 0
    lengths = tf.reduce_sum(tf.cast(is_word, tf.int32), axis=1)
    most = tf.maximum(tf.reduce_max(tf.concat([lengths, [1]], 0)), 1)

    def chosen(values: Any, fill: Any) -> Any:
        kept = tf.ragged.boolean_mask(values, is_word)
        shape = tf.stack([tf.shape(values)[0], most, *values.shape[2:]])
        return kept.to_tensor(fill, shape=tf.cast(shape, tf.int64))

    starts, ends = chosen(features["starts"], -1), chosen(features["ends"], -1)
    return chosen(scores, 0.0), lengths, starts, ends


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class SplitTexts:
    """Texts with spaces between words and punctuation marks, from which to learn a vocabulary."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self.inputs = getattr(data, "inputs", None)

    @classmethod
    def of(cls, data: Any) -> Any:
        """Wraps a table or stream; returns other data unchanged."""
        return cls(data) if hasattr(data, "chunks") or hasattr(data, "texts") else data

    def chunks(self, rows: int) -> Iterator[tuple[npt.NDArray[Any], None]]:
        """Yields the texts, some at a time."""
        from keras_seqzoo.encoders.parts import text_chunks

        for texts in text_chunks(self._data, rows):
            words = split_words(tf.constant([t.encode("utf-8", "replace") for t in texts]))
            spelt = tf.strings.unicode_encode(words.letters, "UTF-8")
            lines = tf.RaggedTensor.from_value_rowids(spelt, words.rows, nrows=len(texts))
            lines = tf.strings.reduce_join(lines, axis=1, separator=" ")
            yield np.array([t.decode() for t in lines.numpy()], object), None
