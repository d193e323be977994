"""LSTM and GRU, one or both directions: Embedding → one or more recurrent layers.

They are trained from scratch on the user's texts, with a vocabulary of words learnt from them, or
on windows of numbers, which need no embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seqzoo.checks import check_dtype, check_rate, check_whole
from keras_seqzoo.encoders.parts import EncoderParts, learn_pairs, learn_words
from keras_seqzoo.encoders.registry import ModelCard, register
from keras_seqzoo.encoders.words import Words
from keras_seqzoo.options import option

if TYPE_CHECKING:
    from keras_seqzoo.preprocessing.base import Preprocessor

_LSTM_PAPER = "Hochreiter and Schmidhuber (1997), Long Short-Term Memory"
_GRU_PAPER = (
    "Cho et al. (2014), Learning Phrase Representations using RNN Encoder-Decoder for "
    "Statistical Machine Translation"
)
_BOTH_WAYS = "; Schuster and Paliwal (1997), Bidirectional Recurrent Neural Networks"
_SIZE = {"embedding_dim": 128, "units": 64, "num_layers": 1, "vocabulary_size": 20_000}
_TINY = {"embedding_dim": 16, "units": 8, "dropout": 0.0}


def _card(name: str, cell: str, bidirectional: bool, parameters: int, paper: str) -> ModelCard:
    layer = f"Bi{cell}" if bidirectional else cell
    return ModelCard(
        name=name,
        family="recurrent",
        description=f"Embedding → {layer} → Dense",
        parameters=parameters,
        size=_SIZE,
        source="none: trained from scratch on your data",
        paper=paper + _BOTH_WAYS * bidirectional,
        licence="Apache-2.0",
        reads=("text", "pair", "series"),
        options={"bidirectional": bidirectional},
        fixed={"cell": cell},
        tiny=_TINY,
    )


@register(
    _card("lstm", "LSTM", False, 2_609_538, _LSTM_PAPER),
    _card("gru", "GRU", False, 2_597_378, _GRU_PAPER),
    _card("bilstm", "LSTM", True, 2_659_074, _LSTM_PAPER),
    _card("bigru", "GRU", True, 2_634_754, _GRU_PAPER),
)
@dataclass(frozen=True, kw_only=True)
class Recurrent(Words):
    """A recurrent encoder that learns its vocabulary from the training texts."""

    units: int = option(64, "width of the recurrent state, in each direction")
    num_layers: int = option(1, "stacked recurrent layers")
    bidirectional: bool = option(False, "whether to read texts in both directions", "as named")
    dropout: float | None = option(
        None,
        "dropout of word vectors, and before the head",
        "0.5; for tagging 0.3; for numbers 0",
    )
    recurrent_dropout: float = option(
        0.0, "dropout of the recurrent state; above 0, cuDNN cannot be used"
    )
    tokens: str | None = option(
        None,
        "the tokens: lower-cased `words`, or `byte_pairs`, which can spell any text",
        '`"words"`; for generation `"byte_pairs"`',
    )
    merges: Sequence[str] | str | Path | None = option(
        None, "merges of byte pairs, in order, or a `merges.txt`; with `vocabulary`", "learnt"
    )
    min_count: int | None = option(
        None, "least number of times that a word must occur", "1; for tagging 2"
    )
    scale: str | None = option(
        None,
        'scales numbers by mean and spread of all `"training"` steps, or of each `"window"`',
        '`"training"`',
    )

    def build(
        self, data: Any, *, cell: str, task: str, pair: bool = False, letters: int = 0
    ) -> EncoderParts:
        """Builds the encoder and learns its vocabulary, or the scale of its numbers.

        Args:
            data: training texts, which may be None if `vocabulary` is given; or a `SeriesTable`.
            cell: `"LSTM"` or `"GRU"`.
            task: name of the task.
            pair: whether rows are pairs of texts.
            letters: how many letters of each word a convolution reads, too; 0 for none.

        Raises:
            FileNotFoundError: no such vocabulary file.
            ValueError: a value out of its range, or neither `data` nor `vocabulary`.
        """
        import keras

        from keras_seqzoo.layers.pairs import PairAlignment, PairPlaces, PairPooling
        from keras_seqzoo.training.optimizers import RowAdam

        if self.weights not in (None, "pretrained"):
            raise ValueError(
                "A recurrent model starts from scratch (`weights=None`) or from a .keras file of "
                f"this package. Received: weights={self.weights!r}"
            )
        width = self.width
        check_whole(embedding_dim=width, units=self.units, num_layers=self.num_layers)
        check_rate(dropout=self.dropout or 0.0, recurrent_dropout=self.recurrent_dropout)
        dtype = check_dtype(self.dtype)
        self.check_tune()
        if getattr(getattr(data, "inputs", None), "name", "") == "series":
            return self._over_numbers(data, cell, dtype)
        if self.scale is not None:
            raise ValueError(
                "`scale` is only for numbers. Leave it out for texts, or pass a table of "
                "read_series. "
                f"Received: scale={self.scale!r}"
            )
        # A model that reads letters learns from rare words how to treat unknown ones.
        usual, least = (0.3, 2) if letters else (0.5, 1)
        dropout = usual if self.dropout is None else self.dropout
        preprocessor = self._learn(data, task, least)
        rows = None
        if self.vectors is not None:
            preprocessor, rows, _ = self.begin(preprocessor)
            width = width if self.embedding_dim else rows.shape[1]
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        padding_mask = keras.Input((None,), dtype="int32", name="padding_mask")
        segment_ids = keras.Input((None,), dtype="int32", name="segment_ids")

        x = self.embedding(
            len(preprocessor.vocabulary), width if rows is None else rows.shape[1], rows, dtype
        )(token_ids)
        if rows is not None and width != rows.shape[1]:
            x = keras.layers.Dense(width, use_bias=False, dtype=dtype, name="vector_projection")(x)
        words = x
        if pair:
            places = PairPlaces(name="pair_places")(token_ids, padding_mask, segment_ids)
            x += keras.layers.Embedding(4, width, dtype=dtype, name="place_embedding")(places)
        further = {}
        if letters:
            further["letters"] = keras.Input((None, letters), dtype="int32", name="letters")
            x = keras.ops.concatenate([x, self._spellings(further["letters"], dtype)], axis=-1)
        x = keras.layers.Dropout(dropout, dtype=dtype, name="embedding_dropout")(x)
        # Read forwards, padding on the right comes after every real token and does not change
        # their states. Without a mask, no step has to choose between two states.
        x = self._layers(x, cell, dtype, padding_mask != 0 if self.bidirectional else None)
        last_token = keras.ops.sum(padding_mask, axis=1)[:, None, None] - 1
        last = keras.ops.take_along_axis(x, last_token, axis=1)[:, 0]
        if pair:
            both = PairAlignment(name="pair_alignment")(words, x, padding_mask, segment_ids)
            both = keras.layers.Dense(
                x.shape[-1], activation="relu", dtype=dtype, name="pair_comparison"
            )(both)
            both = keras.layers.Dropout(dropout, dtype=dtype, name="pair_dropout")(both)
            pooled = PairPooling(largest=True, name="pair_pooling")(both, padding_mask, segment_ids)
        else:
            pooled = self._ends(x, last)
        encoder = keras.Model(
            {
                "token_ids": token_ids,
                "padding_mask": padding_mask,
                "segment_ids": segment_ids,
                **further,
            },
            {"sequence_output": x, "pooled_output": pooled},
            name="encoder",
        )
        return EncoderParts(
            encoder,
            preprocessor,
            # A few words decide a label, whatever the others are.
            pooling="pooled" if pair else "max" if task == "label" else "mean",
            poolings=("pooled", "mean", "max") if pair else ("mean", "max", "last"),
            dropout=dropout,
            # Over pretrained vectors, 1e-3 was still improving when others had stopped.
            optimizer=partial(RowAdam, 1e-3 if rows is None and not letters else 3e-3),
            wide=True,
        )

    def _spellings(self, letters: Any, dtype: Any) -> Any:
        """A vector for the letters of each word (Ma and Hovy 2016): `(batch, length, filters)`."""
        import keras

        from keras_seqzoo.preprocessing.placed import LETTERS

        x = keras.layers.Embedding(LETTERS, 32, dtype=dtype, name="letter_embedding")(letters)
        x = keras.layers.Conv2D(48, (1, 3), padding="same", dtype=dtype, name="letter_runs")(x)
        return keras.ops.max(x, axis=2)

    def _over_numbers(self, data: Any, cell: str, dtype: Any) -> EncoderParts:
        """The encoder of windows of numbers; it learns their scale."""
        import keras

        from keras_seqzoo.preprocessing.windows import Windows

        of_texts = ("sequence_length", "tokens", "vocabulary", "merges", "vectors")
        given = [name for name in of_texts if getattr(self, name) is not None]
        if given:
            raise ValueError(
                "Numbers have no tokens, and the table sets the length of a window. Leave these "
                f"options out, or read the series with window=…. Received: {', '.join(given)}"
            )
        preprocessor = Windows.learn(data, self.scale or "training")
        values = keras.Input((None, len(preprocessor.columns)), name="values")
        x = self._layers(values, cell, dtype, None)
        encoder = keras.Model(
            {"values": values},
            {"sequence_output": x, "pooled_output": self._ends(x, x[:, -1])},
            name="encoder",
        )
        return EncoderParts(
            encoder,
            preprocessor,
            pooling="last",
            poolings=("last",),
            dropout=self.dropout or 0.0,
            optimizer=partial(keras.optimizers.Adam, 3e-3, clipnorm=1.0),
        )

    def _layers(self, x: Any, cell: str, dtype: Any, mask: Any) -> Any:
        """The recurrent layers: `(batch, length, width)` to the states at every step."""
        import keras

        from keras_seqzoo.layers.recurrent import FastGRU, FastLSTM

        for index in range(self.num_layers):
            layer: keras.layers.Layer = {"LSTM": FastLSTM, "GRU": FastGRU}[cell](
                self.units,
                return_sequences=True,
                recurrent_dropout=self.recurrent_dropout,
                dtype=dtype,
                name=f"{cell.lower()}_{index}",
            )
            if self.bidirectional:
                layer = keras.layers.Bidirectional(
                    layer, dtype=dtype, name=f"bidirectional_{index}"
                )
            x = layer(x, mask=mask)
        return x

    def _ends(self, x: Any, last: Any) -> Any:
        """One vector of the last state of each direction; backwards, that is step 0."""
        import keras

        if not self.bidirectional:
            return last
        return keras.ops.concatenate([last[:, : self.units], x[:, 0, self.units :]], axis=-1)

    def _learn(self, data: Any, task: str, least: int) -> Preprocessor:
        """Learns the words or byte pairs of the texts."""
        length = self.sequence_length or (128 if task == "generate" else 512)
        tokens = self.tokens or ("byte_pairs" if task == "generate" else "words")
        if tokens == "byte_pairs":
            return learn_pairs(data, length, self.vocabulary, self.merges, self.vocabulary_size)
        if tokens == "words" and self.merges is None:
            least = least if self.min_count is None else self.min_count
            return learn_words(data, length, self.vocabulary, self.vocabulary_size, least)
        raise ValueError(
            "`tokens` must be 'words' or 'byte_pairs', and only byte pairs have `merges`. "
            f"Received: tokens={tokens!r}, merges={'None' if self.merges is None else 'given'}"
        )
