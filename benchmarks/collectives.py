"""What it costs two processes of one host, a core each, to sum what they have.

    keras-seqzoo launch --workers 2 -- python benchmarks/collectives.py

Prints the time of one all-reduce: of a few bytes, and of as many float32 as MiniLM has outside its
embeddings, in one piece and in a hundred, as a model's variables are.
"""

from __future__ import annotations

import json
import os
import statistics
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
WORKER = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
os.sched_setaffinity(0, {WORKER})

import keras_seqzoo as sz  # noqa: E402

strategy = sz.distribution("auto", verbose=False)

import tensorflow as tf  # noqa: E402

ROUNDS = 9


def seconds_to_sum(floats: int, parts: int) -> float:
    """Returns the median time of summing `parts` arrays of together `floats` numbers."""

    def on_replica() -> list[tf.Tensor]:
        context = tf.distribute.get_replica_context()
        arrays = [tf.ones([floats // parts]) * number for number in range(parts)]
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, arrays)
        return [array[0] for array in summed]

    step = tf.function(lambda: strategy.run(on_replica))
    step()
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


if __name__ == "__main__":
    for floats, parts in ((100, 1), (10_700_000, 1), (10_700_000, 100)):
        seconds = seconds_to_sum(floats, parts)
        if WORKER == 0:
            print(f"{floats:,} floats in {parts}: {1000 * seconds:.0f} ms", flush=True)
