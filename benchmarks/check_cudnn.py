"""Whether cuDNN runs the recurrent models on this machine's GPU, and answers as the CPU does.

    python benchmarks/check_cudnn.py

Each model trains on a batch of ragged texts. Told of each: the cuDNN kernels in its training graph,
those the profiler saw run (forwards + backwards), how far probabilities and gradients are from what
a process without a GPU makes of the same file, and a step's time in Keras's loop over its time as
built. All in full float32. Exit codes: 0 all as expected, 1 something is not, 2 no GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import timeit
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

import keras_seqzoo as sz

ROWS, UNITS, STEPS, TOLERANCE = 64, 64, 20, 1e-4
ROW = "| {} | {} | {} | {} + {} | {:.1e} | {:.1e} | {:.2f} | {} |"
HEAD = "| model | kernels | in the graph | run | probabilities | gradients | loop / as built | |"
# The model, its options, and the cuDNN kernels that one pass forwards should hold.
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "lstm": ("lstm", {}, 1),
    "gru": ("gru", {}, 1),
    "bilstm": ("bilstm", {}, 2),
    "bigru": ("bigru", {}, 2),
    "bigru, 2 layers": ("bigru", {"num_layers": 2}, 4),
    "lstm, recurrent_dropout": ("lstm", {"recurrent_dropout": 0.1}, 0),
}


def ragged_table() -> sz.TextTable:
    """Texts of one to eight of the bundled reviews; the last text is empty."""
    file = Path(__file__).parents[1] / "examples" / "data" / "reviews.csv"
    reviews = sz.read_table(file, text="review", label="sentiment")
    texts = [" ".join(reviews.texts[i : i + 1 + i % 8]) for i in range(ROWS - 1)]
    names = [reviews.classes[label] for label in reviews.labels[:ROWS]]
    return sz.TextTable.from_texts([*texts, ""], names)


def leave_cudnn(model: Any) -> None:
    """Makes the recurrent layers of a model that has not run yet take Keras's loop."""
    for layer in model.encoder.layers:
        for part in ("forward_layer", "backward_layer"):  # of a layer without, itself
            getattr(layer, part, layer).use_cudnn = False


def kernels_in_graph(model: Any) -> int:
    """How many cuDNN kernels the graph of training holds forwards."""
    specs = {name: tf.TensorSpec([None, None], tf.int32) for name in model.input}
    graph = tf.function(lambda x: model(x, training=True)).get_concrete_function(specs).graph
    return [op.type for op in graph.get_operations()].count("CudnnRNNV3")


def kernels_run(model: Any, batch: tf.data.Dataset, folder: Path) -> tuple[int, int]:
    """How many cuDNN kernels the profiler saw in a step of `fit`, forwards and backwards."""
    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3)  # cheap ops too
    with tf.profiler.experimental.Profile(str(folder), options):
        model.fit(batch, verbose=0)
    types = []
    for file in folder.rglob("*.xplane.pb"):
        for plane in xplane_pb2.XSpace.FromString(file.read_bytes()).planes:
            if plane.name.startswith("/host:"):  # which starts all ops: "name:type"
                events = [event.metadata_id for line in plane.lines for event in line.events]
                types += [plane.event_metadata[i].name.rpartition(":")[2] for i in events]
    return types.count("CudnnRNNV3"), types.count("CudnnRNNBackpropV3")


def answers(path: Path) -> list[np.ndarray]:
    """Probabilities of the model in a file, and the gradients of its loss."""
    features = dict(np.load(path.with_name("batch.npz")))
    labels, model = features.pop("labels"), keras.models.load_model(path)
    training = "recurrent_dropout" not in CASES[path.stem][1]  # else it would be random

    @tf.function
    def compute() -> list[Any]:
        with tf.GradientTape() as tape:
            y = model(features, training=training)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, y))
        return [y, *tape.gradient(loss, [weight.value for weight in model.trainable_weights])]

    return [tf.convert_to_tensor(value).numpy() for value in compute()]


def seconds(model: Any, batch: tf.data.Dataset) -> float:
    """Seconds a step of `fit`: the best of three runs, after one that does not count."""
    times = timeit.repeat(lambda: model.fit(batch.repeat(STEPS), verbose=0), number=1, repeat=4)
    return min(times[1:]) / STEPS


def check_all(folder: Path) -> bool:
    """Prints a row for each case; returns whether all is as expected."""
    table, ratios, found, good = ragged_table(), {}, {}, []
    for name, (kind, options, _) in CASES.items():
        keras.utils.set_random_seed(0)
        options = {"units": UNITS, "dropout": 0.0, **options}
        model, loop = (sz.build_model(kind, table, **options) for _ in range(2))
        leave_cudnn(loop)
        features, labels = next(iter(sz.make_dataset(table, model, ROWS)))
        batch = tf.data.Dataset.from_tensors((features, labels))
        ratios[name] = seconds(loop, batch) / seconds(model, batch)
        found[name] = (kernels_in_graph(model), *kernels_run(model, batch, folder / name))
        model.save(folder / f"{name}.keras")
    np.savez(folder / "batch.npz", labels=labels, **features)
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}  # the layers are as on a CPU then
    subprocess.run([sys.executable, __file__, str(folder)], env=hidden, check=True)

    print(HEAD, "|---" * 8 + "|", sep="\n")
    for name, (_, _, expected) in CASES.items():
        here = answers(folder / f"{name}.keras")
        there = list(np.load(folder / f"{name}.npz").values())
        gap, *gaps = (float(np.abs(a - b).max()) for a, b in zip(here, there, strict=True))
        slope = max(gaps) / max(float(np.abs(value).max()) for value in there[1:])
        good.append(found[name] == (expected,) * 3 and max(gap, slope) <= TOLERANCE)
        end = (gap, slope, ratios[name], "as expected" if good[-1] else "WRONG")
        print(ROW.format(name, expected, *found[name], *end))
    return all(good)


def main() -> int:
    """Runs the check; given its folder, as the second process is, answers on the CPU."""
    if sys.argv[1:]:
        for path in Path(sys.argv[1]).glob("*.keras"):
            np.savez(path.with_suffix(".npz"), *answers(path))
        return 0
    gpus, built = tf.config.list_physical_devices("GPU"), f"TensorFlow {tf.__version__}"
    if not gpus:
        print(f"{built} sees no GPU here: there is nothing to check.", file=sys.stderr)
        return 2
    tf.config.set_visible_devices(gpus[0], "GPU")
    tf.config.experimental.set_memory_growth(gpus[0], True)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    print(tf.config.experimental.get_device_details(gpus[0]), built, f"Keras {keras.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        return int(not check_all(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
