"""Kills a training with SIGKILL at random steps, resumes it, and compares it with one left alone.

python benchmarks/kill_and_resume.py --data DIR --model lstm --kills 10
python benchmarks/kill_and_resume.py --data DIR --model FOLDER_OF_A_TF_HUB_ENCODER --kills 10

Every run is a process of its own that trains on SST-2 (DIR/sst2/train.tsv) with dropout, a
checkpoint every 7 steps, and is killed once, at a step drawn at random; the same command then ends
it. What is compared is the loss of the last epoch, and the weights: where they are equal, no row
was lost or read twice.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path


def train(arguments: argparse.Namespace) -> None:
    """The process that is killed."""
    import keras
    import numpy as np

    import keras_seqzoo as sz

    keras.utils.set_random_seed(arguments.seed)
    path = Path(arguments.data) / "sst2" / "train.tsv"
    table = sz.read_table(path, names=["text", "label"], quoting=csv.QUOTE_NONE)
    table = sz.TextTable.from_texts(table.texts[: arguments.rows], table.labels[: arguments.rows])
    model = sz.build_model(arguments.model, table, **json.loads(arguments.options))

    class Tell(keras.callbacks.Callback):
        """Prints the steps of this process, for the one that kills it."""

        done = 0

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.done += bool(logs)  # nothing is logged for what an earlier run has done
            print(f"step {self.done}", flush=True)

    data = sz.make_dataset(table, model, arguments.batch_size, shuffle=True, seed=0)
    recovery = sz.Recovery(arguments.folder, steps=7)
    history = model.fit(
        data, epochs=arguments.epochs, callbacks=[Tell(), recovery], verbose=0
    ).history
    weights = np.concatenate([np.ravel(w) for w in model.get_weights()])
    np.save(Path(arguments.folder) / "weights.npy", weights)
    print(json.dumps(history), flush=True)


def run(arguments: argparse.Namespace, folder: Path, kill_at: int | None) -> dict | None:
    """Runs the training, until the end or until it is killed."""
    command = [sys.executable, __file__, "--train", "--folder", str(folder)]
    for name in ("data", "model", "rows", "epochs", "batch_size", "seed", "options"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        last = ""
        for line in process.stdout or ():
            last = line
            if kill_at is not None and line.strip() == f"step {kill_at}":
                process.kill()
                return None
        if process.wait():
            errors.seek(0)
            raise SystemExit(f"The training ended with {process.returncode}:\n{errors.read()}")
    return json.loads(last)


def main() -> None:
    """Parses the command line, and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the data sets")
    parser.add_argument("--model", default="lstm")
    parser.add_argument("--options", default="{}", help="of build_model, as JSON")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments)
        return
    import numpy as np

    steps = -(-arguments.rows // arguments.batch_size) * arguments.epochs
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        alone = run(arguments, Path(scratch), None)
        expected = np.load(Path(scratch) / "weights.npy")
    assert alone is not None
    print(f"{Path(arguments.model).name}: {steps} steps, left alone: loss {alone['loss'][-1]:.6f}")
    print("| killed after step | loss of the last epoch | difference | of a weight, at most |")
    print("|---|---|---|---|")
    for _ in range(arguments.kills):
        at = draw.randrange(1, steps)
        with tempfile.TemporaryDirectory() as scratch:
            run(arguments, Path(scratch), at)
            ended = run(arguments, Path(scratch), None)
            assert ended is not None
            weights = np.load(Path(scratch) / "weights.npy")
        loss = ended["loss"][-1]
        print(
            f"| {at} | {loss:.6f} | {abs(loss - alone['loss'][-1]):.1e} "
            f"| {np.abs(weights - expected).max():.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
