"""The contract of every preprocessor: `tokenize`, then `pack`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.preprocessing.spans import Span, aligned

FEATURES = ("token_ids", "padding_mask", "segment_ids")


class Preprocessor(keras.layers.Layer):
    """Turns strings into the integer features that an encoder reads.

    The two steps are apart, so that `make_dataset` can tokenise once, keep the ids, and then
    shuffle, bucket and pack them in every epoch. Both are TensorFlow graph code without Python
    ops: the same graph runs in `fit`, in `predict` and inside the exported SavedModel.

    Args:
        sequence_length: most tokens of a text that the encoder reads, special tokens included.

    Attributes:
        pad_id: fills rows up under the mask.
        unknown_id: stands for a word outside the vocabulary, and alone in a row without tokens.
        start_id: the special token before every text; None where there is none.
        end_id: the special token after every text; None where there is none.
        unit: what the tokens are called.
        joint: what stands between a text and the tokens that are added to it.
    """

    pad_id: int = 0
    unknown_id: int = 1
    start_id: int | None = None
    end_id: int | None = None
    unit = "words"
    joint = ""

    def __init__(self, sequence_length: int, **kwargs: Any):
        super().__init__(trainable=False, dtype="int32", **kwargs)
        self.sequence_length = sequence_length
        self.built = True

    def __call__(self, texts: Any) -> dict[str, tf.Tensor]:
        """Tokenises and packs: strings `(batch,)` to int32 features `(batch, length)`."""
        return self.pack(self.tokenize(texts))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens, in the order of their ids."""
        raise NotImplementedError

    def check_vocabulary(self) -> None:
        """Raises a ValueError where `load_assets` has not brought the vocabulary yet."""
        if not self.vocabulary:
            raise ValueError(
                "A model that is made from a config has no vocabulary, which is saved beside it. "
                "Load the .keras file with keras.models.load_model, or take the original's: "
                f"model.preprocessor = original.preprocessor. Received: {type(self).__name__}"
            )

    @property
    def resources(self) -> Sequence[Any]:
        """The lookup tables and other resources that a SavedModel must hold."""
        return ()

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """Strings `(batch,)` to int32 ids, ragged `(batch, None)`, without special tokens.

        Any bytes are taken: empty text gives an empty row, invalid UTF-8 never fails.
        """
        raise NotImplementedError

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Int32 ids, ragged `(batch, None)`, to strings `(batch,)`, special tokens left out.

        Raises:
            NotImplementedError: the tokens do not tell how a text was written.
        """
        raise NotImplementedError(
            "These tokens do not tell how a text was written, so none can be made of them. Take a "
            f"model that reads byte pairs. Received: {type(self).__name__}"
        )

    def spans(self, texts: Any) -> list[list[Span]]:
        """Says which characters of a text each of its tokens stands for.

        Args:
            texts: strings `(batch,)`.

        Returns:
            For each text, for each token of `truncate(tokenize(texts))`, the first character and
            the one behind the last, as indices of the Python string. Neither goes back from one
            token to the next. Tokens that are parts of one character have the same span, and a
            token that stands for nothing in the text an empty one.
        """
        # A lone surrogate has become "?", so that characters keep their places.
        strings = [text.decode("utf-8", "replace") for text in as_strings(texts).numpy()]
        found = self.uncut_spans(strings)
        numbers = tf.RaggedTensor.from_row_lengths(
            [i for spans in found for i in range(len(spans))], [len(spans) for spans in found]
        )
        kept = self.truncate(tf.cast(numbers, tf.int32)).to_list()
        return [[spans[i] for i in row] for spans, row in zip(found, kept, strict=True)]

    def uncut_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Spans of all tokens of `tokenize(texts)`, of texts that have a UTF-8 form.

        The pieces of the vocabulary are looked for in the text; a subclass that knows where its
        tokens stand says so instead.
        """
        vocabulary = dict(enumerate(self.vocabulary))
        spans = []
        for text, ids in zip(texts, self.tokenize(texts).to_list(), strict=True):
            pieces = [None if i == self.unknown_id else vocabulary.get(i) for i in ids]
            inner = [piece is not None and piece.startswith("##") for piece in pieces]
            forms = [piece and piece.removeprefix("##") for piece in pieces]
            spans.append(aligned(text, forms, inner))
        return spans

    def truncate(self, tokens: tf.RaggedTensor) -> tf.RaggedTensor:
        """Cuts the ids that `pack` would not read, so that they need not be kept."""
        special = (self.start_id is not None) + (self.end_id is not None)
        return tokens[:, : self.sequence_length - special]

    def pack(self, tokens: tf.RaggedTensor, multiple: int = 1) -> dict[str, tf.Tensor]:
        """Ragged ids to the features an encoder reads, padded on the right.

        A text without a single token, special ones included, becomes one unknown token: every
        row has at least one real position, which masks, means and the cuDNN kernels need.

        Args:
            tokens: int32 ids, ragged `(batch, None)`.
            multiple: the padded length is rounded up to a multiple of this (so that few
                different lengths occur), though never beyond `sequence_length`.

        Returns:
            `token_ids`, `padding_mask` (1 for real tokens) and `segment_ids`, int32
            `(batch, length)`, with `length` that of the longest row.
        """
        tokens = self.truncate(tokens)
        column = tf.ones([tokens.nrows(), 1], tokens.dtype)
        first = [] if self.start_id is None else [self.start_id * column]
        last = [] if self.end_id is None else [self.end_id * column]
        if first or last:
            tokens = tf.concat([*first, tokens, *last], axis=1)
        lengths = tf.maximum(tf.cast(tokens.row_lengths(), tf.int32), 1)
        longest = tf.maximum(tf.reduce_max(lengths), 1)
        length = tf.minimum(-(-longest // multiple) * multiple, self.sequence_length)
        shape = tf.stack([tokens.nrows(), tf.cast(length, tokens.row_splits.dtype)])
        ids = tokens.to_tensor(default_value=self.pad_id, shape=shape)
        mask = tf.sequence_mask(lengths, length, dtype=tf.int32)
        is_empty = (mask == 1) & (ids == self.pad_id)
        ids = tf.where(is_empty, self.unknown_id, ids)
        return {"token_ids": ids, "padding_mask": mask, "segment_ids": tf.zeros_like(ids)}

    def fingerprint(self) -> str:
        """A digest of everything that decides the ids: equal digests give equal ids."""
        config = {k: v for k, v in self.get_config().items() if k not in ("name", "dtype")}
        content = json.dumps([type(self).__name__, config, self.vocabulary], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor; vocabularies are saved as assets instead."""
        return {"name": self.name, "sequence_length": self.sequence_length}


def with_a_token(features: Mapping[str, tf.Tensor], unknown_id: int) -> dict[str, tf.Tensor]:
    """Gives rows in which no position is real one unknown token, as `Preprocessor.pack` does.

    Features that a client has made may lack one, and a mean over none is no number.

    Args:
        features: int32 `(batch, length)`, the length may be 0.
        unknown_id: stands for a word outside the vocabulary.

    Returns:
        The features, at least one position long.
    """
    missing = tf.cast(tf.shape(features["padding_mask"])[1] == 0, tf.int32)
    made = {name: tf.pad(value, [[0, 0], [0, missing]]) for name, value in features.items()}
    empty = tf.reduce_all(made["padding_mask"] == 0, axis=1, keepdims=True)
    first = tf.range(tf.shape(made["padding_mask"])[1])[tf.newaxis] == 0
    made["token_ids"] = tf.where(empty & first, unknown_id, made["token_ids"])
    made["padding_mask"] = tf.where(empty & first, 1, made["padding_mask"])
    return made


def as_strings(texts: Any) -> tf.Tensor:
    """Converts strings, a numpy array, a pandas column or a tensor to a string tensor `(batch,)`.

    Raises:
        TypeError: a single string, or values that are not strings.
        ValueError: not one-dimensional.
    """
    if isinstance(texts, (str, bytes)):
        raise TypeError(
            f"Texts come as a list or array of strings, even if it is only one. Write [text]. "
            f"Received: {texts[:60]!r}"
        )
    if not tf.is_tensor(texts):
        values: Sequence[Any] = texts.tolist() if hasattr(texts, "tolist") else list(texts)
        wrong = next((v for v in values if not isinstance(v, (str, bytes))), None)
        if wrong is not None or None in values:
            raise TypeError(
                "Every text must be a string. Drop or fill missing values first. "
                f"Received: {wrong!r} of type {type(wrong).__name__}"
            )
        # A lone surrogate (half of a broken emoji) is a legal Python string without UTF-8 form.
        values = [v.encode("utf-8", "replace") if isinstance(v, str) else v for v in values]
        texts = tf.constant(values, dtype=tf.string, shape=(len(values),))
    if texts.dtype != tf.string:
        raise TypeError(f"Every text must be a string. Received: a tensor of {texts.dtype.name}")
    if texts.shape.rank == 2 and texts.shape[1] == 1:
        texts = tf.squeeze(texts, axis=1)
    if texts.shape.rank not in (None, 1):
        raise ValueError(
            f"Texts have one dimension, (batch,). Received: shape={tuple(texts.shape)}"
        )
    # Of a tensor whose rank is known later; ops of TensorFlow Text end the process on another one.
    return texts if texts.shape.rank == 1 else tf.ensure_shape(texts, [None])
