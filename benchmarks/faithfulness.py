"""Do explanations name the words that the models go by? Models of a comparison tell.

    python benchmarks/faithfulness.py comparisons/sst2 --models lstm minilm --rows 200

The models are those that `benchmarks/comparison.py sst2` has kept. The first test rows of a shuffle
are explained by each method, and their top 10, 20 and 50 % of words deleted, or kept alone. The
scores of "random" are drawn, not computed. Writes benchmarks/results/faithfulness.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import keras_seqzoo as sz
from keras_seqzoo.explanation.explain import METHODS

ROOT = Path(__file__).parents[1]
SHARES = (0.1, 0.2, 0.5)


def main() -> None:
    """Explains, deletes, measures, and writes a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("comparison", type=Path, help="the folder of a comparison")
    parser.add_argument("--models", nargs="+", default=["lstm", "minilm"])
    parser.add_argument("--rows", type=int, default=200, help="test rows to explain")
    parser.add_argument("--samples", type=int, default=200, help="most orders of Shapley")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/faithfulness.md")
    arguments = parser.parse_args()
    comparison = sz.Comparison(arguments.comparison)
    results = comparison.results
    random = np.random.default_rng(arguments.seed)
    test = sz.TextTable.from_texts(
        results.texts, [results.classes[i] for i in results.labels], classes=results.classes
    ).take(random.permutation(len(results.labels))[: arguments.rows])
    lines = [
        f"# Faithfulness of explanations, {datetime.now(UTC):%Y-%m-%d}\n",
        f"`python benchmarks/faithfulness.py comparisons/{arguments.comparison.name} --models "
        f"{' '.join(arguments.models)} --rows {arguments.rows} --samples {arguments.samples}`; "
        f"{len(test):,} test rows\n",
    ]
    for name in arguments.models:
        model = comparison.load(name)
        lines.append(f"## {name}: accuracy {sz.evaluate(model, test).accuracy:.3f} on these rows\n")
        lines += [table(pd.DataFrame(measure(model, test, arguments))), ""]
        print("\n".join(lines[-3:]), flush=True)
    lines.append(
        "Fall of the probability of the model's answer, mean over the texts: where the top words "
        "are deleted (more is better) and where only they are kept (less is better); ± the "
        "standard error of the difference to random words of the same texts. Gap: how far the "
        "scores miss their sum (integrated gradients), or their largest standard error (Shapley), "
        "mean over the texts."
    )
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(
    model: Any, test: sz.TextTable, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Explains the texts by each method, and yields a row a method."""
    random = np.random.default_rng(arguments.seed)
    for method in METHODS:
        sz.explain(model, test.take([0]), method)  # traces the graphs
        begun = time.monotonic()
        explanations = sz.explain(
            model, test, method, samples=arguments.samples, seed=arguments.seed
        )
        seconds = time.monotonic() - begun
        gaps = [e.convergence[-1][1] for e in explanations if e.convergence]
        yield {
            "method": method.replace("_", " "),
            **figures(model, explanations, arguments.seed),
            "gap": f"{np.mean(gaps):.4f}" if gaps else "",
            "s a text": f"{seconds / len(test):.3f}",
        }
    drawn = sz.Explanations(
        replace(e, scores=random.random(len(e.scores)), method="random") for e in explanations
    )
    yield {"method": "random", **figures(model, drawn, arguments.seed), "gap": "", "s a text": ""}


def figures(model: Any, explanations: sz.Explanations, seed: int) -> dict[str, str]:
    """Both measures at each share."""
    rows = sz.faithfulness(model, explanations, SHARES, seed)
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
