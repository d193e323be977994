"""LSTM and GRU, one or both directions: Embedding → one or more recurrent layers.

Trained from scratch on the user's texts, with a vocabulary of words learnt from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seqzoo.checks import check_dtype, check_rate, check_whole
from keras_seqzoo.encoders.parts import EncoderParts, learn_pairs, learn_words
from keras_seqzoo.zoo import ModelCard, register

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
def recurrent(
    data: Any,
    *,
    cell: str,
    task: str = "classify",
    sequence_length: int | None = None,
    weights: str | None = None,
    embedding_dim: int = 128,
    units: int = 64,
    num_layers: int = 1,
    bidirectional: bool = False,
    dropout: float = 0.5,
    recurrent_dropout: float = 0.0,
    tokens: str | None = None,
    vocabulary_size: int = 20_000,
    vocabulary: Any = None,
    merges: Sequence[str] | str | Path | None = None,
    min_count: int = 1,
    dtype: Any = None,
) -> EncoderParts:
    """Builds a recurrent encoder and learns its vocabulary.

    Args:
        data: training texts; may be None where `vocabulary` is given.
        cell: `"LSTM"` or `"GRU"`.
        task: what the model is for.
        sequence_length: most tokens read of a text, 512 by default; of a language model, tokens
            of a row, 128 by default.
        weights: None or `"pretrained"`, both from scratch: there are no pretrained ones.
        embedding_dim: width of a word vector.
        units: width of the recurrent state, in each direction.
        num_layers: recurrent layers, one above the other.
        bidirectional: whether texts are read in both directions.
        dropout: rate at which word vectors, and the head's input, are dropped in training.
        recurrent_dropout: the same for the recurrent state. Above 0 a layer cannot use cuDNN.
        tokens: `"words"`, lower-cased; or `"byte_pairs"`, of which any text can be made again,
            the default for the task `generate`.
        vocabulary_size: most entries of the vocabulary, special ones included.
        vocabulary: the words, or a text file of a word a line, where they are not to be learnt
            from `data`; for byte pairs the ids of the tokens, or a `vocab.json`.
        merges: of byte pairs, with `vocabulary`: in order, or a `merges.txt`.
        min_count: words seen less often in `data` are left out.
        dtype: Keras dtype policy; the global one by default.

    Raises:
        FileNotFoundError: no such vocabulary file.
        ValueError: a value out of its range, or neither `data` nor `vocabulary`.
    """
    import keras

    from keras_seqzoo.layers.recurrent import FastGRU, FastLSTM

    if weights not in (None, "pretrained"):
        raise ValueError(
            "A recurrent model starts from scratch (`weights=None`) or from a .keras file of this "
            f"package. Received: weights={weights!r}"
        )
    check_whole(embedding_dim=embedding_dim, units=units, num_layers=num_layers)
    check_rate(dropout=dropout, recurrent_dropout=recurrent_dropout)
    dtype = check_dtype(dtype)
    length = sequence_length or (128 if task == "generate" else 512)
    tokens = tokens or ("byte_pairs" if task == "generate" else "words")
    preprocessor: Preprocessor
    if tokens == "byte_pairs":
        preprocessor = learn_pairs(data, length, vocabulary, merges, vocabulary_size)
    elif tokens == "words" and merges is None:
        preprocessor = learn_words(data, length, vocabulary, vocabulary_size, min_count)
    else:
        raise ValueError(
            "`tokens` must be 'words' or 'byte_pairs', and only byte pairs have `merges`. "
            f"Received: tokens={tokens!r}, merges={'None' if merges is None else 'given'}"
        )

    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((None,), dtype="int32", name="padding_mask")
    segment_ids = keras.Input((None,), dtype="int32", name="segment_ids")

    x = keras.layers.Embedding(
        len(preprocessor.vocabulary), embedding_dim, dtype=dtype, name="token_embedding"
    )(token_ids)
    x = keras.layers.Dropout(dropout, dtype=dtype, name="embedding_dropout")(x)
    mask = padding_mask != 0
    for index in range(num_layers):
        layer: keras.layers.Layer = {"LSTM": FastLSTM, "GRU": FastGRU}[cell](
            units,
            return_sequences=True,
            recurrent_dropout=recurrent_dropout,
            dtype=dtype,
            name=f"{cell.lower()}_{index}",
        )
        if bidirectional:
            layer = keras.layers.Bidirectional(layer, dtype=dtype, name=f"bidirectional_{index}")
        # Read forwards, padding on the right comes after every real token and changes nothing
        # before it; to leave the mask out spares a choice between two states at every step.
        x = layer(x, mask=mask if bidirectional else None)
    last_token = keras.ops.sum(padding_mask, axis=1)[:, None, None] - 1
    pooled = keras.ops.take_along_axis(x, last_token, axis=1)[:, 0]
    if bidirectional:
        # A direction ends where the other begins: forwards at the last token, backwards at 0.
        pooled = keras.ops.concatenate([pooled[:, :units], x[:, 0, units:]], axis=-1)

    encoder = keras.Model(
        {"token_ids": token_ids, "padding_mask": padding_mask, "segment_ids": segment_ids},
        {"sequence_output": x, "pooled_output": pooled},
        name="encoder",
    )
    return EncoderParts(
        encoder,
        preprocessor,
        pooling="mean",
        poolings=("mean", "max", "last"),
        dropout=dropout,
        optimizer=partial(keras.optimizers.Adam, 1e-3, clipnorm=1.0),
    )
