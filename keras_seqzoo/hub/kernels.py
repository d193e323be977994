"""Functions of an encoder in training, with gradients written by hand.

TensorFlow's automatic gradients store and read several times as many arrays.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

_CUBE = 0.044715  # in GELU by tanh: Hendrycks and Gimpel (2016), Gaussian Error Linear Units
_SLOPE = math.sqrt(2 / math.pi)


def drop(values: Any, rate: float, seed: Any) -> Any:
    """Dropout: sets a share of the values to zero, and scales the others up to match.

    Args:
        values: an array of any shape.
        rate: the share; the actual one may differ by a fiftieth of it or of the rest.
        seed: two numbers, as for `tf.random.stateless_uniform`.
    """

    @tf.custom_gradient
    def dropped(values: Any) -> Any:
        kept, scale = _kept(tf.shape(values), rate, seed)

        def masked(values: Any) -> Any:
            # Not cast before it is used: until then, the mask takes a byte for each value.
            with tf.control_dependencies([values]):
                is_kept = tf.identity(kept)
            return values * (tf.cast(is_kept, values.dtype) * tf.cast(scale, values.dtype))

        return masked(values), masked

    return dropped(values)


def attend(
    queries: Any, keys: Any, values: Any, masked: Any, rate: float, seed: Any, rows: Any
) -> Any:
    """Attention that stores no scores: its gradient computes them again, block by block.

    It follows Rabe and Staats (2021), Self-attention does not need O(n²) memory, with the gradient
    of Dao et al. (2022), FlashAttention.

    Args:
        queries: `(batch, heads, length, width)`, divided by the square root of their width.
        keys: the same shape as `queries`.
        values: the same shape as `queries`.
        masked: added to the scores, float32 `(batch, 1, 1, length)`.
        rate: dropout rate of the attention weights.
        seed: seed of the dropout, as in `drop`; None for no dropout.
        rows: of the `batch · heads` rows of scores, how many a block has; None for a single block.

    Returns:
        The weighted means of the values, in the shape of `queries`.
    """
    kind, width = queries.dtype, queries.shape[-1]
    batch, heads, length, _ = tf.unstack(tf.shape(queries))
    masked = tf.repeat(tf.squeeze(masked, 1), heads, 0)
    # The draws are stored, one byte each: drawing again would cost more than all the rest.
    drawn, scale = [], 1.0
    if seed is not None:
        kept, scale = _kept([batch * heads, length, length], rate, seed)
        drawn = [kept]

    def shares_of(queries: Any, keys: Any, masked: Any) -> Any:
        scores = tf.cast(tf.matmul(queries, keys, transpose_b=True), tf.float32)
        return tf.nn.softmax(scores + masked)

    def dropped(array: Any, kept: tuple[Any, ...]) -> Any:
        return array * tf.cast(kept[0], array.dtype) if kept else array

    def means_of(queries: Any, keys: Any, values: Any, masked: Any, *kept: Any) -> list[Any]:
        shares = dropped(shares_of(queries, keys, masked), kept)
        return [tf.matmul(tf.cast(shares, kind), values)]

    def gradients_of(
        queries: Any, keys: Any, values: Any, masked: Any, means: Any, upstream: Any, *kept: Any
    ) -> list[Any]:
        shares = shares_of(queries, keys, masked)
        of_shares = tf.cast(tf.matmul(upstream, values, transpose_b=True), tf.float32)
        # The mean of the gradients of shares, weighted by them.
        mean = tf.reduce_sum(tf.cast(upstream * means, tf.float32), -1, keepdims=True)
        of_scores = tf.cast(shares * (dropped(of_shares, kept) - mean), kind)
        return [
            tf.matmul(of_scores, keys),
            tf.matmul(of_scores, queries, transpose_a=True),
            tf.matmul(tf.cast(dropped(shares, kept), kind), upstream, transpose_a=True),
        ]

    def flat(array: Any) -> Any:
        return tf.reshape(array, [-1, length, width])

    def by_head(arrays: list[Any]) -> list[Any]:
        return [tf.reshape(array, [batch, heads, length, width]) for array in arrays]

    @tf.custom_gradient
    def attended(queries: Any, keys: Any, values: Any) -> Any:
        given = [flat(queries), flat(keys), flat(values * tf.cast(scale, kind)), masked]
        (means,) = _in_blocks(means_of, 1, rows, [*given, *drawn])

        def gradient(upstream: Any) -> Any:
            more = [*given, means, flat(upstream), *drawn]
            of_queries, of_keys, of_values = by_head(_in_blocks(gradients_of, 3, rows, more))
            return of_queries, of_keys, of_values * tf.cast(scale, kind)

        return by_head([means])[0], gradient

    return attended(queries, keys, values)


def _in_blocks(made: Any, parts: int, rows: Any, arrays: list[Any]) -> list[Any]:
    """Calls `made`, which returns `parts` arrays, on blocks of `rows` rows; joins the results."""
    if rows is None:
        return list(made(*arrays))
    end, rows = tf.shape(arrays[0])[0], tf.maximum(rows, 1)
    blocks = (end + rows - 1) // rows

    def block(number: Any, *lists: Any) -> tuple[Any, ...]:
        news = made(*(array[number * rows : (number + 1) * rows] for array in arrays))
        return number + 1, *(old.write(number, new) for old, new in zip(lists, news, strict=True))

    lists = [tf.TensorArray(arrays[0].dtype, blocks, infer_shape=False) for _ in range(parts)]
    found = tf.while_loop(
        lambda number, *_: number < blocks, block, (0, *lists), parallel_iterations=1
    )
    return [part.concat() for part in found[1:]]


def _kept(shape: Any, rate: float, seed: Any) -> tuple[Any, float]:
    """Which values dropout keeps, bool of that shape, and the factor that scales them up.

    It draws one byte for each value if that is precise enough, else two.
    """
    is_fine = abs(round(rate * 256) / 256 - rate) <= min(rate, 1 - rate) / 50
    kind, levels = (tf.uint8, 256) if is_fine else (tf.uint16, 65_536)
    size, each = tf.reduce_prod(tf.cast(shape, tf.int64)), 4 // kind.size
    drawn = tf.random.stateless_uniform([(size + each - 1) // each], seed, None, None, tf.uint32)
    numbers = tf.reshape(tf.bitcast(drawn, kind), [-1])[:size]
    least = round(rate * levels)
    return tf.reshape(numbers >= least, shape), levels / (levels - least)


@tf.custom_gradient
def collect(rows: Any, places: Any) -> Any:
    """`rows` `(all, width)` at places `(n, 1)`, which must not repeat."""

    def gradient(upstream: Any) -> Any:
        return tf.scatter_nd(places, upstream, tf.shape(rows, tf.int64)), None

    return tf.gather_nd(rows, places), gradient


def move(rows: Any, there: Any, back: Any, real: Any) -> Any:
    """`rows[there]`; each row moved to `back`. Copies of it have a `real` of 0, or are unread."""

    @tf.custom_gradient
    def moved(rows: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            found = tf.gather(tf.reshape(upstream, [-1, upstream.shape[-1]]), back)
            if real is not None:
                found *= tf.cast(real, found.dtype)
            return tf.reshape(found, tf.shape(rows))

        return tf.gather(rows, there), gradient

    return moved(rows)


@tf.custom_gradient
def layer_norm(values: Any, gamma: Any, beta: Any, epsilon: Any) -> Any:
    """Layer norm (Ba et al. 2016) of `(n, width)`."""
    centred = values - tf.reduce_mean(values, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
    inverse = tf.math.rsqrt(variance + epsilon)
    normal = centred * inverse

    def gradient(upstream: Any) -> Any:
        of_normal = upstream * gamma
        mean = tf.reduce_mean(of_normal, axis=-1, keepdims=True)
        slope = tf.reduce_mean(of_normal * normal, axis=-1, keepdims=True)
        of_values = inverse * (of_normal - mean - normal * slope)
        of_gamma = tf.reduce_sum(upstream * normal, axis=0)
        return of_values, of_gamma, tf.reduce_sum(upstream, axis=0), None

    return normal * gamma + beta, gradient


@tf.custom_gradient
def gelu_tanh(values: Any) -> Any:
    """GELU by tanh: `x · sigmoid(2u)`, `u = sqrt(2/pi) · (x + 0.044715 x³)`."""
    square = tf.square(values)
    gate = tf.sigmoid(values * (2 * _SLOPE + 2 * _SLOPE * _CUBE * square))
    active = values * gate

    def gradient(upstream: Any) -> Any:
        slope = 2 * _SLOPE + 6 * _SLOPE * _CUBE * tf.square(values)
        return upstream * (gate + active * (1 - gate) * slope)

    return active, gradient


@tf.custom_gradient
def gelu(values: Any) -> Any:
    """GELU: `x` times the normal distribution's share below it."""
    share = 0.5 + 0.5 * tf.math.erf(values * math.sqrt(0.5))

    def gradient(upstream: Any) -> Any:
        density = tf.exp(tf.square(values) * -0.5) / math.sqrt(2 * math.pi)
        return upstream * (share + values * density)

    return values * share, gradient
