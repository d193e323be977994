"""`EncoderParts`, which builders of encoders return, and functions that builders share."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seqzoo.checks import check_whole

if TYPE_CHECKING:
    import keras

    from keras_seqzoo.preprocessing.base import Preprocessor
    from keras_seqzoo.preprocessing.bytepair import BytePairPreprocessor
    from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor
    from keras_seqzoo.preprocessing.words import WordPreprocessor


NO_TEXTS = (
    "A model trained from scratch learns its vocabulary from texts. Pass the training texts as "
    "`data`, or the tokens as `vocabulary`. Received: data=None"
)


@dataclass
class EncoderParts:
    """An encoder with what a task needs to know about it.

    Attributes:
        encoder: functional Keras model from the features (`token_ids`, `padding_mask`,
            `segment_ids`: int32 `(batch, length)`) to a dict of `sequence_output`
            `(batch, length, hidden)` and `pooled_output` `(batch, hidden)`.
        preprocessor: turns texts into these features.
        pooling: the default pooling of a head.
        optimizer: makes the optimizer that this family trains well with.
        dropout: the default dropout before a head.
        poolings: the poolings that make sense for this family.
        schedule: learning-rate schedule of `fit`, see `TextModel.compile`.
        warmup: share of the steps over which the learning rate rises.
        wide: whether a linear model of the words is added by default.
        source: where a task may read more: the model of a file, or the address or folder that was
            loaded.
    """

    encoder: keras.Model
    preprocessor: Preprocessor
    pooling: str
    optimizer: Callable[[], keras.optimizers.Optimizer]
    dropout: float = 0.0
    poolings: Sequence[str] = ("pooled", "mean", "max")
    schedule: str = "constant"
    warmup: float = 0.0
    wide: bool = False
    source: keras.Model | str | None = None

    @property
    def causal(self) -> bool:
        """Whether a token's vector depends only on the token and those before it."""
        import keras

        layers = self.encoder.layers
        recurrent = any(isinstance(layer, keras.layers.RNN) for layer in layers)
        both_ways = any(isinstance(layer, keras.layers.Bidirectional) for layer in layers)
        marked = any(getattr(layer, "causal", False) for layer in layers)
        return marked or (recurrent and not both_ways)


def text_chunks(data: Any, rows: int = 16384) -> Iterator[Sequence[str]]:
    """Yields the texts of a table, a stream, a sequence or a text file, `rows` at a time.

    In a `tf.data.Dataset`, the first part of each element is its text or texts.
    """
    import tensorflow as tf

    if isinstance(data, (str, os.PathLike)):
        from keras_seqzoo.batches.packing import read_corpus

        data = read_corpus(data)
    if hasattr(data, "chunks"):
        for texts, _ in data.chunks(rows):
            yield texts.ravel()  # both texts of a pair
        return
    if isinstance(data, tf.data.Dataset):
        if data.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "A vocabulary is learnt from all texts. Pass a dataset that ends, data.take(n). "
                "Received: a dataset without an end"
            )
        parts = data.map(lambda x, *_: tf.reshape(x, [-1])).unbatch().batch(rows)
        yield from (
            [text.decode("utf-8", "replace") for text in part.tolist()]
            for part in parts.as_numpy_iterator()
        )
        return
    texts = data.texts if hasattr(data, "texts") else data
    if isinstance(texts, tuple) and not isinstance(texts[0], (str, bytes)):  # columns of pairs
        texts = [*itertools.chain.from_iterable(texts)]
    for start in range(0, len(texts), rows):
        part = texts[start : start + rows]
        is_pairs = hasattr(first := next(iter(part)), "__len__") and len(first) == 2
        is_pairs = is_pairs and not isinstance(first, (str, bytes))
        yield [*itertools.chain.from_iterable(part)] if is_pairs else part


def learn_words(
    data: Any,
    sequence_length: int,
    vocabulary: Sequence[str] | str | os.PathLike[str] | None,
    vocabulary_size: int,
    min_count: int = 1,
) -> WordPreprocessor:
    """Makes the preprocessor of a model that learns its words from the training texts.

    Args:
        data: training texts; may be None if `vocabulary` is given.
        sequence_length: most tokens to read from a text.
        vocabulary: the words, or a text file with a word on each line, if they are not learnt.
        vocabulary_size: most entries of a learnt vocabulary, the two special ones included.
        min_count: a learnt vocabulary leaves out words seen less often.

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither texts nor a vocabulary, or a value out of its range.
    """
    from keras_seqzoo.preprocessing.words import WordPreprocessor

    if vocabulary is not None:
        words = WordPreprocessor(sequence_length, listed(vocabulary))
        words.check_words()
        return words
    check_whole(vocabulary_size=vocabulary_size, min_count=min_count)
    if vocabulary_size < 3:
        raise ValueError(
            "`vocabulary_size` must be at least 3: [PAD], [UNK] and one word. "
            f"Received: vocabulary_size={vocabulary_size!r}"
        )
    if data is None:
        raise ValueError(NO_TEXTS)
    words = WordPreprocessor(sequence_length)
    words.learn(text_chunks(data), vocabulary_size, min_count)
    return words


