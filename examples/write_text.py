"""Trains a small language model on a text file, writes on from prompts, and serves it.

python examples/write_text.py my_book.txt --model lstm --prompts "It was" "The end"
python examples/write_text.py my_book.txt --model gpt2 --minutes 10
"""

import argparse
import tempfile
import time
from pathlib import Path

import keras
import tensorflow as tf

import keras_seqzoo as sz

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("text", type=Path, help="a UTF-8 text file; a book is enough to begin with")
parser.add_argument("--model", choices=["lstm", "gru", "gpt2"], default="lstm")
parser.add_argument("--minutes", type=float, default=3.0)
parser.add_argument("--prompts", nargs="+", default=[""])
arguments = parser.parse_args()

SIZES = {
    "lstm": {"embedding_dim": 128, "units": 256, "dropout": 0.2},
    "gru": {"embedding_dim": 128, "units": 256, "dropout": 0.2},
    "gpt2": {
        "weights": None,
        "num_layers": 4,
        "num_heads": 4,
        "hidden_dim": 128,
        "intermediate_dim": 512,
    },
}

keras.utils.set_random_seed(0)
whole = arguments.text.read_text(encoding="utf-8")
cut = int(0.9 * len(whole))
train, valid = [whole[:cut]], [whole[cut:]]
model = sz.build_model(
    arguments.model,
    train,
    task="generate",
    sequence_length=128,
    vocabulary_size=1000,
    **SIZES[arguments.model],
)
# Nobody knows beforehand how many steps the minutes are, so the rate stays.
model.schedule, model.warmup = "constant", 0.0
model.optimizer.learning_rate = 2e-3
begun = time.monotonic()


class StopInTime(keras.callbacks.Callback):
    """Ends `fit` when the minutes are over."""

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """Looks at the clock."""
        self.model.stop_training = time.monotonic() - begun > 60 * arguments.minutes


model.fit(train, validation_data=valid, batch_size=16, epochs=1000, callbacks=[StopInTime()])
print(model.evaluate(valid, verbose=0, return_dict=True))
for text in model.generate(arguments.prompts, max_length=100, sampler="top_p", seed=0):
    print(f"\n--- {text}")
print("\nlikeliest next:", model.next_tokens(arguments.prompts[0], k=3))

exported = sz.export_model(model, tempfile.mkdtemp())
generate = tf.saved_model.load(str(exported)).signatures["generate"]
answer = generate(text=tf.constant(arguments.prompts[:1]))
print(f"\n{exported} writes:", answer["generated"][0].numpy().decode("utf-8", "replace"))
