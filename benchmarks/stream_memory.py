"""Peak memory of streaming a large CSV through `make_dataset`, against its number of rows.

    python benchmarks/stream_memory.py 100000 1000000

Each size runs in a process of its own: the file is written (seeded, about 20 words a row), then
opened with `stream=True`, its vocabulary is learnt, and one shuffled epoch is drawn from it. The
peak is that of the process, `ru_maxrss`; what TensorFlow itself takes is measured with 1,000 rows.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def write_rows(path: Path, rows: int) -> None:
    """Writes a CSV of random words, rare ones among them."""
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for start in range(0, rows, 10_000):
            count = min(10_000, rows - start)
            words = rng.zipf(1.3, (count, 20)) % 100_000
            labels = rng.integers(0, 2, count)
            file.writelines(
                " ".join(f"w{word}" for word in row) + f",{label}\n"
                for row, label in zip(words.tolist(), labels.tolist(), strict=True)
            )


def stream(path: Path) -> None:
    """Streams the file once and prints what it took."""
    import keras_seqzoo as sz
    from keras_seqzoo.encoders.parts import text_chunks
    from keras_seqzoo.preprocessing.words import WordPreprocessor

    begun = time.monotonic()
    table = sz.read_table(path, stream=True)
    opened = time.monotonic()
    words = WordPreprocessor(512)
    words.learn(text_chunks(table), 20_000)
    learnt = time.monotonic()
    dataset = sz.make_dataset(table, words, batch_size=64, shuffle=True, seed=0)
    rows = sum(len(labels) for _, labels in dataset)
    drawn = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {rows:,} | {path.stat().st_size / 1e6:.0f} MB | {peak:.0f} MB | {opened - begun:.1f} s "
        f"| {learnt - opened:.1f} s | {drawn - learnt:.1f} s | {rows / (drawn - learnt):,.0f} |"
    )


def main() -> None:
    """Runs every size in its own process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.file:
        stream(arguments.file)
        return
    print("| rows | file | peak RSS | opening | vocabulary | epoch | rows/s |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for rows in [1_000, *arguments.rows]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.csv"
            write_rows(path, rows)
            subprocess.run([sys.executable, __file__, "--file", path], check=True)


if __name__ == "__main__":
    main()
