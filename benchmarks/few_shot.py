"""Accuracy from 8, 16 and 64 labelled texts of each class, over ten draws of them.

    python benchmarks/few_shot.py --sets sst2 trec --sizes 8 16 64 --draws 10

Beside `few_shot=True` stand TF-IDF (1-2-grams, sublinear) + logistic regression (C=10), and a
logistic regression over the vectors of the same encoder as it came. With `--methods … setfit`,
`--setfit`, the interpreter of an environment with `setfit` in it, and `--weights`, the same encoder
as a folder of sentence-transformers, SetFit learns from the same rows: batches of 16 pairs, 20
pairs of either kind for each text, one epoch. Test rows choose nothing: `--unseen N` answers N
training rows that no draw takes, and `--epochs` and `--rate` are what may be chosen there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from quality import ROOT, SETS
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import keras_seqzoo as sz
from keras_seqzoo.tasks.few_shot import regression

Answer = Callable[[sz.TextTable, int], npt.NDArray[Any]]
METHODS = ("linear", "frozen", "few_shot", "setfit")


def drawn(table: sz.TextTable, size: int, seed: int) -> sz.TextTable:
    """So many rows of each class."""
    rng, labels = np.random.default_rng(seed), np.asarray(table.labels)
    of_class = (np.flatnonzero(labels == number) for number in range(len(table.classes)))
    return part(table, np.concatenate([rng.permutation(rows)[:size] for rows in of_class]))


def part(table: sz.TextTable, rows: npt.NDArray[np.int64]) -> sz.TextTable:
    """Some rows of a table."""
    names = np.array(table.classes)[np.asarray(table.labels)[rows]]
    return sz.TextTable.from_texts(list(np.asarray(table.texts)[rows]), list(names), table.classes)


def linear(test: sz.TextTable) -> Answer:
    """TF-IDF and logistic regression."""

    def answer(train: sz.TextTable, seed: int) -> npt.NDArray[Any]:
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            LogisticRegression(C=10, max_iter=1000),
        )
        return np.asarray(model.fit(train.texts, train.labels).predict(test.texts))

    return answer


def frozen(hub: Path, test: sz.TextTable) -> Answer:
    """Logistic regression over the encoder's vectors; as our head is fitted."""
    model = sz.build_model(str(hub), task="embed")
    vectors = sz.embed(model, test.texts, batch_size=64)

    def answer(train: sz.TextTable, seed: int) -> npt.NDArray[Any]:
        kernel, bias = regression(sz.embed(model, train.texts), np.asarray(train.labels))
        return np.argmax(vectors @ kernel + bias, axis=1)

    return answer


def ours(given: argparse.Namespace, test: sz.TextTable) -> Answer:
    """`few_shot=True`, at its defaults; the graph is loaded once, its state put back."""
    model = sz.build_model(str(given.hub), test, few_shot=True)
    if given.rate:
        model.optimizer.learning_rate = given.rate
    model.optimizer.build(model.trainable_variables)
    state = [*model.variables, *model.optimizer.variables]
    begun = [variable.numpy() for variable in state]

    def answer(train: sz.TextTable, seed: int) -> npt.NDArray[Any]:
        keras.utils.set_random_seed(seed)
        for variable, value in zip(state, begun, strict=True):
            variable.assign(value)
        model.fit(train, epochs=given.epochs, verbose=0)
        return np.argmax(model.predict(test.texts, batch_size=64, verbose=0), axis=1)

    return answer


def setfit(python: str, weights: Path, test: sz.TextTable) -> Answer:
    """SetFit in its own process, which reads a draw a line, and answers it in one."""
    process = subprocess.Popen(
        [python, str(Path(__file__).with_name("few_shot_torch.py")), str(weights)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def answer(train: sz.TextTable, seed: int) -> npt.NDArray[Any]:
        assert process.stdin
        assert process.stdout
        labels = np.asarray(train.labels).tolist()
        told = {"texts": [*train.texts], "labels": labels, "test": [*test.texts], "seed": seed}
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        while not (line := process.stdout.readline()).startswith("["):
            if not line:
                raise RuntimeError("SetFit's process ended; its messages stand above")
        return np.array(json.loads(line))

    return answer


def method(name: str, arguments: argparse.Namespace, test: sz.TextTable) -> Answer:
    """One of `METHODS`."""
    if name == "linear":
        return linear(test)
    if name == "setfit":
        return setfit(arguments.setfit, arguments.weights, test)
    if name == "few_shot":
        return ours(arguments, test)
    return frozen(arguments.hub, test)


def main() -> None:
    """Prints a row for each set, size and method, as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = ROOT.parent / "shared"
    parser.add_argument("--data", type=Path, default=shared / "data")
    parser.add_argument("--hub", type=Path, default=shared / "hub" / "minilm_L-6_H-384_A-12")
    parser.add_argument("--sets", nargs="+", default=["sst2", "trec"], choices=list(SETS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 16, 64])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--test-rows", type=int, help="the first of the test rows; all by default")
    parser.add_argument("--unseen", type=int, default=0, help="so many rows in place of the test's")
    parser.add_argument("--epochs", type=int, default=1, help="of few_shot")
    parser.add_argument("--rate", type=float, help="of few_shot, in place of the family's")
    parser.add_argument("--methods", nargs="+", default=METHODS[:3], choices=METHODS)
    parser.add_argument("--setfit", help="a Python with setfit")
    parser.add_argument("--weights", type=Path, help="the encoder for it")
    arguments = parser.parse_args()
    print("| data | texts a class | model | accuracy | ± std of the draws | least | s a draw |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.sets:
        train, _, whole = SETS[name](arguments.data)
        test = part(whole, np.arange(len(whole))[: arguments.test_rows])
        if arguments.unseen:
            mixed = np.random.default_rng(0).permutation(len(train))
            test = part(train, mixed[: arguments.unseen])
            train = part(train, mixed[arguments.unseen :])
        asked = {kind: method(kind, arguments, test) for kind in arguments.methods}
        for size in arguments.sizes:
            for kind, answer in asked.items():
                shares, seconds = [], []
                for seed in range(arguments.draws):
                    rows, begun = drawn(train, size, seed), time.monotonic()
                    shares.append(float((answer(rows, seed) == test.labels).mean()))
                    seconds.append(time.monotonic() - begun)
                print(
                    f"| {name} | {size} | {kind} | {np.mean(shares):.3f} "
                    f"| {np.std(shares, ddof=1):.3f} | {min(shares):.3f} "
                    f"| {np.mean(seconds):.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
