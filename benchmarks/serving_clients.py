"""One client and several at once: `keras-seqzoo serve` with `--threads` and without.

    python benchmarks/serving_clients.py saved_models/reviews --rounds 3

Each client asks for one text, or for 32, again and again, until all have been answered; test texts
of SST-2 and of the IMDB sample, drawn at random. Without `--threads` each request has all cores,
with `--threads` as many as there are cores, each has one. Both servers run in turn; medians of the
rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from quality import ROOT, SETS
from serving_local import Connection, Server, head_line

# Rows of a request, clients, and requests: of a short text; a long one has a sixth of them.
LOADS = ((1, 1, 300), (1, 4, 600), (32, 1, 30), (32, 4, 40))


def ask(
    port: int, model: str, texts: Any, rows: int, clients: int, requests: int
) -> tuple[float, float]:
    """Texts a second of all clients, and the median time of a request, ms."""

    def client(first: int) -> list[float]:
        connection, times = Connection(port), []
        for number in range(first, requests, clients):
            some = np.take(texts, range(number * rows, (number + 1) * rows), mode="wrap")
            begun = time.perf_counter()
            connection.predict(model, {"instances": some.tolist()})
            times.append(time.perf_counter() - begun)
        connection.close()
        return times

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        times = [each for some in pool.map(client, range(clients)) for each in some]
    return rows * requests / (time.perf_counter() - begun), 1e3 * statistics.median(times)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the versions of a model that reads a text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    given = parser.parse_args()
    model = given.folder.resolve().name
    settings: dict[str, tuple[object, ...]] = {
        "all cores": (), "--threads": ("--threads", os.cpu_count() or 1)
    }  # fmt: skip
    found: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    for number in range(given.rounds):
        for setting, options in settings.items():
            with Server(given.folder, *options) as server:
                for name in ("sst2", "imdb_sample"):
                    rows = [str(text) for text in SETS[name](given.shared / "data")[2].texts]
                    texts = np.random.default_rng(0).permutation(np.array(rows, object))
                    ask(server.port, model, texts, 32, 2, 8)
                    for size, clients, requests in LOADS:
                        requests = requests if name == "sst2" else max(4, requests // 6)
                        work = f"{name}, {clients} client{'s' * (clients > 1)}, rows of {size}"
                        took = ask(server.port, model, texts, size, clients, requests)
                        found[work, setting].append(took)
        print(f"round {number + 1} is done", flush=True)
    print(f"{head_line()}\n")
    print("| work | all cores, texts/s | p50, ms | --threads, texts/s | p50, ms |")
    print("|---|---|---|---|---|")
    for work in dict.fromkeys(work for work, _ in found):
        cells = []
        for setting in settings:
            rates, times = zip(*found[work, setting], strict=True)
            cells += [f"{statistics.median(rates):,.0f}", f"{statistics.median(times):,.1f}"]
        print(f"| {work} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
