"""Examples per second of `fit` on long reviews: this package against the plain Keras recipe.

    python benchmarks/fit_speed.py --rounds 5

Plain Keras: `TextVectorization` padded to a constant 600 tokens, an Embedding without a mask, one
`keras.layers.LSTM`, Dense; texts tokenised anew in every epoch, as its guides do. Ours:
`build_model("lstm", sequence_length=600)` and `make_dataset(shuffle=True)`. The architecture (last
state, no dropout), vocabulary size, widths, batch size, optimizer and rows are the same. Both are
warmed up, then timed in turn, a `fit` of three epochs each a round; the ratio is taken round by
round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import keras
import pandas as pd
import tensorflow as tf

import keras_seqzoo as sz

ROOT = Path(__file__).parents[1]
LENGTH, VOCABULARY, WIDTH, UNITS, EPOCHS = 600, 20_000, 128, 64, 3


def plain_keras(table: sz.TextTable, batch_size: int) -> tuple[keras.Model, tf.data.Dataset]:
    """The recipe of the Keras guides: vectorise in the pipeline, pad to a constant."""
    vectorize = keras.layers.TextVectorization(VOCABULARY, output_sequence_length=LENGTH)
    texts = tf.constant(table.texts.tolist())
    vectorize.adapt(texts)
    inputs = keras.Input((LENGTH,), dtype="int64")
    x = keras.layers.Embedding(VOCABULARY, WIDTH)(inputs)
    x = keras.layers.LSTM(UNITS)(x)
    outputs = keras.layers.Dense(len(table.classes), activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rows = tf.data.Dataset.from_tensor_slices((texts, table.labels)).shuffle(len(table), seed=0)
    batches = rows.batch(batch_size).map(lambda x, y: (vectorize(x), y))
    return model, batches.prefetch(tf.data.AUTOTUNE)


def ours(table: sz.TextTable, batch_size: int) -> tuple[Any, tf.data.Dataset]:
    """The same sizes in this package."""
    model = sz.build_model(
        "lstm",
        table,
        sequence_length=LENGTH,
        vocabulary_size=VOCABULARY,
        embedding_dim=WIDTH,
        units=UNITS,
        pooling="last",
        dropout=0.0,
    )
    return model, sz.make_dataset(table, model, batch_size, shuffle=True, seed=0)


def main() -> None:
    """Prints both rates and their ratio, round by round and as medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    frame = pd.read_csv(arguments.data / "imdb_sample" / "texts.csv")
    table = sz.read_table(frame[~frame["is_valid"]])
    trained = {"keras": plain_keras(table, arguments.batch_size)}
    trained["ours"] = ours(table, arguments.batch_size)
    rates: dict[str, list[float]] = {name: [] for name in trained}
    for round_number in range(arguments.rounds + 1):
        for name, (model, dataset) in trained.items():
            begun = time.perf_counter()
            model.fit(dataset, epochs=EPOCHS, shuffle=False, verbose=0)
            if round_number:
                rates[name].append(EPOCHS * len(table) / (time.perf_counter() - begun))
        if round_number:
            print("  ".join(f"{n} {r[-1]:.1f}/s" for n, r in rates.items()), flush=True)
    ratios = [a / b for a, b in zip(rates["ours"], rates["keras"], strict=True)]
    for name, values in rates.items():
        print(f"{name}: median {statistics.median(values):.1f} examples/s")
    print(f"ratio: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
