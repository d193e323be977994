"""SentencePiece: the tokens of DeBERTa-v3, ALBERT, XLM-RoBERTa, Llama and Gemma."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.preprocessing.base import Preprocessor, as_strings
from keras_seqzoo.preprocessing.spans import Span, spans_of_bytes, trimmed, widened

PAD, CLS, SEP, UNKNOWN, MASK = "[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"
_SPACE = "\u2581"  # how SentencePiece writes a space


@keras.saving.register_keras_serializable("keras_seqzoo")
class SentencePiecePreprocessor(Preprocessor):
    """SentencePiece, run by the op of TensorFlow Text, with a start and an end token.

    The op is SentencePiece itself (the C++ library), so the ids are its own. TensorFlow Serving
    has the op. A special token that a user writes out is read as SentencePiece reads it.

    Args:
        sequence_length: most tokens that the encoder reads, special ones included.
        proto: the serialised SentencePiece model, the content of a `.model` or `.spm` file. None if
            `load_assets` will load it.
        start_id: the id before every text; none if None.
        end_id: the id after every text; none if None.
        pad_id: the id for padding.
        offset: the difference of the encoder's ids from SentencePiece's: 1 for XLM-RoBERTa.
        unknown_id: the id for text without a piece; SentencePiece's own, by default.
        mask_id: the id of a mask token that is not one of the pieces, as in DeBERTa-v3; none if
            None.

    Raises:
        TypeError: a path instead of the bytes.
        ValueError: not a SentencePiece model.
    """

    unit = "pieces"

    def __init__(
        self,
        sequence_length: int,
        proto: bytes | None = None,
        start_id: int | None = None,
        end_id: int | None = None,
        pad_id: int = 0,
        offset: int = 0,
        unknown_id: int | None = None,
        mask_id: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(sequence_length, **kwargs)
        self.start_id = start_id
        self.end_id = end_id
        self.pad_id = pad_id
        self.offset = offset
        self.mask_id = mask_id
        self.separators = 2 if offset else 1  # as XLM-RoBERTa was trained
        self._unknown = unknown_id
        object.__setattr__(self, "_pieces", ())
        if proto is not None:
            self._set_proto(proto)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The pieces in the order of SentencePiece's ids."""
        return self._pieces

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """Returns int32 ids of strings `(batch,)`, ragged `(batch, None)`; no special tokens."""
        self.check_vocabulary()
        texts = tf.strings.unicode_transcode(as_strings(texts), "UTF-8", "UTF-8", errors="replace")
        ids = self._split(texts)
        known = ids.values + self.offset
        values = tf.where(ids.values == self._unknown_piece, self.unknown_id, known)
        return ids.with_values(values)

    def uncut_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Finds spans of all pieces of texts, from SentencePiece's own offsets.

        The mark for the start of a word that it adds before a text matches nothing in the text.
        """
        spans = []
        rows = zip(texts, *(value.to_list() for value in self._place(texts)), strict=True)
        for text, ids, starts, ends in rows:
            found = [trimmed(text, span) for span in spans_of_bytes(text, starts, ends)]
            spans.append(
                [
                    span if self._pieces[i] == _SPACE else widened(text, span)
                    for i, span in zip(ids, found, strict=True)
                ]
            )
        return spans

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Returns strings `(batch,)` of int32 ids, ragged `(batch, None)`; no special tokens."""
        silent = [i for i in (self.start_id, self.end_id, self.pad_id) if i is not None]
        is_text = tf.reduce_all(tokens.values[:, None] != tf.constant([silent]), axis=-1)
        kept = tf.ragged.boolean_mask(tokens, tokens.with_values(is_text))
        return self._join(kept - self.offset)

    def fingerprint(self) -> str:
        """Returns a digest of everything that affects the ids: equal digests mean equal ids."""
        return hashlib.sha256(super().fingerprint().encode() + self._proto).hexdigest()[:16]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor except the model, which is an asset."""
        names = ("start_id", "end_id", "pad_id", "offset")
        config = {name: getattr(self, name) for name in names}
        if self.mask_id is not None:  # so that the digests of others do not change
            config["mask_id"] = self.mask_id
        return {**super().get_config(), **config, "unknown_id": self._unknown}

    def save_assets(self, dir_path: str) -> None:
        """Writes the SentencePiece model (Keras calls this in `model.save`)."""
        (Path(dir_path) / "spiece.model").write_bytes(self._proto)

    def load_assets(self, dir_path: str) -> None:
        """Reads the file that `save_assets` wrote (Keras calls this in `load_model`)."""
        self._set_proto((Path(dir_path) / "spiece.model").read_bytes())

    def _set_proto(self, proto: bytes) -> None:
        import sentencepiece
        import tensorflow_text

        if not isinstance(proto, bytes):
            raise TypeError(
                "A SentencePiece model is given as bytes. Read the file first: "
                f"Path(…).read_bytes(). Received: {proto!r:.60}"
            )
        try:
            model = sentencepiece.SentencePieceProcessor(model_proto=proto)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                "This is not a SentencePiece model. Take the .model or .spm file of the encoder. "
                f"Received: {len(proto)} bytes, which gave {error}"
            ) from error
        # Keras's tracker would wrap and watch plain attributes.
        object.__setattr__(self, "_proto", proto)
        object.__setattr__(
            self, "_pieces", tuple(model.IdToPiece(i) for i in range(model.GetPieceSize()))
        )
        self._unknown_piece = model.unk_id()
        given = self._unknown
        self.unknown_id = self._unknown_piece + self.offset if given is None else given
        kept = []

        # The op that holds the model is part of the graph. Outside a graph, the model would be lost
        # with TensorFlow's cache of kernels, which `tf.random.set_seed` clears.
        def tokenizer() -> Any:
            with tf.device("CPU:0"):
                kept.append(tensorflow_text.SentencepieceTokenizer(proto, out_type=tf.int32))
            return kept[-1]

        strings, ids = tf.TensorSpec([None], tf.string), tf.RaggedTensorSpec([None, None], tf.int32)
        self._split = tf.function(
            lambda texts: tokenizer().tokenize(texts), input_signature=[strings]
        )
        self._place = tf.function(
            lambda texts: tokenizer().tokenize_with_offsets(texts), input_signature=[strings]
        )
        self._join = tf.function(lambda ids: tokenizer().detokenize(ids), input_signature=[ids])


def learn_sentence_pieces(chunks: Iterable[Sequence[str]], vocabulary_size: int) -> bytes:
    """Learns a unigram model with the SentencePiece library.

    Args:
        chunks: the training texts, some thousands at a time.
        vocabulary_size: most pieces, including the special ones `[PAD]` 0, `[CLS]` 1, `[SEP]` 2,
            `[UNK]` 3 and `[MASK]` 4 (DeBERTa-v3's). Few texts give fewer pieces.

    Returns:
        The serialised model.
    """
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(
            # A lone surrogate (half of a broken emoji) is a legal Python string without UTF-8 form.
            text.encode("utf-8", "replace").decode()
            for texts in chunks
            for text in texts
            if text.strip()
        ),
        model_writer=model,
        vocab_size=vocabulary_size,
        hard_vocab_limit=False,
        model_type="unigram",
        pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        pad_piece=PAD, bos_piece=CLS, eos_piece=SEP, unk_piece=UNKNOWN,
        user_defined_symbols=[MASK],
        max_sentence_length=1 << 20,
        minloglevel=2,
    )  # fmt: skip
    return model.getvalue()
