"""How many labels that were flipped on purpose `suspects` finds, beside cleanlab.

    python benchmarks/wrong_labels.py --sets sst2 trec sms_spam --seeds 0 1 2

Of the training rows 5 and 10 % get another label, drawn evenly from the other classes. Recall is
the share of these among as many rows as were flipped, the most suspect first; wrong labels that the
data had before count as errors of the method. cleanlab, where it is installed (`pip install
cleanlab`; it is under the AGPL, and so no dependency), is given the probabilities of the same
cross-validated TF-IDF with logistic regression.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from quality import ROOT, SETS
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

import keras_seqzoo as sz

try:
    from cleanlab.filter import find_label_issues
except ImportError:
    find_label_issues = None


def recall(found: Any, flipped: np.ndarray) -> float:
    """The share of the flipped rows among the first found."""
    return len({*map(int, found[: len(flipped)])} & {*map(int, flipped)}) / len(flipped)


def by_cleanlab(texts: Any, labels: np.ndarray, seed: int) -> Any:
    """Rows in cleanlab's order."""
    linear = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=10, max_iter=1000),
    )
    cut = StratifiedKFold(5, shuffle=True, random_state=seed)
    given = cross_val_predict(linear, texts, labels, cv=cut, method="predict_proba")
    return find_label_issues(labels, given, return_indices_ranked_by="self_confidence")


def main() -> None:
    """Prints a row for each set and share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--sets", nargs="+", default=["sst2", "trec", "sms_spam"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    print("| data | flipped | rows told | recall | cleanlab's | s |")
    print("|---|---|---|---|---|---|")
    for name in arguments.sets:
        table = SETS[name](arguments.data)[0]
        for share in (0.05, 0.1):
            ours, theirs, told, seconds = [], [], [], []
            for seed in arguments.seeds:
                rng = np.random.default_rng(seed)
                flipped = rng.choice(len(table), round(share * len(table)), replace=False)
                labels = np.array(table.labels)
                others = rng.integers(1, len(table.classes), len(flipped))
                labels[flipped] = (labels[flipped] + others) % len(table.classes)
                given = [table.classes[label] for label in labels]
                begun = time.monotonic()
                found = sz.suspects(
                    sz.TextTable.from_texts(table.texts, given, table.classes), seed=seed
                ).labels
                seconds.append(time.monotonic() - begun)
                told.append(len(found))
                ours.append(recall(found["row"], flipped))
                if find_label_issues is not None:
                    theirs.append(recall(by_cleanlab(table.texts, labels, seed), flipped))
            peer = f"{np.mean(theirs):.3f}" if theirs else "not installed"
            cells = (f"{share:.0%}, {len(flipped):,}", f"{np.mean(told):,.0f}")
            print(
                f"| {name} | {' | '.join(cells)} | {np.mean(ours):.3f} | {peer} "
                f"| {np.mean(seconds):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
