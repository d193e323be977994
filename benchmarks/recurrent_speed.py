"""One step of training and one of inference: `FastLSTM` and `FastGRU` against Keras's layers.

    python benchmarks/recurrent_speed.py --rounds 13

Batch 32, 128 inputs, 64 units, all outputs returned; float32. "both ways" is a `Bidirectional`
layer under a mask of right padding. The last row has TensorFlow's operation for a whole LSTM,
`BlockLSTMV2`, in place of Keras's layer. The two take turns; ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.layers.recurrent import FastGRU, FastLSTM

BATCH, WIDTH, UNITS = 32, 128, 64
PAIRS = {"LSTM": (keras.layers.LSTM, FastLSTM), "GRU": (keras.layers.GRU, FastGRU)}


class OneOperation(keras.layers.LSTM):
    """An LSTM as one operation of TensorFlow, and its gradient as another."""

    def call(self, sequences: Any, mask: Any = None, training: Any = None) -> Any:
        """Ignores the mask."""

        @tf.custom_gradient
        def run(x: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
            zeros = tf.zeros([tf.shape(x)[1], self.units])
            given = {
                "seq_len_max": tf.cast(tf.shape(x)[0], tf.int64), "x": x, "cs_prev": zeros,
                "h_prev": zeros, "w": tf.concat([kernel, recurrent], 0), "b": bias,
                **dict.fromkeys(("wci", "wcf", "wco"), tf.zeros([self.units])),
            }  # fmt: skip
            kept = tf.raw_ops.BlockLSTMV2(**given, cell_clip=0.0, use_peephole=False)

            def gradient(upstream: Any) -> Any:
                slopes = tf.raw_ops.BlockLSTMGradV2(
                    **given, **kept._asdict(), cs_grad=tf.zeros_like(kept.cs), h_grad=upstream,
                    use_peephole=False,
                )  # fmt: skip
                parts = tf.split(slopes.w_grad, [kernel.shape[0], recurrent.shape[0]])
                return slopes.x_grad, *parts, slopes.b_grad

            return kept.h, gradient

        weights = (tf.convert_to_tensor(w) for w in self.trainable_weights)
        return tf.transpose(run(tf.transpose(sequences, [1, 0, 2]), *weights), [1, 0, 2])


def runner(layer: Any, mask: tf.Tensor | None, training: bool) -> Callable[[tf.Tensor], Any]:
    """A compiled step."""

    @tf.function(reduce_retracing=True)
    def step(x: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=mask, training=training)
            loss = tf.reduce_sum(y * y)
        if not training:
            return loss
        return tape.gradient(loss, [x, *[weight.value for weight in layer.trainable_weights]])

    return step


def seconds(step: Callable[[tf.Tensor], Any], x: tf.Tensor) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    tf.nest.flatten(step(x))[0].numpy()
    return time.perf_counter() - begun


def main() -> None:
    """Prints a Markdown row for each layer and kind of step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=13)
    parser.add_argument("--lengths", type=int, nargs="+", default=[30, 100, 300, 600])
    arguments = parser.parse_args()
    print("| Keras's time / ours | " + " | ".join(f"{n} tokens" for n in arguments.lengths) + " |")
    print("|---|" + "---|" * len(arguments.lengths))
    for kind, layers in PAIRS.items():
        for both_ways in (False, True):
            for training in (True, False):
                ratios = [
                    median_ratio(layers, length, both_ways, training, arguments.rounds)
                    for length in arguments.lengths
                ]
                name = (
                    f"{kind}{', both ways' * both_ways}, {'training' if training else 'inference'}"
                )
                print(f"| {name} | " + " | ".join(f"{r:.2f}" for r in ratios) + " |", flush=True)
    pair = (OneOperation, FastLSTM)
    ratios = [median_ratio(pair, n, False, True, arguments.rounds) for n in arguments.lengths]
    print("| LSTM as one operation, training | " + " | ".join(f"{r:.2f}" for r in ratios) + " |")


def median_ratio(
    layers: tuple[Any, Any], length: int, both_ways: bool, training: bool, rounds: int
) -> float:
    """Keras's time over ours, the median of the rounds."""
    x = tf.random.stateless_normal([BATCH, length, WIDTH], [1, 2])
    mask = tf.sequence_mask(tf.linspace(length // 2, length, BATCH), length) if both_ways else None
    steps = []
    for layer in layers:
        built = layer(UNITS, return_sequences=True)
        built = keras.layers.Bidirectional(built) if both_ways else built
        built.build(x.shape)
        steps.append(runner(built, mask, training))
    times = [[seconds(step, x) for step in steps] for _ in range(rounds + 2)][2:]
    return statistics.median(theirs / ours for theirs, ours in times)


if __name__ == "__main__":
    main()
