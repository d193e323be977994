"""Fine-tuning: `fit` beside a plain TF Hub loop, KerasHub, and transformers on PyTorch.

    bash benchmarks/peers/make_env.sh peers
    python benchmarks/peers/finetuning.py --peers peers/bin/python --checkpoint FOLDER
    python benchmarks/peers/finetuning.py --peers peers/bin/python --size distilbert --sets sst2

All start from the same weights, a MiniLM (`--hub` and `--checkpoint`, which must be the same in the
layouts of TF Hub and transformers) or random ones of DistilBERT's size, under the same head over
the mean of the vectors. A round is one pass over the same training rows, `--steps` batches of 32
drawn once, whose ids the peers get from a file:

- ours: `build_model`, `make_dataset` and `fit` at their defaults.
- plain loop: a `tf.function` of a dozen lines around the TF Hub module's own graph, with Keras's
  AdamW.
- KerasHub: its backbone under a head, `fit` with Keras's AdamW.
- transformers: Trainer's step, fused AdamW and clipped gradients, in a plain loop.
- transformers, random order: its texts in random order, padded to the longest of each batch.
- transformers, as in tutorials: in random order, each padded to `max_length`, 128 for SST-2.

All others get the batches of ours, texts of like length, padded to the longest. Their rate of
learning is constant, half of the peak of ours, which is the mean of its schedule; the note has the
mean loss of the last round.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from turns import MINILM, OURS, Run, command_line, contest, parse, runs, work, write

BENCHMARKS = Path(__file__).parents[1]
sys.path.insert(0, str(BENCHMARKS))
BATCH, CLASSES = 32, 2
MAX_LENGTH = {"sst2": 128, "imdb_sample": 512}
TORCH = "transformers"
KINDS = (
    "plain loop", "KerasHub", TORCH, f"{TORCH}, random order", f"{TORCH}, as in tutorials",
)  # fmt: skip
DEFAULT = [kind for kind in KINDS if "random" not in kind]


def build(order: dict[str, Any]) -> tuple[Any, Any]:
    """Our model, and the rows that are learnt."""
    import keras
    from quality import SETS

    import keras_seqzoo as sz

    table = SETS[order["set"]](Path(order["data"]))[0]
    rows = np.random.default_rng(0).permutation(len(table))[: order["steps"] * BATCH]
    keras.utils.set_random_seed(0)
    return sz.build_model(order["source"], table), table.take(rows)


def write_batches(order: dict[str, Any]) -> None:
    """Keeps the batches, of like length and in random order, and the head."""
    import keras_seqzoo as sz

    model, table = build(order)
    head = model.get_layer("logits")
    arrays = {"kernel": head.kernel.numpy(), "bias": head.bias.numpy()}
    arrays["rate"] = np.array(float(model.optimizer.learning_rate) / 2)
    for how, bucket in (("like", True), ("random", False)):
        data = sz.make_dataset(table, model, BATCH, shuffle=True, seed=0, bucket=bucket)
        for i, (features, labels) in enumerate(data):
            arrays[f"{how}_ids{i}"] = features["token_ids"].numpy()
            arrays[f"{how}_mask{i}"] = features["padding_mask"].numpy()
            arrays[f"{how}_labels{i}"] = labels.numpy()
    np.savez(order["file"], **arrays)


def ours(order: dict[str, Any]) -> Run:
    """`fit` of this package."""
    import keras_seqzoo as sz

    model, table = build(order)
    data = sz.make_dataset(table, model, BATCH, shuffle=True, seed=0)
    return lambda: (len(table), model.fit(data, verbose=0).history["loss"][-1])


def read(order: dict[str, Any]) -> tuple[list[Any], Any]:
    """Batches of like length from the file, and all its arrays."""
    import tensorflow as tf

    arrays = np.load(order["file"])
    names = ("like_ids", "like_mask", "like_labels")
    steps = sum(name.startswith(names[0]) for name in arrays)
    return [tuple(tf.constant(arrays[f"{n}{i}"]) for n in names) for i in range(steps)], arrays


def rows_of(batches: list[Any]) -> int:
    """How many examples there are."""
    return sum(len(labels) for *_, labels in batches)


def adamw(arrays: Any) -> Any:
    """Keras's own optimizer, as BERT's code sets it."""
    import keras

    rate = float(arrays["rate"])
    return keras.optimizers.AdamW(rate, weight_decay=0.01, epsilon=1e-6, global_clipnorm=1.0)


def plain_loop(order: dict[str, Any]) -> Run:
    """A training step written by hand around the TF Hub module."""
    import keras
    import tensorflow as tf

    batches, arrays = read(order)
    module = tf.saved_model.load(order["source"])
    head = keras.layers.Dense(CLASSES)
    head.build(arrays["kernel"].shape[:1])
    head.set_weights([arrays["kernel"], arrays["bias"]])
    variables = [
        keras.Variable(v, name=v.name.replace("/", "_").split(":")[0])
        for v in module.trainable_variables
    ] + head.trainable_variables
    optimizer = adamw(arrays)
    optimizer.build(variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(reduce_retracing=True)
    def step(ids: tf.Tensor, mask: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            types = tf.zeros_like(ids)
            inputs = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types}
            vectors = module(inputs, training=True)["sequence_output"]
            real = tf.cast(mask, tf.float32)[..., None]
            mean = tf.reduce_sum(vectors * real, 1) / tf.reduce_sum(real, 1)
            loss = loss_of(labels, head(tf.nn.dropout(mean, 0.1)))
        found = tape.gradient(loss, [v.value for v in variables], unconnected_gradients="zero")
        optimizer.apply(found, variables)
        return loss

    return lambda: (rows_of(batches), float(np.mean([step(*batch) for batch in batches])))


def keras_hub(order: dict[str, Any]) -> Run:
    """`fit` of Keras on KerasHub's backbone."""
    import keras
    import keras_hub
    import tensorflow as tf

    batches, arrays = read(order)
    backbone = keras_hub.models.Backbone.from_preset(order["checkpoint"])
    vectors = backbone.output
    if isinstance(vectors, dict):
        vectors = vectors["sequence_output"]
    is_real = backbone.input["padding_mask"] != 0
    mean = keras.layers.GlobalAveragePooling1D()(vectors, mask=is_real)
    head = keras.layers.Dense(CLASSES)
    model = keras.Model(backbone.input, head(keras.layers.Dropout(0.1)(mean)))
    head.set_weights([arrays["kernel"], arrays["bias"]])
    optimizer = adamw(arrays)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # XLA would compile a graph for each length.
    model.compile(optimizer, loss, jit_compile=False)

    def rows() -> Any:
        for ids, mask, labels in batches:
            features = {"token_ids": ids, "padding_mask": mask, "segment_ids": tf.zeros_like(ids)}
            yield {name: features[name] for name in backbone.input}, labels

    ids = tf.TensorSpec((None, None), tf.int32)
    signature = (dict.fromkeys(backbone.input, ids), tf.TensorSpec((None,), tf.int32))
    data = tf.data.Dataset.from_generator(rows, output_signature=signature).cache()
    return lambda: (rows_of(batches), model.fit(data, verbose=0).history["loss"][-1])


