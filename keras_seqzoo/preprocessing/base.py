"""The contract of every preprocessor: `encode`, then `pack`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Number
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.preprocessing.spans import Span, aligned

_BETWEEN = (-1, -1)
SEPARATOR = -1  # between the ids of two texts, until `pack` puts the encoder's own there


class Preprocessor(keras.layers.Layer):
    """Turns strings into the integer features that an encoder reads.

    The two steps are separate, so that `make_dataset` can tokenize once, keep the ids, and then
    shuffle, bucket and pack them in every epoch. Both are TensorFlow graph code without Python
    ops: the same graph runs in `fit`, in `predict` and inside the exported SavedModel.

    Args:
        sequence_length: most tokens that the encoder reads from a text, or from the two texts of a
            pair, special tokens included.
        pair: whether a row is a pair of texts.

    Attributes:
        pad_id: the id for padding, under the mask.
        unknown_id: the id for a word outside the vocabulary, and the only id of a row without
            tokens.
        start_id: the special token before every text; None if there is none.
        end_id: the special token after every text; None if there is none.
        separators: number of tokens between the texts of a pair: `end_id`, or `pad_id` if there is
            no end token.
        unit: the name for the tokens in messages, such as "words".
        joint: the string between a text and the tokens that are added to it.
    """

    pad_id: int = 0
    unknown_id: int = 1
    start_id: int | None = None
    end_id: int | None = None
    separators = 1
    unit = "words"
    joint = ""

    def __init__(self, sequence_length: int, pair: bool = False, **kwargs: Any):
        super().__init__(trainable=False, dtype="int32", **kwargs)
        self.sequence_length = sequence_length
        self.pair = pair
        self.built = True

    def __call__(self, inputs: Any) -> dict[str, tf.Tensor]:
        """Tokenizes and packs input that `as_inputs` takes: int32 features `(batch, length)`."""
        return self.pack(self.encode(inputs))

    def as_inputs(self, inputs: Any) -> tf.Tensor:
        """Converts texts to strings `(batch,)`, and pairs to `(batch, 2)`.

        Args:
            inputs: texts as `as_strings` takes them; pairs as `as_pairs` takes them.
        """
        return as_pairs(inputs) if self.pair else as_strings(inputs)

    def encode(self, inputs: Any) -> tf.RaggedTensor:
        """Turns input that `as_inputs` takes into int32 ids, ragged `(batch, None)`.

        For a pair, these are the ids of both texts, with `SEPARATOR` between them.
        """
        if not self.pair:
            return self.tokenize(inputs)
        pairs = self.as_inputs(inputs)
        first, second = self.tokenize(pairs[:, 0]), self.tokenize(pairs[:, 1])
        between = tf.fill([first.nrows(), self.separators], tf.constant(SEPARATOR, first.dtype))
        return tf.concat([first, between, second], axis=1)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens, in the order of their ids."""
        raise NotImplementedError

    def check_vocabulary(self) -> None:
        """Raises a ValueError if `load_assets` has not loaded the vocabulary yet."""
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
        """Turns strings `(batch,)` into int32 ids, ragged `(batch, None)`, without special tokens.

        Accepts any bytes: empty text gives an empty row, invalid UTF-8 never fails.
        """
        raise NotImplementedError

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Turns int32 ids, ragged `(batch, None)`, into strings `(batch,)`, without special tokens.

        Raises:
            NotImplementedError: the tokens do not show how a text was written.
        """
        raise NotImplementedError(
            "These tokens do not keep the spelling of a text, so they cannot be turned into one. "
            f"Take a model that reads byte pairs. Received: {type(self).__name__}"
        )

    def spans(self, texts: Any) -> list[list[Span]]:
        """Finds the characters of a text for each of its tokens.

        Args:
            texts: as `as_inputs` takes them.

        Returns:
            For each text, for each token of `truncate(encode(texts))`, the position of the first
            character and the position after the last, as indices of the Python string. Neither goes
            back from one token to the next. Tokens that are parts of one character have the same
            span. A token that matches nothing in the text has an empty span. In a pair, the tokens
            between the texts have the span (-1, -1).
        """
        # A lone surrogate has become "?", so that characters keep their positions.
        strings = [t.decode("utf-8", "replace") for t in self.as_inputs(texts).numpy().ravel()]
        found = self.uncut_spans(strings)
        if self.pair:
            between = [_BETWEEN] * self.separators
            found = [[*a, *between, *b] for a, b in zip(found[::2], found[1::2], strict=True)]
        numbers = [
            [SEPARATOR if span == _BETWEEN else i for i, span in enumerate(row)] for row in found
        ]
        kept = self.truncate(tf.ragged.constant(numbers, tf.int32, ragged_rank=1)).to_list()
        return [
            [_BETWEEN if i == SEPARATOR else spans[i] for i in row]
            for spans, row in zip(found, kept, strict=True)
        ]

    def uncut_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Finds spans of all tokens of `tokenize(texts)`, for texts that have a UTF-8 form.

        By default, it searches the text for the pieces of the vocabulary. A subclass that knows
        the positions of its tokens overrides it.
        """
        vocabulary = dict(enumerate(self.vocabulary))
        spans = []
        for text, ids in zip(texts, self.tokenize(texts).to_list(), strict=True):
            pieces = [None if i == self.unknown_id else vocabulary.get(i) for i in ids]
            inner = [piece is not None and piece.startswith("##") for piece in pieces]
            forms = [piece and piece.removeprefix("##") for piece in pieces]
            spans.append(aligned(text, forms, inner))
        return spans

    def check_length(self) -> int:
        """Returns the least `sequence_length`: one token for each text plus the special tokens.

        Raises:
            ValueError: `sequence_length` is less.
        """
        least = 1 + (self.start_id is not None) + (self.end_id is not None)
        least += (1 + self.separators) * self.pair
        if self.sequence_length < least:
            raise ValueError(
                "`sequence_length` must hold the special tokens, and one more of each text. Set "
                f"it to {least} or more. Received: sequence_length={self.sequence_length!r}"
            )
        return least

    def truncate(self, tokens: tf.RaggedTensor) -> tf.RaggedTensor:
        """Drops the ids that `pack` would not read, so that they need not be kept.

        In a pair, the longer text is cut until both are equally long, and then both are.
        """
        if self.pair:
            return tf.ragged.boolean_mask(tokens, self._is_read(tokens))
        return tokens[:, : self.sequence_length - self.check_length() + 1]

    def _is_read(self, tokens: tf.RaggedTensor) -> tf.RaggedTensor:
        """Marks the ids of pairs for which there is room."""
        room = self.sequence_length - self.check_length() + 2
        is_between = tokens.flat_values == SEPARATOR
        row = tokens.value_rowids()
        seen = tf.cumsum(tf.cast(is_between, row.dtype))
        before = tf.concat([tf.zeros([1], row.dtype), seen], 0)
        is_second = (seen > tf.gather(before, tf.gather(tokens.row_starts(), row))) & ~is_between
        rows = tokens.nrows(row.dtype)
        second = tf.math.unsorted_segment_sum(tf.cast(is_second, row.dtype), row, rows)
        first = tf.cast(tokens.row_lengths(), row.dtype) - second - self.separators
        first_read = tf.minimum(first, tf.maximum(room - second, (room + 1) // 2))
        second_read = tf.minimum(second, room - first_read)
        place = tf.range(tf.size(row, row.dtype)) - tf.gather(tokens.row_starts(), row)
        begin = tf.gather(first + self.separators, row)
        is_read = tf.where(
            is_second,
            place - begin < tf.gather(second_read, row),
            place < tf.gather(first_read, row),
        )
        return tokens.with_flat_values(is_read | is_between)

    def pack(self, tokens: tf.RaggedTensor, multiple: int = 1) -> dict[str, tf.Tensor]:
        """Turns ragged ids into the features that an encoder reads, padded on the right.

        A text without a single token, special ones included, becomes one unknown token: every
        row has at least one real position, which masks, means and the cuDNN kernels need.

        Args:
            tokens: int32 ids, ragged `(batch, None)`, as `encode` makes them.
            multiple: the padded length is rounded up to a multiple of this, so that few different
                lengths occur, but never beyond `sequence_length`.

        Returns:
            `token_ids`, `padding_mask` (1 for real tokens) and `segment_ids` (1 for the second
            text of a pair), int32 `(batch, length)`, with `length` that of the longest row.
        """
        tokens = self.truncate(tokens)
        before, after = (0 if i is None else 1 for i in (self.start_id, self.end_id))
        lengths = tf.cast(tokens.row_lengths(), tf.int32) + (before + after)
        lengths = tf.maximum(lengths, 1)[:, tf.newaxis]
        longest = tf.maximum(tf.reduce_max(lengths), 1)
        length = tf.minimum(-(-longest // multiple) * multiple, self.sequence_length)
        # Special tokens are set in the padding, which takes fewer operations than ragged rows.
        ids = tokens.to_tensor(default_value=self.pad_id, shape=tf.stack([-1, length - before]))
        place = tf.range(length)
        if before:
            ids = tf.pad(ids, [[0, 0], [1, 0]], constant_values=self.start_id)
        if after:
            ids = tf.where(place == lengths - 1, self.end_id, ids)
        mask = tf.cast(place < lengths, tf.int32)
        ids = tf.where((mask == 1) & (ids == self.pad_id), self.unknown_id, ids)
        segments = tf.zeros_like(ids)
        if self.pair:
            is_between = tf.cast(ids == SEPARATOR, ids.dtype)
            seen = tf.cumsum(is_between, axis=1)
            segments = tf.cast((seen == self.separators) & (is_between == 0), ids.dtype) * mask
            end = self.pad_id if self.end_id is None else self.end_id
            ids = tf.where(ids == SEPARATOR, end, ids)
        return {"token_ids": ids, "padding_mask": mask, "segment_ids": segments}

    def fingerprint(self) -> str:
        """Returns a digest of everything that affects the ids: equal digests mean equal ids."""
        config = {k: v for k, v in self.get_config().items() if k not in ("name", "dtype")}
        content = json.dumps([type(self).__name__, config, self.vocabulary], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor; vocabularies are saved as assets instead."""
        pair = {"pair": True} if self.pair else {}  # so that the digests of others do not change
        return {"name": self.name, "sequence_length": self.sequence_length, **pair}


def with_a_token(features: Mapping[str, tf.Tensor], unknown_id: int) -> dict[str, tf.Tensor]:
    """Gives rows without a real position one unknown token, as `Preprocessor.pack` does.

    Features made by a client may have such rows, and a mean over no positions is not a number.

    Args:
        features: int32 `(batch, length)`, the length may be 0.
        unknown_id: the id for a word outside the vocabulary.

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


def is_text(x: Any) -> bool:
    """Whether an input is texts, or can only be meant as texts: then `as_strings` takes or rejects.

    All other inputs are for Keras: features, and anything that makes batches.
    """
    if tf.is_tensor(x):
        return bool(x.dtype == tf.string)
    if isinstance(x, Mapping) or keras.utils.is_keras_tensor(x):
        return False
    if isinstance(x, (list, tuple)) and len(x) and getattr(x[0], "shape", ()) != ():
        return not is_number(x[0])  # a list of arrays of numbers has one for each input
    is_array = any(hasattr(x, name) for name in ("dtype", "dtypes", "tolist"))
    return is_array or x is None or isinstance(x, (str, bytes, Number, Collection))


def is_number(x: Any) -> bool:
    """Whether an array or tensor holds numbers."""
    return x.dtype != tf.string if tf.is_tensor(x) else np.asarray(x).dtype.kind in "biuf"


def as_pairs(pairs: Any) -> tf.Tensor:
    """Converts pairs of texts to a string tensor `(batch, 2)`.

    Args:
        pairs: a tuple of two columns of texts, each as `as_strings` takes them, the first texts
            and the second ones; or rows of pairs: a list of pairs, an array, a frame of two
            columns or a tensor `(batch, 2)`.

    Raises:
        TypeError: any other value, or a text that is not a string.
        ValueError: columns that differ in length.
    """
    rule = (
        "A pair model reads two texts a row. Pass (firsts, seconds), or rows of pairs: "
        "[(first, second), …]."
    )
    if (
        isinstance(pairs, tuple)
        and len(pairs) == 2
        and not any(isinstance(column, (str, bytes)) for column in pairs)
    ):
        first, second = map(as_strings, pairs)
        if first.shape.rank == second.shape.rank == 1 and first.shape != second.shape:
            raise ValueError(
                "Every first text needs a second one. Check how the two were made. "
                f"Received: {first.shape[0]} first texts, {second.shape[0]} second texts"
            )
        return tf.stack([first, second], axis=1)
    if tf.is_tensor(pairs):
        if pairs.dtype != tf.string or (pairs.shape.rank is not None and pairs.shape[1:] != (2,)):
            raise TypeError(f"{rule} Received: a tensor of {pairs.dtype.name} {pairs.shape}")
        return tf.ensure_shape(pairs, [None, 2])
    is_rows = isinstance(pairs, Collection) and not isinstance(pairs, (str, bytes, Mapping, set))
    rows = (
        np.asarray(pairs).tolist() if hasattr(pairs, "shape") else list(pairs) if is_rows else None
    )
    if rows is None or any(
        isinstance(row, (str, bytes)) or not isinstance(row, Collection) or len(row) != 2
        for row in rows
    ):
        raise TypeError(f"{rule} Received: {pairs!r:.120}")
    flat = as_strings([text for row in rows for text in row])
    return tf.reshape(flat, [-1, 2])


def as_strings(texts: Any) -> tf.Tensor:
    """Converts strings to a string tensor `(batch,)`.

    Args:
        texts: strings in a list or another collection that has an order, an array `(batch,)` or
            `(batch, 1)`, a column of pandas or Arrow, a frame of one column, or a tensor.

    Raises:
        TypeError: a single string, or values that are not strings.
        ValueError: not one-dimensional.
    """
    if tf.is_tensor(texts) and texts.dtype != tf.string:
        raise TypeError(f"Every text must be a string. Received: a tensor of {texts.dtype.name}")
    if hasattr(texts, "shape"):
        return _of_array(texts if tf.is_tensor(texts) else np.asarray(texts, dtype=object))
    if isinstance(texts, (str, bytes)):
        raise TypeError(
            f"Texts must be a list or array of strings, even if there is only one. Write [text]. "
            f"Received: {texts[:60]!r}"
        )
    if isinstance(texts, (Mapping, set, frozenset)) or not isinstance(texts, Iterable):
        raise TypeError(
            "Texts must be a list or array of strings. Pass list(…), or the column. "
            f"Received: {texts!r:.60} of type {type(texts).__name__}"
        )
    values = texts.tolist() if hasattr(texts, "tolist") else list(texts)
    row = next((i for i, v in enumerate(values) if not isinstance(v, (str, bytes))), None)
    if row is not None:
        raise TypeError(
            "Every text must be a string. Drop or fill missing values, and convert numbers with "
            f"str. Received: {values[row]!r:.60} of type {type(values[row]).__name__} in row {row}"
        )
    # A lone surrogate (half of a broken emoji) is a legal Python string without UTF-8 form.
    values = [v.encode("utf-8", "replace") if isinstance(v, str) else v for v in values]
    return tf.constant(values, dtype=tf.string, shape=(len(values),))


def _of_array(texts: Any) -> tf.Tensor:
    """Converts an object array or a string tensor to strings `(batch,)`."""
    rank = texts.shape.rank if tf.is_tensor(texts) else texts.ndim
    if rank == 0 and not tf.is_tensor(texts):
        return as_strings(texts.item())
    if rank == 2 and texts.shape[1] == 1:
        texts, rank = texts[:, 0], 1
    if rank not in (None, 1):
        raise ValueError(
            "Texts have one dimension, (batch,). For a DataFrame, pass its column, frame['text'], "
            "or "
            f"read_table(frame, text=…, label=…). Received: shape={tuple(texts.shape)}"
        )
    if not tf.is_tensor(texts):
        return as_strings(texts.tolist())
    # For a tensor whose rank is known later; ops of TensorFlow Text crash on any other rank.
    return texts if rank == 1 else tf.ensure_shape(texts, [None])
