"""One step of an LSTM and of a GRU, forwards and backwards, for the loops of `recurrent`.

The formulas are those of `keras.layers.LSTM` (Hochreiter and Schmidhuber 1997, with a forget gate)
and of `keras.layers.GRU` with `reset_after=True` (Cho et al. 2014, in cuDNN's form), with their
derivatives. `tests/layers` compares both with Keras's results and with TensorFlow's own gradients.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_sigmoid_grad, _tanh_grad = tf.raw_ops.SigmoidGrad, tf.raw_ops.TanhGrad


class LSTMSteps:
    """The arithmetic of an LSTM, forwards and backwards; every tensor is `(rows, width)`."""

    saved = (4, 1, 1)  # widths of the values that `step` keeps for `slopes`, in units

    def __init__(self, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor) -> None:
        # sigmoid(x) is tanh(x / 2) / 2 + 1 / 2: one tanh serves all gates.
        self.scale = tf.repeat(tf.constant([0.5, 0.5, 1.0, 0.5]), recurrent.shape[0])
        self.shift = tf.repeat(tf.constant([0.5, 0.5, 0.0, 0.5]), recurrent.shape[0])
        self.kernel, self.bias = kernel * self.scale, bias * self.scale
        self.recurrent, self.recurrent_t = recurrent * self.scale, tf.transpose(recurrent)

    def project(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Computes the inputs' part of the gates, for many steps at once."""
        return [tf.nn.bias_add(x @ self.kernel, self.bias)]

    def step(self, z: tf.Tensor, h: tf.Tensor, c: tf.Tensor) -> tuple[list[Any], list[Any]]:
        """Returns the new states, and the values that the backward pass needs from this step."""
        gates = tf.tanh(z + h @ self.recurrent) * self.scale + self.shift
        i, f, g, o = tf.split(gates, 4, 1)
        new_c = f * c + i * g
        tanh_c = tf.tanh(new_c)
        return [o * tanh_c, new_c], [gates, c, tanh_c]

    def slopes(self, h: tf.Tensor, gates: Any, c: Any, tanh_c: Any) -> list[tf.Tensor]:
        """Returns factors of `back` for many steps; the first is the share that a state keeps."""
        i, f, g, o = tf.split(gates, 4, 1)
        gate_slopes = [_sigmoid_grad(y=i, dy=g), _sigmoid_grad(y=f, dy=c), _tanh_grad(y=g, dy=i)]
        gate_slopes.append(_sigmoid_grad(y=o, dy=tanh_c))
        return [f, _tanh_grad(y=tanh_c, dy=o), tf.concat(gate_slopes, 1)]

    def back(self, slopes: Any, held: Any, dh: Any, dc: Any) -> tuple[list[Any], list[Any]]:
        """Returns gradients of the states before a step, and those for `gate_gradients`."""
        f, c_slope, gate_slope = slopes
        dc = dc + dh * c_slope
        dz = tf.concat([dc, dc, dc, dh], 1) * gate_slope
        dh_before = dz @ self.recurrent_t
        return [dh_before if held is None else dh_before + dh * held, dc * f], [dz]

    def gate_gradients(self, slopes: Any, dz: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns gradients of `x @ kernel`, `h @ recurrent` and the bias, for many steps."""
        return dz, dz, tf.reduce_sum(dz, 0)


class GRUSteps:
    """Like `LSTMSteps`, for a GRU whose reset gate follows the product (`reset_after=True`)."""

    saved = (2, 1, 1)

    def __init__(self, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor) -> None:
        self.widths = [2 * recurrent.shape[0], recurrent.shape[0]]
        self.kernel, self.bias = kernel, bias
        self.recurrent, self.recurrent_t = recurrent, tf.transpose(recurrent)

    def project(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Computes the inputs' part of the gates and, separately, of the candidate."""
        return tf.split(tf.nn.bias_add(x @ self.kernel, self.bias[0]), self.widths, 1)

    def step(self, x_zr: Any, x_g: Any, h: tf.Tensor) -> tuple[list[Any], list[Any]]:
        """Returns the new state, and the values that the backward pass needs from this step."""
        inner = tf.nn.bias_add(h @ self.recurrent, self.bias[1])
        h_zr, h_g = tf.split(inner, self.widths, 1)
        zr = tf.tanh((x_zr + h_zr) * 0.5) * 0.5 + 0.5
        z, r = tf.split(zr, 2, 1)
        g = tf.tanh(x_g + r * h_g)
        return [g + z * (h - g)], [zr, g, h_g]

    def slopes(self, h: tf.Tensor, zr: Any, g: Any, h_g: Any) -> list[tf.Tensor]:
        """Returns factors of `back` for many steps; the first is the share that a state keeps."""
        z, r = tf.split(zr, 2, 1)
        g_slope = _tanh_grad(y=g, dy=1.0 - z)
        z_slope, r_slope = _sigmoid_grad(y=z, dy=h - g), _sigmoid_grad(y=r, dy=h_g)
        return [z, g_slope, tf.concat([z_slope, g_slope * r_slope, g_slope * r], 1)]

    def back(self, slopes: Any, held: Any, dh: Any) -> tuple[list[Any], list[Any]]:
        """Returns the gradient of the state before a step, and the values for `gate_gradients`."""
        z, _, inner_slope = slopes
        d_inner = tf.concat([dh, dh, dh], 1) * inner_slope
        return [dh * z + d_inner @ self.recurrent_t], [d_inner, dh]

    def gate_gradients(self, slopes: Any, d_inner: Any, dh: Any) -> tuple[Any, Any, Any]:
        """Returns gradients of `x @ kernel`, `h @ recurrent` and the biases, for many steps."""
        d_outer = tf.concat([tf.split(d_inner, self.widths, 1)[0], dh * slopes[1]], 1)
        return d_outer, d_inner, tf.stack([tf.reduce_sum(v, 0) for v in (d_outer, d_inner)])
