"""Raw text to answer: an exported model beside ONNX Runtime, OpenVINO and transformers.

    bash benchmarks/peers/make_env.sh peers
    python benchmarks/peers/serving.py --peers peers/bin/python --hub FOLDER --checkpoint FOLDER

All answer the same texts with the same weights, those of `--checkpoint`, which must be the encoder
of `--hub`, under the same head, on as many threads, each in a process of its own. Ours is the
export of `sz.export_model` as `keras-seqzoo serve` asks it, and the same with `optimize="int8"`,
its ranges found on 256 training texts of the first set; the peers tokenise with Hugging Face's
tokenizer in Rust and pad to the longest text of a batch. In a round each answers the same batches
of 32, drawn at random, and the same texts one by one; the first round warms up. Rates and latencies
are medians of the rounds, ratios are taken round by round. Rows go to `--out` as CSV.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from quality import ROOT, SETS
from serving_speed import Worker

from keras_seqzoo.evaluation.environment import environment

BATCH = 32
PEERS = ("ONNX Runtime, fused", "ONNX Runtime", "ONNX Runtime, int8", "OpenVINO", "transformers")
OURS, OURS_INT8 = "keras_seqzoo", "keras_seqzoo, int8"


def start(given: Any, folder: Path, stack: ExitStack) -> dict[str, Worker]:
    """The processes, loaded."""
    script = Path(__file__).parents[1] / "serving_speed.py"
    maker = stack.enter_context(Worker(sys.executable, script, "--work"))
    order = {"model": str(given.hub), "folder": str(folder), "task": "", "data": ""}
    texts = list(SETS[given.sets[0]](given.data)[0].texts[:256])
    maker.do("make", **order, int8=texts)
    workers = {}
    for name, version in ((OURS, "1"), (OURS_INT8, "2")):
        workers[name] = stack.enter_context(Worker(sys.executable, script, "--work"))
        workers[name].do("load", path=str(folder / version))
    peer = Path(__file__).with_name("serving_peers.py")
    for name in given.kinds:
        workers[name] = stack.enter_context(Worker(given.peers, peer, name, given.checkpoint))
        workers[name].do("load", head=str(folder / "head.npz"))
        print(f"{name} is ready", flush=True)
    return workers


def measure(workers: dict[str, Worker], texts: list[str], rounds: int) -> dict[str, Any]:
    """Of each the batches a second and the median of a text, round by round."""
    found: dict[str, Any] = {name: {"rate": [], "p50": []} for name in workers}
    some = texts[: 4 * BATCH]
    for number in range(rounds + 1):
        for name, worker in workers.items():
            rate = len(some) / sum(worker.ask(some, BATCH))
            p50 = statistics.median(worker.ask(texts[:50]))
            if number:
                found[name]["rate"].append(rate)
                found[name]["p50"].append(p50)
        last = {n: f"{v['rate'][-1]:.0f}/s {1e3 * v['p50'][-1]:.1f} ms" for n, v in found.items()
                if number}  # fmt: skip
        print(f"round {number}: {last}", flush=True)
    wanted = np.array(workers[OURS].do("ask", texts=some, batch=BATCH)["answers"])
    for name, worker in workers.items():
        answers = np.array(worker.do("ask", texts=some, batch=BATCH)["answers"])
        found[name]["apart"] = float(np.abs(answers - wanted).max())
    return found


def rows_of(data: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each that was asked."""
    rows = []
    for name, figures in found.items():
        row: dict[str, Any] = {"data": data, "who": name}
        for key, higher in (("rate", True), ("p50", False)):
            mine, theirs = found[OURS][key], figures[key]
            times = [a / b if higher else b / a for a, b in zip(mine, theirs, strict=True)]
            scale = 1 if higher else 1e3
            row |= {
                {"rate": "texts_per_s", "p50": "p50_ms"}[key]: (
                    f"{scale * statistics.median(theirs):.{0 if higher else 2}f}"
                ),
                f"ours_by_{key}": f"{statistics.median(times):.2f}",
                f"{key}_range": f"{min(times):.2f} to {max(times):.2f}",
            }
        rows.append({**row, "apart": f"{figures['apart']:.1e}"})
    return rows


def main() -> None:
    """Measures set by set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = ROOT.parent / "shared"
    parser.add_argument("--peers", required=True, help="the Python of make_env.sh")
    parser.add_argument("--checkpoint", type=Path, required=True, help="in transformers' layout")
    parser.add_argument("--hub", type=Path, default=shared / "hub" / "minilm_L-6_H-384_A-12")
    parser.add_argument("--data", type=Path, default=shared / "data")
    parser.add_argument("--sets", nargs="+", default=["sst2", "imdb_sample"], choices=list(SETS))
    parser.add_argument("--kinds", nargs="+", default=PEERS, choices=PEERS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="cores that all may use")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/peers_serving.csv")
    given = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers = start(given, Path(folder), stack)
        for name in given.sets:
            test = list(SETS[name](given.data)[2].texts)
            drawn = np.random.default_rng(0).permutation(len(test))
            write(rows_of(name, measure(workers, [test[at] for at in drawn], given.rounds)), given)


def write(rows: list[dict[str, Any]], given: Any) -> None:
    """Prints a Markdown table, and adds its rows to the CSV."""
    machine = "; ".join(f"{key} {value}" for key, value in environment().items())
    made = {"date": datetime.now(UTC).date().isoformat(), "machine": machine}
    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(row.values()) + " |", flush=True)
    is_new = not given.out.exists()
    with given.out.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], *made])
        if is_new:
            writer.writeheader()
        writer.writerows({**row, **made} for row in rows)


if __name__ == "__main__":
    main()
