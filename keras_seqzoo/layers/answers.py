"""Two pointers into contexts of any length: where the answer to a question begins and ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

_NEVER = -1e4
_AT_ONCE = 64  # windows read at once when no gradient is needed


class Best(NamedTuple):
    """The best answer to each question, and how its score compares with that of no answer.

    Attributes:
        starts: int32 `(batch,)`, the first character; -1 if the context has no word.
        ends: int32, the position after the last character.
        answer: float32, the answer's log-probability in the window where it is highest.
        nothing: float32, the log-probability of no answer in the window where it is lowest.
    """

    starts: tf.Tensor
    ends: tf.Tensor
    answer: tf.Tensor
    nothing: tf.Tensor


@keras.saving.register_keras_serializable("keras_seqzoo")
class AnswerScores(keras.layers.Layer):
    """Scores of where answers begin and end, over windows of contexts.

    A window is a question and as much of its context as the encoder takes, between special tokens
    as in pairs of texts (Devlin et al. 2019, BERT, section 4.2); windows of a long context overlap.
    Every word is scored by its first token. That there is no answer is scored by the first special
    token (section 4.3), or by the last one if there is none before the question, or if the first
    one sees nothing.

    Args:
        encoder: functional model from features to `sequence_output`.
        length: tokens that it reads, special ones included.
        special: ids before the question, after it and after the context, and the padding id; None
            for an id that does not exist.
        separators: number of tokens after the question.
        causal: whether a token's vector depends only on the token and those before it.
        stride: tokens of the context from the start of a window to that of the next; half of what
            a window holds if None.
        dropout: dropout rate before the scores.
        **kwargs: arguments of `keras.layers.Layer`.

    Attributes:
        threshold: float32, by how much the log-probability of an answer must exceed that of no
            answer. No gradient reaches it.
    """

    def __init__(
        self,
        encoder: keras.Model,
        length: int,
        special: Sequence[int | None],
        separators: int,
        causal: bool,
        stride: int | None,
        dropout: float,
        **kwargs: Any,
    ):
        super().__init__(dtype="float32", **kwargs)
        self.encoder = encoder
        self.length = length
        self.start_id, end_id, self.pad_id = special
        self.end_id = self.pad_id if end_id is None else end_id
        self.before = int(self.start_id is not None)
        self.separators = separators
        self.null_first = bool(self.before) and not causal
        self.stride = stride
        self.dropout = keras.layers.Dropout(dropout)

    def build(self, shapes: Any) -> None:
        """Makes the weights."""
        width = self.encoder.output["sequence_output"].shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(width, 2))
        # A bias for all words would change nothing.
        self.bias = self.add_weight(name="bias", shape=(2,), initializer="zeros")
        self.threshold = self.add_weight(
            name="threshold", shape=(), initializer="zeros", trainable=False
        )

    def call(
        self, features: Mapping[str, Any], training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """Scores the words of all windows.

        Args:
            features: the features of `AskedPreprocessor`.
            training: whether the call is for training.

        Returns:
            `scores`, float32 `(windows, 1 + words, 2)`, of beginnings and ends, the first for no
            answer; `rows`, int32 `(windows,)`, the question of each window; `starts` and `ends`,
            int32 `(windows, words)`, the positions of its words, -1 after the last.
        """
        windows = self.windows(features)
        read = windows["read"]
        scores = self._score(read, True) if training else self._in_turn(read)
        count = tf.shape(scores)[0]
        null = tf.gather(scores, windows["null"], batch_dims=1) + self.bias
        is_word = windows["starts"] >= 0
        words = tf.maximum(tf.reduce_max(tf.reduce_sum(tf.cast(is_word, tf.int64), axis=1)), 1)

        def of_words(values: Any, fill: Any) -> Any:
            shape = tf.stack([tf.cast(count, tf.int64), words, *values.shape[2:]])
            return tf.ragged.boolean_mask(values, is_word).to_tensor(fill, shape=shape)

        return {
            "scores": tf.concat([null[:, None], of_words(scores, _NEVER)], axis=1),
            "rows": windows["rows"],
            "starts": of_words(windows["starts"], -1),
            "ends": of_words(windows["ends"], -1),
        }

    def windows(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """Lays out the windows that the encoder reads.

        Returns:
            `read`, its features, `(windows, length)`; `rows`, the question of each window;
            `null`, the position of the token for no answer; and `starts` and `ends`,
            `(windows, length)`, the position of a token's word if it is its first token, else -1.
        """
        asked = features["question_ids"]
        in_question = tf.reduce_sum(tf.cast(asked >= 0, tf.int32), axis=1)
        in_context = tf.reduce_sum(features["padding_mask"], axis=1)
        head = self.before + in_question + self.separators
        room = self.length - head - 1
        step = room - room // 2 if self.stride is None else tf.minimum(room, self.stride)
        counts = 1 - -tf.maximum(in_context - room, 0) // step
        rows = tf.repeat(tf.range(tf.size(counts)), counts)
        number = tf.range(tf.size(rows)) - tf.gather(tf.cumsum(counts, exclusive=True), rows)
        begin = number * tf.gather(step, rows)
        size = tf.minimum(tf.gather(in_context, rows) - begin, tf.gather(room, rows))
        head, asked_size = tf.gather(head, rows), tf.gather(in_question, rows)

        place = tf.range(tf.reduce_max(tf.concat([head + size + 1, [1]], 0)))[None]
        within = place - head[:, None]  # counted from the first token of the context
        is_context = (within >= 0) & (within < size[:, None])
        is_real = within <= size[:, None]
        is_question = (place >= self.before) & (place < (self.before + asked_size)[:, None])

        def taken(values: Any, at: Any) -> Any:
            at = tf.clip_by_value(at, 0, tf.shape(values)[1] - 1)
            row = tf.broadcast_to(rows[:, None], tf.shape(at))
            return tf.gather_nd(values, tf.stack([row, at], axis=-1))

        at = begin[:, None] + within
        ids = tf.where(is_context, taken(features["token_ids"], at), self.end_id)
        asked_at = tf.broadcast_to(place - self.before, tf.shape(at))
        ids = tf.where(is_question, taken(asked, asked_at), ids)
        if self.before:
            ids = tf.where(place == 0, self.start_id, ids)
        return {
            "read": {
                "token_ids": tf.where(is_real, ids, self.pad_id),
                "padding_mask": tf.cast(is_real, tf.int32),
                "segment_ids": tf.cast((within >= 0) & is_real, tf.int32),
            },
            "rows": rows,
            "null": tf.zeros_like(rows) if self.null_first else head + size,
            "starts": tf.where(is_context, taken(features["starts"], at), -1),
            "ends": tf.where(is_context, taken(features["ends"], at), -1),
        }

    def _score(self, read: Mapping[str, Any], training: bool) -> tf.Tensor:
        vectors = self.encoder(dict(read), training=training)["sequence_output"]
        vectors = self.dropout(tf.cast(vectors, tf.float32), training=training)
        return tf.tensordot(vectors, self.kernel, 1)

    def _in_turn(self, read: Mapping[str, Any]) -> tf.Tensor:
        """Scores the windows in groups, one after another: a text may have very many."""
        count = tf.shape(read["token_ids"])[0]
        turns = tf.maximum(-(-count // _AT_ONCE), 1)
        found = tf.TensorArray(tf.float32, turns, element_shape=[None, None, 2], infer_shape=False)

        def step(turn: tf.Tensor, found: tf.TensorArray) -> Any:
            part = {
                name: values[turn * _AT_ONCE : (turn + 1) * _AT_ONCE]
                for name, values in read.items()
            }
            return turn + 1, found.write(turn, self._score(part, False))

        _, found = tf.while_loop(
            lambda turn, _: turn < turns, step, (0, found), parallel_iterations=1
        )
        return tf.ensure_shape(found.concat(), [None, None, 2])

    def best(self, scored: Mapping[str, tf.Tensor], questions: tf.Tensor, most: int) -> Best:
        """Finds the best answer in all windows of each question.

        Args:
            scored: the result of `call`.
            questions: number of questions.
            most: most words of an answer.
        """
        logs = tf.nn.log_softmax(scored["scores"], axis=1)
        rows, starts = scored["rows"], scored["starts"]
        words = tf.shape(starts)[1]
        further = tf.range(tf.minimum(most, words))
        at = tf.range(words)[:, None] + further
        last = tf.minimum(at, words - 1)
        begins, ends = logs[:, 1:, 0], logs[:, 1:, 1]
        spans = begins[:, :, None] + tf.where(at < words, tf.gather(ends, last, axis=1), _NEVER)
        flat = tf.reshape(spans, [tf.shape(spans)[0], -1])
        which = tf.argmax(flat, axis=1, output_type=tf.int32)
        highest = tf.gather(flat, which, batch_dims=1)
        first, more = which // tf.size(further), which % tf.size(further)
        of_window = (
            tf.gather(starts, first, batch_dims=1),
            tf.gather(scored["ends"], tf.minimum(first + more, words - 1), batch_dims=1),
        )
        answer = tf.math.unsorted_segment_max(highest, rows, questions)
        count = tf.size(rows)
        is_best = highest == tf.gather(answer, rows)
        window = tf.math.unsorted_segment_min(
            tf.where(is_best, tf.range(count), count), rows, questions
        )
        nothing = tf.math.unsorted_segment_min(logs[:, 0, 0] + logs[:, 0, 1], rows, questions)
        start, end = (tf.gather(values, tf.minimum(window, count - 1)) for values in of_window)
        return Best(start, end, answer, nothing)

    def losses_of(
        self,
        scored: Mapping[str, tf.Tensor],
        features: Mapping[str, tf.Tensor],
        first: tf.Tensor,
        last: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes the losses of windows.

        A window with the whole answer must point to it. A window without any part of it must point
        to no answer. A window that cuts the answer has weight 0.

        Args:
            scored: the result of `call`.
            features: the features that `call` read.
            first: the first character of the answer of each question, int32 `(batch,)`; -1 if
                there is no answer.
            last: the position after its last character.

        Returns:
            Losses in nats, and weights of 0 or 1, float32 `(windows,)` each.
        """

        def touched(starts: Any, ends: Any, first: Any, last: Any) -> Any:
            return (starts >= 0) & (starts < last[:, None]) & (ends > first[:, None])

        rows = scored["rows"]
        of_all = touched(features["starts"], features["ends"], first, last)
        of_window = touched(
            scored["starts"], scored["ends"], tf.gather(first, rows), tf.gather(last, rows)
        )
        wanted = tf.gather(tf.reduce_sum(tf.cast(of_all, tf.int32), axis=1), rows)
        of_window = tf.cast(of_window, tf.int32)
        found = tf.reduce_sum(of_window, axis=1)
        begin = 1 + tf.argmax(of_window, axis=1, output_type=tf.int32)
        begin = tf.where(found > 0, begin, 0)
        end = tf.where(found > 0, begin + found - 1, 0)
        scores = scored["scores"]
        nats = [
            tf.nn.sparse_softmax_cross_entropy_with_logits(places, scores[..., side])
            for side, places in enumerate((begin, end))
        ]
        is_told = (found == 0) | (found == wanted)
        weights = tf.where(is_told, 1.0, 0.0)
        return weights * (nats[0] + nats[1]) / 2, weights
