"""Fine-tunes a BERT or ELECTRA on a CSV, compares it with its frozen self, and serves it.

python examples/fine_tune_bert.py electra_small examples/data/reviews.csv
python examples/fine_tune_bert.py path/to/a/saved_model_or_checkpoint my.csv --text t --label l
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_seqzoo as sz

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("encoder", help="a name of sz.list_models(), a handle or a folder")
parser.add_argument("csv", nargs="?", default=Path(__file__).parent / "data" / "reviews.csv")
parser.add_argument("--text", default="review")
parser.add_argument("--label", default="sentiment")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--rows", type=int, help="train on so many rows only")
arguments = parser.parse_args()

keras.utils.set_random_seed(0)
table = sz.read_table(arguments.csv, text=arguments.text, label=arguments.label)
train, valid, test = table.split(valid=0.1, test=0.1, seed=0)
if arguments.rows:
    train = sz.TextTable.from_texts(
        train.texts[: arguments.rows], train.labels[: arguments.rows], classes=train.classes
    )

for trainable in (False, True):
    model = sz.build_model(arguments.encoder, train, trainable=trainable)
    model.fit(
        sz.make_dataset(train, model, batch_size=32, shuffle=True, seed=0),
        validation_data=sz.make_dataset(valid, model, batch_size=64),
        epochs=arguments.epochs,
        verbose=2,
    )
    print(f"{'fine-tuned' if trainable else 'frozen'}: {sz.evaluate(model, test)}\n")

vectors = sz.embed(model, test.texts[:100])
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
nearest = int(np.argsort(vectors @ vectors[0])[-2])
print(f"nearest to {test.texts[0]!r}:\n  {test.texts[nearest]!r}")

exported = sz.export_model(model, tempfile.mkdtemp())
served = tf.saved_model.load(str(exported)).signatures["serving_default"]
answer = served(text=tf.constant(test.texts[:1]))
print(exported, "says", answer["label"][0].numpy().decode(), "of", test.texts[0])
