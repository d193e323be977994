"""What data parallelism costs the zoo's models, by formula: Markdown tables, no training.

    python benchmarks/allreduce_cost.py

Prints the time of a step and of its all-reduce (`cost`), the share that is all-reduce (`share`),
what the embedding's gradient costs as rows (`sparse`) and how many GPUs an input pipeline feeds
(`input`); with `--measure`, the rows/s of `make_dataset` here. Formulas: docs/scaling.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import keras_seqzoo as sz

MODELS = """lstm gru electra_small electra_base distilbert bert_base roberta_base deberta_v3_base
    bert_large gpt2 gpt2_medium gpt2_xl"""
OPTIONS = {  # default, what it is and where the default comes from
    "gpus-per-host": (8, "GPUs a host"),
    "batch": (32, "rows a GPU and step"),
    "length": (128, "tokens a row"),
    "bytes": (4, "of an element of a gradient: float32"),
    "nvlink": (235.0, "GB/s a GPU, one way: NCCL's figure for the A100; its data sheet says 300"),
    "network": (400.0, "Gb/s a host, one way: AWS p4d.24xlarge"),
    "nvlink-latency": (3.4, "µs a hop: NCCL's figure for a ring over NVLink"),
    "network-latency": (14.0, "µs a hop: NCCL's figure for a ring over a network"),
    "peak": (156.0, "TFLOP/s a GPU: A100, TF32, dense; its data sheet"),
    "utilisation": (0.42, "share of the peak: NVIDIA's BERT-large in TensorFlow 2 on an A100"),
    "timestep": (3.8, "µs a recurrent step takes at least: Diamos et al. 2016"),
    "rows-per-second": (148_000, "of one input pipeline: `--measure` on 2 CPU cores"),
}


def compute(name: str, o: argparse.Namespace) -> tuple[float, float]:
    """Seconds to compute a step, and how many of them a row takes by its FLOPs alone."""
    card = sz.model_card(name)
    size, layers, steps = card.size, card.size["num_layers"], 0
    if card.family == "recurrent":
        ways, steps = 1 + card.options["bidirectional"], 2 * o.length * layers
        inputs = size["embedding_dim"] + (layers - 1) * ways * size["units"]
        gates = {"LSTM": 4, "GRU": 3}[card.fixed["cell"]]
        weights = gates * ways * size["units"] * (inputs + layers * size["units"])
    else:
        width = size["hidden_dim"]
        weights = layers * (4 * width * width + 2 * width * size["intermediate_dim"])
    row = 6 * weights * o.length / (o.peak * 1e12 * o.utilisation)
    return max(o.batch * row, steps * o.timestep / 1e6), row


def sweep(data: float, ranks: int, gigabytes: float, latency: float) -> float:
    """Seconds of a ring's reduce-scatter or all-gather, of `data` bytes in all."""
    return (ranks - 1) * (data / ranks / (gigabytes * 1e9) + latency / 1e6)