def measure(given: Any, name: str, source: Path, checkpoint: Path) -> list[dict[str, str]]:
    """The table of one data set."""
    order: dict[str, Any] = {
        "set": name, "data": str(given.shared / "data"), "steps": given.steps,
        "source": str(source), "checkpoint": str(checkpoint), "max_length": MAX_LENGTH[name],
    }  # fmt: skip
    torch = Path(__file__).with_name("finetuning_torch.py")
    commands: dict[str, list[object]] = {
        kind: [given.peers, torch, kind]
        if kind.startswith(TORCH)
        else [sys.executable, __file__, "--work", kind]
        for kind in (OURS, *given.kinds)
    }
    with tempfile.TemporaryDirectory() as folder:
        order["file"] = str(Path(folder) / "batches.npz")
        write_batches(order)
        return contest(
            f"fine-tuning {given.size}, {name}", "examples/s", commands, order, given.rounds,
            lambda loss, _: f"loss {loss:.3f}",
        )  # fmt: skip


def main() -> None:
    """Measures set by set."""
    parser = command_line(__doc__, KINDS, "peers_finetuning.csv")
    parser.set_defaults(kinds=None)
    parser.add_argument("--size", default="minilm", choices=["minilm", "distilbert"])
    parser.add_argument("--hub", type=Path, help="the same in TF Hub's layout")
    parser.add_argument("--checkpoint", type=Path, help="of minilm, in transformers' layout")
    parser.add_argument("--sets", nargs="+", default=list(MAX_LENGTH), choices=list(MAX_LENGTH))
    parser.add_argument("--steps", type=int, default=20, help="batches a round")
    given = parse(parser)
    given.hub = given.hub or given.shared / MINILM
    if given.size == "minilm" and not given.checkpoint:
        parser.error("--size minilm needs --checkpoint")
    if given.size == "distilbert" and KINDS[0] in (given.kinds or ()):
        parser.error(f"--kinds: the {KINDS[0]} needs a TF Hub module, which --size minilm has")
    with tempfile.TemporaryDirectory() as folder:
        source, checkpoint = given.hub, given.checkpoint
        if given.size == "distilbert":
            source = checkpoint = Path(folder) / "distilbert"
            vocabulary = given.hub / "assets" / "vocab.txt"
            script = BENCHMARKS / "make_checkpoint.py"
            subprocess.run([given.peers, script, given.size, source, vocabulary], check=True)
        if given.kinds is None:
            given.kinds = DEFAULT if given.size == "minilm" else list(KINDS[1:])
        for name in given.sets:
            write(measure(given, name, source, checkpoint), given.out)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(runs({OURS: ours, "plain loop": plain_loop, "KerasHub": keras_hub}[sys.argv[2]]))
    else:
        main()
