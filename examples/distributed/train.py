"""Trains on every GPU and host there is, goes on where an earlier run stopped, and exports.

python examples/distributed/train.py examples/data/reviews.csv
keras-seqzoo launch --workers 2 -- python examples/distributed/train.py examples/data/reviews.csv
"""

import argparse
import sys
from pathlib import Path

import keras

import keras_seqzoo as sz

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("csv", nargs="?", default=Path(__file__).parents[1] / "data" / "reviews.csv")
parser.add_argument("--model", default="bigru", help="a name of sz.list_models()")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--batch-size", type=int, default=64, help="rows a step, over all replicas")
parser.add_argument("--recovery", type=Path, default=Path("recovery"), help="for checkpoints")
parser.add_argument("--out", type=Path, default=Path("saved_models/reviews"))
arguments = parser.parse_args()

# Before anything else runs in TensorFlow; every worker waits here for the others.
distribution = sz.distribution("auto")

keras.utils.set_random_seed(0)
reviews = sz.read_table(arguments.csv, text="review", label="sentiment")
train, valid, test = reviews.split(valid=0.1, test=0.1, seed=0)

with distribution.scope():
    model = sz.build_model(arguments.model, train)
try:
    model.fit(
        sz.make_dataset(train, model, arguments.batch_size, shuffle=True, seed=0),
        validation_data=sz.make_dataset(valid, model, batch_size=256),
        epochs=arguments.epochs,
        callbacks=[sz.Recovery(arguments.recovery, resume="if_any")],
        verbose=2,
    )
except ConnectionError as error:  # another worker is gone
    print(error, file=sys.stderr)
    sys.exit(175)  # run the same again
print(sz.evaluate(model, test))

# Every worker calls it, the chief writes.
sz.export_model(model, arguments.out)
