"""Running text for masked language models: passages in which every pass hides other tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_seqzoo.batches.packing import pieces_of
from keras_seqzoo.batches.passes import (
    Passes,
    Share,
    batches_of_rows,
    digest_of,
    draw_seed,
    order_seed,
)
from keras_seqzoo.batches.pipeline import LENGTH_MULTIPLE, plan_pass, text_windows
from keras_seqzoo.checks import check_whole
from keras_seqzoo.preprocessing.base import Preprocessor

# Devlin et al. 2019, section 3.1: the share of hidden tokens that become the mask, and the share
# that become a random other token; the rest do not change.
_MASKED, _REPLACED = 0.8, 0.1


class Hidden(NamedTuple):
    """Hidden tokens, ragged `(rows, None)` each.

    Attributes:
        places: int32 position of each token in its row.
        ids: int32 id of each token.
        draws: a random number in [0, 1) for each token, float32.
    """

    places: tf.RaggedTensor
    ids: tf.RaggedTensor
    draws: tf.RaggedTensor


@dataclass(frozen=True, eq=False)
class Masking:
    """How to hide tokens.

    Attributes:
        mask_id: the mask token.
        is_text: whether an id stands for text, `(ids,)`. Other ids are not hidden, and do not
            replace hidden ones.
        begins_word: whether a token begins a word, `(ids,)`.
        rate: share of the tokens to hide, in (0, 1).
        whole_words: whether to hide all tokens of a word together.
    """

    mask_id: int
    is_text: npt.NDArray[np.bool_]
    begins_word: npt.NDArray[np.bool_]
    rate: float = 0.15
    whole_words: bool = False

    def hide(self, tokens: tf.RaggedTensor, seed: tf.Tensor) -> tuple[tf.RaggedTensor, Hidden]:
        """Hides tokens: at least one in every row that has a token of text.

        Args:
            tokens: int32 ids, ragged `(rows, None)`.
            seed: int64 `(2,)`; the same seed hides the same tokens.

        Returns:
            The ids for the model to read, ragged `(rows, None)`, and the hidden tokens.
        """
        ids, row = tokens.flat_values, tokens.value_rowids()
        count = tf.size(ids)
        chance = tf.random.stateless_uniform([4, count], seed)
        drawn = chance[0]
        if self.whole_words:
            is_first = tf.concat([[True], row[1:] != row[:-1]], 0)[:count]
            begins = is_first | tf.gather(self.begins_word, ids)
            drawn = tf.gather(drawn, tf.cumsum(tf.cast(begins, tf.int32)) - 1)
        may = tf.gather(self.is_text, ids)
        drawn = tf.where(may, drawn, 2.0)
        least = tf.gather(tf.math.segment_min(drawn, row), row)
        is_hidden = may & ((drawn < self.rate) | (drawn == least))
        others = np.flatnonzero(self.is_text).astype(np.int32)
        place = tf.cast(chance[2] * float(len(others)), tf.int32)
        other = tf.gather(others, tf.minimum(place, len(others) - 1))
        kept = tf.where(chance[1] < _MASKED + _REPLACED, other, ids)
        read = tf.where(chance[1] < _MASKED, self.mask_id, kept)
        starts = tf.gather(tokens.row_starts(), row)
        places = tf.cast(tf.range(tf.size(ids, row.dtype)) - starts, tf.int32)
        chosen = tf.where(is_hidden)[:, 0]
        of_row = tf.gather(row, chosen)
        hidden = Hidden(
            *(
                tf.RaggedTensor.from_value_rowids(
                    tf.gather(values, chosen), of_row, tokens.nrows(row.dtype), validate=False
                )
                for values in (places, ids, chance[3])
            )
        )
        return tokens.with_flat_values(tf.where(is_hidden, read, ids)), hidden


def cut_passages(
    documents: Iterable[str],
    preprocessor: Preprocessor,
    masking: Masking,
    length: int,
    least: int = 1,
) -> tuple[tf.RaggedTensor, npt.NDArray[np.int64]]:
    """Tokenizes documents, and cuts each one, before words, into passages of similar length.

    Args:
        documents: the texts.
        preprocessor: turns them into ids.
        masking: knows where words begin.
        length: most tokens of a passage.
        least: least passages of a document, if it has enough words.

    Returns:
        The passages, int32 ids, ragged `(passages, None)`, none of them empty; and the number of
        each passage's document, `(passages,)`.
    """
    pieces: list[str] = []
    ends = [0]
    for document in documents:
        pieces.extend(pieces_of(document))
        ends.append(len(pieces))
    windows = text_windows(pieces, preprocessor, {}, truncate=False)
    window = next(windows.as_numpy_iterator())
    values, bounds = window["values"], window["splits"][ends]
    splits, document_of = [0], []
    begins = np.flatnonzero(masking.begins_word[values])
    for number, (start, end) in enumerate(pairwise(bounds)):
        wanted = least
        while start < end:
            left = end - start
            size = -(-left // max(-(-left // length), wanted))
            stop = start + size
            if stop < end and len(begins):
                # A word longer than half a passage is cut.
                before = begins[np.searchsorted(begins, stop, "right") - 1]
                stop = before if before > start + size // 2 else stop
            splits.append(stop)
            document_of.append(number)
            start, wanted = stop, max(wanted - 1, 1)
    passages = tf.RaggedTensor.from_row_splits(values, np.array(splits, np.int64))
    return passages, np.array(document_of, np.int64)


def masked_batches(
    passages: tf.RaggedTensor,
    document_of: npt.NDArray[np.int64],
    preprocessor: Preprocessor,
    masking: Masking,
    batch_size: int,
    *,
    next_sentence: bool = False,
    draws: bool = False,
    shuffle: bool = False,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Makes batches of passages with hidden tokens, which every pass draws again.

    The hidden tokens depend only on the seed, the pass and the passage. So a training can resume in
    the middle, and can be divided among replicas. Without `shuffle`, every pass hides the same
    tokens.

    Args:
        passages: as `cut_passages` returns them.
        document_of: as `cut_passages` returns it.
        preprocessor: packs the ids.
        masking: how to hide tokens.
        batch_size: rows in each batch.
        next_sentence: whether a row is two passages: in half of the rows, a passage and the next
            one of its document; in the other half, a passage and a random one.
        draws: whether the features hold a random number for every hidden token.
        shuffle: whether to draw rows in a new random order in every pass.
        seed: seed of orders and draws; 0 without `shuffle`, else drawn from Python's `random`, by
            default.

    Returns:
        Batches `(features, targets, weights)`. The features are those of a preprocessor and
        `mask_positions`, int32 `(batch, most)`: the positions of the hidden tokens, 0 after the
        last one; with `draws` also `draws`, float32 in [0, 1) of the same shape. Targets are a dict
        of `tokens`, int32 `(batch, most)`, the hidden ones, and with `next_sentence` also
        `is_next`, int32 `(batch,)`. Weights are float32 `(batch, most)`, 0 after the last hidden
        token.

    Raises:
        ValueError: no passage, or for `next_sentence` no passage with a next one.
    """
    check_whole(batch_size=batch_size)
    follows = np.flatnonzero(document_of[1:] == document_of[:-1])
    if len(document_of) == 0 or (next_sentence and len(follows) == 0):
        raise ValueError(
            "There is no text to learn from: a document needs a token, and two words for "
            "next_sentence=True, which asks whether one passage follows another. Check the texts. "
            f"Received: {len(document_of)} passages"
        )
    columns = {"values": passages.flat_values, "splits": passages.row_splits}
    held = tf.data.Dataset.from_tensors(columns)  # outside the graph, whose size is limited
    rows = len(follows) if next_sentence else len(document_of)
    if seed is None:
        seed = draw_seed() if shuffle else 0

    def draw(
        seed: int, pass_number: tf.Tensor, first_batch: int | tf.Tensor, share: Share
    ) -> tf.data.Dataset:
        def of_columns(columns: dict[str, tf.Tensor]) -> tf.data.Dataset:
            tokens = tf.RaggedTensor.from_row_splits(
                columns["values"], columns["splits"], validate=False
            )
            number = pass_number if shuffle else tf.constant(0)
            further: dict[str, tf.Tensor] = {}
            if next_sentence:
                tokens, further = _paired(
                    tokens, follows, preprocessor, order_seed(seed, number, tf.constant(1))
                )
            read, hidden = masking.hide(tokens, order_seed(seed, number, tf.constant(2)))
            order, starts = plan_pass(
                tokens.row_lengths(),
                batch_size,
                shuffle,
                True,
                order_seed(seed, pass_number, tf.constant(0)),
            )

            def gather(chosen: tf.Tensor) -> tuple[Any, ...]:
                packed = preprocessor.pack(tf.gather(read, chosen), LENGTH_MULTIPLE)
                places, ids, numbers = (_padded(tf.gather(part, chosen)) for part in hidden)
                counts = tf.gather(hidden.places.row_lengths(), chosen)
                weights = tf.sequence_mask(counts, tf.shape(places)[1], tf.float32)
                before = int(preprocessor.start_id is not None)
                packed["mask_positions"] = (places + before) * tf.cast(weights, tf.int32)
                if draws:
                    packed["draws"] = numbers
                targets = {"tokens": ids}
                if next_sentence:
                    first = tf.gather(further["first"], chosen)[:, None]
                    mask = packed["padding_mask"]
                    place = tf.range(tf.shape(mask)[1])[None]
                    packed["segment_ids"] = mask * tf.cast(place >= first, tf.int32)
                    targets["is_next"] = tf.gather(further["is_next"], chosen)
                return packed, targets, weights

            left = starts[first_batch:]
            return batches_of_rows(order, left, batch_size, share, gather, spread=shuffle)

        return held.flat_map(of_columns)

    def digest() -> str:
        return digest_of([passages.flat_values.numpy(), passages.row_splits.numpy()])

    return Passes(draw, rows, batch_size, seed, digest).dataset()


