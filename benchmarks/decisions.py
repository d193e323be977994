"""What `decide` promises against what is found, over random splits of rows that are not learnt.

    python benchmarks/decisions.py --sets sst2 trec sms_spam --splits 100 --folder /tmp/decisions

A `bigru` is trained once a set (at most 6 epochs, the best validation loss kept, one temperature);
its answers to the other rows are kept in the folder. Each split decides on one half of these rows
and looks at the other. Beside the threshold that `decide` takes: the lowest that just reaches the
wanted error on the rows that decide (as found), and the one of Geifman and El-Yaniv (2017), whose
search divides by the number of its tests (SGR). An error found on half the rows varies by itself,
so that a few splits would be above the promise with a threshold of just that error, too.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from quality import ROOT, SETS
from scipy.stats import binom

import keras_seqzoo as sz
from keras_seqzoo.metrics.decisions import error_threshold, recall_threshold
from keras_seqzoo.training.callbacks import training_callbacks

ERRORS = (0.01, 0.02, 0.05, 0.1)
SHARES = (0.9, 0.95)  # of precision and recall
LEVEL = 0.9
Rule = Callable[[Any, Any, float], float | None]


def parts(name: str, data: Path) -> tuple[sz.TextTable, sz.TextTable, sz.TextTable]:
    """Rows to learn, rows to stop and calibrate by, and rows that are neither."""
    train, valid, test = SETS[name](data)
    whole = [*train.texts, *valid.texts, *test.texts]
    labels = [train.classes[i] for t in (train, valid, test) for i in t.labels]
    learnt = len(train) if name == "sst2" else len(whole) // 2
    order = np.random.default_rng(0).permutation(len(whole))
    order = np.arange(len(whole)) if name == "sst2" else order

    def table(rows: Any) -> sz.TextTable:
        return sz.TextTable.from_texts(
            [whole[i] for i in rows], [labels[i] for i in rows], train.classes
        )

    first, second, _ = table(order[:learnt]).split(valid=0.1, test=0, seed=0)
    return first, second, table(order[learnt:])


def answers(name: str, data: Path, folder: Path) -> dict[str, np.ndarray]:
    """Probabilities and labels of the rows that stopped the training, and of the others."""
    path = folder / f"{name}.npz"
    if not path.is_file():
        train, valid, others = parts(name, data)
        keras.utils.set_random_seed(0)
        model = sz.build_model("bigru", train)
        model.fit(
            sz.make_dataset(train, model, 32, shuffle=True, seed=0),
            validation_data=sz.make_dataset(valid, model, 256),
            epochs=6,
            callbacks=training_callbacks(patience=2),
            calibrate=True,
            verbose=0,
        )
        found = {}
        for part, table in (("valid", valid), ("others", others)):
            found[f"{part}_outputs"] = model.predict(table.texts, verbose=0)
            found[f"{part}_labels"] = np.asarray(table.labels)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, classes=np.array(train.classes), **found)
    return dict(np.load(path))


def as_promised(scores: Any, wrong: Any, error: float) -> float | None:
    """What `decide` takes."""
    return error_threshold(scores, wrong, error, LEVEL)


def as_found(scores: Any, wrong: Any, error: float) -> float | None:
    """The lowest threshold from which on the error is not above the wanted one."""
    order = np.argsort(-scores, kind="stable")
    means = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    reached = np.flatnonzero(means <= error)
    return float(scores[order][reached[-1]]) if len(reached) else None


def by_sgr(scores: Any, wrong: Any, error: float) -> float | None:
    """Geifman and El-Yaniv (2017), algorithm 1, with the binomial tail in its exact form."""
    order = np.argsort(-scores, kind="stable")
    errors = np.cumsum(wrong[order])
    tests = math.ceil(math.log2(len(order)))
    low, high, found = 1, len(order), None
    for _ in range(tests):
        middle = math.ceil((low + high) / 2)
        if binom.cdf(errors[middle - 1], middle, error) <= (1 - LEVEL) / tests:
            low, found = middle, float(scores[order][middle - 1])
        else:
            high = middle
    return found


RULES: dict[str, Rule] = {"decide": as_promised, "as found": as_found, "SGR": by_sgr}


def splits(rows: int, count: int, size: int | None = None) -> Any:
    """Random halves: those that decide, and those that are looked at."""
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(rows)
        half = size or rows // 2
        yield order[:half], order[half:]


def of_abstention(name: str, found: dict[str, np.ndarray], count: int) -> list[dict[str, Any]]:
    """A row a promise and rule: how often it can be made, is broken, and what is answered."""
    outputs, labels = found["others_outputs"], found["others_labels"]
    scores, wrong = outputs.max(axis=1), outputs.argmax(axis=1) != labels
    made = []
    for error in ERRORS:
        for rule, choose in RULES.items():
            rows = []
            for deciding, looked in splits(len(labels), count):
                threshold = choose(scores[deciding], wrong[deciding], error)
                if threshold is not None:
                    given = scores[looked] >= threshold
                    rows.append((given.mean(), wrong[looked][given].mean() if given.any() else 0))
            made.append({"data": name, "promised": error, "rule": rule, **told(rows, error)})
    return made


def told(rows: list[tuple[float, float]], error: float) -> dict[str, Any]:
    """Means over the splits in which there was a threshold."""
    if not rows:
        return {"made": 0, "found": np.nan, "broken": 0, "answered": np.nan}
    answered, errors = np.transpose(rows)
    return {
        "made": len(rows),
        "found": errors.mean(),
        "broken": int((errors > error).sum()),
        "answered": answered.mean(),
    }


def of_classes(name: str, found: dict[str, np.ndarray], count: int) -> list[dict[str, Any]]:
    """A row a promise of precision or recall, over all classes."""
    outputs, labels = found["others_outputs"], found["others_labels"]
    made = []
    for what in ("precision", "recall"):
        for wanted in SHARES:
            rows, asked = [], 0
            for deciding, looked in splits(len(labels), count):
                for place in range(outputs.shape[1]):
                    scores, has = outputs[:, place], labels == place
                    asked += 1
                    threshold = (
                        error_threshold(scores[deciding], ~has[deciding], 1 - wanted, LEVEL)
                        if what == "precision"
                        else recall_threshold(scores[deciding][has[deciding]], wanted, LEVEL)
                    )
                    if threshold is None:
                        continue
                    given, true = scores[looked] >= threshold, has[looked]
                    right = (given & true).sum()
                    rows.append((right / max(given.sum(), 1), right / max(true.sum(), 1)))
            precision, recall = np.transpose(rows) if rows else np.full((2, 1), np.nan)
            kept = precision if what == "precision" else recall
            made.append(
                {
                    "data": name,
                    "promised": f"{what} {wanted:g}",
                    "made": f"{len(rows)} of {asked}",
                    "found": kept.mean(),
                    "broken": int((kept < wanted).sum()),
                    "other": (recall if what == "precision" else precision).mean(),
                }
            )
    return made


def of_reuse(name: str, found: dict[str, np.ndarray], count: int) -> list[dict[str, Any]]:
    """The same number of rows, those that stopped and calibrated the training or others."""
    made = []
    valid, others = (
        (found[f"{part}_outputs"], found[f"{part}_labels"]) for part in ("valid", "others")
    )
    size = len(valid[1]) * 2 // 3
    for error in ERRORS[1:]:
        for part in ("valid", "others"):
            outputs, labels = valid if part == "valid" else others
            scores, wrong = outputs.max(axis=1), outputs.argmax(axis=1) != labels
            rows = []
            for deciding, looked in splits(len(labels), count, size):
                threshold = as_promised(scores[deciding], wrong[deciding], error)
                if threshold is None:
                    continue
                seen = slice(None) if part == "valid" else looked
                given = others[0].max(axis=1)[seen] >= threshold
                missed = (others[0].argmax(axis=1) != others[1])[seen][given]
                rows.append((given.mean(), missed.mean() if given.any() else 0))
            made.append({"data": name, "promised": error, "rows": part, **told(rows, error)})
    return made


def markdown(rows: list[dict[str, Any]]) -> str:
    """A table of rows."""
    cells = [[*rows[0]], ["---"] * len(rows[0])]
    cells += [[f"{v:.4f}" if isinstance(v, float) else str(v) for v in r.values()] for r in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draws found error over promised, a panel a set, a line a rule."""
    names = list(dict.fromkeys(table["data"]))
    figure = Figure(figsize=(3.1 * len(names), 3.0), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for rule, colour in zip(RULES, ("#0072B2", "#D55E00", "#767676"), strict=True):
            part = table[(table["data"] == name) & (table["rule"] == rule) & (table["made"] > 0)]
            axes.plot(part["promised"], part["found"], "o-", color=colour, label=rule, ms=4)
        axes.plot([0, 0.1], [0, 0.1], ":", color="#767676", lw=1)
        axes.set(title=name, xlabel="promised error", xlim=(0, 0.105), ylim=(0, 0.115))
        axes.grid(color="#e4e7ea")
    figure.axes[0].set_ylabel("found error, mean")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Prints the tables, and draws the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--sets", nargs="+", default=["sst2", "trec", "sms_spam"])
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--folder", type=Path, required=True, help="of answers and the picture")
    arguments = parser.parse_args()
    tables: list[list[dict[str, Any]]] = [[], [], []]
    for name in arguments.sets:
        begun = time.monotonic()
        found = answers(name, arguments.data, arguments.folder)
        right = (found["others_outputs"].argmax(axis=1) == found["others_labels"]).mean()
        print(f"{name}: {len(found['others_labels']):,} rows, accuracy {right:.3f}", flush=True)
        for table, made in zip(tables, (of_abstention, of_classes, of_reuse), strict=True):
            table += made(name, found, arguments.splits)
        print(f"{time.monotonic() - begun:.0f} s", flush=True)
    for rows in tables:
        print("\n" + markdown(rows))
    draw(pd.DataFrame(tables[0]), arguments.folder / "decisions.png")


if __name__ == "__main__":
    main()
