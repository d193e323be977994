"""What a small model learns of a fine-tuned encoder: alone, taught, and with more texts.

    python benchmarks/distillation.py trec --vectors glove.6B.50d.txt --seeds 0 1 2

The data sets are looked for in ../shared/data, beside the clone; see `--data`. The teacher is the
encoder of --hub, trained as the `minilm` of benchmarks/quality.py and kept in the file --teacher.
Every student is the same model with the same word vectors: `alone` learns the labels, `taught` the
teacher's answers to the training texts, and the others what their names say: arguments of
`sz.distill`, such as `augment=20` or `augment=20;temperature=2`, with `unlabelled` where the texts
of --unlabelled are learnt too; with --rows, only so many rows have labels, for teacher and student,
and the texts of the others are those. All train with `fit_settings`, but at most --epochs; the test
rows (--on test) have no part in that.
"""

from __future__ import annotations

import argparse
import ast
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import keras_seqzoo as sz
from keras_seqzoo.serving.saved import load_predictor

sys.path.insert(0, str(Path(__file__).parent))
from quality import ROOT, SETS, Split


def teach(hub: Path, parts: Split, file: Path) -> Any:
    """Fine-tunes the teacher, or loads it where that is done."""
    if not file.exists():
        train, valid, _ = parts
        keras.utils.set_random_seed(0)
        model = sz.build_model(str(hub), train)
        settings = sz.fit_settings(model, train)
        rows = sz.make_dataset(train, model, settings.pop("batch_size"), shuffle=True, seed=0)
        held_out = sz.make_dataset(valid, model, 64)
        model.fit(rows, validation_data=held_out, verbose=0, **settings)
        file.parent.mkdir(parents=True, exist_ok=True)
        model.save(file)
    return load_predictor(file, trust=True)


def run(
    how: dict[str, Any], teacher: Any, parts: Split, asked: sz.TextTable, seed: int, given: Any
) -> tuple[sz.Report, int, float]:
    """Trains a student; returns its report, epochs and seconds of `fit`."""
    train, valid, _ = parts
    keras.utils.set_random_seed(seed)
    student = sz.build_model(
        given.student,
        train,
        vectors=None if given.vectors is None else str(given.vectors),
        vector_words=given.vector_words,
    )
    usual = sz.fit_settings(student, train)
    fit = {
        **usual,
        "epochs": min(given.epochs, usual["epochs"]),
        "validation_data": sz.make_dataset(valid, student, 256),
        "verbose": 0,
    }
    how = dict(how)
    if how.pop("unlabelled", False):
        how["unlabelled"] = given.unlabelled
    begun = time.monotonic()
    if how.pop("alone", False):
        history = student.fit(train, **fit)
    else:
        how["augment"] = {"copies": how.pop("augment", 0), **how.pop("rules", {})}
        history = sz.distill(teacher, student, train, cache=given.cache, **{**fit, **how})
    seconds = time.monotonic() - begun
    return sz.evaluate(student, asked), len(history.epoch), seconds


def parse(name: str) -> dict[str, Any]:
    """Reads the name of a run: `alone`, `taught`, or arguments with semicolons between."""
    how: dict[str, Any] = {}
    for part in name.split(";"):
        key, _, value = part.partition("=")
        if key != "taught":
            how[key] = ast.literal_eval(value) if value else True
    return how


def main() -> None:
    """Trains all asked for; prints a Markdown row each and adds it to the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument("--runs", nargs="+", default=["alone", "taught", "augment=20"])
    parser.add_argument("--student", default="bigru")
    parser.add_argument("--vectors", type=Path, help="none by default")
    parser.add_argument("--vector-words", type=int, default=100_000)
    parser.add_argument("--teacher", type=Path, help="trained and kept there if it is missing")
    parser.add_argument("--unlabelled", type=Path, help="a file of a text a line")
    parser.add_argument("--rows", type=int, help="with labels, drawn at random; all by default")
    parser.add_argument("--cache", type=Path, default=Path("answers"))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--on", default="valid", choices=["valid", "test"])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument(
        "--hub", type=Path, default=ROOT.parent / "shared" / "hub" / "minilm_L-6_H-384_A-12"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/distillation.csv")
    given = parser.parse_args()
    parts = SETS[given.set](given.data)
    if given.unlabelled:
        given.unlabelled = given.unlabelled.read_text("utf-8").splitlines()
    if given.rows:
        train, *others = parts
        drawn = np.random.default_rng(0).permutation(len(train))
        given.unlabelled = [train.texts[at] for at in drawn[given.rows :]]
        parts = (train.take(drawn[: given.rows]), *others)
    asked = parts[2] if given.on == "test" else parts[1]
    file = given.teacher or Path("teachers") / f"{given.set}.keras"
    teacher = teach(given.hub, parts, file)
    report_row(given, "teacher", "", sz.evaluate(teacher, asked), "", "")
    for name in given.runs:
        for seed in given.seeds:
            report_row(given, name, seed, *run(parse(name), teacher, parts, asked, seed, given))


def report_row(
    given: Any, name: str, seed: object, report: sz.Report, epochs: object, seconds: Any
) -> None:
    """Prints a result as a Markdown row and adds it to the CSV."""
    row = {
        "data": given.set,
        "rows": given.rows or "",
        "student": "" if name == "teacher" else given.student,
        "vector_words": "" if name == "teacher" else given.vector_words,
        "run": name,
        "seed": seed,
        "on": given.on,
        "accuracy": f"{report.accuracy:.4f}",
        "macro_f1": f"{report.macro_f1:.4f}",
        "log_loss": f"{report.log_loss:.4f}",
        "epochs": epochs,
        "seconds": f"{seconds:.0f}" if seconds else "",
        "date": datetime.now(UTC).date().isoformat(),
    }
    print("| " + " | ".join(map(str, row.values())) + " |", flush=True)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([row]).to_csv(given.out, mode="a", header=not given.out.exists(), index=False)


if __name__ == "__main__":
    main()
