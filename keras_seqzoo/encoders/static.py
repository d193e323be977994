"""Static vectors: the mean of a text's word vectors, without their order.

With the `vectors` of an encoder, reading a text is as fast as looking words up in a table, and the
model keeps much of what the encoder knows about words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from keras_seqzoo.checks import check_dtype, check_rate, check_whole
from keras_seqzoo.encoders.parts import EncoderParts, learn_words
from keras_seqzoo.encoders.registry import ModelCard, register
from keras_seqzoo.encoders.words import Words
from keras_seqzoo.options import option

# Model2Vec's value. For sentence vectors, Arora et al. (2017) found 1e-3 to 1e-4 about equal.
_RARITY = 1e-4


@register(
    ModelCard(
        name="static",
        family="static vectors",
        description="word Embedding → mean → Dense",
        parameters=2_560_258,
        size={"embedding_dim": 128, "vocabulary_size": 20_000},
        source="none: trained from scratch on your data, or from `vectors`",
        paper="Joulin et al. (2017), Bag of Tricks for Efficient Text Classification; Tulkens and "
        "van Dongen (2024), Model2Vec",
        licence="Apache-2.0",
        tiny={"embedding_dim": 16, "dropout": 0.0},
    )
)
@dataclass(frozen=True, kw_only=True)
class Static(Words):
    """A mean of word vectors."""

    dropout: float = option(0.2, "dropout of word vectors, and before the head")

    def build(self, data: Any, *, pair: bool = False) -> EncoderParts:
        """Builds the encoder and learns its vocabulary.

        Args:
            data: training texts, which may be None if `vocabulary` is given.
            pair: whether rows are pairs of texts.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a value out of its range, or neither `data` nor `vocabulary`.
        """
        import keras

        from keras_seqzoo.layers.pairs import PairPooling
        from keras_seqzoo.layers.pooling import Pooling
        from keras_seqzoo.training.optimizers import RowAdam

        check_whole(embedding_dim=self.width)
        check_rate(dropout=self.dropout)
        self.check_tune()
        dtype = check_dtype(self.dtype)
        length = self.sequence_length or 512
        words = learn_words(data, length, self.vocabulary, self.vocabulary_size)
        rows = None
        if self.vectors is not None:
            words, rows, places = self.begin(words)
            rows = rows * rarity(places)[:, None]
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "padding_mask", "segment_ids")
        }
        width = self.width if rows is None else rows.shape[1]
        x = self.embedding(len(words.vocabulary), width, rows, dtype)(inputs["token_ids"])
        if width != (self.embedding_dim or width):
            x = keras.layers.Dense(self.embedding_dim, use_bias=False, dtype=dtype)(x)
        x = keras.layers.Dropout(self.dropout, dtype=dtype, name="embedding_dropout")(x)
        if pair:
            pooled = PairPooling(name="pair_pooling")(
                x, inputs["padding_mask"], inputs["segment_ids"]
            )
        else:
            pooled = Pooling("mean", name="mean")(x, inputs["padding_mask"])
        encoder = keras.Model(
            inputs, {"sequence_output": x, "pooled_output": pooled}, name="encoder"
        )
        return EncoderParts(
            encoder,
            words,
            pooling="pooled" if pair else "mean",
            poolings=("pooled", "mean", "max") if pair else ("mean", "max"),
            dropout=self.dropout,
            optimizer=partial(RowAdam, 3e-3),
            wide=True,
        )


def rarity(places: Any) -> Any:
    """Weights of words by their rank, 0 for the most common word: small for common words.

    The weight is a / (a + p) of Arora et al. (2017), A Simple but Tough-to-Beat Baseline for
    Sentence Embeddings. By Zipf's law, p is in proportion to 1 / (place + 1).
    """
    import numpy as np

    inverse = 1 / (places + 1.0)
    share = inverse / np.sum(1 / np.arange(1, places.max() + 2))
    return (_RARITY / (_RARITY + share)).astype(np.float32)
