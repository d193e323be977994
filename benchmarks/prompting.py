"""What a tiny GPT-2 makes of SST-2 by prompt, and by a head, after reading the training texts.

    python benchmarks/prompting.py --seed 0

A GPT-2 of 2 layers of 128 is trained to predict the next token (6 epochs), once on the training
sentences alone, once on the same sentences written out in the template with their labels. Each is
then asked by prompt, plain and calibrated, and gets a head that is trained as in `quality.py`. So
small a model of so little text knows next to nothing: the figures say that the path works, not how
good prompting is.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
from quality import SCRATCH, sst2

import keras_seqzoo as sz

ROOT = Path(__file__).parents[1]
TEMPLATE = "Review: {text}\nSentiment: {label}"
LABELS = {"0": "negative", "1": "positive"}
EPOCHS, RATE = 6, 2e-3


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train, valid, test = sst2(arguments.data)
    texts = [str(text) for text in train.texts]
    words = [LABELS[train.classes[label]] for label in train.labels]
    written = [
        TEMPLATE.replace("{label}", word).replace("{text}", text)
        for text, word in zip(texts, words, strict=True)
    ]
    print("| read before | how it answers | accuracy | macro-F1 | log loss |")
    print("|---|---|---|---|---|")
    for name, corpus in (("sentences", texts), ("sentences with labels", written)):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "lm.keras")
            learn(corpus, written, arguments.seed, path, name)
            for how, options in (
                ("prompt", {}),
                ("prompt, calibrated", {"calibrate": True}),
                ("prompt, 2 examples", {"examples": two(train)}),
            ):
                model = sz.build_model(
                    "gpt2", task="prompt", weights=path, classes=train.classes,
                    template=TEMPLATE, labels=LABELS, **options,
                )  # fmt: skip
                row(name, how, sz.evaluate(model, test))
            row(name, "head", head(path, (train, valid, test), arguments.seed))


def two(table: sz.TextTable) -> list[tuple[str, str]]:
    """The first example of each class that has at most ten words."""
    short = [i for i, text in enumerate(table.texts) if len(str(text).split()) <= 10]
    chosen = [next(i for i in short if table.labels[i] == label) for label in (0, 1)]
    return [(str(table.texts[i]), table.classes[table.labels[i]]) for i in chosen]


def learn(corpus: list[str], vocabulary_from: list[str], seed: int, path: str, name: str) -> None:
    """Trains the language model and saves it."""
    keras.utils.set_random_seed(seed)
    model = sz.build_model(
        "gpt2", vocabulary_from, task="generate", sequence_length=128, vocabulary_size=2000,
        **SCRATCH,
    )  # fmt: skip
    model.optimizer.learning_rate = RATE
    begun = time.monotonic()
    history = model.fit(corpus, batch_size=16, epochs=EPOCHS, verbose=0).history
    print(
        f"<!-- {name}: perplexity {history['perplexity'][-1]:.1f} on what it read, "
        f"{time.monotonic() - begun:.0f} s -->",
        flush=True,
    )
    model.save(path)


def head(path: str, parts: Any, seed: int) -> sz.Report:
    """Trains a classifier that begins with the language model's weights."""
    train, _, test = parts
    keras.utils.set_random_seed(seed)
    model = sz.build_model("gpt2", train, weights=path)
    model.optimizer.learning_rate = 5e-4
    data = sz.make_dataset(train, model, 32, shuffle=True, seed=seed)
    model.fit(data, epochs=3, verbose=0)
    return sz.evaluate(model, test)


def row(name: str, how: str, report: sz.Report) -> None:
    """Prints one result."""
    print(
        f"| {name} | {how} | {report.accuracy:.4f} | {report.macro_f1:.4f} | "
        f"{report.log_loss:.4f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
