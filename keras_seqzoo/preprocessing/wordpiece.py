"""WordPiece: the tokens of BERT and ELECTRA, exact and fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.preprocessing.base import Preprocessor, as_strings
from keras_seqzoo.preprocessing.spans import Span, spans_of_bytes, widened

PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNKNOWN, CLS, SEP, MASK)


class ClsSepPreprocessor(Preprocessor):
    """Packs like BERT: `[CLS]`, the tokens, `[SEP]`.

    A text is cut to `sequence_length - 2` tokens. A text without tokens becomes `[CLS] [SEP]`.

    Args:
        sequence_length: most tokens that the encoder reads, the two special ones included.

    Raises:
        ValueError: `sequence_length` below 3.
    """

    unit = "word pieces"

    def __init__(self, sequence_length: int, **kwargs: Any):
        if sequence_length < 3:
            raise ValueError(
                f"`sequence_length` must be at least 3: {CLS}, a token and {SEP}. "
                f"Received: sequence_length={sequence_length!r}"
            )
        super().__init__(sequence_length, **kwargs)


@keras.saving.register_keras_serializable("keras_seqzoo")
class WordPiecePreprocessor(ClsSepPreprocessor):
    """WordPiece by `tensorflow_text.FastBertTokenizer`, and BERT's packing.

    The ids are those of the TF Hub preprocessor with the same vocabulary, for each text; the tests
    show which texts were compared. A special token that a user writes out is read as text.

    Args:
        sequence_length: most tokens that the encoder reads, `[CLS]` and `[SEP]` included.
        vocabulary: the word pieces in the order of their ids, including special tokens. None if
            `load_assets` will load them.
        lowercase: whether to fold case and strip accents (uncased models).

    Raises:
        ValueError: a special token is missing, or a piece is listed twice.

    Example:
        >>> pieces = WordPiecePreprocessor(
        ...     8, vocabulary=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "##ness"])
        >>> pieces.tokenize(["Goodness", ""]).to_list()
        [[4, 5], []]
    """

    def __init__(
        self,
        sequence_length: int,
        vocabulary: Sequence[str] | None = None,
        lowercase: bool = True,
        **kwargs: Any,
    ):
        super().__init__(sequence_length, **kwargs)
        self.lowercase = lowercase
        object.__setattr__(self, "_pieces", ())
        if vocabulary is not None:
            self._set_vocabulary(vocabulary)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The word pieces, in the order of their ids."""
        return self._pieces

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """Returns int32 ids of strings `(batch,)`, ragged `(batch, None)`; no special tokens."""
        self.check_vocabulary()
        return self._tokenizer.tokenize(as_strings(texts))

    def uncut_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Finds spans of all word pieces of texts, from the tokenizer's own offsets."""
        _, *offsets = self._tokenizer.tokenize_with_offsets(as_strings(texts))
        rows = zip(texts, *(bounds.to_list() for bounds in offsets), strict=True)
        return [
            [widened(text, span) for span in spans_of_bytes(text, starts, ends)]
            for text, starts, ends in rows
        ]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor except the vocabulary, which is an asset."""
        return {**super().get_config(), "lowercase": self.lowercase}

    def save_assets(self, dir_path: str) -> None:
        """Writes the vocabulary, one piece on each line (Keras calls this in `model.save`)."""
        text = "".join(f"{piece}\n" for piece in self._pieces)
        (Path(dir_path) / "vocab.txt").write_text(text, encoding="utf-8", newline="")

    def load_assets(self, dir_path: str) -> None:
        """Reads the file that `save_assets` wrote (Keras calls this in `load_model`)."""
        self._set_vocabulary(read_vocabulary(Path(dir_path) / "vocab.txt"))

    def _set_vocabulary(self, pieces: Sequence[str]) -> None:
        import tensorflow_text

        pieces = tuple(pieces)
        missing = [token for token in (PAD, UNKNOWN, CLS, SEP) if token not in pieces]
        if missing:
            raise ValueError(
                f"A WordPiece vocabulary lists its special tokens too. Add {missing}. "
                f"Received: {len(pieces)} pieces, {pieces[:5]} first"
            )
        repeated = [piece for piece, n in Counter(pieces).items() if n > 1]
        if repeated:
            raise ValueError(
                f"A vocabulary lists each piece once. Remove {repeated[:3]}. "
                f"Received: {len(pieces)} pieces"
            )
        # Keras's tracker would wrap and watch a plain tuple attribute, piece by piece.
        object.__setattr__(self, "_pieces", pieces)
        self.pad_id, self.unknown_id, self.start_id, self.end_id = (
            pieces.index(token) for token in (PAD, UNKNOWN, CLS, SEP)
        )
        with tf.init_scope(), tf.device("CPU:0"):
            self._tokenizer = tensorflow_text.FastBertTokenizer(
                list(pieces),
                token_out_type=tf.int32,
                lower_case_nfd_strip_accents=self.lowercase,
            )


def read_vocabulary(path: Path) -> list[str]:
    """Reads a `vocab.txt`: one word piece on each line, in the order of ids."""
    pieces = path.read_text(encoding="utf-8").split("\n")
    return pieces[:-1] if pieces[-1] == "" else pieces


def learn_word_pieces(
    chunks: Callable[[], Iterable[Sequence[str]]],
    vocabulary_size: int,
    min_count: int = 2,
    lowercase: bool = True,
) -> list[str]:
    """Learns a WordPiece vocabulary with the trainer of Hugging Face's `tokenizers`.

    TensorFlow Text has a learner, too; on the 6,920 sentences of SST-2 it took 24 s or more and
    stopped at 2,318 pieces, whatever size was set.

    The same texts give the same pieces. The trainer numbers the letters within words as it meets
    them, in another order every time, and their numbers decide between pairs that are equally
    frequent. So it receives the letters in order. (Of more than a thousand different characters,
    it drops the rarest; among equally rare ones, the choice is still left to chance.)

    Args:
        chunks: yields the training texts, some thousands at a time; it is called twice.
        vocabulary_size: most pieces, including the five special ones.
        min_count: pairs of pieces seen less often are not merged.
        lowercase: whether to fold case and strip accents first.

    Returns:
        The pieces in the order of their ids.
    """
    from tokenizers import BertWordPieceTokenizer

    trained = BertWordPieceTokenizer(lowercase=lowercase)
    seen: set[str] = set()
    for texts in chunks():
        seen.update(*texts)
    letters = {c for s in seen for c in trained.normalizer.normalize_str(_readable(s))}
    split = trained.pre_tokenizer.pre_tokenize_str
    # No word contains a space, though a space also splits a text on its own.
    within = [
        f"##{c}"
        for c in sorted(letters)
        if not c.isspace() and len(split(f"a{c}")) == len(split(f"{c}a")) == 1
    ]
    trained.train_from_iterator(
        (_readable(text) for texts in chunks() for text in texts),
        vocab_size=vocabulary_size,
        min_frequency=min_count,
        special_tokens=[*SPECIAL, *within],
        show_progress=False,
    )
    ids = trained.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def _readable(text: str) -> str:
    # A lone surrogate (half of a broken emoji) is a legal Python string without UTF-8 form.
    return text.encode("utf-8", "replace").decode("utf-8")
