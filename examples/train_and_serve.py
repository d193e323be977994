"""From a CSV to a served prediction in Python: the README's snippet, with your own `fit`.

python examples/train_and_serve.py examples/data/reviews.csv --epochs 5
"""

import argparse
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

import keras_seqzoo as sz

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("csv", nargs="?", default=Path(__file__).parent / "data" / "reviews.csv")
parser.add_argument("--model", default="bigru", help="a name of sz.list_models()")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--out", type=Path, help="export folder; a temporary one by default")
arguments = parser.parse_args()

keras.utils.set_random_seed(0)
reviews = sz.read_table(arguments.csv, text="review", label="sentiment")
train, valid, test = reviews.split(valid=0.1, test=0.1, seed=0)

model = sz.build_model(arguments.model, train)
model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(
    sz.make_dataset(train, model, batch_size=64, shuffle=True, seed=0),
    validation_data=sz.make_dataset(valid, model, batch_size=256),
    epochs=arguments.epochs,
    callbacks=[keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)],
    verbose=2,
)
print(sz.evaluate(model, test))

exported = sz.export_model(model, arguments.out or tempfile.mkdtemp())
served = tf.saved_model.load(str(exported)).signatures["serving_default"]
print(exported, "says", served(text=tf.constant(["The staff was never rude."])))
