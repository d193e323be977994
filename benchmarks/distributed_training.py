"""One process and two on SST-2: the same model at the end, and what the second one gains.

python benchmarks/distributed_training.py --data DIR equal --model lstm --epochs 5
python benchmarks/distributed_training.py --data DIR equal --model FOLDER_OF_A_TF_HUB_ENCODER
python benchmarks/distributed_training.py --data DIR scaling --model lstm --steps 60

`equal` trains in one process and in two, with the same seeds and batch size, and prints the test
accuracy and a hash of each worker's weights. `scaling` pins one process to one core, and two to a
core each, at the same global batch, in turn; examples/s are those of `--steps` steps after ten.
Where there are two cores only, run nothing beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any


def train(arguments: argparse.Namespace) -> None:
    """What each process does; prints a line of JSON."""
    task = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {"index": 0})
    if arguments.what == "scaling":  # before TensorFlow counts the cores
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[task["index"]]})
    import keras_seqzoo as sz

    strategy = sz.distribution("auto", verbose=False)
    import csv
    import hashlib
    import time

    import keras

    keras.utils.set_random_seed(arguments.seed)
    read: dict[str, Any] = {"names": ["text", "label"], "quoting": csv.QUOTE_NONE}
    folder = Path(arguments.data) / "sst2"
    table, test = (
        sz.read_table(folder / f"{part}.tsv", classes=["0", "1"], **read)
        for part in ("train", "test")
    )
    with strategy.scope():
        model = sz.build_model(arguments.model, table, **json.loads(arguments.options))
    data = sz.make_dataset(table, model, arguments.batch_size, shuffle=True, seed=arguments.seed)

    class Clock(keras.callbacks.Callback):
        """Times the steps after the tenth, and ends after enough of them."""

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            if batch == 9:
                self.begun = time.perf_counter()
            if batch == 9 + arguments.steps:
                seconds = time.perf_counter() - self.begun
                self.rate = arguments.steps * arguments.batch_size / seconds
                self.model.stop_training = True

    result: dict[str, Any] = {"worker": task["index"]}
    if arguments.what == "scaling":
        clock = Clock()
        model.fit(data, verbose=0, callbacks=[clock])
        result["rate"] = clock.rate
    else:
        model.fit(data, epochs=arguments.epochs, verbose=0)
        weights = hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights()))
        result["hash"] = weights.hexdigest()[:16]
        result["accuracy"] = sz.evaluate(model, test).to_dict()["accuracy"]
    print(json.dumps(result), flush=True)


def run(arguments: argparse.Namespace, workers: int) -> list[dict[str, Any]]:
    """Runs the processes, and returns what each found."""
    command = [sys.executable, str(Path(__file__).resolve()), "--train"]
    for name in ("data", "model", "options", "epochs", "batch_size", "seed", "steps"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    command.append(arguments.what)
    if workers > 1:
        launch = ["-m", "keras_seqzoo", "launch", "--workers", str(workers), "--"]
        command = [sys.executable, *launch, *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The training ended with {done.returncode}:\n{done.stderr[-3000:]}")
    lines = [line[line.index("{") :] for line in done.stdout.splitlines() if '"worker"' in line]
    return sorted(map(json.loads, lines), key=lambda found: found["worker"])


def main() -> None:
    """Parses the command line, and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("equal", "scaling"))
    parser.add_argument("--data", required=True, help="folder of the data sets")
    parser.add_argument("--model", default="lstm")
    parser.add_argument("--options", default="{}", help="of build_model, as JSON")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments)
        return
    name = Path(arguments.model).name
    if arguments.what == "equal":
        print("| model | processes | worker | test accuracy | hash of the weights |")
        print("|---|---|---|---|---|")
        for workers in (1, 2):
            for found in run(arguments, workers):
                print(
                    f"| {name} | {workers} | {found['worker']} | {found['accuracy']:.4f} "
                    f"| {found['hash']} |",
                    flush=True,
                )
        return
    ratios = []
    print(f"{name}, batch {arguments.batch_size}\n\n| examples/s, 1 core | 2 cores | ratio |")
    print("|---|---|---|")
    for _ in range(arguments.rounds):
        one, two = (min(f["rate"] for f in run(arguments, workers)) for workers in (1, 2))
        ratios.append(two / one)
        print(f"| {one:.1f} | {two:.1f} | {two / one:.2f} |", flush=True)
    print(f"\nMedian ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
