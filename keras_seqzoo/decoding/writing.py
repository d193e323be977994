"""Turns prompts into texts: batches of prompts, the graph that generates, and where a text ends."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqzoo.checks import check_whole
from keras_seqzoo.decoding.samplers import sample_tokens
from keras_seqzoo.features import FEATURES
from keras_seqzoo.preprocessing.base import Preprocessor

FEATURE_SPECS = dict.fromkeys(FEATURES, tf.TensorSpec([None, None], tf.int32))


def begun(tokens: tf.RaggedTensor, mark: int) -> tf.RaggedTensor:
    """Gives texts without tokens the mark that comes before every document."""
    is_empty = tf.cast(tokens.row_lengths() == 0, tf.int64)
    marks = tf.fill([tf.reduce_sum(is_empty)], mark)
    return tf.concat([tf.RaggedTensor.from_row_lengths(marks, is_empty), tokens], axis=1)


def features_of(tokens: tf.RaggedTensor) -> dict[str, tf.Tensor]:
    """Turns ragged ids into features, not cut or rounded up in length; at least one slot wide."""
    lengths = tokens.row_lengths()
    width = tf.reduce_max(tf.concat([lengths, [1]], axis=0))
    mask = tf.sequence_mask(lengths, width, dtype=tf.int32)
    ids = tokens.to_tensor(shape=tf.stack([tokens.nrows(), width]))
    return {"token_ids": ids, "padding_mask": mask, "segment_ids": tf.zeros_like(ids)}


def spelt(
    preprocessor: Preprocessor, new: tf.Tensor, room: Any, stop_ids: Sequence[int]
) -> tf.Tensor:
    """Turns new tokens into strings, up to the first stop.

    Args:
        preprocessor: turns tokens into text.
        new: int32 `(batch, most)`, -1 in slots without a token.
        room: how many of them each row may keep, `(batch,)`.
        stop_ids: tokens that end a row.
    """
    is_stop = tf.reduce_any(new[:, :, None] == tf.constant(list(stop_ids)), axis=-1)
    kept = (tf.cumsum(tf.cast(is_stop, tf.int32), axis=1) == 0) & (new >= 0)
    kept &= tf.range(tf.shape(new)[1])[None] < tf.cast(room, tf.int32)[:, None]
    return preprocessor.detokenize(tf.ragged.boolean_mask(new, kept))


def valid_utf8(texts: tf.Tensor) -> tf.Tensor:
    """Replaces bytes that are not UTF-8 by U+FFFD; a token may end within a character."""
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", replace_control_characters=False)


def check_length(max_length: int, positions: int | None) -> None:
    """Raises a ValueError if a text could grow beyond a model's positions.

    Args:
        max_length: most tokens of a text.
        positions: positions of the model; None if there is no limit.
    """
    check_whole(max_length=max_length)
    if positions is not None and max_length > positions:
        raise ValueError(
            f"The model has {positions} positions. Set `max_length` to {positions} or less. "
            f"Received: max_length={max_length!r}"
        )


def check_prompts(longest: int, limit: int, positions: int | None) -> None:
    """Raises a ValueError if a prompt is too long.

    Args:
        longest: tokens of the longest prompt.
        limit: most tokens of a text, including the prompt.
        positions: positions of the model; None if there is no limit.
    """
    if positions is not None and longest >= positions:
        raise ValueError(
            f"A prompt must leave room to write: the model has {positions} positions. Shorten "
            f"the prompt. Received: a prompt of {longest} tokens"
        )
    if limit < longest:
        raise ValueError(
            "`max_length` counts the tokens of the prompt too. Set it above that, or shorten "
            f"the prompt. Received: max_length={limit}, a prompt of {longest} tokens"
        )


class Writer:
    """A sampler with the graph that runs it.

    Args:
        decoding: the steps of the model.
        sampler: a `keras_hub.samplers.Sampler`.
        stop_ids: tokens that end a row.

    Attributes:
        run: a graph from the features of prompts, and the most new tokens, to the new tokens.
        lock: held from the seed to the last draw, so that other threads do not draw in between.
    """

    def __init__(self, decoding: Any, sampler: Any, stop_ids: list[int]):
        self.sampler = sampler
        self.lock = threading.Lock()
        self.stop_ids = stop_ids

        @tf.function(input_signature=[FEATURE_SPECS, tf.TensorSpec([], tf.int32)])
        def run(features: Any, most: tf.Tensor) -> tf.Tensor:
            return sample_tokens(decoding, sampler, features, most, stop_ids)

        self.run = run


def is_beam(sampler: Any) -> bool:
    """Whether a sampler ranks beams by all their new tokens: then rows must end together."""
    return hasattr(sampler, "num_beams")


def batches_of_rows(lengths: np.ndarray, batch_size: int, alike: bool = False) -> list[np.ndarray]:
    """Returns row numbers in batches: rows of similar length, or of equal length if `alike`.

    Args:
        lengths: tokens of each row, `(rows,)`.
        batch_size: most rows in each batch.
        alike: whether the rows of a batch must have the same length.
    """
    order = np.argsort(lengths, kind="stable")
    cuts: Any = np.flatnonzero(np.diff(lengths[order])) + 1 if alike else []
    parts = np.split(order, cuts)
    return [part[at : at + batch_size] for part in parts for at in range(0, len(part), batch_size)]


def put_together(prompt: bytes, joint: str, new: bytes, stops: Sequence[str]) -> str:
    """Joins a prompt and the new text, up to the first of `stops`."""
    begin = prompt + joint.encode() if prompt and new else prompt
    text = (begin + new).decode("utf-8", "replace")
    start = len(begin.decode("utf-8", "replace"))
    ends = [at for stop in stops if (at := text.find(stop, start)) >= 0]
    return text[: min(ends)] if ends else text
