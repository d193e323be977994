"""Masked language models: their perplexity as they learn, and what a classifier gains by them.

A BERT of 4 layers of 128 is trained for so many minutes of `fit` on a book, and on the training
texts of SST-2, by hidden tokens and by ELECTRA's replaced tokens. Then a classifier of SST-2 begins
from each and from scratch. Its learning rate is chosen on the development rows with seed 0; the
test rows are asked about once, at that rate.

    python benchmarks/pretraining.py --minutes 10 --seeds 3

The data are looked for in ../shared/data, beside the clone; see `--data`.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
SIZE = {"num_layers": 4, "num_heads": 4, "hidden_dim": 128, "intermediate_dim": 512}
RATE, RATES, EPOCHS = 1e-3, (1e-4, 5e-4), 3
DETECTION = "replaced_token_detection"


def main() -> None:
    """Trains all, and writes two tables and a plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "pretraining")
    arguments = parser.parse_args()
    import keras_seqzoo as sz

    book = (arguments.data / "lm" / "tinyshakespeare.txt").read_text("utf-8")
    cut = book.index("\n\n", int(0.9 * len(book))) + 2
    options = {"names": ["text", "label"], "quoting": csv.QUOTE_NONE, "classes": ["0", "1"]}
    train, dev, test = (
        sz.read_table(arguments.data / "sst2" / f"{part}.tsv", **options)
        for part in ("train", "dev", "test")
    )
    seconds = 60 * arguments.minutes
    points: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = {"scratch": None}
        for texts, valid, name, further in (
            ([book[:cut]], [book[cut:]], "book, masked", {"sequence_length": 128}),
            (train.texts, dev.texts, "SST-2, masked", {}),
            (train.texts, dev.texts, "SST-2, replaced", {"objective": DETECTION}),
        ):
            model, curve = pretrain(list(texts), list(valid), name, seconds, further)
            points += curve
            write(points, arguments.out.with_suffix(".csv"))
            if name.startswith("SST-2"):
                files[name] = f"{folder}/{len(files)}.keras"
                model.save(files[name])
            print(name, model.predict(["the [MASK] was [MASK] and [MASK] ."]).tolist(), flush=True)
        plot(points, arguments.out.with_suffix(".png"))
        found: list[dict[str, Any]] = []
        best = {}
        for seed in range(arguments.seeds):
            for start, file in files.items():
                if seed == 0:
                    tried = [classify(train, dev, file, seed, rate) for rate in RATES]
                    best[start] = max(tried, key=lambda one: one[0])
                else:
                    best[start] = classify(train, dev, file, seed, best[start][1])
                accuracy, rate, model, spent = best[start]
                report = sz.evaluate(model, test)
                found.append(
                    {
                        "start": start,
                        "seed": seed,
                        "learning_rate": rate,
                        "dev_accuracy": round(accuracy, 4),
                        "test_accuracy": round(report.accuracy, 4),
                        "test_log_loss": round(report.log_loss, 4),
                        "seconds": round(spent),
                        **({"dev_by_rate": [round(t[0], 4) for t in tried]} if seed == 0 else {}),
                    }
                )
                print(found[-1], flush=True)
                write(found, arguments.out.with_name(f"{arguments.out.name}_classifiers.csv"))


def pretrain(
    texts: list[str], valid: list[str], name: str, seconds: float, further: dict[str, Any]
) -> tuple[Any, list[dict[str, Any]]]:
    """Trains a model for so many seconds of steps; returns it and the points of its curve."""
    import keras

    import keras_seqzoo as sz
    from keras_seqzoo.training.schedules import rate_at

    keras.utils.set_random_seed(0)
    settings = {"weights": None, "vocabulary_size": 8000, "sequence_length": 64, **SIZE, **further}
    model = sz.build_model("bert_base", texts, task="fill_mask", **settings)
    schedule, rate = (model.schedule, model.warmup), float(model.optimizer.learning_rate.numpy())
    model.schedule, model.warmup = "constant", 0.0
    held_out = sz.make_dataset(valid, model, batch_size=64)
    points: list[dict[str, Any]] = []

    class Clock(keras.callbacks.Callback):
        """Sets the rate by the time spent training, and evaluates now and then."""

        spent = 0.0
        step = 0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.begun = time.perf_counter()
            progress = min(self.spent / seconds, 1.0)
            self.model.optimizer.learning_rate = RATE * rate_at(progress, "linear", 0.05)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.step:  # the first step is mostly tracing
                self.spent += time.perf_counter() - self.begun
            self.step += 1
            over = self.spent >= seconds
            if over or self.spent >= len(points) * seconds / 12:
                measured = self.model.evaluate(held_out, verbose=0, return_dict=True)
                figures = {k: round(v, 4) for k, v in measured.items() if k != "loss"}
                at = {"model": name, "step": self.step, "seconds": round(self.spent, 1)}
                points.append({**at, **figures})
                print(points[-1], flush=True)
            self.model.stop_training = over

    batch = 16 if len(texts) == 1 else 32
    data = sz.make_dataset(texts, model, batch_size=batch, shuffle=True, seed=0)
    model.fit(data, epochs=10_000, verbose=0, callbacks=[Clock()])
    model.schedule, model.warmup = schedule
    model.optimizer.learning_rate = rate
    return model, points


def classify(
    train: Any, dev: Any, file: str | None, seed: int, rate: float
) -> tuple[float, float, Any, float]:
    """Trains a classifier; returns its accuracy on `dev`, the rate, the model and the seconds."""
    import keras

    import keras_seqzoo as sz

    keras.utils.set_random_seed(seed)
    scratch = {"vocabulary_size": 8000, "sequence_length": 64, **SIZE} if file is None else {}
    model = sz.build_model("bert_base", train, weights=file, **scratch)
    model.optimizer.learning_rate = rate
    begun = time.perf_counter()
    data = sz.make_dataset(train, model, 32, shuffle=True, seed=seed)
    model.fit(data, epochs=EPOCHS, verbose=0)
    spent = time.perf_counter() - begun
    return float(sz.evaluate(model, dev).accuracy), rate, model, spent


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """Writes a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws perplexity against time, and how often a replaced token is told."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, column, label in (
        (axes[0], "perplexity", "perplexity of hidden tokens, held-out text"),
        (axes[1], "detection_accuracy", "share of tokens told right"),
    ):
        for name in dict.fromkeys(row["model"] for row in rows):
            mine = [row for row in rows if row["model"] == name and column in row][1:]
            if mine:
                shown = f"{name} (generator)" if "detection_accuracy" in mine[0] else name
                xs, ys = [row["seconds"] for row in mine], [row[column] for row in mine]
                axis.plot(xs, ys, marker="o", markersize=3, label=shown)
                axis.annotate(
                    f"{ys[-1]:.3g}", (xs[-1], ys[-1]), xytext=(4, 4),
                    textcoords="offset points", fontsize=8,
                )  # fmt: skip
        axis.set(xlabel="seconds of training", ylabel=label)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yscale("log")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
