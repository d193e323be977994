"""Asks an exported SavedModel, as any program may: with neither Keras nor us.

python examples/ask_saved_model.py saved_models/reviews "a lovely film" "a dull one"
"""

import contextlib
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow writes about its build to stderr before any log level counts.
with open(os.devnull, "w") as nowhere:  # noqa: PTH123
    kept = os.dup(2)
    os.dup2(nowhere.fileno(), 2)
    import tensorflow as tf

    with contextlib.suppress(ImportError):
        import tensorflow_text  # noqa: F401 - the graph may hold its ops

    os.dup2(kept, 2)

folder, *texts = sys.argv[1:]
versions = [path for path in Path(folder).iterdir() if path.name.isdecimal()]
path = max(versions, key=lambda path: int(path.name)) if versions else Path(folder)
model = tf.saved_model.load(str(path))
answer = model.signatures["serving_default"](text=tf.constant(texts))

print(f"{path} says:")
for text, label, probability in zip(texts, answer["label"], answer["probability"], strict=True):
    print(f"  {label.numpy().decode():<8}  {probability:.3f}  {text}")
