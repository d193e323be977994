"""Filling masks: a masked language model that learns from running text, as BERT and ELECTRA do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_seqzoo.batches.masking import Masking, cut_passages, masked_batches
from keras_seqzoo.batches.packing import read_corpus
from keras_seqzoo.batches.pipeline import LENGTH_MULTIPLE
from keras_seqzoo.checks import check_positive, check_whole
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.decoding.transformer import backbone_of
from keras_seqzoo.features import FEATURES
from keras_seqzoo.hub.heads import masked_head
from keras_seqzoo.hub.transformer import TransformerEncoder
from keras_seqzoo.layers.masking import Sampling, generator_of, put, token_scores
from keras_seqzoo.options import option
from keras_seqzoo.preprocessing.base import Preprocessor
from keras_seqzoo.preprocessing.masks import (
    MaskToken,
    mask_of,
    special_ids,
    texts_of_tokens,
    tokenize_masked,
)
from keras_seqzoo.tasks.base import Metric, Task
from keras_seqzoo.tasks.model import RunningTextModel, ServingFunction, as_rows

if TYPE_CHECKING:
    from keras_seqzoo.encoders.parts import EncoderParts

MASKED, DETECTION = OBJECTIVES = ("masked_language_modeling", "replaced_token_detection")


@dataclass(frozen=True, kw_only=True)
class Filling:
    """The options of a masked language model: what it learns, and how it answers."""

    objective: str = option(
        MASKED,
        f'`"{DETECTION}"` is ELECTRA\'s: a small generator fills the masks, and the encoder '
        "learns which tokens it has replaced",
    )
    mask_rate: float = option(0.15, "share of the tokens that are hidden in training")
    whole_words: bool = option(False, "whether all tokens of a word are hidden together")
    next_sentence: bool = option(
        False, "whether it also learns if one passage follows another, as BERT did"
    )
    generator_dim: int | None = option(
        None, "width of ELECTRA's generator", "a quarter of the encoder's"
    )
    generator_layers: int | None = option(None, "layers of the generator", "the encoder's")
    detection_weight: float = option(50.0, "weight of detection in the loss; the generator's is 1")
    top_k: int = option(5, "tokens to answer for each mask")


@dataclass(frozen=True)
class FillMask(Task):
    """Tokens for masks. `predict` returns an object array `(rows,)` of lists of lists.

    Each mask of a text, in order, has a list of its likeliest tokens as `(token, probability)`, the
    likeliest first. A token includes the space that it begins with, if it has one in the
    vocabulary. A word piece that continues a word begins with `##`.

    Figures of `fit` and `model.evaluate`: `perplexity` (the exponential of the mean negative
    log-likelihood of hidden tokens, in nats) and `accuracy` of hidden tokens;
    `next_sentence_accuracy` and `detection_accuracy` (of all real tokens) if the model learns them.

    Attributes:
        mask: how the mask token is written.
    """

    mask: str = ""

    name = "fill_mask"
    metrics = (
        Metric("perplexity", "masked perplexity", lower_is_better=True, decimals=2),
        Metric("accuracy", "accuracy"),
    )

    @classmethod
    def of(cls, data: Any, classes: Sequence[str] | None) -> FillMask:
        """Makes the task; it has no classes."""
        if classes is not None:
            raise ValueError(
                "Masks are filled with tokens; there are no classes. Leave `classes` out, or build "
                f"with task='classify'. Received: classes={classes!r}"
            )
        return cls()

    def check_table(self, table: Any) -> None:
        """Refuses: a table has no labels for hidden tokens.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "A table has no labels for hidden tokens. For a masked language model, call "
            f"model.evaluate(texts). Received: {table!r}"
        )

    @property
    def row_shape(self) -> tuple[int, ...]:
        """An answer is a list."""
        return ()

    def as_outputs(self, outputs: Any) -> npt.NDArray[Any]:
        """An object array of lists."""
        return as_rows(outputs)

    def outputs_of(self, answer: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Turns the answer of a server into what `predict` returns."""
        return as_rows(
            [
                [
                    [(t.decode("utf-8", "replace"), p) for t, p in zip(*one, strict=True)]
                    for one in zip(tokens, chances, strict=True)
                    if one[1][0] > 0
                ]
                for tokens, chances in zip(
                    answer["token"].tolist(), answer["probability"].tolist(), strict=True
                )
            ]
        )

    def decode(self, outputs: Any) -> list[dict[str, Any]]:
        """The tokens of each mask, as `masks`.

        Raises:
            ValueError: a text without a mask.
        """
        if any(not row for row in outputs):
            row = next(i for i, row in enumerate(outputs) if not row)
            raise ValueError(_no_mask(self.mask, f"none in text {row + 1}"))
        return [
            {"masks": [[{"token": t, "probability": p} for t, p in mask] for mask in row]}
            for row in outputs
        ]

    def as_dict(self) -> dict[str, Any]:
        """Returns the task, ready for JSON."""
        return {**super().as_dict(), "mask": self.mask}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FillMask:
        """Makes the task from what `as_dict` returned."""
        return cls(mask=str(values.get("mask", "")))


TASK, OPTIONS = FillMask, Filling


def build(
    parts: EncoderParts,
    data: Any,
    options: Filling,
    *,
    classes: Sequence[str] | None = None,
    name: str,
) -> MaskFiller:
    """Builds and compiles a masked language model.

    Args:
        parts: the encoder, its preprocessor and its family's defaults.
        data: unused here; an encoder from scratch learnt its vocabulary from it.
        options: what to learn, and how to answer masks.
        classes: None.
        name: name of the model.

    Raises:
        ValueError: an encoder without a mask token, pairs of texts, `classes`, or a value out of
            its range.
    """
    FillMask.of(data, classes)
    if parts.preprocessor.pair:
        raise ValueError(
            "Running text must be single texts. Read the table with one text column; pairs of "
            "passages for next_sentence=True are made of it. Received: pairs of texts"
        )
    mask_of(parts.preprocessor)
    model = MaskFiller(
        parts.encoder, parts.preprocessor, **asdict(options), dropout=parts.dropout, name=name
    )
    if isinstance(parts.source, MaskFiller):
        model.go_on_from(parts.source)
    elif isinstance(parts.source, str) and options.objective == MASKED:
        model.take_head(masked_head(parts.source))
    model.compile(
        optimizer=parts.optimizer(),
        jit_compile=False,
        schedule=parts.schedule,
        warmup=parts.warmup,
    )
    return model


class Perplexity(keras.metrics.Mean):
    """The exponential of a mean in nats."""

    def result(self) -> Any:
        """The exponential."""
        return keras.ops.exp(super().result())


@keras.saving.register_keras_serializable("keras_seqzoo")
class MaskFiller(RunningTextModel):
    """A masked language model; other tasks can start from its `.keras` file.

    As a Keras model, it returns a dict: `tokens`, the scores of the tokens at `mask_positions`,
    float32 `(batch, most, vocabulary)`; with `next_sentence` also `is_next`, scores `(batch, 2)`;
    with ELECTRA's objective also `read`, the ids that the encoder has read, int32
    `(batch, length)`, and `is_replaced`, a score for each, `(batch, length)`.

    `fit` and `evaluate` take running text like `TextGenerator`: the path of a UTF-8 file, a list of
    strings, a `TextTable` or a `TextStream`. They cut a document between words into passages that
    fit; each passage is a row. Every pass of `fit` hides other tokens, drawn with the seed of
    `make_dataset`; `evaluate` always hides the same ones.

    Args:
        encoder: functional model from the features to `sequence_output`.
        preprocessor: text to features.
        objective: one of `OBJECTIVES`.
        mask_rate: share of the tokens that are hidden, between 0 and 1.
        whole_words: whether all tokens of a word are hidden together.
        next_sentence: whether rows are two passages, and the model learns if the second follows.
        generator_dim: width of the generator, a multiple of the width of an attention head.
        generator_layers: layers of the generator.
        detection_weight: weight of detection in the loss.
        top_k: tokens to answer for each mask.
        dropout: rate of the generator, and of heads built on the saved file.
        **kwargs: arguments of `keras.Model`.

    Raises:
        ValueError: a value out of its range; ELECTRA's objective with a TF Hub graph.
    """

    arguments = (*(field.name for field in fields(Filling)), "dropout")
    own_target = "the hidden tokens"
    pooling = "mean"
    poolings = ("pooled", "cls", "mean", "max")
    _task = FillMask()

    def __init__(
        self,
        encoder: keras.Model,
        preprocessor: Preprocessor,
        objective: str = MASKED,
        mask_rate: float = 0.15,
        whole_words: bool = False,
        next_sentence: bool = False,
        generator_dim: int | None = None,
        generator_layers: int | None = None,
        detection_weight: float = 50.0,
        top_k: int = 5,
        dropout: float = 0.1,
        **kwargs: Any,
    ):
        if objective not in OBJECTIVES:
            raise ValueError(
                f"`objective` must be one of {OBJECTIVES}. Received: objective={objective!r}"
            )
        if not isinstance(mask_rate, (int, float)) or not 0 < mask_rate < 1:
            raise ValueError(
                "`mask_rate` must be a share of the tokens, above 0 and below 1. "
                f"Received: mask_rate={mask_rate!r}"
            )
        check_whole(top_k=top_k)
        check_positive(detection_weight=detection_weight)
        is_detection = objective == DETECTION
        if not is_detection and (generator_dim, generator_layers) != (None, None):
            raise ValueError(
                f"Only the objective {DETECTION!r} has a generator. Leave its options out. "
                f"Received: generator_dim={generator_dim!r}, generator_layers={generator_layers!r}"
            )
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in FEATURES}
        features = dict(inputs)
        places = keras.Input((None,), dtype="int32", name="mask_positions")
        inputs["mask_positions"] = places
        outputs: dict[str, Any] = {}
        generator = None
        scores = token_scores(encoder, "token_scores")
        if is_detection:
            draws = keras.Input((None,), dtype="float32", name="draws")
            inputs["draws"] = draws
            generator = _generator(encoder, generator_dim, generator_layers, dropout)
            read = {name: features[name] for name in generator.input}
            outputs["tokens"] = scores(generator(read), places)
            sample = Sampling(name="sampling", autocast=False)
            outputs["read"] = sample(features["token_ids"], places, outputs["tokens"], draws)
            features["token_ids"] = outputs["read"]
        encoded = encoder(features)
        if is_detection:
            x = encoded["sequence_output"]
            x = keras.layers.Dense(x.shape[-1], "gelu", name="detection")(x)
            x = keras.layers.Dense(1, dtype="float32", name="is_replaced")(x)
            outputs["is_replaced"] = x[..., 0]
        else:
            outputs["tokens"] = scores(encoded["sequence_output"], places)
        if next_sentence:
            of_pair = keras.layers.Dense(2, dtype="float32", name="is_next")
            outputs["is_next"] = of_pair(encoded["pooled_output"])
        else:
            for weight in encoder.weights:
                if "pool" in weight.path:  # the model does not use it, so it gets no gradient
                    weight.trainable = False
        super().__init__(inputs, outputs, **kwargs)
        self.encoder = encoder
        self.preprocessor = preprocessor
        self.objective = objective
        self.mask_rate = mask_rate
        self.whole_words = whole_words
        self.next_sentence = next_sentence
        self.generator_dim = generator_dim
        self.generator_layers = generator_layers
        self.detection_weight = detection_weight
        self.top_k = top_k
        self.dropout = dropout
        self.generator = generator
        self.figures: dict[str, keras.metrics.Metric] = {
            "perplexity": Perplexity("perplexity"),
            "accuracy": keras.metrics.Mean("accuracy"),
        }
        if next_sentence:
            self.figures["next_sentence_accuracy"] = keras.metrics.Mean("next_sentence_accuracy")
        if is_detection:
            self.figures["detection_accuracy"] = keras.metrics.Mean("detection_accuracy")

    @property
    def task(self) -> Task:
        """What the model is for, with its mask token."""
        return replace(self._task, mask=self.mask.text)

    @property
    def mask(self) -> MaskToken:
        """The mask token."""
        self.preprocessor.check_vocabulary()
        return mask_of(self.preprocessor)

    def _tokens(self) -> tuple[list[str], npt.NDArray[np.bool_]]:
        """The text of each row of the embedding, and whether the row is text at all."""
        known = texts_of_tokens(self.preprocessor)
        rows = int(self.output["tokens"].shape[-1])
        texts = [*known, *[""] * (rows - len(known))][:rows]
        is_text = np.arange(rows) < len(known)
        is_text[special_ids(self.preprocessor, self.mask)] = False
        return texts, is_text

    @property
    def masking(self) -> Masking:
        """How tokens are hidden in training."""
        texts, is_text = self._tokens()
        begins = [not t.startswith("##") for t in texts]
        if self.preprocessor.unit != "word pieces":
            # Letters, and the bytes of letters, continue a word.
            begins = [not (t[:1].isalnum() or t[:1] == "\ufffd") for t in texts]
        return Masking(self.mask.id, is_text, np.array(begins), self.mask_rate, self.whole_words)

    def go_on_from(self, other: MaskFiller) -> None:
        """Takes the heads of a saved model if both models have them in the same shape."""
        names = ("token_scores", "is_next", "detection", "is_replaced", "generator")
        mine = {layer.name: layer for layer in self.layers}
        theirs = {layer.name: layer for layer in other.layers}
        for name in names:
            if name in mine and name in theirs:
                shapes = [[w.shape for w in layers[name].weights] for layers in (mine, theirs)]
                if shapes[0] == shapes[1]:
                    mine[name].set_weights(theirs[name].get_weights())

    def take_head(self, head: Mapping[str, npt.NDArray[Any]] | None) -> None:
        """Takes the head of a checkpoint, if it has one, as `hub.heads.masked_head` reads it.

        A bias with fewer rows than the embedding belongs to its first rows.
        """
        for weight in self.get_layer("token_scores").weights:
            name = next((n for n in head or () if weight.path.endswith(n)), None)
            if head and name:
                value = keras.ops.convert_to_numpy(weight).copy()
                value[: len(head[name])] = head[name]
                weight.assign(value)

    def own_dataset(
        self, table: Any, batch_size: int = 32, shuffle: bool = False, seed: int | None = None
    ) -> tf.data.Dataset:
        """Makes the dataset that `fit` and `evaluate` read; see `batches.masking.masked_batches`.

        Args:
            table: the path of a text file, a list of strings, a table or a stream; its ids are
                kept in memory.
            batch_size: rows in a batch.
            shuffle: whether every epoch draws the rows in a new random order and hides other
                tokens.
            seed: of both.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no text.
        """
        masking = self.masking
        special = self.preprocessor.check_length() - 1
        room = self.preprocessor.sequence_length - special
        length = (room - self.preprocessor.separators) // 2 if self.next_sentence else room
        passages, document_of = cut_passages(
            read_corpus(table),
            self.preprocessor,
            masking,
            length,
            least=1 + self.next_sentence,
        )
        return masked_batches(
            passages,
            document_of,
            self.preprocessor,
            masking,
            batch_size,
            next_sentence=self.next_sentence,
            draws=self.objective == DETECTION,
            shuffle=shuffle,
            seed=seed,
        )

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        """The loss, a sum of means in nats.

        The means are over hidden tokens; over pairs of passages; and, times `detection_weight`,
        over real tokens. With several replicas, each takes the means over its own rows.
        """
        loss = sum(self.losses, start=tf.constant(0.0))
        for name, (values, weights) in self._parts(x, y, y_pred, sample_weight).items():
            total = tf.reduce_sum(values * weights) / tf.maximum(tf.reduce_sum(weights), 1.0)
            loss += total * (self.detection_weight if name == "detection" else 1.0)
        return loss / tf.distribute.get_strategy().num_replicas_in_sync

    def _parts(self, x: Any, y: Any, y_pred: Any, weights: Any) -> dict[str, tuple[Any, Any]]:
        """The losses of the parts in nats, and the weights of their elements."""
        of_labels = tf.nn.sparse_softmax_cross_entropy_with_logits
        parts = {"tokens": (of_labels(y["tokens"], y_pred["tokens"]), weights)}
        if self.next_sentence:
            nats = of_labels(y["is_next"], y_pred["is_next"])
            parts["next_sentence"] = (nats, tf.ones_like(nats))
        if self.objective == DETECTION:
            nats = tf.nn.sigmoid_cross_entropy_with_logits(
                tf.cast(_is_replaced(x, y, y_pred), tf.float32), y_pred["is_replaced"]
            )
            parts["detection"] = (nats, tf.cast(x["padding_mask"], tf.float32))
        return parts

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Figures of a batch; see `FillMask`."""
        nats, weights = self._parts(x, y, y_pred, sample_weight)["tokens"]
        told = {"perplexity": (nats, weights)}
        said = tf.argmax(y_pred["tokens"], axis=-1, output_type=tf.int32)
        told["accuracy"] = (said == y["tokens"], weights)
        if self.next_sentence:
            said = tf.argmax(y_pred["is_next"], axis=-1, output_type=tf.int32)
            told["next_sentence_accuracy"] = (said == y["is_next"], None)
        if self.objective == DETECTION:
            is_right = (y_pred["is_replaced"] > 0) == _is_replaced(x, y, y_pred)
            told["detection_accuracy"] = (is_right, x["padding_mask"])
        for name, (values, counted) in told.items():
            # Given rows, Keras would take a mean of means.
            flat = tf.reshape(tf.cast(values, tf.float32), [-1])
            counted = None if counted is None else tf.reshape(counted, [-1])
            self.figures[name].update_state(flat, counted)
        return self.get_metrics_result()

    def _filled(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Tokens and probabilities of masks in strings `(batch,)`: ragged `(batch, None, k)`."""
        tokens = tokenize_masked(self.preprocessor, texts, self.mask)
        features = self.preprocessor.pack(tokens, LENGTH_MULTIPLE)
        is_mask = (features["token_ids"] == self.mask.id) & (features["padding_mask"] != 0)
        places = tf.range(tf.shape(is_mask)[1]) + tf.zeros_like(features["token_ids"])
        places = tf.ragged.boolean_mask(places, is_mask)
        if self.generator is None:
            vectors = self.encoder(features, training=False)["sequence_output"]
        else:
            read = {name: features[name] for name in self.generator.input}
            vectors = self.generator(read, training=False)
        rows = tf.cast(places.value_rowids(), tf.int32)
        at = tf.stack([rows, places.flat_values], axis=1)
        hidden = tf.gather_nd(vectors, at)[:, None]
        scores = self.get_layer("token_scores")(hidden, tf.zeros_like(at[:, :1]))[:, 0]
        said, is_text = self._tokens()
        scores = tf.where(is_text, tf.cast(scores, tf.float32), -1e9)
        k = min(self.top_k, int(is_text.sum()))
        chances, ids = tf.math.top_k(tf.nn.softmax(scores), k)
        with tf.device("CPU:0"):
            chosen = tf.gather(tf.constant([text.encode() for text in said]), ids)
        return places.with_flat_values(chosen), places.with_flat_values(chances)

    def serving_functions(self) -> Mapping[str, ServingFunction]:
        """`serving_default`, a row per text, and `masks`, a row per mask, with `row_splits`."""

        def serving_default(text: tf.Tensor) -> Mapping[str, tf.Tensor]:
            return self._by_text(text)

        def masks(text: tf.Tensor) -> Mapping[str, tf.Tensor]:
            tokens, chances = self._filled(text)
            return {
                "token": tokens.flat_values,
                "probability": chances.flat_values,
                "row_splits": tokens.row_splits,
            }

        return {
            "serving_default": ServingFunction(serving_default, self.served_inputs),
            "masks": ServingFunction(masks, self.served_inputs),
        }

    def _by_text(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        tokens, chances = self._filled(text)
        # At least one column: in JSON, an empty list has no type.
        most = tf.reduce_max(tf.concat([tokens.row_lengths(), [1]], 0))
        shape = tf.stack(
            [tf.size(text, tf.int64), most, tf.shape(chances.flat_values, tf.int64)[1]]
        )
        return {
            "token": tokens.to_tensor("", shape=shape),
            "probability": chances.to_tensor(0.0, shape=shape),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], reduce_retracing=True)
    def _answer(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._by_text(texts)

    def samples(self, rows: Sequence[tuple[str, ...]]) -> dict[str, np.ndarray]:
        """Rows for a trial request: puts a mask before texts without one."""
        mask = self.mask.text
        return super().samples([(t if mask in t else f"{mask} {t}",) for (t,) in rows])

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        as_frame: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Fills masks: an object array `(rows,)` of lists of lists, see `FillMask`.

        Args:
            x: texts with a mask token in each: a list, a `TextTable`, or a dataset of batches.
            batch_size: texts in a batch; 32 by default.
            verbose: not used.
            as_frame: whether to return a pandas frame with the answers in its columns.
            **kwargs: not used.

        Raises:
            TypeError: something else, such as features.
            ValueError: a text without a mask, or with one beyond the tokens that the model reads.

        Example:
            >>> import keras_seqzoo as sz
            >>> tiny = {"num_layers": 1, "num_heads": 1, "hidden_dim": 8, "intermediate_dim": 8}
            >>> model = sz.build_model(
            ...     "bert_base", ["the film was good"], task="fill_mask", weights=None, **tiny)
            >>> [[tokens]] = model.predict(["the [MASK] was good"]).tolist()
            >>> len(tokens), type(tokens[0][0])
            (5, <class 'str'>)
        """
        if as_frame:
            return self.task.to_frame(self.predict(x, batch_size, verbose, **kwargs))
        if isinstance(x, tf.data.Dataset):
            parts = [batch[0] if isinstance(batch, tuple) else batch for batch in x]
            x = tf.concat(parts, 0) if parts else []
        texts = self.preprocessor.as_inputs(x.texts if isinstance(x, TextTable) else x)
        mask = self.mask.text.encode()
        counts = [text.count(mask) for text in texts.numpy().tolist()]
        if 0 in counts:
            row = counts.index(0)
            shown = texts[row].numpy().decode("utf-8", "replace")
            raise ValueError(_no_mask(self.mask.text, f"{shown[:80]!r} in row {row}"))
        order = np.argsort(tf.strings.length(texts).numpy(), kind="stable")
        answers = np.empty(len(order), object)
        size = batch_size or 32
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            found = self._answer(tf.gather(texts, rows))
            answers[rows] = self._task.outputs_of({k: v.numpy() for k, v in found.items()})
        for row, (count, answer) in enumerate(zip(counts, answers, strict=True)):
            if len(answer) < count:
                raise ValueError(
                    "A mask must be among the tokens that the model reads of a text, "
                    f"{self.preprocessor.sequence_length} with special ones. Cut the text around "
                    f"it. Received: {count} masks in row {row}, of which {len(answer)} are read"
                )
        return answers


def _generator(
    encoder: keras.Model, width: int | None, layers: int | None, dropout: float
) -> keras.Model:
    own = (layer for layer in encoder.layers if isinstance(layer, TransformerEncoder))
    backbone = next(own, None) or backbone_of(encoder)
    if backbone is None:
        raise ValueError(
            "The generator shares the encoder's embeddings, which the graph of a TF Hub module "
            "does not expose. Take the encoder as a KerasHub preset, in transformers' layout, "
            f"or from scratch; or leave the objective at {MASKED!r}. Received: {encoder.name!r}"
        )
    head = backbone.hidden_dim // backbone.num_heads
    width = max(1, backbone.num_heads // 4) * head if width is None else width
    layers = backbone.num_layers if layers is None else layers
    check_whole(generator_dim=width, generator_layers=layers)
    if width % head:
        raise ValueError(
            "The generator's attention heads are as wide as the encoder's: make `generator_dim` a "
            f"multiple of {head}. Received: generator_dim={width}"
        )
    return generator_of(backbone, width, layers, width // head, dropout)


def _is_replaced(x: Any, y: Any, y_pred: Any) -> tf.Tensor:
    """Whether the encoder has read another token than the text has, bool `(batch, length)`."""
    return put(x["token_ids"], x["mask_positions"], y["tokens"]) != y_pred["read"]


def _no_mask(mask: str, received: str) -> str:
    return (
        f"Write the mask token {mask!r} where a token is asked for, as in 'the film was {mask}.'. "
        f"Received: {received}"
    )
