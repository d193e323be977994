"""Language models on one text: bits per character against steps, a plot, and what they write.

Each model is trained for so many minutes of `fit`, its learning rate falling to zero over that
time; the text's last tenth is held out. Results of models that are not named are kept.

    python benchmarks/language_models.py corpus.txt --minutes 10
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"embedding_dim": 128, "units": 384, "dropout": 0.2, "rate": 3e-3},
    "gpt2": {
        "weights": None, "num_layers": 4, "num_heads": 4, "hidden_dim": 128,
        "intermediate_dim": 512, "dropout": 0.1, "rate": 2e-3,
    },
}  # fmt: skip
BATCH, LENGTH = 16, 128
PROMPT = "KING RICHARD:\n"


def main() -> None:
    """Trains the models in turn, writes a table, a plot and samples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--vocabulary-size", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS / "language_models")
    arguments = parser.parse_args()
    text = arguments.corpus.read_text(encoding="utf-8")
    cut = text.index("\n\n", int(0.9 * len(text))) + 2
    rows: list[dict[str, Any]] = []
    table = arguments.out.with_suffix(".csv")
    if table.exists():
        with table.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["model"] not in arguments.models]
    for name in arguments.models:
        model, points = train(
            name, text[:cut], text[cut:], 60 * arguments.minutes, arguments.vocabulary_size
        )
        rows += [{"model": name, "parameters": model.count_params(), **point} for point in points]
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        written = sample(name, model, points[-1])
        arguments.out.with_name(f"{arguments.out.name}_{name}.md").write_text(written)
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, arguments.out.with_suffix(".png"))


def train(
    name: str, train_text: str, valid_text: str, seconds: float, vocabulary_size: int
) -> tuple[Any, list[dict[str, Any]]]:
    """Trains one model for so many seconds; returns it and the points of its curve."""
    import keras

    import keras_seqzoo as sz
    from keras_seqzoo.training.schedules import rate_at

    options = dict(MODELS[name])
    rate = options.pop("rate")
    keras.utils.set_random_seed(0)
    model = sz.build_model(
        name,
        [train_text],
        task="generate",
        sequence_length=LENGTH,
        vocabulary_size=vocabulary_size,
        **options,
    )
    model.schedule, model.warmup = "constant", 0.0
    valid = sz.make_dataset([valid_text], model, batch_size=64)
    tokens = len(model.preprocessor.tokenize([valid_text]).flat_values)
    points: list[dict[str, Any]] = []

    class Clock(keras.callbacks.Callback):
        """Sets the rate by the time spent training, and evaluates now and then."""

        spent = 0.0
        step = 0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.begun = time.perf_counter()
            progress = min(self.spent / seconds, 1.0)
            self.model.optimizer.learning_rate = rate * rate_at(progress, "cosine", 0.02)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.step:  # the first step is mostly tracing
                self.spent += time.perf_counter() - self.begun
            self.step += 1
            over = self.spent >= seconds
            if over or self.spent >= len(points) * seconds / 12:
                measured = self.model.evaluate(valid, verbose=0, return_dict=True)
                # The mark at the end of the document is one more token, and no character.
                nats = measured["loss"] * (tokens + 1)
                point = {
                    "step": self.step,
                    "seconds": round(self.spent, 1),
                    "perplexity": round(measured["perplexity"], 2),
                    "bits_per_character": round(nats / math.log(2) / len(valid_text), 4),
                }
                points.append(point)
                print(name, f"{model.count_params():,}", point, flush=True)
            self.model.stop_training = over

    data = sz.make_dataset([train_text], model, batch_size=BATCH, shuffle=True, seed=0)
    model.fit(data, epochs=10_000, verbose=0, callbacks=[Clock()])
    return model, points


def sample(name: str, model: Any, point: dict[str, Any]) -> str:
    """What a model writes, greedily and by drawing."""
    length = model.preprocessor.sequence_length
    text = model.generate(PROMPT, length, sampler="top_p", temperature=0.9, seed=0)
    greedy = model.generate(PROMPT, length // 2, sampler="greedy")
    return (
        f"# {name}: {point['bits_per_character']} bits per character after {point['step']} steps\n"
        f"\nDrawn (`top_p`, temperature 0.9, seed 0):\n\n```\n{text}\n```\n"
        f"\nGreedy:\n\n```\n{greedy}\n```\n"
    )


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws bits per character against steps, and against time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    names = list(dict.fromkeys(row["model"] for row in rows))
    labels = (f"training steps ({BATCH} x {LENGTH} tokens)", "seconds of training")
    for axis, column, label in zip(axes, ("step", "seconds"), labels, strict=True):
        for name in names:
            mine = [row for row in rows if row["model"] == name][1:]
            ys = [float(row["bits_per_character"]) for row in mine]
            xs = [float(row[column]) for row in mine]
            parameters = float(mine[0]["parameters"]) / 1e6
            axis.plot(
                xs, ys, marker="o", markersize=3,
                label=f"{name}, {parameters:.1f} M weights",
            )  # fmt: skip
            axis.annotate(
                f"{ys[-1]:.2f}", (xs[-1], ys[-1]), xytext=(4, 4),
                textcoords="offset points", fontsize=8,
            )  # fmt: skip
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("bits per character, held-out text")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
