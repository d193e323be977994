"""Scores of tags of words, the transitions between tags, and the best allowed tags.

Tags are numbers: 0 is outside of all spans, 1 + 2k begins a span of type k, 2 + 2k continues it. A
tag 2 + 2k may only follow 1 + 2k or 2 + 2k.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

_NEVER = -1e4


class Pieces(NamedTuple):
    """The spans found in some texts, one after the other.

    Attributes:
        rows: int64 `(spans,)`, the text of each span.
        kinds: int32, the place of its type.
        starts: int32, the position of its first character.
        ends: int32, the position after its last character.
        probabilities: float32, probability of exactly these words as one span of this type.
    """

    rows: tf.Tensor
    kinds: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    probabilities: tf.Tensor


def tags_of_spans(starts: tf.Tensor, ends: tf.Tensor, spans: tf.Tensor) -> tf.Tensor:
    """Returns the tag of each word from the spans of its text, int32 `(batch, words)`.

    A word belongs to the first span with which it shares a character.

    Args:
        starts: positions of the first characters of words, `(batch, words)`; -1 for no word.
        ends: positions after their last characters.
        spans: int32 `(batch, most, 3)`, in order, see `data.targets.Tags`.
    """
    last = spans[..., 2] < 0
    span_ends = tf.where(last, tf.int32.max, spans[..., 1])
    span_starts = tf.where(last, tf.int32.max, spans[..., 0])
    found = tf.searchsorted(span_ends, tf.maximum(starts, 0), side="right")
    found = tf.minimum(found, tf.shape(spans)[1] - 1)
    inside = (tf.gather(span_starts, found, batch_dims=1) < ends) & (starts >= 0)
    inside &= tf.gather(span_ends, found, batch_dims=1) > starts
    inside &= ~tf.gather(last, found, batch_dims=1)
    of_span = tf.where(inside, found, -1)
    begins = of_span != tf.pad(of_span[:, :-1], [[0, 0], [1, 0]], constant_values=-1)
    kinds = tf.gather(spans[..., 2], found, batch_dims=1)
    return tf.where(inside, 1 + 2 * kinds + tf.cast(~begins, tf.int32), 0)


@keras.saving.register_keras_serializable("keras_seqzoo")
class TagScores(keras.layers.Layer):
    """Scores of tags, and a linear-chain CRF over the tags of words.

    The CRF is that of Lafferty et al. (2001), Conditional Random Fields. Forbidden transitions are
    left out entirely. Tag 0 comes before the first word.

    Args:
        types: number of types of spans.
        learns: whether transitions are learnt, by the likelihood of all tags of a text. Otherwise
            all allowed transitions are equal, and each word is learnt by itself.
        **kwargs: arguments of `keras.layers.Layer`.
    """

    def __init__(self, types: int, learns: bool, **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        self.units = 1 + 2 * types
        self.learns = learns
        allowed = np.ones((self.units, self.units), bool)
        for inside in range(2, self.units, 2):
            allowed[:, inside] = False
            allowed[[inside - 1, inside], inside] = True
        self._allowed = allowed

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.units))
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        if self.learns:
            self.transitions = self.add_weight(
                name="transitions", shape=(self.units, self.units), initializer="zeros"
            )

    def call(self, vectors: Any) -> Any:
        """Turns vectors `(batch, length, hidden)` into scores `(batch, length, tags)`."""
        return keras.ops.matmul(vectors, self.kernel) + self.bias

    def steps(self) -> tf.Tensor:
        """Returns the scores of one tag after another, float32 `(tags, tags)`."""
        learnt = tf.convert_to_tensor(self.transitions) if self.learns else 0.0
        return tf.where(self._allowed, learnt, _NEVER)

    def losses_of(self, scores: tf.Tensor, lengths: tf.Tensor, tags: tf.Tensor) -> tf.Tensor:
        """Computes the negative log-likelihood of each text's tags, in nats `(batch,)`.

        Args:
            scores: float32 `(batch, words, tags)`.
            lengths: number of words of each text, int32 `(batch,)`.
            tags: int32 `(batch, words)`.
        """
        real = tf.sequence_mask(lengths, tf.shape(scores)[1], scores.dtype)
        if not self.learns:
            nats = tf.nn.sparse_softmax_cross_entropy_with_logits(tags, scores)
            return tf.reduce_sum(nats * real, axis=1)
        steps = self.steps()
        before = tf.pad(tags[:, :-1], [[0, 0], [1, 0]])
        of_tags = tf.gather(scores, tags, batch_dims=2)
        of_steps = tf.gather_nd(steps, tf.stack([before, tags], axis=-1))
        path = tf.reduce_sum((of_tags + of_steps) * real, axis=1)
        alphas = self._forward(scores, lengths, steps, tf.reduce_logsumexp)
        return tf.reduce_logsumexp(alphas[-1], axis=1) - path

    def _forward(
        self, scores: tf.Tensor, lengths: tf.Tensor, steps: tf.Tensor, over: Callable[..., Any]
    ) -> tf.Tensor:
        """Scores of all tags up to each word, `(words + 1, batch, tags)`; the first are before it.

        After the last word of a text they do not change.
        """
        real = tf.sequence_mask(lengths, tf.shape(scores)[1])
        first = tf.fill([tf.shape(scores)[0], self.units], _NEVER)
        first = tf.where(tf.range(self.units) == 0, 0.0, first)

        def step(alpha: tf.Tensor, word: Any) -> tf.Tensor:
            emitted, is_real = word
            after = over(alpha[:, :, None] + steps, axis=1) + emitted
            return tf.where(is_real[:, None], after, alpha)

        words = (tf.transpose(scores, [1, 0, 2]), tf.transpose(real))
        return tf.concat([first[None], tf.scan(step, words, first)], axis=0)

    def _backward(self, scores: tf.Tensor, lengths: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        """Scores of everything after each word, by its tag, `(words + 1, batch, tags)`."""
        real = tf.sequence_mask(lengths, tf.shape(scores)[1])
        last = tf.zeros([tf.shape(scores)[0], self.units])

        def step(beta: tf.Tensor, word: Any) -> tf.Tensor:
            emitted, is_real = word
            before = tf.reduce_logsumexp(steps + (emitted + beta)[:, None], axis=2)
            return tf.where(is_real[:, None], before, beta)

        words = (tf.transpose(scores, [1, 0, 2]), tf.transpose(real))
        return tf.concat([tf.scan(step, words, last, reverse=True), last[None]], axis=0)

    def best(self, scores: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Finds the likeliest allowed tags of each text, int32 `(batch, words)`.

        It uses the algorithm of Viterbi (1967). After the last word come 0s.
        """
        steps = self.steps()
        alphas = self._forward(scores, lengths, steps, tf.reduce_max)
        real = tf.sequence_mask(lengths, tf.shape(scores)[1])

        def step(tag: tf.Tensor, word: Any) -> tf.Tensor:
            alpha, is_real, is_last = word
            likeliest = tf.argmax(alpha + tf.transpose(tf.gather(steps, tag, axis=1)), 1, tf.int32)
            at_end = tf.argmax(alpha, axis=1, output_type=tf.int32)
            return tf.where(is_real, tf.where(is_last, at_end, likeliest), 0)

        place = tf.range(tf.shape(scores)[1])[:, None]
        words = (alphas[1:], tf.transpose(real), place == lengths - 1)
        none = tf.zeros(tf.shape(scores)[:1], tf.int32)
        return tf.transpose(tf.scan(step, words, none, reverse=True))

    def pieces(
        self, scores: tf.Tensor, lengths: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor
    ) -> Pieces:
        """Finds the spans of the likeliest tags.

        Args:
            scores: float32 `(batch, words, tags)`.
            lengths: number of words of each text, int32 `(batch,)`.
            starts: positions of the first characters of words, int32 `(batch, words)`.
            ends: positions after their last characters.
        """
        steps = self.steps()
        tags = self.best(scores, lengths)
        alphas = self._forward(scores, lengths, steps, tf.reduce_logsumexp)
        betas = self._backward(scores, lengths, steps)
        whole = tf.reduce_logsumexp(alphas[-1], axis=1)
        # After the last word of a span comes any tag that does not continue it.
        others = (tf.range(self.units) == 0) | (tf.range(self.units) % 2 == 1)
        ending = tf.where(others, steps, _NEVER)
        following = tf.transpose(scores, [1, 0, 2]) + betas[1:]  # by the tag of each word
        over = tf.reduce_logsumexp(ending + following[:, :, None, :], axis=3)
        words = tf.shape(scores)[1]
        is_last = (tf.range(words)[:, None] == lengths - 1)[:, :, None]
        closed = tf.where(is_last, 0.0, tf.concat([over[1:], tf.zeros_like(over[:1])], axis=0))

        before = tf.pad(tags[:, :-1], [[0, 0], [1, 0]])
        path = tf.gather(scores, tags, batch_dims=2) + tf.gather_nd(
            steps, tf.stack([before, tags], axis=-1)
        )
        path = tf.cumsum(path, axis=1)
        begins = tf.where(tags % 2 == 1)
        number = tf.cumsum(tf.cast(tags % 2 == 1, tf.int32), axis=1)
        number += tf.cumsum(number[:, -1:], axis=0, exclusive=True)  # over all texts
        span = tf.boolean_mask(number, tags > 0) - 1
        at = tf.tile(tf.range(words)[None], [tf.shape(tags)[0], 1])
        last = tf.math.unsorted_segment_max(
            tf.boolean_mask(at, tags > 0), span, tf.shape(begins)[0]
        )
        rows, last = begins[:, 0], tf.cast(last, tf.int64)
        ends_at = tf.stack([rows, last], axis=1)
        first_tag, last_tag = tf.gather_nd(tags, begins), tf.gather_nd(tags, ends_at)
        by_time = tf.stack([begins[:, 1] + 1, rows, tf.cast(first_tag, tf.int64)], axis=1)
        to_end = tf.stack([last, rows, tf.cast(last_tag, tf.int64)], axis=1)
        logs = (
            tf.gather_nd(alphas, by_time)
            + tf.gather_nd(path, ends_at)
            - tf.gather_nd(path, begins)
            + tf.gather_nd(closed, to_end)
            - tf.gather(whole, rows)
        )
        return Pieces(
            rows,
            (first_tag - 1) // 2,
            tf.gather_nd(starts, begins),
            tf.gather_nd(ends, ends_at),
            tf.exp(tf.minimum(logs, 0.0)),
        )
