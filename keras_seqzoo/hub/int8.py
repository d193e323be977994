"""Products of 8-bit integers in a `TransformerEncoder`, for inference on CPUs.

A kernel has a scale for each of its columns. Its input has one range, measured on sample texts in
advance, so that the answer to a text does not depend on the other texts of its batch. If the input
comes from a norm, a few of its channels are much larger than all others: these are made smaller,
and their rows of the kernel larger (Xiao et al. 2023, SmoothQuant).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework.attr_value_pb2 import AttrValue

from keras_seqzoo.hub.transformer import Step, TransformerEncoder

_LEVELS = 255  # levels of a kernel's input; a kernel has -127 to 127
_SMOOTHED = ("projection_", "query_key_value_", "intermediate_")
_ROWS = 16  # rows in a batch while ranges are measured
_SHARE = 0.75  # share of the difference between channels that moves to the kernel
_LEAST = 1e-5
_GELU = {"gelu_tanh": "GeluApproximate", "gelu": "GeluExact", "relu": "Relu"}


def encoders(model: keras.Model) -> list[TransformerEncoder]:
    """Returns the layers of a functional model that can multiply integers."""
    return [layer for layer in model.layers if isinstance(layer, TransformerEncoder)]


@contextmanager
def eight_bits(model: keras.Model, features: Mapping[str, tf.Tensor]) -> Iterator[None]:
    """Makes a model multiply 8-bit integers in functions that are traced inside the context.

    Args:
        model: a functional model with `encoders`.
        features: features of texts like those of future requests, to measure the ranges.
    """
    found = encoders(model)
    former = [layer.step for layer in found]
    seen: list[dict[str, Any]] = [{} for _ in found]
    try:
        for layer, inputs in zip(found, seen, strict=True):
            layer.step = _watching(inputs)
        for start in range(0, len(features["token_ids"]), _ROWS):
            model({k: v[start : start + _ROWS] for k, v in features.items()}, training=False)
        for layer, inputs in zip(found, seen, strict=True):
            layer.step = _Parts(layer, inputs).step
        yield
    finally:
        for layer, step in zip(found, former, strict=True):
            layer.step = step


def _watching(seen: dict[str, Any]) -> Any:
    """A step that records the smallest and largest value of each channel of a dense layer."""

    class Watching(Step):
        def dense(self, values: Any, name: str, activation: str | None = None) -> Any:
            ends = tf.reduce_min(values, 0), tf.reduce_max(values, 0)
            least, largest = (np.asarray(end, np.float32) for end in ends)
            former = seen.get(name, (least, largest))
            seen[name] = np.minimum(former[0], least), np.maximum(former[1], largest)
            return super().dense(values, name, activation)

    return Watching


class _Parts(tf.Module):
    """An encoder's token embedding and dense layers in 8 bits, except the pooler."""

    def __init__(self, encoder: TransformerEncoder, seen: Mapping[str, Any]):
        super().__init__()
        weights = {name: np.asarray(w, np.float32) for name, w in encoder._weights.items()}
        self.table = _Table(weights["token_embedding"])
        self.products = {
            name: _Product(
                weights[f"{name}kernel"],
                weights[f"{name}bias"],
                inputs,
                _SHARE if name.endswith(_SMOOTHED) else 0.0,
            )
            for name, inputs in seen.items()
            if name != "pooler_"
        }

    def step(self, *args: Any) -> Step:
        """One pass of a batch with these integers."""
        parts = self

        class Int8Step(Step):
            def vectors(self, ids: Any) -> Any:
                return parts.table(ids)

            def dense(self, values: Any, name: str, activation: str | None = None) -> Any:
                if name not in parts.products:
                    return super().dense(values, name, activation)
                return parts.products[name](values, activation)

        return Int8Step(*args)


