"""Entity F1 of taggers on WNUT 2017 (https://noisy-text.github.io/2017), from its three files.

    python benchmarks/tagging.py --seeds 3                       # bilstm, linear CRF, dictionary
    python benchmarks/tagging.py --seeds 1 --hub ../shared/hub   # and all-MiniLM-L6-v2 of TF Hub

Every model keeps the epoch of the highest F1 on the development rows; the test rows are asked once.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import keras

import keras_seqzoo as sz
from keras_seqzoo.comparison.baselines import BASELINES
from keras_seqzoo.metrics.spans import counts_by_row, scores
from keras_seqzoo.metrics.statistics import bootstrap

PARTS = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")


class KeepBest(keras.callbacks.Callback):
    """Takes back the weights of the epoch with the highest F1."""

    def __init__(self, table: Any) -> None:
        super().__init__()
        self.table, self.f1, self.weights, self.epoch = table, -1.0, None, 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Scores the table."""
        f1 = sz.evaluate(self.model, self.table).f1
        if f1 > self.f1:
            self.f1, self.weights, self.epoch = f1, self.model.get_weights(), epoch + 1

    def on_train_end(self, logs: Any = None) -> None:
        """Takes the weights back."""
        self.model.set_weights(self.weights)


def tell(name: str, model: Any, dev: Any, test: Any, seconds: float, other: Any = None) -> Any:
    """Prints a model's figures, and by how much its F1 is above another's; returns its report."""
    report = sz.evaluate(model, test)
    low, high = report.task.intervals(report.labels, [report.outputs])["f1"]
    figures = "  ".join(f"{k} {v:.3f}" for k, v in report.figures.items())
    found = f"dev f1 {sz.evaluate(model, dev).f1:.3f}  test {figures} ({low:.3f} to {high:.3f})"
    print(f"{name}: {found}  {model.count_params():,} weights  {seconds:.0f} s", flush=True)
    if other is not None:
        spans = report.task.target.spans(report.labels)
        counts = [counts_by_row(spans, r.task.spans(r.outputs)) for r in (report, other)]

        def above(weights: Any) -> dict[str, Any]:
            ours, theirs = (scores(weights @ c)["f1"] for c in counts)
            return {"f1": ours - theirs}

        low, high = bootstrap(above, len(spans))["f1"]
        print(
            f"  f1 above the linear CRF's: {report.f1 - other.f1:+.3f} ({low:+.3f} to {high:+.3f})"
        )
    return report


def main() -> None:
    """Fits and scores everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/wnut17"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hub", type=Path, help="folder of minilm_L-6_H-384_A-12 and its words")
    options = parser.parse_args()
    train = sz.read_table(options.data / PARTS[0], target="tags")
    dev, test = (sz.read_table(options.data / p, target=train.target) for p in PARTS[1:])
    for name in ("dictionary", "linear_crf"):
        begun = time.monotonic()
        baseline = BASELINES[name]()
        baseline.fit(train)
        crf = tell(name, baseline, dev, test, time.monotonic() - begun)
    models: dict[str, dict[str, Any]] = {"bilstm": {"epochs": 12}}
    if options.hub:
        words = options.hub / "bert_en_uncased_preprocess_3"
        given = {"preprocessor": str(words), "sequence_length": 128}
        models[str(options.hub / "minilm_L-6_H-384_A-12")] = {"epochs": 5, "rate": 1e-4, **given}
    for name, settings in models.items():
        for seed in range(options.seeds):
            keras.utils.set_random_seed(seed)
            given = {k: v for k, v in settings.items() if k not in ("epochs", "rate")}
            model = sz.build_model(name, train, **given)
            if "rate" in settings:
                model.optimizer.learning_rate = settings["rate"]
            data = sz.make_dataset(train, model, batch_size=16, shuffle=True, seed=seed)
            begun = time.monotonic()
            model.fit(data, epochs=settings["epochs"], verbose=0, callbacks=[KeepBest(dev)])
            tell(f"{Path(name).name}, seed {seed}", model, dev, test, time.monotonic() - begun, crf)


if __name__ == "__main__":
    main()
