"""Examples per second of fine-tuning: `fit` beside a plain loop and beside PyTorch.

    python benchmarks/finetune_speed.py --rounds 5 --torch PYTHON --checkpoint FOLDER
    python benchmarks/finetune_speed.py --no-hub --rounds 5 --torch PYTHON --checkpoint FOLDER

All train the same weights on the same batches of SST-2: 32 texts of like length, drawn once.
"loop" is a `tf.function` of a dozen lines around the same TF Hub graph, with the same head and
optimizer. "torch" is transformers' model with the weights of `--checkpoint` in a process of its
own (`finetune_speed_torch.py`), and is left out where `--torch` is. With `--no-hub` ours is the
checkpoint too, run by KerasHub, and "torch, random" is torch with batches as its users mostly draw
them: in random order, padded to the longest text of each. They take turns, a fixed number of steps
each a round; the first round warms up; ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from quality import sst2

import keras_seqzoo as sz
from keras_seqzoo.training.optimizers import TransformerAdamW

ROOT = Path(__file__).parents[1]
BATCH, RATE = 32, 1e-5


def batches_of(
    table: sz.TextTable, model: keras.Model, steps: int, bucket: bool = True
) -> tf.data.Dataset:
    """The first batches of an epoch, kept in memory."""
    drawn = sz.make_dataset(table, model, BATCH, shuffle=True, seed=0, bucket=bucket)
    drawn = drawn.take(steps).cache()
    return drawn.apply(tf.data.experimental.assert_cardinality(steps))


def ours(model: keras.Model, data: tf.data.Dataset) -> Callable[[], None]:
    """`fit` of this package."""
    model.optimizer.learning_rate = RATE
    return lambda: model.fit(data, verbose=0)


def plain_loop(folder: Path, data: tf.data.Dataset) -> Callable[[], None]:
    """A training step written by hand around the same graph."""
    module = tf.saved_model.load(str(folder))
    head = keras.layers.Dense(2)
    head.build((None, 384))
    variables = [
        keras.Variable(v, name=v.name.replace("/", "_").split(":")[0])
        for v in module.trainable_variables
    ] + head.trainable_variables
    optimizer = TransformerAdamW(RATE)
    optimizer.build(variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(reduce_retracing=True)
    def step(features: dict[str, tf.Tensor], labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            inputs = {
                "input_word_ids": features["token_ids"],
                "input_mask": features["padding_mask"],
                "input_type_ids": features["segment_ids"],
            }
            pooled = module(inputs, training=True)["pooled_output"]
            loss = loss_of(labels, head(tf.nn.dropout(pooled, 0.1)))
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return loss

    def run() -> None:
        for features, labels in data:
            step(features, labels)

    return run


def torch_process(python: str, checkpoint: Path, data: tf.data.Dataset) -> Callable[[], None]:
    """PyTorch in a process that waits for its turn."""
    file = Path(tempfile.mkdtemp()) / "batches.npz"
    arrays = {}
    for i, (features, labels) in enumerate(data):
        arrays[f"ids{i}"] = features["token_ids"].numpy()
        arrays[f"mask{i}"] = features["padding_mask"].numpy()
        arrays[f"labels{i}"] = labels.numpy()
    np.savez(file, **arrays)
    script = Path(__file__).with_name("finetune_speed_torch.py")
    process = subprocess.Popen(
        [python, str(script), str(checkpoint), str(file), str(RATE)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def run() -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        if process.stdout.readline().strip() != "done":
            raise RuntimeError("The torch process stopped; its message is above.")

    return run


def main() -> None:
    """Prints the rates round by round, their medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument(
        "--hub", type=Path, default=ROOT.parent / "shared" / "hub" / "minilm_L-6_H-384_A-12"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--torch", help="Python of an environment with torch and transformers")
    parser.add_argument("--checkpoint", type=Path, help="the same weights for transformers")
    parser.add_argument("--no-hub", action="store_true", help="ours is the checkpoint too")
    arguments = parser.parse_args()
    table = sst2(arguments.data)[0]
    source = arguments.checkpoint if arguments.no_hub else arguments.hub
    model = sz.build_model(str(source), table)
    data = batches_of(table, model, arguments.steps)
    runs = {"ours": ours(model, data)}
    if not arguments.no_hub:
        runs["loop"] = plain_loop(arguments.hub, data)
    if arguments.torch:
        runs["torch"] = torch_process(arguments.torch, arguments.checkpoint, data)
    if arguments.torch and arguments.no_hub:
        drawn = batches_of(table, model, arguments.steps, bucket=False)
        runs["torch, random"] = torch_process(arguments.torch, arguments.checkpoint, drawn)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(arguments.rounds + 1):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            if round_number:
                rates[name].append(arguments.steps * BATCH / (time.perf_counter() - begun))
        if round_number:
            print("  ".join(f"{n} {r[-1]:.1f}/s" for n, r in rates.items()), flush=True)
    for name, values in rates.items():
        print(f"{name}: median {statistics.median(values):.1f} examples/s")
    for name in [name for name in runs if name != "ours"]:
        ratios = [a / b for a, b in zip(rates["ours"], rates[name], strict=True)]
        print(
            f"ours / {name}: median {statistics.median(ratios):.2f}, "
            f"{min(ratios):.2f} to {max(ratios):.2f}"
        )


if __name__ == "__main__":
    main()
