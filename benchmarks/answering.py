"""F1 and exact match on SubjQA's questions about restaurants (Bjerva et al. 2020), from its files.

    python benchmarks/answering.py                          # the two baselines
    python benchmarks/answering.py --hub ../shared/hub      # and all-MiniLM-L6-v2 of TF Hub

Answers of several people to one question about one review are all right ones; a question has no
answer where nobody gave one. The model keeps the epoch of the highest F1 (of characters) on the
development rows, on which the threshold for no answer is chosen, too; the test rows are asked once.
With --longest it learns from shorter reviews alone, which takes less time.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import keras_seqzoo as sz
from keras_seqzoo.comparison.baselines import BASELINES
from keras_seqzoo.tasks.answer import best_threshold

NONE = "ANSWERNOTFOUND"


def read(path: Path) -> Any:
    """A row a question and review, with all answers that are in the review."""
    rows = pd.read_csv(path, keep_default_na=False)
    rows["context"] = rows["review"].str.removesuffix(NONE)
    rows["answer"] = rows["human_ans_spans"].replace(NONE, "")
    rows["start"] = rows["human_ans_indices"].str.extract(r"(\d+)", expand=False).astype(int)
    asked = rows.groupby(["question", "context"], sort=False)[["answer", "start"]].agg(list)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = sz.read_table(asked.reset_index(), target="answer", na="drop")
    print(f"{path.name}: {table!r}", *(f"  {w.message}" for w in told), sep="\n", flush=True)
    return table


class KeepBest(keras.callbacks.Callback):
    """Takes back the weights of the epoch with the highest F1."""

    def __init__(self, data: Any) -> None:
        super().__init__()
        self.data, self.f1, self.weights = data, -1.0, None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Scores the rows, with the threshold that is best for them."""
        margins, scores, has = self.model.found_in(self.data, None)
        threshold = best_threshold(margins, scores, has)
        f1 = np.where(margins >= threshold, scores, ~has).mean()
        always = f"{scores[has].mean():.3f} of rows with an answer, if always one is given"
        print(f"  epoch {epoch + 1}: {logs}, dev f1 of characters {f1:.3f}, {always}", flush=True)
        if f1 > self.f1:
            self.model.get_layer("logits").threshold.assign(threshold)
            self.f1, self.weights = f1, self.model.get_weights()

    def on_train_end(self, logs: Any = None) -> None:
        """Takes the weights back."""
        self.model.set_weights(self.weights)


def tell(name: str, model: Any, dev: Any, test: Any, seconds: float) -> None:
    """Prints a model's figures."""
    report = sz.evaluate(model, test)
    low, high = report.task.intervals(report.labels, [report.outputs])["f1"]
    figures = "  ".join(f"{k} {v:.3f}" for k, v in report.figures.items())
    found = f"dev f1 {sz.evaluate(model, dev).f1:.3f}  test {figures} ({low:.3f} to {high:.3f})"
    print(f"{name}: {found}  {model.count_params():,} weights  {seconds:.0f} s", flush=True)


def main() -> None:
    """Fits and scores everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/subjqa_restaurants"))
    parser.add_argument("--hub", type=Path, help="folder of minilm_L-6_H-384_A-12 and its words")
    parser.add_argument("--longest", type=int, help="most words of a review that is learnt from")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rate", type=float, default=3e-4)
    options = parser.parse_args()
    train, dev, test = (read(options.data / f"{part}.csv") for part in ("train", "dev", "test"))
    for name, rows in (("no_answer", dev), ("shared_words", dev), ("shared_words", None)):
        begun = time.monotonic()
        baseline: Any = BASELINES[name]()
        baseline.fit(train, rows)
        shown = name if rows else f"{name}, no threshold"
        tell(shown, baseline, dev, test, time.monotonic() - begun)
    if not options.hub:
        return
    if options.longest:
        sizes = np.array([len(context.split()) for _, context in train.texts])
        train = train.take(sizes <= options.longest)
        print(f"learnt from {len(train):,} pairs", flush=True)
    keras.utils.set_random_seed(0)
    model = sz.build_model(
        str(options.hub / "minilm_L-6_H-384_A-12"),
        train,
        preprocessor=str(options.hub / "bert_en_uncased_preprocess_3"),
        sequence_length=256,
        stride=192,
    )
    model.optimizer.learning_rate = options.rate
    data = sz.make_dataset(train, model, options.batch_size, shuffle=True, seed=0)
    held = sz.make_dataset(dev, model, batch_size=32, bucket=True)
    begun = time.monotonic()
    model.fit(data, epochs=options.epochs, verbose=0, callbacks=[KeepBest(held)])
    seconds = time.monotonic() - begun
    tell("minilm_L-6_H-384_A-12, seed 0", model, dev, test, seconds)
    model.get_layer("logits").threshold.assign(-1e9)
    tell("minilm_L-6_H-384_A-12, seed 0, no threshold", model, dev, test, seconds)


if __name__ == "__main__":
    main()
