"""Test accuracy and macro-F1 of the zoo's models on real data sets, at default settings.

    python benchmarks/quality.py --seeds 0 1 2 --plain lstm gru

The data sets are looked for in ../shared/data, beside the clone; see `--data`. Every model is
trained with `fit_settings`, as `keras-seqzoo train` and `compare` train it, but for the epochs that
a recipe names. `bigru-vectors` begins with the word vectors of `--vectors`, a file or an encoder,
`bigru-encoder` and `static-encoder` with those of the encoder of `--hub`. The test rows have no
part in any of that. A TF-IDF (1-2-grams, sublinear) + logistic regression (C=10) is fitted on the
same training rows, for comparison.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import pandas as pd
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import keras_seqzoo as sz
from keras_seqzoo.training.callbacks import training_callbacks, usual_settings

ROOT = Path(__file__).parents[1]
Split = tuple[sz.TextTable, sz.TextTable, sz.TextTable]


def sst2(data: Path) -> Split:
    """SST-2 with its own three parts."""
    read = {"names": ["text", "label"], "quoting": csv.QUOTE_NONE}
    train, valid, test = (
        sz.read_table(data / "sst2" / f"{part}.tsv", classes=["0", "1"], **read)
        for part in ("train", "dev", "test")
    )
    return train, valid, test


def trec(data: Path) -> Split:
    """TREC's six coarse classes; a tenth of the training questions validates."""

    def read(part: str) -> pd.DataFrame:
        lines = (data / "trec" / f"TREC.{part}").read_text("latin-1").splitlines()
        return pd.Series(lines).str.extract(r"^(?P<label>\w+):\S+ (?P<text>.*)$")

    whole = sz.read_table(read("train"))
    train, valid, _ = whole.split(valid=0.1, test=0, seed=0)
    return train, valid, sz.read_table(read("test"), classes=whole.classes)


def sms_spam(data: Path) -> Split:
    """SMS spam without its repeated messages, split 80 / 10 / 10."""
    table = sz.read_table(
        data / "sms_spam" / "spam.tsv", text="message", label="label", quoting=csv.QUOTE_NONE
    )
    return table.drop_duplicates().split(valid=0.1, test=0.1, seed=0)


def imdb_sample(data: Path) -> Split:
    """The IMDB sample; its own 200 test reviews, a tenth of the other 800 validates."""
    frame = pd.read_csv(data / "imdb_sample" / "texts.csv")
    whole = sz.read_table(frame[~frame["is_valid"]])
    train, valid, _ = whole.split(valid=0.1, test=0, seed=0)
    return train, valid, sz.read_table(frame[frame["is_valid"]], classes=whole.classes)


SETS: dict[str, Callable[[Path], Split]] = {
    f.__name__: f for f in (sst2, trec, sms_spam, imdb_sample)
}


@dataclass(frozen=True)
class Recipe:
    """How a model is built and trained."""

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None


SCRATCH = {
    "weights": None,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 128,
    "intermediate_dim": 512,
}
RECIPES = {name: Recipe(name) for name in ("lstm", "gru", "bilstm", "bigru")} | {
    # "hub" stands for the encoder that --hub names, "vectors" for those of --vectors.
    "bigru-narrow": Recipe("bigru", {"wide": False}),
    "bigru-vectors": Recipe("bigru", {"vectors": "vectors"}),
    "bigru-encoder": Recipe("bigru", {"vectors": "hub"}),
    "static-encoder": Recipe("static", {"vectors": "hub"}),
    "minilm": Recipe("hub"),
    "minilm-frozen": Recipe("hub", {"trainable": False}),
    "electra-scratch": Recipe("electra_small", {**SCRATCH, "embedding_dim": 128}, epochs=5),
    "bert-scratch": Recipe("bert_base", SCRATCH, epochs=5),
    "gpt2-scratch": Recipe("gpt2", SCRATCH, epochs=5),
}


def train_model(
    recipe: Recipe, places: Mapping[str, Path], parts: Split, seed: int
) -> tuple[sz.Report, float, int]:
    """Trains and tests one model; returns its report, seconds of `fit`, and epochs."""
    train, valid, test = parts
    keras.utils.set_random_seed(seed)
    options = {
        k: str(places.get(str(v), v)) if k == "vectors" else v for k, v in recipe.options.items()
    }
    model = sz.build_model(str(places.get(recipe.model, recipe.model)), train, **options)
    settings = sz.fit_settings(model, train)
    rows = sz.make_dataset(train, model, settings.pop("batch_size"), shuffle=True, seed=seed)
    settings["epochs"] = recipe.epochs or settings["epochs"]
    begun = time.monotonic()
    history = model.fit(
        rows, validation_data=sz.make_dataset(valid, model, 64), verbose=0, **settings
    )
    return sz.evaluate(model, test), time.monotonic() - begun, len(history.epoch)


