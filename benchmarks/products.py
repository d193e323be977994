"""The least time of an encoder's answer: the products of its layers alone, in TensorFlow.

    python benchmarks/products.py --tokens 24 640

Those of MiniLM's six layers (queries, keys and values as one; then the attention's, and the two of
the feed-forward part), with weights in constants: as `MatMul` with a bias, as a 1x1 convolution,
and with the weights on the left. Medians of calls in turn, and the least.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import tensorflow as tf

WIDTH, LAYERS = 384, 6
SHAPES = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH))


def dense(values: Any, kernel: Any) -> Any:
    """As the encoder has it."""
    return tf.nn.bias_add(tf.matmul(values, kernel), np.zeros(kernel.shape[1], np.float32))


def convolution(values: Any, kernel: Any) -> Any:
    """The same by the kernels of convolutions, which keep their weights in their own order."""
    image = tf.reshape(values, [1, -1, 1, kernel.shape[0]])
    made = tf.nn.conv2d(image, kernel[np.newaxis, np.newaxis], 1, "VALID")
    made = tf.nn.bias_add(made, np.zeros(kernel.shape[1], np.float32))
    return tf.reshape(made, [-1, kernel.shape[1]])


def weights_first(values: Any, kernel: Any) -> Any:
    """The same transposed, of values `(width, tokens)`."""
    return tf.matmul(np.ascontiguousarray(kernel.T), values)


def main() -> None:
    """Prints a row for each number of tokens and kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[24, 640])
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    kernels = [rng.normal(0, 0.02, shape).astype(np.float32) for shape in SHAPES * LAYERS]
    print("| tokens | as | median ms | least |\n|---|---|---|---|")
    for tokens in given.tokens:
        values = rng.normal(size=(tokens, WIDTH)).astype(np.float32)
        calls = {}
        for multiply in (dense, convolution, weights_first):
            is_first = multiply is weights_first

            def chain(x: Any, multiply: Any = multiply, is_first: bool = is_first) -> Any:
                for kernel in kernels:
                    made = multiply(x, kernel)
                    x = made if kernel.shape[1] != 3 * WIDTH else (
                        made[:WIDTH] if is_first else made[:, :WIDTH]
                    )  # fmt: skip
                return x

            given_values = tf.constant(values.T if is_first else values)
            shape = [WIDTH, None] if is_first else [None, WIDTH]
            function = tf.function(chain).get_concrete_function(tf.TensorSpec(shape))
            calls[multiply.__name__] = (function, given_values, list[float]())
        for number in range(12):
            for function, given_values, times in calls.values():
                for _ in range(20):
                    begun = time.perf_counter()
                    function(given_values)
                    if number:  # the first round prepares
                        times.append(1e3 * (time.perf_counter() - begun))
        for name, (_, _, times) in calls.items():
            print(f"| {tokens} | {name} | {statistics.median(times):.2f} | {min(times):.2f} |")


if __name__ == "__main__":
    main()
