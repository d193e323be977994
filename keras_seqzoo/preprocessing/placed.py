"""Words of a text with their positions, over the tokens of any preprocessor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import keras
import numpy as np
import regex
import tensorflow as tf

from keras_seqzoo.data.tags import joined
from keras_seqzoo.preprocessing.base import SEPARATOR, Preprocessor, as_pairs, as_strings
from keras_seqzoo.preprocessing.spans import Span

# The role of a character in the words of a text. Extending ones belong to the one before them, as
# in Unicode's extended grapheme clusters; those that only format a text do not end a word.
_SPACE, _WORD, _SIGN, _FLAG, _EXTENDS, _FORMATS = range(6)
_CLASSES = (
    (_SPACE, r"[\p{Z}\p{Cc}]"),
    (_WORD, r"[\p{L}\p{N}]"),
    (_FORMATS, r"\p{Cf}"),
    (_SIGN, r"[\p{Han}\p{Hiragana}\p{Katakana}]"),  # written without spaces: each alone
    (_FLAG, r"\p{Regional_Indicator}"),
    (_WORD, r"\p{GCB=Prepend}"),
    (_EXTENDS, r"[\p{M}\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}]"),
)
_JOINER = 0x200D
_PAGE = 256

# A row of tokens holds the position of each word, its letters and its ids; the highest bits of each
# number say which kind it is.
_BITS = 28
_ID, _START, _END, _LETTER = range(4)

LETTERS = 512  # numbers that a letter may have, 0 for none


class Words(NamedTuple):
    """The words of some texts, all in one row.

    Attributes:
        rows: int64 `(words,)`, the text of each word.
        starts: int32, the position of the first character.
        ends: int32, the position after the last character.
        letters: int32 code points, ragged `(words, None)`.
        follows_space: bool, whether white space comes before the word.
    """

    rows: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    letters: tf.RaggedTensor
    follows_space: tf.Tensor


@lru_cache(maxsize=1)
def _pages() -> tuple[np.ndarray, np.ndarray]:
    """Classes of all code points: the page of each 256 of them, and the pages `(pages, 256)`."""
    size = 0x110000
    text = "".join(map(chr, [*range(0xD800), *[0xE000] * 0x800, *range(0xE000, size)]))
    kinds = np.full(size, _SIGN, np.int32)
    for kind, pattern in _CLASSES:
        for run in regex.finditer(f"{pattern}+", text):
            kinds[run.start() : run.end()] = kind
    pages, which = np.unique(kinds.reshape(-1, _PAGE), axis=0, return_inverse=True)
    return which.reshape(-1).astype(np.int32), pages


def split_words(texts: tf.Tensor) -> Words:
    """Splits texts into words, in a graph of TensorFlow's own ops.

    Words are runs of letters, digits and their marks. Every other sign, every Chinese or Japanese
    character and every emoji (with all its code points) is a word of its own. No word begins or
    ends within a character as readers see it.

    Args:
        texts: strings `(batch,)`. Bytes that are not UTF-8 are read as U+FFFD.
    """
    codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
    flat, row = codes.flat_values, codes.value_rowids()
    at = tf.range(tf.size(flat, tf.int64))
    place = at - tf.gather(codes.row_starts(), row)
    which, pages = _pages()
    kind = tf.gather_nd(pages, tf.stack([tf.gather(which, flat // _PAGE), flat % _PAGE], 1))
    extends = (kind == _EXTENDS) | (kind == _FORMATS)
    kind = tf.where(extends & (place == 0), _SPACE, kind)
    is_base = (kind != _EXTENDS) & (kind != _FORMATS)

    base = tf.boolean_mask(at, is_base)
    base_kind, base_row = tf.gather(kind, base), tf.gather(row, base)
    before = tf.concat([[_SPACE], base_kind[:-1]], 0)
    before = tf.where(tf.gather(place, base) == 0, _SPACE, before)
    previous = tf.gather(flat, tf.maximum(base - 1, 0))
    is_glued = (base_kind == _SIGN) & (before != _SPACE) & (previous == _JOINER)
    goes_on = ((base_kind == _WORD) | (base_kind == _FLAG)) & (before == base_kind)
    begins = (base_kind != _SPACE) & ~goes_on & ~is_glued
    number = tf.where(base_kind == _SPACE, 0, tf.cumsum(tf.cast(begins, tf.int32)))

    # For every character, the word that it is in, counted from 0; -1 for none.
    owner = tf.cumsum(tf.cast(is_base, tf.int32)) - 1
    word = tf.gather(number, owner) - 1
    first = tf.boolean_mask(base, begins)
    count = tf.size(first)
    inside = word >= 0
    letters = tf.RaggedTensor.from_value_rowids(
        tf.boolean_mask(flat, inside),
        tf.cast(tf.boolean_mask(word, inside), tf.int64),
        nrows=tf.cast(count, tf.int64),
        validate=False,
    )
    visible = inside & (kind != _FORMATS)
    ends = tf.math.unsorted_segment_max(
        tf.boolean_mask(place, visible) + 1, tf.boolean_mask(word, visible), count
    )
    return Words(
        tf.boolean_mask(base_row, begins),
        tf.cast(tf.gather(place, first), tf.int32),
        tf.cast(ends, tf.int32),
        letters,
        tf.boolean_mask(before, begins) == _SPACE,
    )


@keras.saving.register_keras_serializable("keras_seqzoo")
class PlacedPreprocessor(Preprocessor):
    """The tokens of each word of a text, and the position of the word in the text.

    Every word is tokenized by itself, so that its tokens belong only to it. A word that the
    tokenizer drops becomes an unknown token. Texts are not cut: the model reads long ones in
    excerpts of `sequence_length`.

    Args:
        tokens: the preprocessor that makes ids of words.
        letters: how many letters of a word are among the features; 0 for none.
        **kwargs: arguments of `keras.layers.Layer`.
    """

    def __init__(self, tokens: Preprocessor, letters: int = 0, **kwargs: Any):
        super().__init__(tokens.sequence_length, **kwargs)
        self.tokens = tokens
        self.letters = letters
        self.unit = tokens.unit

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens, in the order of their ids."""
        return self.tokens.vocabulary

    @property
    def resources(self) -> Sequence[Any]:
        """The resources of the tokens' preprocessor."""
        return self.tokens.resources

    @property
    def special(self) -> tuple[int | None, int | None, int]:
        """The ids that an encoder reads before and after a text, and the id for padding."""
        return self.tokens.start_id, self.tokens.end_id, self.tokens.pad_id

    def as_inputs(self, inputs: Any) -> tf.Tensor:
        """Converts texts to strings `(batch,)`; lists of words are joined by spaces."""
        is_rows = isinstance(inputs, Collection) and not isinstance(inputs, str | bytes | Mapping)
        if is_rows and not hasattr(inputs, "shape"):
            inputs = [joined(row) if isinstance(row, list | tuple) else row for row in inputs]
        return as_strings(inputs)

    def encode(self, inputs: Any) -> tf.RaggedTensor:
        """Turns texts into int32 tokens of words with positions, ragged `(batch, None)`."""
        return self.tokenize(inputs)

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """See `encode`."""
        strings = PlacedPreprocessor.as_inputs(self, texts)
        words = split_words(strings)
        spelt = tf.strings.unicode_encode(words.letters, "UTF-8")
        # In byte pairs, a word after a space differs from one without a space.
        joints = tf.where(words.follows_space & (words.starts > 0), " ", "")
        ids = self.tokens.tokenize(joints + spelt)
        is_dropped = tf.cast(ids.row_lengths() == 0, tf.int64)
        unknown = tf.fill(
            [tf.reduce_sum(is_dropped)], tf.constant(self.tokens.unknown_id, tf.int32)
        )
        parts = [
            _tagged(words.starts, _START),
            _tagged(words.ends, _END),
            *([_tagged(_folded(words.letters[:, : self.letters]), _LETTER)] * (self.letters > 0)),
            ids,
            tf.RaggedTensor.from_row_lengths(unknown, is_dropped),
        ]
        told = tf.concat([part.with_row_splits_dtype(tf.int64) for part in parts], axis=1)
        rows = tf.RaggedTensor.from_value_rowids(
            told, words.rows, nrows=tf.size(strings, tf.int64), validate=False
        )
        return rows.merge_dims(1, 2)

    def truncate(self, tokens: tf.RaggedTensor) -> tf.RaggedTensor:
        """Leaves tokens as they are: texts are read to their ends."""
        return tokens

    def check_length(self) -> int:
        """Returns the least length of the tokens' preprocessor."""
        return self.tokens.check_length()

    def pack(self, tokens: tf.RaggedTensor, multiple: int = 1) -> dict[str, tf.Tensor]:
        """Turns tokens into features, padded on the right, without special tokens.

        Args:
            tokens: ragged `(batch, None)`, as `encode` makes them.
            multiple: the padded length is rounded up to a multiple of this.

        Returns:
            The features of every preprocessor, int32 `(batch, length)`; `starts` and `ends`, the
            position of a token's word if it is the word's first token, else -1; and with letters
            `letters`, `(batch, length, letters)`, the letters of that word, 0 elsewhere.
        """
        flat = tokens.flat_values
        kind, value = flat // 2**_BITS, flat % 2**_BITS
        word = tf.cumsum(tf.cast(kind == _START, tf.int32)) - 1
        is_id = kind == _ID
        row = tf.boolean_mask(tokens.value_rowids(), is_id)
        ids, owner = tf.boolean_mask(value, is_id), tf.boolean_mask(word, is_id)
        is_first = owner != tf.concat([[-1], owner[:-1]], 0)
        count = tf.maximum(
            tf.reduce_max(
                tf.math.unsorted_segment_sum(
                    tf.ones_like(ids), row, tf.cast(tokens.nrows(), tf.int32)
                )
            ),
            1,
        )
        length = -(-count // multiple) * multiple
        rows = tf.cast(tokens.nrows(), tf.int64)

        def dense(values: tf.Tensor, fill: int) -> tf.Tensor:
            ragged = tf.RaggedTensor.from_value_rowids(values, row, nrows=rows, validate=False)
            shape = tf.stack([rows, tf.cast(length, tf.int64), *values.shape[1:]])
            return ragged.to_tensor(fill, shape=shape)

        def of_words(which: int) -> tf.Tensor:
            told = tf.gather(tf.boolean_mask(value, kind == which), owner)
            return dense(tf.where(is_first, told, -1), -1)

        mask = dense(tf.ones_like(ids), 0)
        empty = tf.reduce_all(mask == 0, axis=1, keepdims=True) & (tf.range(length) == 0)
        token_ids = tf.where(empty, self.tokens.unknown_id, dense(ids, self.tokens.pad_id))
        features = {
            "token_ids": token_ids,
            "padding_mask": tf.where(empty, 1, mask),
            "segment_ids": tf.zeros_like(token_ids),
            "starts": of_words(_START),
            "ends": of_words(_END),
        }
        if self.letters:
            is_letter = kind == _LETTER
            letters = tf.RaggedTensor.from_value_rowids(
                tf.boolean_mask(value, is_letter),
                tf.cast(tf.boolean_mask(word, is_letter), tf.int64),
                nrows=tf.cast(tf.reduce_sum(tf.cast(kind == _START, tf.int32)), tf.int64),
                validate=False,
            ).to_tensor(shape=[None, self.letters])
            spelt = tf.where(is_first[:, None], tf.gather(letters, owner), 0)
            spelt = dense(tf.ensure_shape(spelt, [None, self.letters]), 0)
            features["letters"] = tf.ensure_shape(spelt, [None, None, self.letters])
        return features

    def fingerprint(self) -> str:
        """Returns a digest of everything that affects the ids."""
        return f"{self.tokens.fingerprint()}{self.letters:x}"

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        tokens = keras.saving.serialize_keras_object(self.tokens)
        return {"name": self.name, "tokens": tokens, "letters": self.letters}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PlacedPreprocessor:
        """Makes the layer from the result of `get_config`."""
        tokens = keras.saving.deserialize_keras_object(config["tokens"])
        return cls(**{**config, "tokens": tokens})


@keras.saving.register_keras_serializable("keras_seqzoo")
class AskedPreprocessor(PlacedPreprocessor):
    """The tokens of questions, and the tokens of their contexts with positions.

    Contexts are not cut. A question is cut so that half of the encoder's length is left for the
    context, and to at most 64 tokens.

    Args:
        tokens: the preprocessor that makes ids of words.
        **kwargs: arguments of `PlacedPreprocessor`.
    """

    def __init__(self, tokens: Preprocessor, letters: int = 0, **kwargs: Any):
        super().__init__(tokens, letters, **kwargs)
        self.pair = True

    @property
    def room(self) -> int:
        """Tokens of a question and its context that fit at once, without special tokens."""
        special = (self.tokens.start_id is not None) + self.tokens.separators + 1
        return self.sequence_length - special

    def as_inputs(self, inputs: Any) -> tf.Tensor:
        """Converts questions and their contexts to strings `(batch, 2)`."""
        return as_pairs(inputs)

    def encode(self, inputs: Any) -> tf.RaggedTensor:
        """Turns questions and contexts into int32, ragged `(batch, None)`.

        These are the ids of a question, `SEPARATOR`, and the result of `PlacedPreprocessor` for its
        context.
        """
        pairs = self.as_inputs(inputs)
        question, context = self.tokenize(pairs[:, 0]), self.tokenize(pairs[:, 1])
        question = tf.ragged.boolean_mask(question, question < 2**_BITS)
        between = tf.fill([question.nrows(), 1], tf.constant(SEPARATOR, tf.int32))
        return tf.concat([question[:, : min(64, self.room // 2)], between, context], axis=1)

    def pack(self, tokens: tf.RaggedTensor, multiple: int = 1) -> dict[str, tf.Tensor]:
        """Turns tokens into features.

        Args:
            tokens: ragged `(batch, None)`, as `encode` makes them.
            multiple: the padded lengths are rounded up to a multiple of this.

        Returns:
            The features of `PlacedPreprocessor` for the contexts, and `question_ids`, int32
            `(batch, length of the longest question)`, with -1 after their ends.
        """
        row, rows = tokens.value_rowids(), tokens.nrows()
        is_between = tokens.flat_values == SEPARATOR
        seen = tf.cumsum(tf.cast(is_between, row.dtype))
        is_question = (seen == row) & ~is_between  # there is one in every row before it

        def part(chosen: tf.Tensor) -> tf.RaggedTensor:
            return tf.RaggedTensor.from_value_rowids(
                tf.boolean_mask(tokens.flat_values, chosen),
                tf.boolean_mask(row, chosen),
                nrows=rows,
                validate=False,
            )

        question = part(is_question)
        longest = tf.reduce_max(tf.concat([question.row_lengths(), [1]], 0))
        length = -(-longest // multiple) * multiple
        question_ids = question.to_tensor(-1, shape=tf.stack([rows, length]))
        context = super().pack(part(~is_question & ~is_between), multiple)
        return {**context, "question_ids": tf.ensure_shape(question_ids, [None, None])}

    def uncut_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Finds spans of all words of texts."""
        words = split_words(as_strings(texts))
        places = tf.RaggedTensor.from_value_rowids(
            tf.stack([words.starts, words.ends], axis=1), words.rows, nrows=len(texts)
        )
        return [[(start, end) for start, end in row] for row in places.to_list()]


def cut_out(
    texts: tf.Tensor, rows: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Cuts pieces between two characters out of texts, and finds their bytes.

    Bytes are counted in the texts as they are. Characters are counted with U+FFFD in place of bytes
    that are not UTF-8.

    Args:
        texts: strings `(batch,)`.
        rows: int64 `(pieces,)`, the text of each piece.
        starts: int32 `(pieces,)`, the position of its first character.
        ends: int32 `(pieces,)`, the position after its last character.

    Returns:
        UTF-8 strings, and int32 positions of the first byte and after the last, `(pieces,)` each.
    """
    _, offsets = tf.strings.unicode_decode_with_offsets(texts, "UTF-8", errors="replace")
    sizes = tf.cast(tf.strings.length(texts), tf.int64)
    offsets = tf.concat([offsets, sizes[:, None]], axis=1)
    first = tf.gather(offsets.row_starts(), rows)
    start, end = (
        tf.cast(tf.gather(offsets.flat_values, first + tf.cast(at, tf.int64)), tf.int32)
        for at in (starts, ends)
    )
    pieces = tf.strings.substr(tf.gather(texts, rows), start, end - start)
    return tf.strings.unicode_transcode(pieces, "UTF-8", "UTF-8", errors="replace"), start, end


def _tagged(values: Any, kind: int) -> tf.RaggedTensor:
    if not isinstance(values, tf.RaggedTensor):
        values = tf.RaggedTensor.from_tensor(values[:, None])
    return values.with_flat_values(values.flat_values + kind * 2**_BITS)


def _folded(letters: tf.RaggedTensor) -> tf.RaggedTensor:
    """Maps code points to numbers from 1: Latin ones unchanged, others to their remainder."""
    codes = letters.flat_values
    few = LETTERS // 2
    return letters.with_flat_values(1 + tf.where(codes < few, codes, few + codes % (few - 1)))
