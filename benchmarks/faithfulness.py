"""Do explanations name the words that the models go by? An LSTM and a TF Hub encoder on SST-2.

    python benchmarks/faithfulness.py --rows 300

Both models are trained as `quality.py` trains them. Then the first test rows of a shuffle are
explained by each method, and their top 10, 20 and 50 % of words deleted, or kept alone. The scores
of "random" are drawn, not computed. Writes benchmarks/results/faithfulness.md.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from quality import RECIPES, Recipe, Split, batch_size_for, sst2

import keras_seqzoo as sz
from keras_seqzoo.explanation.explain import METHODS, explain
from keras_seqzoo.explanation.explanations import Explanations
from keras_seqzoo.explanation.faithfulness import faithfulness
from keras_seqzoo.training.callbacks import training_callbacks

ROOT = Path(__file__).parents[1]
SHARES = (0.1, 0.2, 0.5)
MODELS = {"lstm": "lstm", "hub": "minilm", "hub-frozen": "minilm-frozen"}


def main() -> None:
    """Trains, explains, measures, and writes a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = ROOT.parent / "shared"
    parser.add_argument("--data", type=Path, default=shared / "data")
    parser.add_argument("--hub", type=Path, default=shared / "hub" / "minilm_L-6_H-384_A-12")
    parser.add_argument("--models", nargs="+", default=["lstm", "hub"], choices=list(MODELS))
    parser.add_argument("--rows", type=int, default=300, help="test rows to explain")
    parser.add_argument("--train-rows", type=int, help="all by default")
    parser.add_argument("--epochs", type=int, help="those of quality.py by default")
    parser.add_argument("--samples", type=int, default=200, help="most orders of Shapley")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/faithfulness.md")
    arguments = parser.parse_args()
    parts = subset(sst2(arguments.data), arguments)
    command = shlex.join(["python", "benchmarks/faithfulness.py", *sys.argv[1:]])
    lines = [
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d}; {len(parts[0]):,} training rows, "
        f"{len(parts[2]):,} test rows explained.\n"
    ]
    for name in arguments.models:
        model, accuracy = train(RECIPES[MODELS[name]], parts, arguments)
        lines.append(f"## {name}: accuracy {accuracy:.4f} on these rows\n")
        rows = pd.DataFrame(measure(model, parts[2], arguments))
        lines += [table(rows), ""]
        print("\n".join(lines[-3:]), flush=True)
    lines.append(
        "Fall of the probability of the model's answer, mean over the texts: where the top words "
        "are deleted (more is better) and where only they are kept (less is better); ± the "
        "standard error of the difference to random words of the same texts. Gap: how far the "
        "scores miss their sum (integrated gradients), or their largest standard error (Shapley), "
        "mean over the texts."
    )
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def subset(parts: Split, arguments: argparse.Namespace) -> Split:
    """So many rows of training and test as are asked for, drawn at random."""
    train, valid, test = parts
    random = np.random.default_rng(arguments.seed)
    if arguments.train_rows:
        train = train.take(random.permutation(len(train))[: arguments.train_rows])
    return train, valid, test.take(random.permutation(len(test))[: arguments.rows])


def train(recipe: Recipe, parts: Split, arguments: argparse.Namespace) -> tuple[Any, float]:
    """Trains a model as `quality.py` does; returns it and its accuracy on the test rows."""
    import keras

    rows, valid, test = parts
    keras.utils.set_random_seed(arguments.seed)
    name = str(arguments.hub) if recipe.model == "hub" else recipe.model
    model = sz.build_model(name, rows, **recipe.options)
    batch = batch_size_for(rows)
    model.fit(
        sz.make_dataset(rows, model, batch, shuffle=True, seed=arguments.seed),
        validation_data=sz.make_dataset(valid, model, 64),
        epochs=arguments.epochs or recipe.epochs,
        callbacks=training_callbacks(patience=recipe.patience),
        verbose=0,
    )
    return model, sz.evaluate(model, test).accuracy


def measure(
    model: Any, test: sz.TextTable, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Explains the texts by each method, and yields a row a method."""
    random = np.random.default_rng(arguments.seed)
    for method in METHODS:
        explain(model, test.take([0]), method)  # traces the graphs
        begun = time.monotonic()
        explanations = explain(model, test, method, samples=arguments.samples, seed=arguments.seed)
        seconds = time.monotonic() - begun
        gaps = [e.convergence[-1][1] for e in explanations if e.convergence]
        yield {
            "method": method.replace("_", " "),
            **figures(model, explanations, arguments.seed),
            "gap": f"{np.mean(gaps):.4f}" if gaps else "",
            "s a text": f"{seconds / len(test):.3f}",
        }
    drawn = Explanations(
        replace(e, scores=random.random(len(e.scores)), method="random") for e in explanations
    )
    yield {"method": "random", **figures(model, drawn, arguments.seed), "gap": "", "s a text": ""}


def figures(model: Any, explanations: Explanations, seed: int) -> dict[str, str]:
    """Both measures at each share."""
    rows = faithfulness(model, explanations, SHARES, seed)
    is_random = explanations[0].method == "random"
    return {
        f"{label} {share:.0%}": f"{row[name]:.3f}"
        + ("" if is_random else f" ± {row[f'{name}_error']:.3f}")
        for label, name in (("deleted", "comprehensiveness"), ("kept", "sufficiency"))
        for share, (_, row) in zip(SHARES, rows.iterrows(), strict=True)
    }


def table(rows: pd.DataFrame) -> str:
    """A frame as Markdown."""
    lines = [list(rows.columns), ["---"] * len(rows.columns), *rows.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    main()
