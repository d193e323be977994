"""Where an export's time goes: its operations, by kind, while it answers texts.

    python benchmarks/operations.py reviews_model/1 --batch 1 32

The export is asked as `keras-seqzoo serve` asks it, for test texts of SST-2. TensorFlow notes when
each operation begins and ends, which itself makes an answer slower: the first line of a table has
the time without. Means over the calls.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from quality import ROOT, SETS

from keras_seqzoo.serving.session import SavedSession

CALLS, ROWS = 30, 15


def traced(session: SavedSession, batches: list[Any]) -> tuple[Counter[str], Counter[str]]:
    """Milliseconds and number of the operations of each kind, summed over the batches."""
    asked = session.signatures["serving_default"]
    fetches = {name: output.name for name, output in asked.outputs.items()}
    options = tf.compat.v1.RunOptions(
        trace_level=tf.compat.v1.RunOptions.FULL_TRACE, output_partition_graphs=True
    )
    times: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    for batch in batches:
        told = tf.compat.v1.RunMetadata()
        feeds = {asked.inputs["text"].name: batch}
        session._session.run(fetches, feeds, options=options, run_metadata=told)
        nodes = {node.name: node for graph in told.partition_graphs for node in graph.node}
        for device in told.step_stats.dev_stats:
            for ran in device.node_stats:
                node = nodes.get(ran.node_name)
                if node is None:
                    continue
                fused = [name.decode() for name in node.attr["fused_ops"].list.s]
                kind = " + ".join([node.op, *fused])
                times[kind] += ran.all_end_rel_nanos / 1e6
                numbers[kind] += 1
    return times, numbers


def main() -> None:
    """Prints a table for each size of a batch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path, help="the folder of a version that reads one text")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    given = parser.parse_args()
    session = SavedSession(given.export)
    texts = np.array(
        [str(t).encode() for t in SETS["sst2"](given.shared / "data")[2].texts], object
    )
    texts = np.random.default_rng(0).permutation(texts)
    for size in given.batch:
        batches = [texts[i * size : (i + 1) * size] for i in range(CALLS)]
        for batch in batches:  # prepares
            session.run("serving_default", {"text": batch})
        plain = []
        for batch in batches:
            begun = time.perf_counter()
            session.run("serving_default", {"text": batch})
            plain.append(1e3 * (time.perf_counter() - begun))
        times, numbers = traced(session, batches)
        print(
            f"batches of {size}: {statistics.mean(plain):.2f} ms; traced, "
            f"{times.total() / CALLS:.2f} ms in {numbers.total() / CALLS:,.0f} operations"
        )
        print("| operation | ms | how many |\n|---|---|---|")
        for kind, spent in times.most_common(ROWS):
            print(f"| {kind} | {spent / CALLS:.3f} | {numbers[kind] / CALLS:.0f} |")


if __name__ == "__main__":
    main()