def train_plain_keras(name: str, parts: Split, seed: int) -> tuple[sz.Report, float, int]:
    """The recipe of the Keras guides at the same sizes, trained as long and as patiently."""
    train, valid, test = parts
    keras.utils.set_random_seed(seed)
    vectorize = keras.layers.TextVectorization(20_000, output_sequence_length=512)
    vectorize.adapt(tf.constant(train.texts.tolist()))
    recurrent = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[name.removeprefix("bi")](64)
    if name.startswith("bi"):
        recurrent = keras.layers.Bidirectional(recurrent)
    model = keras.Sequential(
        [
            keras.layers.Embedding(20_000, 128, mask_zero=True),
            recurrent,
            keras.layers.Dropout(0.5),
            keras.layers.Dense(len(train.classes), activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    ids = [vectorize(tf.constant(part.texts.tolist())).numpy() for part in parts]
    # The constant length is that of the longest text here, which only spares time.
    longest = max(int((part != 0).sum(axis=1).max()) for part in ids)
    ids = [part[:, :longest] for part in ids]
    usual = usual_settings(sz.build_model("gru", train), len(train))
    begun = time.monotonic()
    history = model.fit(
        ids[0],
        train.labels,
        validation_data=(ids[1], valid.labels),
        epochs=usual.epochs,
        batch_size=usual.batch_size,
        callbacks=training_callbacks(patience=usual.patience),
        verbose=0,
    )
    seconds = time.monotonic() - begun
    answers = model.predict(ids[2], verbose=0)
    report = sz.Report.from_predictions(test.labels, answers, test.classes)
    return report, seconds, len(history.epoch)


def main() -> None:
    """Trains all asked for; prints a Markdown row each and writes the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument(
        "--models", nargs="+", default=["lstm", "gru", "bilstm", "bigru"], choices=list(RECIPES)
    )
    parser.add_argument(
        "--hub", type=Path, default=ROOT.parent / "shared" / "hub" / "minilm_L-6_H-384_A-12"
    )
    parser.add_argument("--vectors", type=Path, help="a file of word vectors")
    parser.add_argument("--plain", nargs="*", default=[], help="plain Keras models beside ours")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/quality.csv")
    arguments = parser.parse_args()
    places = {"hub": arguments.hub, "vectors": arguments.vectors}
    rows = []
    print("| data | model | seed | accuracy | macro-F1 | log loss | epochs | training, s |")
    print("|---|---|---|---|---|---|---|---|")
    for set_name in arguments.sets:
        parts = SETS[set_name](arguments.data)
        begun = time.monotonic()
        linear = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            LogisticRegression(C=10, max_iter=1000),
        )
        linear.fit(parts[0].texts, parts[0].labels)
        seconds = time.monotonic() - begun
        baseline = sz.Report.from_predictions(
            parts[2].labels, linear.predict_proba(parts[2].texts), parts[2].classes
        )
        rows.append(report_row(set_name, "TF-IDF + LR", "", baseline, "", seconds))
        for name in arguments.models:
            for seed in arguments.seeds:
                report, seconds, epochs = train_model(RECIPES[name], places, parts, seed)
                rows.append(report_row(set_name, name, seed, report, epochs, seconds))
        for name in arguments.plain:
            for seed in arguments.seeds:
                report, seconds, epochs = train_plain_keras(name, parts, seed)
                rows.append(
                    report_row(set_name, f"plain Keras {name}", seed, report, epochs, seconds)
                )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(arguments.out, index=False)
    print(f"\nwritten to {arguments.out.name}")


def report_row(
    set_name: str, model: str, seed: object, report: sz.Report, epochs: object, seconds: float
) -> dict[str, object]:
    """Prints one result as a Markdown row and returns it."""
    row = {
        "data": set_name,
        "model": model,
        "seed": seed,
        "accuracy": f"{report.accuracy:.4f}",
        "macro_f1": f"{report.macro_f1:.4f}",
        "log_loss": f"{report.log_loss:.4f}",
        "epochs": epochs,
        "seconds": f"{seconds:.1f}",
    }
    print("| " + " | ".join(str(value) for value in row.values()) + " |", flush=True)
    return {**row, "date": datetime.now(UTC).date().isoformat(), "keras": keras.__version__}


if __name__ == "__main__":
    main()