def _paired(
    tokens: tf.RaggedTensor,
    follows: npt.NDArray[np.int64],
    preprocessor: Preprocessor,
    seed: tf.Tensor,
) -> tuple[tf.RaggedTensor, dict[str, tf.Tensor]]:
    """Makes rows of two passages around the end token; returns starts of the second, and `is_next`.

    By chance, a random passage may be the next one; then it counts as the next one.
    """
    firsts = tf.constant(follows)
    chance = tf.random.stateless_uniform([2, len(follows)], seed)
    count = tokens.nrows()
    any_other = tf.cast(chance[1] * tf.cast(count, tf.float32), tf.int64)
    any_other = tf.minimum(any_other, count - 1)
    seconds = tf.where(chance[0] < 0.5, firsts + 1, any_other)
    end = preprocessor.pad_id if preprocessor.end_id is None else preprocessor.end_id
    between = tf.fill([len(follows), preprocessor.separators], tf.constant(end, tokens.dtype))
    pairs = tf.concat([tf.gather(tokens, firsts), between, tf.gather(tokens, seconds)], axis=1)
    before = preprocessor.separators + (preprocessor.start_id is not None)
    lengths = tf.cast(tf.gather(tokens.row_lengths(), firsts), tf.int32)
    return pairs, {
        "first": lengths + before,
        "is_next": tf.cast(seconds == firsts + 1, tf.int32),
    }


def _padded(values: tf.RaggedTensor) -> tf.Tensor:
    """Turns ragged values into `(rows, most)`, at least one column, 0 after the last of a row."""
    most = tf.reduce_max(tf.concat([values.row_lengths(), [1]], 0))
    return values.to_tensor(shape=tf.stack([values.nrows(), most]))