def ring(data: float, gpus: int, o: argparse.Namespace) -> float:
    """Seconds of a ring all-reduce over all GPUs, as fast as its slowest link."""
    hosts = max(1, gpus // o.gpus_per_host)
    hops = (hosts - 1) * o.network_latency + (gpus - hosts) * o.nvlink_latency
    return 2 * (sweep(data, gpus, o.nvlink if hosts == 1 else o.network / 8, 0) + hops / 1e6)


def two_level(data: float, gpus: int, o: argparse.Namespace, sweeps: int = 2) -> float:
    """Seconds of an all-reduce, or with one sweep an all-gather, in hosts and between them."""
    within = sweep(data, min(gpus, o.gpus_per_host), o.nvlink, o.nvlink_latency)
    between = sweep(data, max(1, gpus // o.gpus_per_host), o.network / 8, o.network_latency)
    return sweeps * (within + between)


def cost(o: argparse.Namespace) -> Iterator[list[str]]:
    """Gradients, computing, and all-reduce: a ring over all GPUs / two-level."""
    yield ["model", "gradients, MB", "compute, ms", *(f"all-reduce, {n} GPUs, ms" for n in o.gpus)]
    for name in o.models:
        data = sz.model_card(name).parameters * o.bytes
        both = ([f"{1e3 * way(data, n, o):,.2f}" for way in (ring, two_level)] for n in o.gpus)
        times = (" / ".join(dict.fromkeys(pair)) for pair in both)  # once where they are equal
        yield [f"`{name}`", f"{data / 1e6:,.1f}", f"{1e3 * compute(name, o)[0]:,.2f}", *times]


def share(o: argparse.Namespace) -> Iterator[list[str]]:
    """Share of a step that is all-reduce, two-level; and the rows a GPU that make it a tenth."""
    yield ["model", *(f"{n} GPUs" for n in o.gpus), f"rows a GPU for 10% at {o.gpus[-1]} GPUs"]
    for name in o.models:
        busy, row = compute(name, o)
        took = [two_level(sz.model_card(name).parameters * o.bytes, n, o) for n in o.gpus]
        yield [f"`{name}`", *(f"{t / (t + busy):.0%}" for t in took), f"{9 * took[-1] / row:,.0f}"]


def sparse(o: argparse.Namespace) -> Iterator[list[str]]:
    """Embedding's gradient, two-level: the table all-reduced / a step's rows all-gathered."""
    yield ["model", "table, MB", "rows, MB", *(f"{n} GPUs, ms" for n in o.gpus), "as much at, GPUs"]
    for name in o.models:
        size = sz.model_card(name).size
        row = size.get("embedding_dim", size.get("hidden_dim")) * o.bytes
        table, rows = size["vocabulary_size"] * row, o.batch * o.length * row
        pairs = ((two_level(table, n, o), two_level(n * rows, n, o, sweeps=1)) for n in o.gpus)
        times = (f"{1e3 * dense:.2f} / {1e3 * slices:.2f}" for dense, slices in pairs)
        sizes = (f"{table / 1e6:.1f}", f"{rows / 1e6:.1f}")
        yield [f"`{name}`", *sizes, *times, f"{2 * table / rows:.0f}"]


def feed(o: argparse.Namespace) -> Iterator[list[str]]:
    """Rows that GPUs take, and the GPUs that one input pipeline feeds."""
    yield ["model", "rows/s, 1 GPU", f"rows/s, {o.gpus_per_host} GPUs", "GPUs fed"]
    for name in o.models:
        rate = o.batch / compute(name, o)[0]
        fed = f"{o.rows_per_second / rate:,.0f}"
        yield [f"`{name}`", f"{rate:,.0f}", f"{rate * o.gpus_per_host:,.0f}", fed]


def measure(length: int, rows: int = 100_000) -> None:
    """Prints the rows/s of `make_dataset`, of rows of about `length` tokens (a review has 21)."""
    path = Path(__file__).parents[1] / "examples" / "data" / "reviews.csv"
    reviews = [*sz.read_table(path, text="review", label="sentiment").texts] * (1 + rows // 4_000)
    texts = [" ".join(reviews[row : row + max(1, length // 21)]) for row in range(rows)]
    table = sz.TextTable.from_texts(texts, ["even", "odd"] * (rows // 2))
    dataset = sz.make_dataset(table, sz.build_model("lstm", table), 256, shuffle=True, seed=0)
    rates, tokens = [], 0
    for _ in range(5):
        begun = time.perf_counter()
        tokens = sum(int(features["padding_mask"].numpy().sum()) for features, _ in dataset)
        rates.append(rows / (time.perf_counter() - begun))
    low, _, mid, _, top = sorted(rates)
    print(f"{rows:,} rows, {tokens / rows:.0f} tokens: {mid:,.0f}/s ({low:,.0f} to {top:,.0f})")


def main() -> None:
    """Prints the tables."""
    tables = {"cost": cost, "share": share, "sparse": sparse, "input": feed}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=tables, default=list(tables))
    parser.add_argument("--models", nargs="+", choices=sz.list_models(), default=MODELS.split())
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument("--measure", action="store_true", help="the input pipeline, here")
    for name, (default, text) in OPTIONS.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    o = parser.parse_args()
    if any(n > o.gpus_per_host and n % o.gpus_per_host for n in o.gpus):
        parser.error("--gpus takes whole hosts, or part of one")
    if o.measure:
        measure(o.length)
    for table in [] if o.measure else [tables[name] for name in o.tables]:
        head, *rows = (f"| {' | '.join(row)} |" for row in table(o))
        print(table.__doc__, "", head, "|---" * (head.count("|") - 1) + "|", *rows, "", sep="\n")


if __name__ == "__main__":
    main()
