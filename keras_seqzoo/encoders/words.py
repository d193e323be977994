"""What encoders of words share: a vocabulary, and the vectors that its words start with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_seqzoo.checks import check_not_negative
from keras_seqzoo.options import option

if TYPE_CHECKING:
    import keras
    import numpy as np
    import numpy.typing as npt

    from keras_seqzoo.preprocessing.base import Preprocessor
    from keras_seqzoo.preprocessing.words import WordPreprocessor

# How many directions of an encoder's vectors are kept, those with the most variance: the number
# of Tulkens and van Dongen (2024), Model2Vec.
_MOST_DIRECTIONS = 256
_BLOCK = 1024
_LARGE_FILE = 50_000_000  # bytes of word vectors; reading that many takes seconds


class Begun(NamedTuple):
    """Words and the vectors that they start with.

    Attributes:
        preprocessor: its vocabulary has the words of the texts, then those of the source.
        rows: float32 `(vocabulary, width)`, a vector for each entry.
        places: int64 `(vocabulary,)`: the rank of each entry in the source, 0 for the most common;
            the length of the source for entries that it lacks.
    """

    preprocessor: WordPreprocessor
    rows: npt.NDArray[np.float32]
    places: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Words:
    """Options of an encoder that learns its vocabulary of words from the training texts."""

    sequence_length: int | None = option(
        None,
        "most tokens to read from a text; for generation, tokens in a row",
        "512; for generation 128",
    )
    weights: str | None = option(
        None, "a `.keras` file: start from its encoder and words, with a new head", "from scratch"
    )
    embedding_dim: int | None = option(
        None, "width of a word vector", "128; with `vectors`, their width"
    )
    vectors: Any = option(
        None,
        "word vectors to start with: a file of GloVe, word2vec or fastText, gensim's "
        "KeyedVectors, a mapping, or (words, array); or an encoder: a folder, handle, preset, "
        "`.keras` file or model",
        "none",
    )
    vector_words: int = option(
        100_000, "how many words to add that `vectors` has and the texts lack, first in the file"
    )
    tune: bool | str = option(
        True, 'whether to train `vectors`, too; `"late"`: after a third of the epochs'
    )
    vocabulary_size: int = option(20_000, "most entries, special ones included")
    vocabulary: Any = option(
        None,
        "the words, or a text file with a word on each line; for byte pairs, their ids or a "
        "`vocab.json`",
        "learnt",
    )
    dtype: Any = option(None, 'Keras dtype policy, such as `"mixed_bfloat16"`', "Keras's")

    @property
    def width(self) -> int:
        """Width of a word vector if no vectors are given."""
        return 128 if self.embedding_dim is None else self.embedding_dim

    def check_tune(self) -> None:
        """Raises a ValueError if `tune` has another value, or there are no vectors to tune."""
        if self.tune not in (True, False, "late"):
            raise ValueError(f"`tune` must be True, False or 'late'. Received: tune={self.tune!r}")
        if self.vectors is None and self.tune is not True:
            raise ValueError(
                "`tune` needs `vectors`. Pass both, or leave it out. "
                f"Received: tune={self.tune!r}, no vectors"
            )

    def embedding(self, size: int, width: int, rows: Any, dtype: Any) -> keras.layers.Layer:
        """The layer of word vectors; if there are `rows`, built and filled with them."""
        import keras

        from keras_seqzoo.layers.late import LateEmbedding

        layer = (LateEmbedding if self.tune == "late" else keras.layers.Embedding)(
            size, width, trainable=bool(self.tune), dtype=dtype, name="token_embedding"
        )
        if rows is not None:
            layer.build(None)
            layer.embeddings.assign(rows)
        return layer

    def begin(self, words: Preprocessor) -> Begun:
        """The words, the further words of `vectors`, and a vector for each.

        Words that the source lacks get random vectors with the same spread as its own.

        Raises:
            ValueError: tokens other than words, or what `read_vectors` refuses.
        """
        import numpy as np

        from keras_seqzoo.data.vectors import read_vectors
        from keras_seqzoo.preprocessing.words import WordPreprocessor

        if not isinstance(words, WordPreprocessor):
            raise ValueError(
                "`vectors` are only for words. Leave tokens='byte_pairs' out. "
                f"Received: tokens={getattr(self, 'tokens', None)!r}"
            )
        check_not_negative(vector_words=self.vector_words)
        own = words.vocabulary[2:]
        further = 0 if self.vocabulary is not None else self.vector_words
        source = self.vectors
        if (encoder := _as_encoder(source)) is not None:
            source = _of_encoder(*encoder, own, further, words.forms)
        elif isinstance(source, (str, Path)) and Path(source).is_file():
            size = Path(source).stat().st_size
            if size > _LARGE_FILE:
                print(f"Reading {source}, {size / 1e6:,.0f} MB", file=sys.stderr)
        found = read_vectors(source, own, further, words.forms)
        at = {word: place for place, word in enumerate(found.words)}
        every = tuple(dict.fromkeys((*own, *found.words)))
        places = np.array([len(at)] * 2 + [at.get(word, len(at)) for word in every])
        spread = np.random.default_rng(0).normal(size=(len(places), found.rows.shape[1]))
        rows = (found.rows.std() * spread).astype(np.float32)
        is_known = places < len(at)
        rows[is_known] = found.rows[places[is_known]]
        print(
            f"Word vectors: {is_known[: 2 + len(own)].sum():,} of {len(own):,} words of the texts, "
            f"and {len(every) - len(own):,} further ones; {rows.nbytes / 1e6:,.0f} MB in the model",
            file=sys.stderr,
        )
        return Begun(WordPreprocessor(words.sequence_length, every), rows, places)


def _as_encoder(source: Any) -> tuple[keras.Model, Preprocessor] | None:
    """The encoder and preprocessor of a source of vectors; None if it is not an encoder."""
    if isinstance(source, str):
        from keras_seqzoo.encoders.sources import Pretrained
        from keras_seqzoo.hub.resolve import is_checkpoint, is_handle, is_saved_model

        if not (is_handle(source) or is_checkpoint(source) or is_saved_model(source)):
            return None
        source = Pretrained().load(source)
    if hasattr(source, "encoder") and hasattr(source, "preprocessor"):
        return source.encoder, source.preprocessor
    return None


def _of_encoder(
    encoder: keras.Model,
    preprocessor: Preprocessor,
    wanted: Sequence[str],
    further: int,
    form: Callable[[list[str]], list[str]],
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Words and the encoder's vector of each: the mean of the vectors of its tokens.

    The words are those wanted and those of the encoder's vocabulary. Only the directions with the
    most variance are kept (Tulkens and van Dongen 2024, Model2Vec: Distill a Small Fast Model from
    any Sentence Transformer).
    """
    import numpy as np
    import tensorflow as tf
    from sklearn.decomposition import PCA

    from keras_seqzoo.layers.pooling import pool

    whole = (token.removeprefix("Ġ").removeprefix("▁") for token in preprocessor.vocabulary)
    # Special tokens and parts of words are not words.
    own = [token for token in whole if token and not token.startswith(("##", "[", "<"))]
    own = [word for word in dict.fromkeys(form(own)) if word][:further]
    words = list(dict.fromkeys([*own, *wanted]))
    print(f"Computing the encoder's vectors of {len(words):,} words", file=sys.stderr)

    def vectors(texts: Iterable[str]) -> Any:
        features = dict(preprocessor(tf.constant(list(texts))))
        return pool(encoder(features, training=False), features["padding_mask"], "mean")

    order = sorted(range(len(words)), key=lambda at: len(words[at].encode()))
    blocks = [order[at : at + _BLOCK] for at in range(0, len(order), _BLOCK)]
    found = np.concatenate([vectors(words[at] for at in block) for block in blocks])
    rows = np.empty_like(found)
    rows[order] = found
    kept = min(_MOST_DIRECTIONS, *rows.shape)
    return words, PCA(kept, random_state=0).fit_transform(rows).astype(np.float32)
