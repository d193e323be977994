"""Words as their letters: what tokenizers fold away, such as capitals, and parts of rare words."""

from __future__ import annotations

from typing import Any

import keras

from keras_seqzoo.preprocessing.placed import LETTERS

FILTERS = 48


def spellings(letters: Any, dtype: Any = None) -> Any:
    """A vector of the letters of each word (Ma and Hovy 2016, section 2.1).

    Args:
        letters: symbolic int32 `(batch, length, letters)`, 0 where there is none.
        dtype: policy of the layers; the global one by default.

    Returns:
        Symbolic floats `(batch, length, FILTERS)`: the largest values of a convolution over three.
    """
    x = keras.layers.Embedding(LETTERS, 32, dtype=dtype, name="letter_embedding")(letters)
    x = keras.layers.Conv2D(FILTERS, (1, 3), padding="same", dtype=dtype, name="letter_runs")(x)
    return keras.ops.max(x, axis=2)
