"""Words: a vocabulary learnt from the training texts, split by one pair of expressions."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.preprocessing.base import Preprocessor, as_strings
from keras_seqzoo.preprocessing.spans import Span, aligned

PAD, UNKNOWN = "[PAD]", "[UNK]"

# Apart from words and numbers, every sign is a token: "!" and ":)" carry sentiment. Scripts written
# without spaces are read sign by sign, as BERT does with Chinese.
LINE_BREAK_TAGS = r"(?i)<br\s*/?>"
SPACES = r"[\p{Z}\p{Cc}]+"
APOSTROPHES = "[\u2018\u2019\u02bc`\u00b4]"
SIGNS = r"([^\p{L}\p{M}\p{N}\p{Z}\p{Cc}']|[\p{Han}\p{Hiragana}\p{Katakana}])"
# Unicode's Default_Ignorable_Code_Point, such as the soft hyphen, the zero-width space, the byte
# order mark and variation selectors: characters that readers do not see.
IGNORABLE = (
    "[\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_QUOTES = r"(^|[^\p{L}\p{N}])'|'([^\p{L}\p{N}]|$)"

_MOST_COUNTED = 2_000_000
_LONGEST_WORD = 64


@keras.saving.register_keras_serializable("keras_seqzoo")
class WordPreprocessor(Preprocessor):
    """Lower-cased words, numbers and signs, looked up in a learnt vocabulary.

    Id 0 is `[PAD]`, id 1 `[UNK]` (a word outside the vocabulary); the rest are the most frequent
    words of the training texts. `learn` sets the vocabulary.

    Args:
        sequence_length: most tokens of a text that are kept.
        vocabulary: the words in the order of their ids, without the two special ones. None if
            `learn` or `load_assets` will set them.
        lowercase: whether to fold case.

    Example:
        >>> words = WordPreprocessor(8, vocabulary=["not", "bad", "!"])
        >>> words.tokenize(["Not bad!", ""]).to_list()
        [[2, 3, 4], []]
    """

    joint = " "

    def __init__(
        self,
        sequence_length: int,
        vocabulary: Sequence[str] | None = None,
        lowercase: bool = True,
        normalize: bool = True,
        **kwargs: Any,
    ):
        super().__init__(sequence_length, **kwargs)
        self.lowercase = lowercase
        self.normalize = normalize
        object.__setattr__(self, "_words", None)
        if vocabulary is not None:
            self._set_vocabulary(vocabulary)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens, in the order of their ids; none before they are learnt or loaded."""
        return () if self._words is None else (PAD, UNKNOWN, *self._words)

    @property
    def resources(self) -> Sequence[Any]:
        """The lookup table that a SavedModel must hold."""
        self.check_vocabulary()
        return (self._table,)

    def split(self, texts: Any) -> tf.RaggedTensor:
        """Splits strings `(batch,)` into words, ragged `(batch, None)` strings."""
        texts = as_strings(texts)
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        texts = tf.strings.regex_replace(texts, LINE_BREAK_TAGS, " ")
        # Before NFKC, which turns U+00B4 into a space with an accent.
        texts = tf.strings.regex_replace(texts, APOSTROPHES, "'")
        if self.normalize:
            import tensorflow_text

            texts = tensorflow_text.normalize_utf8(texts, "NFKC")
            texts = tf.strings.regex_replace(texts, IGNORABLE, "")
        texts = tf.strings.regex_replace(texts, SPACES, " ")
        if self.lowercase:
            texts = tf.strings.lower(texts, encoding="utf-8")
        texts = tf.strings.regex_replace(texts, _QUOTES, r"\1 ' \2")
        texts = tf.strings.regex_replace(texts, SIGNS, r" \1 ")
        return tf.strings.split(texts)

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """Turns strings `(batch,)` into int32 ids, ragged `(batch, None)`."""
        self.check_vocabulary()
        words = self.split(texts)
        return words.with_flat_values(self._table.lookup(words.flat_values))

    def uncut_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Finds spans of all words of texts by counting their signs along those of the text."""
        spans = []
        for text, split in zip(texts, self.split(texts).to_list(), strict=True):
            words = [word.decode() for word in split]
            signs = self._signs(text)
            ends = np.cumsum([len(word) for word in words], dtype=int).tolist()
            if (ends[-1] if ends else 0) != len(signs):
                spans.append(aligned(text, words, [False] * len(words)))
                continue
            places = zip(words, ends, strict=True)
            spans.append([(signs[end - len(word)][0], signs[end - 1][1]) for word, end in places])
        return spans

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Turns int32 ids, ragged `(batch, None)`, into strings: words with spaces between."""
        with tf.device("CPU:0"):
            words = tf.gather(tf.constant(["", *self.vocabulary[1:]]), tokens)
            return tf.strings.reduce_join(words, axis=-1, separator=" ")

    def learn(
        self, chunks: Iterable[Sequence[str]], vocabulary_size: int, min_count: int = 1
    ) -> None:
        """Sets the vocabulary to the most frequent words.

        Memory stays bounded for any number of texts: beyond two million different words, those seen
        only once so far are dropped. A run of more than 64 bytes is not a word.

        Args:
            chunks: the training texts, some thousands at a time.
            vocabulary_size: most entries, including the two special ones.
            min_count: words seen less often are left out.
        """
        counts: Counter[bytes] = Counter()
        split = tf.function(self.split, input_signature=[tf.TensorSpec([None], tf.string)])
        for texts in chunks:
            words = split(as_strings(texts)).flat_values
            words = tf.boolean_mask(words, tf.strings.length(words) <= _LONGEST_WORD)
            words, _, seen = tf.unique_with_counts(words)
            counts.update(dict(zip(words.numpy().tolist(), seen.numpy().tolist(), strict=True)))
            if len(counts) > _MOST_COUNTED:
                counts = Counter({word: n for word, n in counts.items() if n > 1})
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = [word.decode() for word, n in ranked if n >= min_count]
        self._set_vocabulary(kept[: vocabulary_size - 2])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor except the vocabulary, which is an asset."""
        arguments = {"lowercase": self.lowercase, "normalize": self.normalize}
        return {**super().get_config(), **arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WordPreprocessor:
        """Makes the layer from the result of `get_config`, of this version or an earlier one."""
        return super().from_config({"normalize": False, **config})

    def forms(self, words: Sequence[str]) -> list[str]:
        """Returns words as texts are split into them; "" for words that no text can contain."""
        split = self.split(list(words)).to_list()
        return [found[0].decode() if len(found) == 1 else "" for found in split]

    def check_words(self) -> None:
        """Checks that each word of the vocabulary is one that a text can be split into.

        Raises:
            ValueError: a word is not; names the first such word.
        """
        for word, split in zip(self._words, self.split(self._words).to_list(), strict=True):
            found = [part.decode() for part in split]
            if found != [word]:
                raise ValueError(
                    "`vocabulary` must list words as texts are split into them, or no text will "
                    "have them: "
                    f"write {' and '.join(map(repr, found)) or 'something else'} instead of "
                    f"{word!r}. Received: {len(self._words):,} words"
                )

    def save_assets(self, dir_path: str) -> None:
        """Writes the vocabulary, one word on each line (Keras calls this in `model.save`)."""
        path = Path(dir_path) / "vocabulary.txt"
        path.write_text("".join(f"{word}\n" for word in self._words), encoding="utf-8", newline="")

    def load_assets(self, dir_path: str) -> None:
        """Reads the file that `save_assets` wrote (Keras calls this in `load_model`)."""
        path = Path(dir_path) / "vocabulary.txt"
        with path.open(encoding="utf-8", newline="\n") as lines:
            self._set_vocabulary([line.removesuffix("\n") for line in lines])

    def _set_vocabulary(self, words: Sequence[str]) -> None:
        words = list(words)
        other = next((word for word in words if not isinstance(word, str)), None)
        if other is not None or None in words:
            raise ValueError(
                "`vocabulary` lists words as strings. Convert the others. "
                f"Received: {other!r} of type {type(other).__name__}"
            )
        repeated = [word for word, n in Counter(words).items() if n > 1]
        if repeated or PAD in words or UNKNOWN in words:
            raise ValueError(
                "`vocabulary` lists each word once, without the special tokens "
                f"{PAD} and {UNKNOWN}. Remove {(repeated or [PAD, UNKNOWN])[:3]}. "
                f"Received: {len(words)} words"
            )
        # Keras's tracker would wrap and watch a plain tuple attribute, word by word.
        object.__setattr__(self, "_words", tuple(words))
        with tf.init_scope(), tf.device("CPU:0"):
            self._table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    # "[PAD]" in a text is split at its brackets, so it cannot look up id 0.
                    tf.constant(self.vocabulary),
                    tf.range(len(self.vocabulary)),
                ),
                default_value=self.unknown_id,
            )

    def _signs(self, text: str) -> list[Span]:
        """Returns, for every sign of a text's words, the characters that it comes from."""
        tags = re.finditer(r"(?i)<br[\t\n\f\r ]*/?>", text)
        skipped = {index for tag in tags for index in range(*tag.span())}
        text = re.sub(APOSTROPHES, "'", text)
        signs = []
        for start, end in _clusters(text):
            if start in skipped:
                continue
            form = text[start:end]
            if self.normalize:
                form = re.sub(IGNORABLE, "", unicodedata.normalize("NFKC", form))
            for sign in form:
                kind = unicodedata.category(sign)
                if kind[0] != "Z" and kind != "Cc":
                    signs += [(start, end)] * (len(sign.lower()) if self.lowercase else 1)
        return signs


def _clusters(text: str) -> Iterator[Span]:
    """Yields runs of characters that NFKC combines, such as a letter and its accents."""
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text):
            before, after = text[start:end], text[end]
            if unicodedata.combining(after) or unicodedata.normalize(
                "NFKC", before[-2:] + after
            ) != unicodedata.normalize("NFKC", before[-2:]) + unicodedata.normalize("NFKC", after):
                continue
        yield start, end
        start = end
