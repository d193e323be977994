"""What an encoder's builder returns, and what builders share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from keras_seqzoo.preprocessing.base import Preprocessor


@dataclass
class EncoderParts:
    """An encoder with what a task needs to know of it.

    Attributes:
        encoder: functional Keras model from the features (`token_ids`, `padding_mask`,
            `segment_ids`: int32 `(batch, length)`) to a dict of `sequence_output`
            `(batch, length, hidden)` and `pooled_output` `(batch, hidden)`.
        preprocessor: text to these features.
        pooling: how a head should pool, where the user does not say.
        optimizer: makes the optimizer this family trains well with.
        dropout: dropout before a head, where the user does not say.
    """

    encoder: keras.Model
    preprocessor: Preprocessor
    pooling: str
    optimizer: Callable[[], keras.optimizers.Optimizer]
    dropout: float = 0.0


def text_chunks(data: Any, rows: int = 16384) -> Iterator[Sequence[str]]:
    """Yields the texts of a table, a stream or a sequence, `rows` at a time."""
    if hasattr(data, "chunks"):
        for texts, _ in data.chunks(rows):
            yield texts
        return
    texts = data.texts if hasattr(data, "texts") else data
    for start in range(0, len(texts), rows):
        yield texts[start : start + rows]


def saved_parts(path: str, name: str) -> EncoderParts:
    """Takes the encoder, vocabulary and optimizer settings of a saved model.

    Args:
        path: a `.keras` file of this package.
        name: the model that the file must hold.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds something else.
    """
    from keras_seqzoo.serving.saved import load_keras_file

    model = load_keras_file(path)
    if model.name != name:
        raise ValueError(
            f"The file must hold the model that is asked for. Build {model.name!r} instead. "
            f"Received: {path} holds a {model.name!r}, name={name!r}"
        )
    optimizer = model.optimizer
    return EncoderParts(
        model.encoder,
        model.preprocessor,
        pooling=model.pooling,
        optimizer=lambda: type(optimizer).from_config(optimizer.get_config()),
        dropout=model.dropout,
    )
