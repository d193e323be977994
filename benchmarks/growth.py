"""How cost grows: with the tokens of a text, the texts of a batch, and the rows of a table.

    python benchmarks/growth.py --hub FOLDER

- Training: a step of `fit` on batches of 32 texts of so many tokens each, of `--hub` and of an
  LSTM; and the most memory that the process held.
- Answers: the export of `--hub`, as `keras-seqzoo serve` asks it, for batches of 32 texts of so
  many tokens, and for batches of so many texts of 32 tokens.
- Tables: `read_table` and `build_model` (which learns the vocabulary) on a CSV of so many rows of
  20 words, and an epoch of `make_dataset`, shuffled, without training.

Each size has a process of its own. A figure is the median of `--rounds` after one that warms up;
tables, which take long, are read once. Beside a line of seconds, whose axes are logarithms, the
picture has its slope between the last two sizes: 1 is in proportion, 2 the square.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import pairwise
from math import ceil, floor, log, log10
from pathlib import Path
from typing import Any

from peers.turns import MINILM, RESULTS, ROOT, SHARED, Worker, machine, work
from stream_memory import write_rows

TOKENS = (16, 32, 64, 128, 256, 512)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROWS = (10_000, 100_000, 1_000_000)
WHOLES = {"tokens": "text", "texts": "batch", "rows": "table"}
BATCH, STEPS = 32, 4
ENDS = 2  # tokens that BERT adds to a text
Row = dict[str, Any]


def texts_of(words: int, count: int) -> list[str]:
    """Texts of so many words, a token each."""
    return [" ".join([["good", "bad"][i % 2]] * words) for i in range(count)]


def train(order: dict[str, Any]) -> Row:
    """Seconds of a step, in epochs after the first."""
    import keras

    import keras_seqzoo as sz

    is_lstm = order["model"] == "lstm"
    texts = texts_of(order["x"] - (0 if is_lstm else ENDS), STEPS * BATCH)
    table = sz.TextTable.from_texts(texts, ["a", "b"] * (len(texts) // 2))
    settings = {"sequence_length": order["x"]} if is_lstm else {}
    model = sz.build_model(order["model"], table, **settings)
    data = sz.make_dataset(table, model, BATCH)
    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    model.fit(data, epochs=order["rounds"] + 1, callbacks=[clock], verbose=0)
    return {"seconds": statistics.median(b - a for a, b in pairwise(ends)) / STEPS}


def export(order: dict[str, Any]) -> Row:
    """The path of an export."""
    import keras_seqzoo as sz

    model = sz.build_model(order["model"], classes=["a", "b"])
    return {"path": str(sz.export_model(model, order["folder"]))}


def answer(order: dict[str, Any]) -> Row:
    """Seconds of a batch."""
    import numpy as np

    from keras_seqzoo.serving.session import SavedSession

    session = SavedSession(order["path"])
    asked = texts_of(order["tokens"] - ENDS, order["batch"])
    texts = np.array([text.encode() for text in asked], object)
    times = []
    for _ in range(order["rounds"] * 3 + 2):
        begun = time.perf_counter()
        session.run("serving_default", {"text": texts})
        times.append(time.perf_counter() - begun)
    return {"seconds": statistics.median(times[2:])}


def read(order: dict[str, Any]) -> Row:
    """Seconds of what is done with a table, in all and by part."""
    import keras_seqzoo as sz

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        write_rows(path, order["x"])
        clock = [time.perf_counter()]
        table = sz.read_table(path)
        clock.append(time.perf_counter())
        model = sz.build_model("lstm", table)
        clock.append(time.perf_counter())
        sum(1 for _ in sz.make_dataset(table, model, BATCH, shuffle=True, seed=0))
        clock.append(time.perf_counter())
    parts = dict(zip(("read", "build", "epoch"), (b - a for a, b in pairwise(clock)), strict=True))
    return {"seconds": clock[-1] - clock[0], **parts}


def run(what: str, **order: Any) -> Row:
    """Does it in a new process, and adds the most memory that this held."""
    with Worker(sys.executable, __file__, "--work") as worker:
        found: Row = worker.do(what, **order)
        return {**found, "memory_mb": worker.do("about")["memory"]}


def measure(hub: Path, rounds: int) -> list[Row]:
    """All lines, point by point."""
    rows: list[Row] = []

    def add(line: str, x: int, unit: str, found: Row) -> None:
        parts = ", ".join(f"{k} {found[k]:.1f} s" for k in ("read", "build", "epoch") if k in found)
        kept = {"seconds": f"{found['seconds']:.4g}", "memory_mb": f"{found['memory_mb']:.0f}"}
        rows.append({"line": line, "x": x, "unit": unit, **kept, "note": parts})
        print(f"| {' | '.join(str(value) for value in rows[-1].values())} |", flush=True)

    for name, model in (("MiniLM", str(hub)), ("LSTM", "lstm")):
        for x in TOKENS:
            found = run("train", model=model, x=x, rounds=rounds)
            add(f"training {name}, a step of 32 texts", x, "tokens", found)
    with tempfile.TemporaryDirectory() as folder:
        path = run("export", model=str(hub), folder=folder)["path"]
        order = {"path": path, "rounds": rounds}
        for x in TOKENS:
            found = run("answer", tokens=x, batch=BATCH, **order)
            add("MiniLM answers 32 texts", x, "tokens", found)
        for x in BATCHES:
            found = run("answer", tokens=32, batch=x, **order)
            add("MiniLM answers texts of 32 tokens", x, "texts", found)
    for x in ROWS:
        add("a table, to the end of an epoch", x, "rows", run("read", x=x))
    return rows


def slope(points: list[tuple[int, float]]) -> float:
    """By which power of x the last two points differ."""
    (x, y), (further, more) = points[-2:]
    return log(more / y) / log(further / x)


def draw(rows: list[Row], path: Path) -> None:
    """Seconds and memory against size, a column for each unit."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    from keras_seqzoo.pages.drawing import png, style

    units = [*dict.fromkeys(row["unit"] for row in rows)]
    with style():
        figure = Figure(figsize=(11, 7), layout="constrained")
        grid = figure.subplots(2, len(units), sharex="col", squeeze=False)
        for (above, below), unit in zip(grid.T, units, strict=True):
            for line in dict.fromkeys(row["line"] for row in rows if row["unit"] == unit):
                chosen = [r for r in rows if r["line"] == line and r["unit"] == unit]
                points = [(int(r["x"]), float(r["seconds"])) for r in chosen]
                above.plot(*zip(*points, strict=True), marker="o", markersize=3, label=line)
                above.annotate(
                    f"{slope(points):.1f}", points[-1], xytext=(5, 0), textcoords="offset points",
                    va="center", fontsize=8,
                )  # fmt: skip
                gigabytes = [float(r["memory_mb"]) / 1e3 for r in chosen]
                below.plot([x for x, _ in points], gigabytes, marker="o", markersize=3)
            is_rows = unit == "rows"
            for axes in (above, below):
                axes.set_xscale("log", base=10 if is_rows else 2)
                axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
                axes.set_xticks([x for x, _ in points][:: 1 if len(points) < 8 else 2])
                axes.xaxis.set_minor_formatter(NullFormatter())
                axes.margins(x=0.15)
            above.set_yscale("log")
            above.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            above.yaxis.set_minor_formatter(NullFormatter())
            low, high = above.get_ylim()
            above.set_ylim(min(low, 10 ** floor(log10(low))), 10 ** ceil(log10(high)))
            above.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
            below.set_ylim(0)
            below.set_xlabel(f"{unit} of a {WHOLES[unit]}")
        for axes, title in zip(grid[:, 0], ("seconds", "most memory, GB"), strict=True):
            axes.set_ylabel(title)
        path.write_bytes(png(figure, dpi=110))


def main() -> None:
    """Measures, writes the results and draws them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hub", type=Path, default=SHARED / MINILM, help="a TF Hub encoder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "growth.csv")
    parser.add_argument("--image", type=Path, default=ROOT / "docs" / "images" / "growth.png")
    parser.add_argument("--draw", action="store_true", help="only draw what --out has")
    given = parser.parse_args()
    if not given.draw:
        rows = measure(given.hub, given.rounds)
        made = {"date": datetime.now(UTC).date().isoformat(), "machine": machine()}
        with given.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*rows[0], *made])
            writer.writeheader()
            writer.writerows({**row, **made} for row in rows)
    with given.out.open(newline="", encoding="utf-8") as file:
        draw(list(csv.DictReader(file)), given.image)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        jobs = {"train": train, "export": export, "answer": answer, "read": read}
        work(lambda order: jobs[order["do"]](order))
    else:
        main()
