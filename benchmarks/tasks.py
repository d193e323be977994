"""Pairs, several labels and numbers on real data, at default settings, beside their baselines.

    python benchmarks/tasks.py mrpc --models bigru minilm --seeds 0 1 2

The data sets are looked for in ../shared/data, beside the clone, and `minilm` is the encoder in
../shared/hub/minilm_L-6_H-384_A-12; see `--shared`. Recurrent models train for at most 10 epochs,
stopped two after the best validation loss, whose weights are kept; transformers for 3, their
learning rate falling to zero. The test rows have no part in that, nor in the thresholds of labels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

import keras_seqzoo as sz
from keras_seqzoo.training.callbacks import training_callbacks

SHARED = Path(__file__).parents[1] / ".." / "shared"
Split = tuple[sz.TextTable, sz.TextTable, sz.TextTable]


def mrpc(data: Path) -> Split:
    """MRPC: whether two sentences say the same; its own three parts."""
    train, valid, test = (
        sz.read_table(
            data / "mrpc" / f"msr-para-{part}.tsv",
            text=("#1 String", "#2 String"),
            label="Quality",
            quoting="none",
        )
        for part in ("train", "val", "test")
    )
    return train, valid, test


def _sick(data: Path, label: str, target: str) -> Split:
    def read(part: str, like: Any) -> sz.TextTable:
        text = ("sentence_A", "sentence_B")
        return sz.read_table(
            data / "sick" / f"SICK_{part}.txt", text=text, label=label, target=like, sep="\t"
        )

    whole = read("train", target)
    train, valid, _ = whole.split(valid=0.1, test=0, seed=0)
    return train, valid, read("trial", whole.target)


def sick_relatedness(data: Path) -> Split:
    """SICK: how related two sentences are, 1 to 5; the trial part tests."""
    return _sick(data, "relatedness_score", "number")


def sick_entailment(data: Path) -> Split:
    """SICK: entailment, contradiction or neither; the trial part tests."""
    return _sick(data, "entailment_judgment", "class")


def goemotions(data: Path) -> Split:
    """GoEmotions in Ekman's six emotions and none; its own three parts."""
    train, valid, test = (
        sz.read_table(
            data / "goemotions_ekman" / f"{part}.tsv",
            names=["text", "label", "id"],
            label_sep=",",
            quoting="none",
        )
        for part in ("train", "dev", "test")
    )
    return train, valid, test


SETS: dict[str, Callable[[Path], Split]] = {
    f.__name__: f for f in (mrpc, sick_relatedness, sick_entailment, goemotions)
}


def train_and_test(name: str, split: Split, seed: int, shared: Path, epochs: int | None) -> str:
    """Trains a model and returns a row of the table."""
    keras.utils.set_random_seed(seed)
    train, valid, test = split
    source = str(shared / "hub" / "minilm_L-6_H-384_A-12") if name == "minilm" else name
    preprocessor = str(shared / "hub" / "bert_en_uncased_preprocess_3")
    model = sz.build_model(
        source,
        train,
        sequence_length=128,
        **({"preprocessor": preprocessor} if name == "minilm" else {}),
    )
    falls = model.schedule != "constant"
    begun = time.monotonic()
    model.fit(
        sz.make_dataset(train, model, 32, shuffle=True, seed=seed),
        validation_data=sz.make_dataset(valid, model, 256),
        epochs=epochs or (3 if falls else 10),
        callbacks=training_callbacks(patience=None if falls else 2, validated=True),
        verbose=2,
    )
    seconds = time.monotonic() - begun
    figures = {"validation": sz.evaluate(model, valid).figures, "test": sz.evaluate(model, test)}
    print(figures["test"], flush=True)
    shown = "; ".join(f"{k} {v:.4f}" for k, v in figures["test"].figures.items())
    return f"| {name} | {seed} | {shown} | {seconds:,.0f} |"


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("sets", nargs="+", choices=SETS)
    parser.add_argument("--models", nargs="+", default=["bigru", "minilm"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--shared", type=Path, default=SHARED)
    arguments = parser.parse_args()
    for name in arguments.sets:
        split = SETS[name](arguments.shared / "data")
        print(f"\n## {name}: {', '.join(f'{len(part):,}' for part in split)} rows\n", flush=True)
        rows = [
            train_and_test(model, split, seed, arguments.shared, arguments.epochs)
            for model in arguments.models
            for seed in arguments.seeds
        ]
        print("\n| model | seed | test figures | training s |\n|---|---|---|---|")
        print("\n".join(rows), flush=True)


if __name__ == "__main__":
    main()