def learn_pieces(
    data: Any,
    sequence_length: int,
    vocabulary: Sequence[str] | str | os.PathLike[str] | None,
    vocabulary_size: int,
    lowercase: bool,
) -> WordPiecePreprocessor:
    """Makes the preprocessor of a model that learns its word pieces from the training texts.

    Args:
        data: training texts; may be None if `vocabulary` is given.
        sequence_length: most tokens to read from a text.
        vocabulary: the pieces, or a text file with a piece on each line, if they are not learnt.
        vocabulary_size: most entries of a learnt vocabulary, the five special ones included.
        lowercase: whether to fold case and strip accents.

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither texts nor a vocabulary, or pieces that no text can have.
    """
    from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor, learn_word_pieces

    if vocabulary is None:
        check_whole(vocabulary_size=vocabulary_size)
        if data is None:
            raise ValueError(NO_TEXTS)
        pieces = learn_word_pieces(partial(text_chunks, data), vocabulary_size, lowercase=lowercase)
        return WordPiecePreprocessor(sequence_length, pieces, lowercase)
    words = WordPiecePreprocessor(sequence_length, listed(vocabulary), lowercase)
    # Special tokens are upper case everywhere.
    cased = [p for p in words.vocabulary if p != p.lower() and not p.startswith("[")]
    if lowercase and cased:
        raise ValueError(
            "Texts are lower-cased, so no text has a piece with capitals. Write the pieces in "
            "lower "
            f"case, or pass lowercase=False. Received: {len(cased):,} such, {cased[:3]} first"
        )
    return words


def listed(vocabulary: Sequence[str] | str | os.PathLike[str]) -> Sequence[str]:
    """The tokens of a vocabulary: unchanged if given, or the lines of a text file.

    Raises:
        FileNotFoundError: no such file.
    """
    from keras_seqzoo.preprocessing.wordpiece import read_vocabulary

    if isinstance(vocabulary, (str, os.PathLike)):
        return read_vocabulary(existing(vocabulary))
    return vocabulary


def existing(path: str | os.PathLike[str]) -> Path:
    """Returns the path of a vocabulary's file.

    Raises:
        FileNotFoundError: no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"There is no such file. Check the path of the vocabulary. Received: {path}"
        )
    return Path(path)


def learn_pairs(
    data: Any,
    sequence_length: int,
    vocabulary: Any,
    merges: Any,
    vocabulary_size: int,
    special: Mapping[str, str] | None = None,
    further: Sequence[str] = (),
) -> BytePairPreprocessor:
    """Makes the preprocessor of a model that learns its byte pairs from the training texts.

    Args:
        data: training texts; may be None if `vocabulary` is given.
        sequence_length: most tokens to read from a text.
        vocabulary: ids of the tokens or a `vocab.json`, if they are not learnt.
        merges: the merges in order, or a `merges.txt`; with `vocabulary`.
        vocabulary_size: most entries of a learnt vocabulary.
        special: `start_token`, `end_token` and `pad_token`, if the model has them.
        further: more special tokens of a learnt vocabulary.

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither texts nor a vocabulary, or a vocabulary and merges that do not fit.
    """
    from keras_seqzoo.preprocessing.bytepair import (
        END,
        BytePairPreprocessor,
        learn_byte_pairs,
        read_byte_pairs,
    )

    special = special or {}
    if vocabulary is None and merges is None:
        check_whole(vocabulary_size=vocabulary_size)
        if data is None:
            raise ValueError(NO_TEXTS)
        vocabulary, merges = learn_byte_pairs(
            text_chunks(data),
            vocabulary_size,
            special_tokens=[*dict.fromkeys([*special.values(), *further])] or [END],
        )
    vocabulary, merges = read_byte_pairs(vocabulary, merges)
    return BytePairPreprocessor(sequence_length, vocabulary, merges, **special)