class _Table(tf.Module):
    """Rows of integers, each with a scale."""

    def __init__(self, table: npt.NDArray[np.float32]):
        super().__init__()
        scales = np.maximum(np.abs(table).max(1, keepdims=True), _LEAST) / 127
        self.rows = tf.Variable(np.round(table / scales).astype(np.int8), trainable=False)
        self.scales = tf.Variable(scales, trainable=False)

    def __call__(self, ids: Any) -> Any:
        """The vectors of ids."""
        return tf.cast(tf.gather(self.rows, ids), tf.float32) * tf.gather(self.scales, ids)


class _Product(tf.Module):
    """`values · kernel + bias`, in integers up to the bias.

    Args:
        kernel: float32 `(inputs, outputs)`.
        bias: float32 `(outputs,)`.
        ends: the smallest and the largest value of each input, float32 `(inputs,)` each.
        share: share of the difference between inputs that moves to the kernel; 0 for none.
    """

    def __init__(self, kernel: Any, bias: Any, ends: tuple[Any, Any], share: float):
        super().__init__()
        channels = np.maximum(np.abs(ends).max(0), _LEAST)
        rows = np.maximum(np.abs(kernel).max(1), _LEAST)
        smooth = channels**share / rows ** (1 - share) if share else np.ones_like(channels)
        smooth = (smooth / np.exp(np.log(smooth).mean())).astype(np.float32)
        kernel, seen = kernel * smooth[:, np.newaxis], np.stack(ends) / smooth
        self._narrower = 1 / smooth if share else None
        low, high = min(seen.min(), 0.0), max(seen.max(), _LEAST)
        # 0 must be an exact integer, too.
        self._scale = (high - low) / _LEVELS
        zero = np.round(-low / self._scale)
        self._low = float(-zero * self._scale)
        scales = np.maximum(np.abs(kernel).max(0), _LEAST) / 127
        whole = np.round(kernel / scales).astype(np.int8)
        self.kernel = tf.Variable(whole, trainable=False)
        self._scales = scales.astype(np.float32)
        self._bias = bias - zero * self._scale * scales * whole.astype(np.int32).sum(0)

    def __call__(self, given: Any, activation: str | None) -> Any:
        values = tf.cast(given, tf.float32)
        if self._narrower is not None:
            values *= self._narrower
        # The op's other modes use oneDNN, whose start takes longer than the work itself.
        whole = tf.raw_ops.QuantizeV2(
            input=values,
            min_range=self._low,
            max_range=self._low + _LEVELS * self._scale,
            T=tf.quint8,
            mode="MIN_COMBINED",
        )
        inputs = [whole.output, tf.bitcast(self.kernel, tf.qint8), tf.cast(self._bias, tf.float32)]
        ranges = [0.0, _LEVELS * self._scale, -127 * self._scales, 127 * self._scales]
        fused = ["BiasAdd", *([_GELU[activation]] if activation else []), "Dequantize"]
        product = _multiplied(inputs, [tf.constant(end, tf.float32) for end in ranges], fused)
        return tf.cast(product, given.dtype)


def _multiplied(inputs: list[Any], ranges: list[Any], fused: list[str]) -> Any:
    """TensorFlow's integer product in oneDNN, for which there is no Python function."""
    types = {
        "Tdevice_inputs": [tensor.dtype for tensor in inputs],
        "Thost_inputs": [tensor.dtype for tensor in ranges],
        "Tdevice_outputs": [tf.float32],
        "Thost_outputs": [],
    }
    attributes = {
        **{k: _list(type=[d.as_datatype_enum for d in v]) for k, v in types.items()},
        **{k: AttrValue(type=d.as_datatype_enum) for k, d in (("T1", tf.quint8), ("T2", tf.qint8))},
        "fused_ops": _list(s=[name.encode() for name in fused]),
        "input_quant_mode": AttrValue(s=b"SCALED"),
    }
    graph = tf.compat.v1.get_default_graph()
    made = graph.create_op(
        "_QuantizedMatMul", [*inputs, *ranges], [tf.float32], attrs=attributes, name="product"
    )
    product = made.outputs[0]
    product.set_shape([inputs[0].shape[0], inputs[1].shape[1]])
    return product


def _list(**values: Any) -> AttrValue:
    return AttrValue(list=AttrValue.ListValue(**values))
