"""When a training should end, what of it is kept, and what the linear model beside it brings.

    python benchmarks/stopping.py imdb_sample trec sst2_200 --models bigru --seeds 0 1 2

Each model is trained once a seed, as long as `fit_settings` says, and every rule is asked which
epoch it would have kept: `val_loss` is the lowest validation loss, until two epochs bring no lower
one; `calibrated` the lowest loss at its best temperature, given up after the patience of
`fit_settings`; `last` the last epoch. The answers of that epoch are calibrated on the validation
rows, and where the model has a linear one beside it, mixed with that one's. What is printed are
figures of rows that had no part in training or choice, and are no test rows: half of the validation
rows of `quality.py`, or a tenth or eighth of the training rows where these are few. `sst2_200` has
200 training rows, a fifth of which validate, `mrpc_2490` as many pairs as RTE.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from quality import ROOT, SETS, Split
from scipy.special import softmax
from tasks import mrpc

import keras_seqzoo as sz
from keras_seqzoo.metrics.statistics import best_mixture, best_temperature, calibrated_loss


def parts_of(name: str, data: Path, seed: int) -> Split:
    """Training rows, validation rows, and those that are asked."""
    base, _, few = name.partition("_") if name.startswith(("sst2_", "mrpc_")) else (name, "", "")
    rng = np.random.default_rng(seed)
    if base == "mrpc":
        whole, _, _ = mrpc(data)
        rows = rng.permutation(len(whole))
        return tuple(whole.take(rows[a:b]) for a, b in ((0, 2490), (2490, 2990), (2990, None)))
    if name == "imdb_sample":
        frame = pd.read_csv(data / name / "texts.csv")
        return sz.read_table(frame[~frame["is_valid"]]).split(valid=0.125, test=0.125, seed=seed)
    train, valid, _ = SETS[base](data)
    if few:
        rows = rng.permutation(len(train))[: int(few)]
        cut = len(rows) * 4 // 5
        return train.take(rows[:cut]), train.take(rows[cut:]), valid
    if name == "sms_spam":
        train, held_out, _ = train.split(valid=0.1, test=0, seed=seed)
        return train, held_out, valid
    rows = rng.permutation(len(valid))
    return train, *(valid.take(half) for half in np.array_split(rows, 2))


class Answers(keras.callbacks.Callback):
    """Keeps what the model answers after every epoch."""

    def __init__(self, valid: sz.TextTable, others: sz.TextTable):
        super().__init__()
        self.tables = (valid, others)
        self.losses: list[float] = []
        self.outputs: list[list[Any]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Asks."""
        self.losses.append(logs["val_loss"])
        self.outputs.append([self.model.predict(t, verbose=0) for t in self.tables])


def kept(figures: Sequence[float], patience: int) -> int:
    """The number of the best epoch before patience ends."""
    best = 0
    for epoch, figure in enumerate(figures):
        if figure < figures[best]:
            best = epoch
        if epoch - best >= patience:
            break
    return best


def figures(labels: Any, outputs: Any) -> str:
    """Accuracy and log loss, as cells of a table."""
    right = outputs[np.arange(len(labels)), labels]
    accuracy = np.mean(outputs.argmax(axis=1) == labels)
    return f"{accuracy:.3f} ({-np.log(np.maximum(right, 1e-30)).mean():.3f})"


def run(name: str, model_name: str, seed: int, given: Any) -> None:
    """Trains a model, and prints a row for each rule."""
    train, valid, others = parts_of(name, given.data, seed)
    keras.utils.set_random_seed(seed)
    model = sz.build_model(str(given.hub) if model_name == "minilm" else model_name, train)
    settings = sz.fit_settings(model, train)
    settings["epochs"] = given.epochs or settings["epochs"]
    answers = Answers(valid, others)
    rows = sz.make_dataset(train, model, settings.pop("batch_size"), shuffle=True, seed=seed)
    settings["callbacks"].append(answers)
    patience = getattr(settings["callbacks"][0], "patience", settings["epochs"])
    model.fit(rows, validation_data=sz.make_dataset(valid, model, 64), verbose=0, **settings)
    truth = [np.asarray(table.labels) for table in (valid, others)]
    linear = [None, None]
    if getattr(model, "wide", None) is not None:
        ids = [model.preprocessor(t.texts)["token_ids"] for t in (valid, others)]
        linear = [np.asarray(model.get_layer("wide").scores(i)) for i in ids]
    calibrated = [calibrated_loss(truth[0], outputs[0]) for outputs in answers.outputs]
    rules = {
        "val_loss": kept(answers.losses, 2),
        "calibrated": kept(calibrated, patience),
        "last": len(calibrated) - 1,
    }
    for rule, epoch in rules.items():
        logs = [np.log(np.maximum(outputs, 1e-30)) for outputs in answers.outputs[epoch]]
        temperature = best_temperature(truth[0], answers.outputs[epoch][0])
        cells = [figures(truth[1], softmax(logs[1] / temperature, axis=1))]
        if linear[0] is not None:
            both = softmax(logs[0] + linear[0], axis=1)
            temperature, share = best_mixture(truth[0], answers.outputs[epoch][0], both)
            mixed = softmax((logs[1] + share * linear[1]) / temperature, axis=1)
            cells += [figures(truth[1], softmax(linear[1], axis=1)), figures(truth[1], mixed)]
        cells += [""] * (3 - len(cells))
        done = f"{epoch + 1} of {len(calibrated)}"
        print(
            f"| {name} | {model_name} | {seed} | {rule} | {done} | {' | '.join(cells)} |",
            flush=True,
        )


def main() -> None:
    """Prints a row for each set, model, seed and rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = ROOT.parent / "shared"
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--models", nargs="+", default=["bigru"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="those of fit_settings by default")
    parser.add_argument("--data", type=Path, default=shared / "data")
    parser.add_argument("--hub", type=Path, default=shared / "hub" / "minilm_L-6_H-384_A-12")
    given = parser.parse_args()
    print("| data | model | seed | rule | epoch | network, accuracy (log loss) | linear | both |")
    print("|---|---|---|---|---|---|---|---|")
    for name in given.sets:
        for model in given.models:
            for seed in given.seeds:
                run(name, model, seed, given)


if __name__ == "__main__":
    main()
