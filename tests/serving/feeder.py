"""Feeds every signature of SavedModels tensors of every shape; run in a process of its own.

It prints a case before it asks, and the outcome afterwards, so that a death is told by its case.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401 - the graphs hold its ops
from tensorflow.core.protobuf import saved_model_pb2

sys.path.insert(0, str(Path(__file__).parents[1]))
from cpp_session import CppSession

SHAPES: list[tuple[int, ...]] = [
    (), (0,), (1,), (3,), (0, 0), (0, 2), (1, 1), (2, 0), (2, 3), (1, 1, 1), (2, 2, 2), (1, 1, 1, 1)
]  # fmt: skip
TENSORS = ("token_ids", "padding_mask", "segment_ids")
EXAMPLE = tf.train.Example(
    features=tf.train.Features(
        feature={"text": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"a good film"]))}
    )
).SerializeToString()


def cases(names: set[str]) -> Iterator[tuple[str, str, dict[str, np.ndarray]]]:
    """Yields a name, the outcome that is asked for, and an array for each input."""
    ones = dict.fromkeys(TENSORS, np.ones((2, 3), np.int32))
    if names == set(TENSORS):
        for shape in SHAPES:
            wanted = "answer" if len(shape) == 2 else "error"
            yield f"{shape}", wanted, dict.fromkeys(TENSORS, np.ones(shape, np.int32))
        for odd in TENSORS:
            for size in ((1, 3), (2, 1), (2,), (3, 3), (0, 3), (2, 0)):
                yield f"{odd} {size}", "error", ones | {odd: np.ones(size, np.int32)}
            for value in (-1, 2**31 - 1):
                yield f"{odd} of {value}", "any", ones | {odd: np.full((2, 3), value, np.int32)}
        holes = np.array([[0, 1, 0], [0, 0, 1]], np.int32)
        yield "a mask with holes", "answer", ones | {"padding_mask": holes}
        yield "100 tokens", "any", dict.fromkeys(TENSORS, np.ones((1, 100), np.int32))
        return
    (name,) = names
    for content in (EXAMPLE, b"", b"\xff\xfe\x00") if name == "inputs" else (b"a good film", b""):
        for shape in SHAPES:
            fits = len(shape) == 1 and (name != "inputs" or content == EXAMPLE or not shape[0])
            wanted = "answer" if fits else "error"
            yield f"{content[:6]!r} {shape}", wanted, {name: np.full(shape, content, object)}


def main(folder: str) -> None:
    """Asks through `tf.saved_model.load`, and through TensorFlow's C++ loader."""
    loaded = tf.saved_model.load(folder)
    session = CppSession(folder)
    saved = saved_model_pb2.SavedModel.FromString(Path(folder, "saved_model.pb").read_bytes())
    definitions = saved.meta_graphs[0].signature_def
    for signature, function in sorted(loaded.signatures.items()):
        feeds = {name: info.name for name, info in definitions[signature].inputs.items()}
        fetches = [info.name for info in definitions[signature].outputs.values()]
        begin = f"{Path(folder).name}|{signature}"
        for case, wanted, given in cases(set(feeds)):
            tensors = {n: tf.constant(a.tolist(), _dtype(a), a.shape) for n, a in given.items()}
            print(f"{begin}|loaded|{case}|{wanted}|", end="", flush=True)
            tell(lambda: function(**tensors).values(), given)  # noqa: B023 - called at once
            fed = {feeds[name]: array for name, array in given.items()}
            print(f"{begin}|session|{case}|{wanted}|", end="", flush=True)
            tell(lambda: session.run(fed, fetches), given)  # noqa: B023 - called at once


def tell(ask: Callable[[], Iterable[Any]], given: Mapping[str, np.ndarray]) -> None:
    """Prints "answer" if there is one with a row for each row of the inputs, else what came."""
    try:
        rows = {np.shape(output)[:1] for output in ask()}
    except (ValueError, TypeError, tf.errors.OpError) as error:
        print(f"error|{type(error).__name__}: {str(error).splitlines()[0][:200]}")
    else:
        fitting = rows == {next(iter(given.values())).shape[:1]}
        print("answer" if fitting else f"rows {rows}")


def _dtype(array: np.ndarray) -> tf.DType:
    return tf.string if array.dtype == object else tf.int32


if __name__ == "__main__":
    for path in sys.argv[1:]:
        main(path)
