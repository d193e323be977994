"""`keras.layers.LSTM` and `keras.layers.GRU` with a gradient written by hand, for training on CPU.

TensorFlow differentiates Keras's loop over time step by step: every step multiplies for each
gradient and keeps its intermediates on stacks. Here a few steps are taken at once. Whatever does
not depend on the step before, such as the gradients of the weights, is one larger operation for all
of them, which the runtime computes in parallel with the next steps. `benchmarks/recurrent_speed.py`
measures the gain.

With a GPU, under XLA, and for anything but the plain layer, these are Keras's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.layers.recurrent_steps import GRUSteps, LSTMSteps

_CHUNK = 4  # time steps taken at once
_AHEAD = 8  # iterations of a loop that TensorFlow may begin before the first is done


def _join(steps: list[list[tf.Tensor]]) -> list[tf.Tensor]:
    return [tf.concat(values, 0) for values in zip(*steps, strict=True)]


def _unjoin(values: list[tf.Tensor], n: int) -> list[tuple[tf.Tensor, ...]]:
    return list(zip(*[tf.split(value, n) for value in values], strict=True))


def _recur(make_steps: Any, x: Any, keep: Any, weights: Any, states: Any, training: bool) -> Any:
    """Computes outputs at every step and last states.

    Args:
        make_steps: `LSTMSteps` or `GRUSteps`.
        x: `(time, batch, features)`.
        keep: None, or bool `(time, batch, 1)`: if False, a step does not change the states.
        weights: kernel, recurrent kernel and bias.
        states: the states before the first step.
        training: whether to keep the values that the hand-written gradient needs. Without them,
            TensorFlow still differentiates the loop by itself.
    """
    features, units = weights[0].shape[0], weights[1].shape[0]
    time, batch = tf.shape(x)[0], tf.shape(x)[1]
    whole, chunks = time - time % _CHUNK, time // _CHUNK + time % _CHUNK
    keep = None if keep is None else tf.reshape(keep, [-1, 1])

    def rows_list(size: tf.Tensor, width: int) -> tf.TensorArray:
        shape = [None, width]
        return tf.TensorArray(
            "float32", size, element_shape=shape, infer_shape=False, clear_after_read=False
        )

    def run(x: tf.Tensor, *inputs: tf.Tensor) -> Any:
        weights, states = inputs[:3], inputs[3:]
        steps, kernel_t = make_steps(*weights), tf.transpose(weights[0])

        def forwards(n: int, slot: Any, t: Any, states: Any, hs: Any, saved: Any) -> Any:
            rows = slice(t * batch, (t + n) * batch)
            kept = [None] * n if keep is None else tf.split(keep[rows], n)
            left = []
            for parts, k in zip(_unjoin(steps.project(x[rows]), n), kept, strict=True):
                new, values = steps.step(*parts, *states)
                if k is not None:
                    new = [tf.where(k, a, b) for a, b in zip(new, states, strict=True)]
                states = new
                left.append([states[0], *values])
            for state, first in zip(states, inputs[3:], strict=True):
                state.set_shape(first.shape)
            h, *values = _join(left)
            saved = [a.write(slot, v) for a, v in zip(saved, values, strict=False)]
            return slot + 1, t + n, states, hs.write(slot + 1, h), saved

        hs = rows_list(chunks + 1, units).write(0, states[0])
        saved = [rows_list(chunks, width * units) for width in steps.saved] if training else []
        loop = (tf.constant(0), tf.constant(0), list(states), hs, saved)
        for n, end in ((_CHUNK, whole), (1, time)):
            loop = tf.while_loop(
                lambda slot, t, *_, end=end: t < end,
                lambda *v, n=n: forwards(n, *v),
                loop,
                parallel_iterations=_AHEAD,
            )
        *_, last, hs, saved = loop
        hs = hs.concat()

        def backwards(n: int, dy: Any, slot: Any, t: Any, states: Any, dx: Any, sums: Any) -> Any:
            slot, t = slot - 1, t - n
            rows = slice(t * batch, (t + n) * batch)
            slopes, held = steps.slopes(hs[rows], *[a.read(slot) for a in saved]), [None] * n
            if keep is not None:
                k = tf.cast(keep[rows], "float32")
                slopes = [tf.where(keep[rows], slopes[0], 1.0), *[s * k for s in slopes[1:]]]
                held = tf.split(1.0 - k, n)
            parts, dy = _unjoin(slopes, n), tf.split(dy[rows], n)
            left: list[Any] = []
            for j in reversed(range(n)):
                states, values = steps.back(parts[j], held[j], states[0] + dy[j], *states[1:])
                left.insert(0, values)
            for state, first in zip(states, inputs[3:], strict=True):
                state.set_shape(first.shape)
            outer, inner, d_bias = steps.gate_gradients(slopes, *_join(left))
            d_kernel = tf.matmul(x[rows], outer, transpose_a=True)
            d_recurrent = tf.matmul(hs[rows], inner, transpose_a=True)
            sums = [a + b for a, b in zip(sums, (d_kernel, d_recurrent, d_bias), strict=True)]
            return slot, t, states, dx.write(slot, outer @ kernel_t), sums

        def gradient(dy: tf.Tensor, *d_last: tf.Tensor) -> Any:
            zeros = [tf.zeros_like(w) for w in weights]
            loop = (chunks, time, list(d_last), rows_list(chunks, features), zeros)
            for n, end in ((1, whole), (_CHUNK, 0)):
                loop = tf.while_loop(
                    lambda slot, t, *_, end=end: t > end,
                    lambda *v, n=n: backwards(n, dy, *v),
                    loop,
                    parallel_iterations=_AHEAD,
                )
            *_, d_states, dx, sums = loop
            return dx.concat(), *sums, *d_states

        return (hs[batch:], *last), gradient

    inputs = [tf.reshape(x, [-1, features]), *weights, *states]
    ys, *last = tf.custom_gradient(run)(*inputs) if training else run(*inputs)[0]
    return tf.reshape(ys, [time, batch, units]), last


def _recur_plainly(make_steps: Any, x: Any, keep: Any, weights: Any, states: Any) -> Any:
    """`_recur` for inference, in operations that other runtimes have: step by step, no lists."""
    steps = make_steps(*weights)
    time, batch = tf.unstack(tf.shape(x)[:2])
    parts = [
        tf.reshape(part, tf.stack([time, batch, part.shape[-1]]))
        for part in steps.project(tf.reshape(x, [-1, weights[0].shape[0]]))
    ]

    def forwards(t: Any, ys: Any, *states: Any) -> Any:
        new, _ = steps.step(*(part[t] for part in parts), *states)
        if keep is not None:
            new = [tf.where(keep[t], a, b) for a, b in zip(new, states, strict=True)]
        return t + 1, tf.concat([ys, new[0][tf.newaxis]], 0), *new

    shapes = [tf.TensorShape([None, state.shape[-1]]) for state in states]
    _, ys, *last = tf.while_loop(
        lambda t, *_: t < time,
        forwards,
        (tf.constant(0), states[0][tf.newaxis], *states),
        (tf.TensorShape([]), tf.TensorShape([None, *shapes[0]]), *shapes),
    )
    return ys[1:], last


def _inner_loop(steps: Any, layer: Any, x: Any, states: Any, mask: Any, training: Any) -> Any:
    """Returns what `keras.layers.RNN.inner_loop` does: last output, all outputs, last states."""
    shape = (x.shape[0], x.shape[1], layer.units)
    x, keep = tf.transpose(x, [1, 0, 2]), None
    if mask is not None:
        keep = tf.expand_dims(tf.transpose(tf.cast(tf.nest.flatten(mask)[0], "bool")), -1)
    if layer.go_backwards:
        x, keep = tf.reverse(x, [0]), None if keep is None else tf.reverse(keep, [0])
    cell = layer.cell
    weights = [tf.convert_to_tensor(w) for w in (cell.kernel, cell.recurrent_kernel, cell.bias)]
    if layer.plain:
        y, states = _recur_plainly(steps, x, keep, weights, states)
    else:
        y, states = _recur(steps, x, keep, weights, states, bool(training))
    if keep is not None:  # as in Keras: zeros until the first step kept, or at every step left out
        seen = keep if layer.zero_output_for_mask else tf.cumsum(tf.cast(keep, "int32")) > 0
        y = tf.where(seen, y, 0.0)
    return y[-1], tf.ensure_shape(tf.transpose(y, [1, 0, 2]), shape), states


def set_xla(encoder: keras.Model, xla: bool) -> None:
    """Sets, in layers that compute differently under XLA, whether the encoder will be compiled.

    Args:
        encoder: a functional model.
        xla: whether its model is compiled with `jit_compile=True`.
    """
    for layer in [*encoder.layers, *_recurrent_layers(encoder)]:
        if hasattr(layer, "xla"):
            layer.xla = xla


@contextmanager
def portable(encoder: keras.Model, plain: bool = False, padded: bool = False) -> Iterator[None]:
    """Keeps cuDNN kernels, which no CPU has, out of the graphs that are traced within.

    Args:
        encoder: a functional model.
        plain: whether runtimes other than TensorFlow must be able to run the graphs: loops then
            have no lists of tensors. The answers are the same.
        padded: whether transformers compute padding like tokens, as under XLA.
    """
    changes: list[tuple[Any, str, Any]] = []
    for layer in _recurrent_layers(encoder):
        changes += [(layer, "use_cudnn", False), (layer, "plain", plain)]
    if padded:
        changes += [(x, "xla", True) for x in encoder.layers if hasattr(x, "xla")]
    former = [getattr(layer, name) for layer, name, _ in changes]
    for layer, name, value in changes:
        setattr(layer, name, value)
    try:
        yield
    finally:
        for (layer, name, _), value in zip(changes, former, strict=True):
            setattr(layer, name, value)


def _recurrent_layers(encoder: keras.Model) -> list[Any]:
    parts = ("forward_layer", "backward_layer")
    found = {id(p): p for x in encoder.layers for p in (getattr(x, n, x) for n in parts)}
    return [part for part in found.values() if isinstance(part, _FastLoop)]


def _is_plain(layer: Any) -> bool:
    """Whether `layer` computes the formulas of this module, on a machine without a GPU."""
    return (
        (layer.plain or not layer.xla)
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
        and not (layer.dropout or layer.recurrent_dropout or layer.unroll)
        and getattr(layer, "reset_after", True)
        and layer.compute_dtype == layer.variable_dtype == "float32"
        and (layer.plain or not tf.config.list_logical_devices("GPU"))
    )


class _FastLoop(keras.layers.Layer):
    """Replaces a recurrent layer's loop over time, if possible."""

    steps: type[LSTMSteps] | type[GRUSteps]
    xla = False
    plain = False  # see `portable`

    def inner_loop(
        self, sequences: Any, initial_state: Any, mask: Any, training: bool = False
    ) -> Any:
        """Runs the loop; `call` calls it with the initial states."""
        if _is_plain(self):
            return _inner_loop(self.steps, self, sequences, initial_state, mask, training)
        return super().inner_loop(sequences, initial_state, mask, training)


@keras.saving.register_keras_serializable("keras_seqzoo")
class FastLSTM(_FastLoop, keras.layers.LSTM):
    """`keras.layers.LSTM`, faster to train on CPU; same arguments, weights and results."""

    steps = LSTMSteps


@keras.saving.register_keras_serializable("keras_seqzoo")
class FastGRU(_FastLoop, keras.layers.GRU):
    """`keras.layers.GRU`, faster to train on CPU; same arguments, weights and results."""

    steps = GRUSteps
