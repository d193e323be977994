"""Recurrent models: `fit` beside the plain Keras recipe and PyTorch's packed rows.

    bash benchmarks/peers/make_env.sh peers
    python benchmarks/peers/recurrent.py --peers peers/bin/python

An Embedding of 128, one LSTM or GRU of 64 units, its last state, Dense; no dropout; at most 600
words of a text out of 20,000; batches of 32, Adam. A round is a training of three epochs.

- ours: `build_model` and `make_dataset(shuffle=True)`.
- plain Keras: `TextVectorization` padded to a constant 600, an Embedding without a mask; texts
  tokenised anew in every epoch, as its guides do.
- PyTorch: `pack_padded_sequence` on the batches of ours, texts of like length, whose ids it gets
  from a file.

The note has the loss of the last epoch.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from turns import OURS, Run, command_line, contest, parse, runs, work, write

sys.path.insert(0, str(Path(__file__).parents[1]))
SETS = ("imdb_sample", "sst2")
LENGTH, VOCABULARY, WIDTH, UNITS, BATCH = 600, 20_000, 128, 64, 32
KERAS, TORCH = "plain Keras", "PyTorch, packed rows"


def table_of(order: dict[str, Any]) -> Any:
    """The training rows."""
    import keras
    import quality

    keras.utils.set_random_seed(0)
    return quality.SETS[order["set"]](Path(order["data"]))[0]


def build(order: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Our model, its batches, and the rows."""
    import keras_seqzoo as sz

    table = table_of(order)
    model = sz.build_model(
        order["layer"], table, sequence_length=LENGTH, vocabulary_size=VOCABULARY,
        embedding_dim=WIDTH, units=UNITS, pooling="last", dropout=0.0,
    )  # fmt: skip
    return model, sz.make_dataset(table, model, BATCH, shuffle=True, seed=0), table


def write_batches(order: dict[str, Any]) -> None:
    """Keeps an epoch of our batches."""
    arrays = {"sizes": np.array([VOCABULARY, WIDTH, UNITS])}
    for i, (features, labels) in enumerate(build(order)[1]):
        arrays[f"ids{i}"] = features["token_ids"].numpy()
        arrays[f"lengths{i}"] = features["padding_mask"].numpy().sum(axis=1)
        arrays[f"labels{i}"] = labels.numpy()
    np.savez(order["file"], **arrays)


def training(model: Any, data: Any, epochs: int, rows: int) -> Run:
    """`fit`; what comes of it is the loss of the last epoch."""

    def run() -> tuple[int, float]:
        losses = model.fit(data, epochs=epochs, verbose=0).history["loss"]
        return epochs * rows, losses[-1]

    return run


def ours(order: dict[str, Any]) -> Run:
    """`fit` of this package."""
    model, data, table = build(order)
    return training(model, data, order["epochs"], len(table))


def plain_keras(order: dict[str, Any]) -> Run:
    """The recipe of the Keras guides: vectorise in the pipeline, pad to a constant."""
    import keras
    import tensorflow as tf

    table = table_of(order)
    vectorize = keras.layers.TextVectorization(VOCABULARY, output_sequence_length=LENGTH)
    texts = tf.constant(table.texts.tolist())
    vectorize.adapt(texts)
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[order["layer"]]
    inputs = keras.Input((LENGTH,), dtype="int64")
    states = layer(UNITS)(keras.layers.Embedding(VOCABULARY, WIDTH)(inputs))
    outputs = keras.layers.Dense(len(table.classes), activation="softmax")(states)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rows = tf.data.Dataset.from_tensor_slices((texts, table.labels)).shuffle(len(table), seed=0)
    data = rows.batch(BATCH).map(lambda x, y: (vectorize(x), y)).prefetch(tf.data.AUTOTUNE)
    return training(model, data, order["epochs"], len(table))


def main() -> None:
    """Measures set by set, layer by layer."""
    parser = command_line(__doc__, (KERAS, TORCH), "peers_recurrent.csv")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--layers", nargs="+", default=["lstm", "gru"], choices=["lstm", "gru"])
    parser.add_argument("--epochs", type=int, default=3, help="of a round")
    given = parse(parser)
    script = Path(__file__).with_name("recurrent_torch.py")
    commands: dict[str, list[object]] = {
        kind: [given.peers, script] if kind == TORCH else [sys.executable, __file__, "--work", kind]
        for kind in (OURS, *given.kinds)
    }
    for name in given.sets:
        for layer in given.layers:
            with tempfile.TemporaryDirectory() as folder:
                order = {
                    "set": name, "data": str(given.shared / "data"), "layer": layer,
                    "epochs": given.epochs, "file": str(Path(folder) / "batches.npz"),
                }  # fmt: skip
                write_batches(order)
                rows = contest(
                    f"{layer.upper()}, {name}", "examples/s", commands, order, given.rounds,
                    lambda loss, _: f"loss {loss:.3f}",
                )  # fmt: skip
            write(rows, given.out)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(runs({OURS: ours, KERAS: plain_keras}[sys.argv[2]]))
    else:
        main()
