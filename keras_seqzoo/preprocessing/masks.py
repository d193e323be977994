"""The mask token of a vocabulary, and texts that contain it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_seqzoo.preprocessing.base import Preprocessor

TOKENS = ("[MASK]", "<mask>")


class MaskToken(NamedTuple):
    """The token that replaces hidden tokens: its text and its id."""

    text: str
    id: int


def mask_of(preprocessor: Preprocessor) -> MaskToken:
    """Returns the mask token of a preprocessor's vocabulary.

    Raises:
        ValueError: it has no mask token.
    """
    known = {token: i for i, token in enumerate(preprocessor.vocabulary)}
    offset = getattr(preprocessor, "offset", 0)
    found = [MaskToken(text, known[text] + offset) for text in TOKENS if text in known]
    if not found and getattr(preprocessor, "mask_id", None) is not None:
        # Not one of the pieces, as in DeBERTa-v3 and XLM-RoBERTa.
        found = [MaskToken(TOKENS[bool(offset)], preprocessor.mask_id)]
    if not found:
        raise ValueError(
            "Filling masks needs an encoder that reads in both directions, with a mask token in "
            "its "
            f"vocabulary ({' or '.join(TOKENS)}). Take BERT, ELECTRA, DistilBERT, RoBERTa or "
            "DeBERTa-v3; LSTM, GRU and GPT-2 learn from running text with task='generate'. "
            f"Received: {type(preprocessor).__name__} of {len(preprocessor.vocabulary):,} "
            f"{preprocessor.unit}"
        )
    return found[0]


def texts_of_tokens(preprocessor: Preprocessor) -> list[str]:
    """Returns the text of each id, with the space that it begins with, if any.

    A word piece within a word begins with `##`, as in its vocabulary.
    """
    pieces = preprocessor.vocabulary
    if preprocessor.unit == "byte pairs":
        with tf.init_scope():
            one_each = tf.RaggedTensor.from_uniform_row_length(tf.range(len(pieces)), 1)
            spelt = preprocessor.detokenize(one_each).numpy().tolist()
        return [text.decode("utf-8", "replace") for text in spelt]
    shift = [""] * getattr(preprocessor, "offset", 0)
    return shift + [piece.replace("\u2581", " ") for piece in pieces]


def special_ids(preprocessor: Preprocessor, mask: MaskToken) -> npt.NDArray[np.int32]:
    """Returns ids without text: mask, start, end, padding and unknown."""
    given = (preprocessor.pad_id, preprocessor.unknown_id, preprocessor.start_id,
             preprocessor.end_id, mask.id)  # fmt: skip
    return np.unique([i for i in given if i is not None]).astype(np.int32)


def tokenize_masked(preprocessor: Preprocessor, texts: Any, mask: MaskToken) -> tf.RaggedTensor:
    """Turns strings `(batch,)` with written masks into ids, ragged `(batch, None)`.

    Spaces before a mask belong to it: the token in its place brings its own.
    """
    pattern = f" *{re.escape(mask.text)}"
    texts = tf.strings.regex_replace(preprocessor.as_inputs(texts), pattern, mask.text)
    parts = tf.strings.split(texts, mask.text)
    tokens = preprocessor.tokenize(parts.flat_values)
    splits = tf.cast(parts.row_splits, tf.int64)
    # Every text has at least one part; no mask follows the last part.
    is_inner = tf.tensor_scatter_nd_update(
        tf.ones([tf.size(parts.flat_values)], tf.int64),
        splits[1:, None] - 1,
        tf.zeros_like(splits[1:]),
    )
    masks = tf.RaggedTensor.from_row_lengths(
        tf.fill([tf.reduce_sum(is_inner)], tf.constant(mask.id, tokens.dtype)),
        is_inner,
        validate=False,
    )
    joined = tf.concat([tokens.with_row_splits_dtype(tf.int64), masks], axis=1)
    return tf.RaggedTensor.from_row_splits(
        joined.flat_values, tf.gather(joined.row_splits, splits), validate=False
    )
