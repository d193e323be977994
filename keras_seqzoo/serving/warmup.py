"""Warm-up requests: requests that a server sends to a new version before users do.

TensorFlow prepares a graph when it first runs, which takes far longer than an answer. TensorFlow
Serving therefore replays the requests of `assets.extra/tf_serving_warmup_requests` before a version
becomes available. This is a TFRecord file of at most 1,000 `PredictionLog` messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_seqzoo.serving import protocol

if TYPE_CHECKING:
    from keras_seqzoo.serving.session import SavedSession
    from keras_seqzoo.tasks.model import ServingFunction, TextModel

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
PREDICT = "tensorflow/serving/predict"
MOST_TEXTS = 8

_SHORT = "Lovely, and not too long."
_SENTENCE = (
    "We arrived late on a rainy evening, and the woman at the desk found us a table at once, "
    "brought towels, and would not hear of closing the kitchen before we had eaten."
)
_PARAGRAPH = (
    f"{_SENTENCE} The soup was hot and plain, the bread came from the oven, and the fish tasted of "
    "the sea. My brother, who is never pleased, asked for a second plate. The room upstairs was "
    "small, with a window to the harbour and a bed that creaked; for the price one could not ask "
    "for more. In the morning nobody hurried us. I would go back tomorrow if it were not so far, "
    "and I would take the boat instead of the bus, which was full, loud and an hour behind time."
)
# The model's training texts are not ours to publish with it, so we use these instead.
TEXTS = (_SHORT, _SENTENCE, _PARAGRAPH, " ".join([_PARAGRAPH] * 4))


def choose(texts: Any = None, pair: bool = False, most: int = MOST_TEXTS) -> list[tuple[str, ...]]:
    """Picks rows of different lengths: from the shortest to the longest, evenly by rank.

    Args:
        texts: strings, or pairs as `preprocessing.base.as_pairs` takes them. None for the package's
            own texts; a pair is then a text and the next one.
        pair: whether they are pairs.
        most: the largest number of rows.

    Returns:
        Rows of one text or of two.

    Raises:
        TypeError: not a list of strings, or of pairs.
        ValueError: columns of pairs that differ in length.
    """
    from keras_seqzoo.preprocessing.base import as_pairs, as_strings

    if texts is None:
        texts = (TEXTS, [*TEXTS[1:], TEXTS[0]]) if pair else TEXTS
    strings = as_pairs(texts) if pair else as_strings(texts)[:, tf.newaxis]
    rows = [tuple(t.decode("utf-8", "replace") for t in row) for row in strings.numpy()]
    ordered = sorted(dict.fromkeys(rows), key=lambda row: sum(map(len, row)))
    places = np.linspace(0, len(ordered) - 1, min(most, len(ordered)))
    return [ordered[int(place)] for place in places]


def write(
    model: TextModel,
    functions: Mapping[str, ServingFunction],
    path: Path,
    name: str,
    rows: Sequence[tuple[str, ...]],
) -> None:
    """Writes requests for every signature: single rows, and all of them in a batch.

    Args:
        model: the model; its preprocessor makes the ids for `tokens`.
        functions: its signatures.
        path: the folder of the version.
        name: name of the model in the server.
        rows: what `choose` returned, at least one.
    """
    from keras_seqzoo.features import FEATURES

    together = model.samples(rows)
    count = len(next(iter(together.values())))
    alone = [{k: v[i : i + 1] for k, v in together.items()} for i in range(count)]
    with tf.io.TFRecordWriter(str(path / FILE)) as file:
        for signature, function in functions.items():
            if function.method != PREDICT:
                kind = function.method.rsplit("/", 1)[1]
                file.write(protocol.examples_log(kind, name, signature, together))
            elif set(function.inputs) == set(FEATURES):
                features = {k: v.numpy() for k, v in model.read_served(together).items()}
                file.write(protocol.predict_log(name, signature, features))
            else:
                every = [*alone, together] if signature == "serving_default" else [together]
                for batch in every:
                    file.write(protocol.predict_log(name, signature, batch))


def read(path: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields the requests of a version: a signature's name, and an array for each input.

    Args:
        path: the folder of the version; one without the file has no requests.

    Raises:
        ValueError: the file is damaged.
    """
    if not (path / FILE).is_file():
        return
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path / FILE)).as_numpy_iterator():
            count += 1
            yield _request(protocol.PredictionLog.FromString(record))
        if not count and (path / FILE).stat().st_size:
            raise ValueError("it is too short for a record")
    except (tf.errors.OpError, DecodeError, KeyError, ValueError) as error:
        raise ValueError(
            "The warm-up requests cannot be read. Export the model again. "
            f"Received: {path / FILE}: {error}"
        ) from error


def replay(session: SavedSession) -> int:
    """Sends a session the requests of its version, and returns how many there were.

    Raises:
        ValueError: the file is damaged.
        tf.errors.OpError: a request failed.
    """
    count = 0
    for signature, inputs in read(session.path):
        session.run(signature, inputs)
        count += 1
    return count


def _request(log: Any) -> tuple[str, dict[str, np.ndarray]]:
    kind = log.WhichOneof("log_type")
    if kind in ("classify_log", "regress_log"):
        request = getattr(log, kind).request
        examples = [e.SerializeToString() for e in request.input.example_list.examples]
        inputs = {"inputs": np.array([*examples, None], object)[:-1]}
    else:
        request = log.predict_log.request
        inputs = {name: protocol.to_array(tensor) for name, tensor in request.inputs.items()}
    return request.model_spec.signature_name or "serving_default", inputs
