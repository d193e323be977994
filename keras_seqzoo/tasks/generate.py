"""Generation: a language model that learns from running text and continues a prompt."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.batches.packing import pack_tokens, packed_batches, read_corpus
from keras_seqzoo.checks import check_rate, check_whole
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.decoding.recurrent import RecurrentDecoding
from keras_seqzoo.decoding.samplers import draws_one_by_one, make_sampler, sample_tokens, seed_of
from keras_seqzoo.decoding.transformer import TransformerDecoding, backbone_of
from keras_seqzoo.decoding.writing import (
    FEATURE_SPECS,
    Writer,
    batches_of_rows,
    begun,
    check_length,
    check_prompts,
    features_of,
    is_beam,
    put_together,
    spelt,
    valid_utf8,
)
from keras_seqzoo.features import FEATURES
from keras_seqzoo.options import option
from keras_seqzoo.preprocessing.base import Preprocessor, as_strings, is_text
from keras_seqzoo.tasks.base import Task
from keras_seqzoo.tasks.model import RunningTextModel, ServingFunction

if TYPE_CHECKING:
    from keras_seqzoo.encoders.parts import EncoderParts


@dataclass(frozen=True, kw_only=True)
class Writing:
    """The options of a language model: how `generate` and the export write by default."""

    sampler: str = option("top_p", "how tokens are chosen, see `make_sampler`")
    temperature: float = option(1.0, "of the choice; lower is more predictable")
    max_length: int | None = option(
        None, "most tokens of prompt and continuation together", "64, or all positions"
    )
    dropout: float | None = option(None, "before the scores of recurrent models", "the encoder's")


def build(
    parts: EncoderParts,
    data: Any,
    options: Writing,
    *,
    classes: Sequence[str] | None = None,
    name: str,
) -> TextGenerator:
    """Builds and compiles a language model over a causal encoder.

    Args:
        parts: the encoder, its preprocessor and its family's defaults.
        data: unused here; an encoder from scratch learnt its vocabulary from it.
        options: how `generate` writes by default.
        classes: None; generated text has no classes.
        name: name of the model.

    Raises:
        ValueError: an encoder that reads both ways, `classes`, or a value out of its range.
    """
    if classes is not None:
        raise ValueError(
            "Generated text has no classes. Leave `classes` out, or build with task='classify' or "
            f"'prompt'. Received: classes={classes!r}"
        )
    if not parts.causal:
        raise ValueError(
            "To predict the next token, a model must read forwards only. Use 'lstm', 'gru' or "
            f"'gpt2'. Received: {name!r}, which reads both ways"
        )
    model = TextGenerator(
        parts.encoder,
        parts.preprocessor,
        sampler=options.sampler,
        temperature=options.temperature,
        max_length=options.max_length,
        dropout=parts.dropout if options.dropout is None else options.dropout,
        name=name,
    )
    model.compile(
        optimizer=parts.optimizer(),
        # The mean over real tokens; the perplexity is its exponential.
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=["accuracy", _perplexity()],
        jit_compile=False,
        schedule=parts.schedule,
        warmup=parts.warmup,
    )
    return model


def _perplexity() -> keras.metrics.Metric:
    import keras_hub

    return keras_hub.metrics.Perplexity(from_logits=True, name="perplexity")


class Generate(Task):
    """Text; `model.evaluate` returns its perplexity."""

    name = "generate"


TASK, OPTIONS = Generate, Writing


@keras.saving.register_keras_serializable("keras_seqzoo")
class TextGenerator(RunningTextModel):
    """A causal language model: the scores of the next token at every token, and `generate`.

    Outputs logits, float32 `(batch, length, vocabulary)`. `fit` and `evaluate` take running text:
    the path of a UTF-8 file, a list of strings, a `TextTable` or a `TextStream`. Documents are
    joined with the preprocessor's `pad_id` (for GPT-2 `<|endoftext|>`) between them, and cut into
    full rows of `sequence_length` tokens. Both report the loss in nats per token, the accuracy of
    the likeliest token, and the perplexity.

    Args:
        encoder: functional model from the features to `sequence_output`: GPT-2's, whose token
            embedding also makes the scores, or recurrent layers, with their own Dense layer above.
        preprocessor: text to features and back.
        sampler: default of `generate`, a name.
        temperature: default of `generate`.
        max_length: default of `generate`.
        dropout: rate before the scores of recurrent layers.
        **kwargs: arguments of `keras.Model`.

    Raises:
        ValueError: an encoder that cannot be run token by token, an unknown sampler, or
            `max_length` beyond the positions.
    """

    pooling = "last"
    _task = Generate()
    arguments = ("sampler", "temperature", "max_length", "dropout")
    own_target = "the next token"
    poolings = ("last", "mean", "max")

    def __init__(
        self,
        encoder: keras.Model,
        preprocessor: Preprocessor,
        sampler: str = "top_p",
        temperature: float = 1.0,
        max_length: int | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        check_rate(dropout=dropout)
        make_sampler(sampler, temperature)
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in FEATURES}
        x = encoder(inputs)["sequence_output"]
        backbone = backbone_of(encoder)
        if backbone is None:
            x = keras.layers.Dropout(dropout, name="dropout")(x)
            # A file's vocabulary is loaded after the layers; until then the embedding has its size.
            rows = encoder.get_layer("token_embedding").input_dim
            head = keras.layers.Dense(rows, dtype="float32", name="logits")
            super().__init__(inputs, head(x), **kwargs)
            self.decoding: Any = RecurrentDecoding(encoder, head)
        else:
            decoding = TransformerDecoding(backbone)
            super().__init__(inputs, decoding.logits(x), **kwargs)
            self.decoding = decoding
        self.encoder = encoder
        self.preprocessor = preprocessor
        self.sampler = sampler
        self.temperature = temperature
        self.max_length = max_length
        self._limit(None)
        self.dropout = dropout
        self._writers: dict[Any, Any] = {}
        self._served: Any = None

    @property
    def resources(self) -> Sequence[Any]:
        """The preprocessor's resources, and the random state of the exported sampler."""
        state = seed_of(self._served)
        return [*self.preprocessor.resources, *([] if state is None else [state.value])]

    def own_dataset(
        self, table: Any, batch_size: int = 32, shuffle: bool = False, seed: int | None = None
    ) -> tf.data.Dataset:
        """Makes the dataset that `fit` and `evaluate` read; see `batches.packing.packed_batches`.

        Args:
            table: the path of a text file, a list of strings, a table or a stream; its ids are
                kept in memory.
            batch_size: rows in a batch.
            shuffle: whether every epoch draws the rows in a new random order.
            seed: of these orders.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no text.
        """
        tokens = pack_tokens(read_corpus(table), self.preprocessor)
        length = self.preprocessor.sequence_length
        return packed_batches(tokens, length, batch_size, shuffle=shuffle, seed=seed)

    def generate(
        self,
        prompts: str | Sequence[str],
        max_length: int | None = None,
        sampler: Any = None,
        temperature: float | None = None,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
        batch_size: int = 32,
    ) -> Any:
        """Continues prompts.

        A text ends at `max_length` tokens, before the first of `stop`, or where the model ends the
        document. An empty prompt starts a new document. With greedy, beam and contrastive search, a
        continuation does not depend on the other prompts of a call.

        Args:
            prompts: a string, or a list or array of strings.
            max_length: most tokens of a prompt and its continuation together.
            sampler: `"greedy"`, `"top_k"`, `"top_p"`, `"beam"`, `"contrastive"` or `"random"`, see
                `make_sampler`; or a `keras_hub.samplers.Sampler`.
            temperature: the scores are divided by it.
            seed: makes the draws repeatable. By default it is drawn from Python's `random`.
            stop: strings before which a continuation ends.
            batch_size: prompts to continue at a time.

        Returns:
            The prompts with their continuations: a string for a string, else a list.

        Raises:
            TypeError: prompts that are not strings.
            ValueError: an unknown sampler; a `max_length` below the tokens of a prompt, or above
                the model's positions.

        Example:
            >>> import keras_seqzoo as sz
            >>> model = sz.build_model("gru", ["so it goes"], task="generate", units=8)
            >>> model.generate("so it", max_length=8, seed=0).startswith("so it")
            True
        """
        if isinstance(prompts, str):
            return self.generate(
                [prompts], max_length, sampler, temperature, seed, stop, batch_size
            )[0]
        check_whole(batch_size=batch_size)
        strings = as_strings(prompts)
        stops = [stop] if isinstance(stop, str) else list(stop)
        if not all(isinstance(s, str) and s for s in stops):
            raise ValueError(f"`stop` must be strings that are not empty. Received: stop={stop!r}")
        if strings.shape[0] == 0:
            return []
        tokens = begun(self.preprocessor.tokenize(strings), self.preprocessor.pad_id)
        lengths = tokens.row_lengths().numpy()
        limit = self._limit(max_length)
        check_prompts(int(lengths.max()), limit, self.decoding.positions)
        sampler = self.sampler if sampler is None else sampler
        if temperature is not None and not isinstance(sampler, str):
            raise ValueError(
                "A sampler object has a temperature of its own. Set it there, or name the sampler. "
                f"Received: temperature={temperature!r}, sampler={type(sampler).__name__}"
            )
        write = self._writer(
            sampler, self.temperature if temperature is None else temperature, stops
        )
        written: list[bytes] = [b""] * len(lengths)
        with write.lock:
            state = seed_of(write.sampler)
            if state is not None:
                seed = random.randrange(2**31) if seed is None else seed
                dtype = keras.backend.standardize_dtype(state.dtype)
                state.assign(np.array([seed, 0], dtype=dtype))
            for rows in batches_of_rows(lengths, batch_size, alike=is_beam(write.sampler)):
                most = limit - lengths[rows].min()
                if most < 1:
                    continue
                features = features_of(tf.gather(tokens, rows))
                new = write.run(features, tf.constant(most, tf.int32))
                texts = spelt(self.preprocessor, new, limit - lengths[rows], write.stop_ids).numpy()
                for row, text in zip(rows, texts, strict=True):
                    written[row] = text
        return [
            put_together(prompt, self.preprocessor.joint, new, stops)
            for prompt, new in zip(strings.numpy().tolist(), written, strict=True)
        ]

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        as_frame: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Computes the probabilities of the token that comes after each text.

        Args:
            x: strings `(rows,)`, or a table; features and datasets go to `keras.Model.predict`,
                which gives logits.
            batch_size: texts a batch; 32 by default.
            verbose: as in Keras, for features and datasets.
            as_frame: must be False: the probabilities of all tokens do not fit in a frame.
            **kwargs: further arguments of `keras.Model.predict`.

        Returns:
            Float32 `(rows, vocabulary)`.

        Raises:
            ValueError: `as_frame` is True.
        """
        if as_frame:
            return self.task.to_frame(None)  # raises
        x = x.texts if isinstance(x, TextTable) else x
        if not is_text(x):
            return super().predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
        strings = as_strings(x)
        answers = np.zeros((strings.shape[0], len(self.preprocessor.vocabulary)), np.float32)
        if not len(answers):
            return answers
        # The logits at the end of a text are those of the next token.
        tokens = begun(self.preprocessor.tokenize(strings), self.preprocessor.pad_id)
        tokens = tokens[:, -self.preprocessor.sequence_length :]
        for rows in batches_of_rows(tokens.row_lengths().numpy(), batch_size or 32):
            features = features_of(tf.gather(tokens, rows))
            answers[rows] = self._next(features).numpy()
        return answers

    def next_tokens(self, prompts: str | Sequence[str], k: int = 5) -> Any:
        """Lists the likeliest next tokens.

        Args:
            prompts: a string, or a list or array of strings.
            k: how many.

        Returns:
            For a string, a list of `(token, probability)`, the likeliest first; a list of such
            lists otherwise.
        """
        check_whole(k=k)
        if isinstance(prompts, str):
            return self.next_tokens([prompts], k)[0]
        probabilities = self.predict(prompts)
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        texts = self.preprocessor.detokenize(tf.RaggedTensor.from_tensor(best.reshape(-1, 1)))
        names = np.array([t.decode("utf-8", "replace") for t in texts.numpy()]).reshape(best.shape)
        chances = np.take_along_axis(probabilities, best, axis=1)
        return [
            [(str(n), float(p)) for n, p in zip(*row, strict=True)]
            for row in zip(names, chances, strict=True)
        ]

    def serving_functions(self) -> Mapping[str, ServingFunction]:
        """`serving_default` and `generate`: text to text, with the model's own sampler."""
        self._served = make_sampler(self.sampler, self.temperature)
        if not draws_one_by_one(self._served):
            raise ValueError(
                "Beam and contrastive search run here, not in TensorFlow Serving: they use an op "
                "that it lacks. Set model.sampler to 'greedy', 'top_k', 'top_p' or "
                f"'random' before the export. Received: sampler={self.sampler!r}"
            )
        limit = self._limit(None)
        stop_ids = [self.preprocessor.pad_id]

        def generate(text: tf.Tensor) -> dict[str, tf.Tensor]:
            tokens = begun(self.preprocessor.tokenize(text), self.preprocessor.pad_id)
            # A graph cannot raise here. Of a longer prompt, it reads the end and adds nothing.
            lengths = tf.cast(tokens.row_lengths(), tf.int32)
            features = features_of(tokens[:, -limit:])
            room = tf.maximum(limit - lengths, 0)
            most = tf.reduce_max(tf.concat([room, [0]], axis=0))
            new = sample_tokens(self.decoding, self._served, features, most, stop_ids)
            # A server answers JSON, which is UTF-8.
            generated = valid_utf8(spelt(self.preprocessor, new, room, stop_ids))
            text = valid_utf8(text)
            joined = (text != "") & (generated != "")
            joint = tf.where(joined, self.preprocessor.joint, "")
            return {"text": text + joint + generated, "generated": generated}

        strings = {"text": tf.TensorSpec([None], tf.string)}
        function = ServingFunction(generate, strings)
        return {"serving_default": function, "generate": function}

    def _limit(self, max_length: int | None) -> int:
        """The most tokens of a text: the argument, what the model was built with, or 64."""
        positions = self.decoding.positions
        asked = self.max_length if max_length is None else max_length
        limit = min(64, positions or 64) if asked is None else asked
        check_length(limit, positions)
        return limit

    def _writer(self, sampler: Any, temperature: float, stops: Sequence[str]) -> Writer:
        stop_ids = [self.preprocessor.pad_id]
        if stops:
            ids = self.preprocessor.tokenize(tf.constant(list(stops))).to_list()
            # A stop of several tokens may be written in other tokens; the text is cut at the end.
            stop_ids += [row[0] for row in ids if len(row) == 1]
        key = (sampler if isinstance(sampler, str) else id(sampler), temperature, *stop_ids)
        if key in self._writers:
            return self._writers[key]
        made = Writer(self.decoding, make_sampler(sampler, temperature), stop_ids)
        return self._writers.setdefault(key, made)

    @tf.function(input_signature=[FEATURE_SPECS])
    def _next(self, features: Any) -> tf.Tensor:
        hidden = self.encoder(features, training=False)["pooled_output"]
        return tf.nn.softmax(self.decoding.logits(tf.cast(hidden, tf.float32)))
