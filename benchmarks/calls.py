"""What a call costs beside its work: milliseconds of each method, and memory that stays.

    python benchmarks/calls.py --calls 300

A tiny `gru`, so that the work is next to nothing. Medians of the calls, after 20 of each; memory
is the growth of the process's resident set over all of them.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

import keras_seqzoo as sz

TEXTS = ["a good film", "bad", "so so film really", "x y z"] * 20
NAMES = ["pos", "neg"] * 40


def resident() -> float:
    """Megabytes of the process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    """Prints a row a method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=300)
    given = parser.parse_args()
    keras.utils.set_random_seed(0)
    table = sz.TextTable.from_texts(TEXTS, NAMES)
    model: Any = sz.build_model("gru", table, units=8, embedding_dim=8, wide=False)
    model.fit(table, epochs=1, verbose=0)
    one, eight = TEXTS[:1], (TEXTS[:8], table.labels[:8])
    calls: dict[str, Callable[[], Any]] = {
        "predict_on_batch, 1 text": lambda: model.predict_on_batch(one),
        "predict, 1 text": lambda: model.predict(one, verbose=0),
        "embed, 1 text": lambda: sz.embed(model, one),
        "explain, 1 text": lambda: sz.explain(model, one),
        "test_on_batch, 8 texts": lambda: model.test_on_batch(*eight),
        "evaluate, 8 texts": lambda: model.evaluate(*eight, verbose=0),
    }
    print("| call | ms | MB more after all |\n|---|---|---|")
    for name, call in calls.items():
        for _ in range(20):
            call()
        before, times = resident(), []
        for _ in range(given.calls):
            begun = time.perf_counter()
            call()
            times.append(time.perf_counter() - begun)
        print(f"| {name} | {1e3 * statistics.median(times):.1f} | {resident() - before:.1f} |")


if __name__ == "__main__":
    main()
