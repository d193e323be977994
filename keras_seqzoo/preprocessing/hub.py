"""The preprocessors of TF Hub's encoders: rebuilt to be fast if that gives the same ids."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.hub.archive import Graph, pack_module, trusted, unpack_module
from keras_seqzoo.hub.resolve import module_folder
from keras_seqzoo.preprocessing.base import as_strings
from keras_seqzoo.preprocessing.spans import Span, aligned
from keras_seqzoo.preprocessing.wordpiece import (
    UNKNOWN,
    ClsSepPreprocessor,
    WordPiecePreprocessor,
    read_vocabulary,
)

_LOWER_CASE = "do_lower_case/.ATTRIBUTES/VARIABLE_VALUE"

# Texts for which tokenizers of BERT's kind are known to differ.
PROBES = (
    "The quick brown fox, it's 3.14 times unaffable!", "Ünïcödé naïve Café ÀÉÎ ß \u0131 \u0130",
    "ALL CAPS and camelCase iPhone", "日本語 中文字符 한국어", "snake_case e-mail@example.com #tag",
    "a\u0301 combining, \u200bzero\u200dwidth \u00adsoft", "tabs\tand\nnew\r\nlines\x00\x07 nul",
    "[CLS] [MASK] [SEP] [UNK]", "supercalifragilisticexpialidocious " + "x" * 120,
    "emoji 😀👍🏽 ™ ® ½ ² €100 £5 ١٢٣",
    "“curly” \u2018quotes\u2019 \u2013 — … «guillemets»", "", "   ",
    "Ελληνικά Русский العربية हिन्दी ไทย", "don't can't I'm we've", "1,000,000.00% 50km/h C++ .NET",
)  # fmt: skip


@keras.saving.register_keras_serializable("keras_seqzoo")
class HubPreprocessor(ClsSepPreprocessor):
    """The `tokenize` of a TF Hub preprocessor, its own graph, with BERT's packing.

    It is for preprocessors that `WordPiecePreprocessor` cannot replace. The config holds the graph,
    as for `HubEncoder`, and Keras's safe mode rejects it for the same reason.

    Args:
        sequence_length: most tokens that the encoder reads, the special ones included.
        archive: the packed graph.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        TypeError: a string that is neither from `pack_module` nor from a trusted file.
        ValueError: a damaged SavedModel, or not a preprocessor.
    """

    def __init__(self, sequence_length: int, archive: Graph, **kwargs: Any):
        super().__init__(sequence_length, **kwargs)
        self.archive = archive
        # An export copies the vocabulary from here, so it must last as long as the layer.
        self._unpacked = tempfile.TemporaryDirectory(prefix="keras_seqzoo-")
        unpack_module(self.archive, self._unpacked.name)
        with tf.init_scope(), tf.device("CPU:0"):
            self._module = load_preprocessor(Path(self._unpacked.name), "a graph in a file")
            packed = self._module(tf.constant([""]))["input_word_ids"][0]
        # An empty text is packed as [CLS] [SEP] [PAD] …
        self.start_id, self.end_id, self.pad_id = packed[:3].numpy().tolist()
        object.__setattr__(self, "_pieces", _vocabulary_of(Path(self._unpacked.name)))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens in the order of their ids; empty if the module does not list them."""
        return self._pieces

    @property
    def resources(self) -> Sequence[Any]:
        """The module, whose tables a SavedModel must hold."""
        return (self._module,)

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """Returns int32 ids of strings `(batch,)`, ragged `(batch, None)`; no special tokens."""
        return _flat(self._module.tokenize(as_strings(texts)))

    def uncut_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Finds spans of all tokens of texts; the module says which tokens make up a word."""
        tokens = self._module.tokenize(as_strings(texts))
        if tokens.shape.rank < 3:
            return super().uncut_spans(texts)
        vocabulary = dict(enumerate(self.vocabulary))
        spans = []
        for text, words in zip(texts, tokens.to_list(), strict=True):
            pieces = [vocabulary.get(i, UNKNOWN) for word in words for i in word]
            forms = [None if p == UNKNOWN else p.removeprefix("##") for p in pieces]
            inner = [place > 0 for word in words for place in range(len(word))]
            spans.append(aligned(text, forms, inner))
        return spans

    def fingerprint(self) -> str:
        """Returns a digest of everything that affects the ids: equal digests mean equal ids."""
        content = f"{type(self).__name__} {self.sequence_length} {self.archive}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, with the graph instead of the folder."""
        return {**super().get_config(), "archive": self.archive}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> HubPreprocessor:
        """Makes the layer from the result of `get_config`.

        Raises:
            ValueError: the graph is from a file that is not trusted.
        """
        return cls(**{**config, "archive": trusted(config["archive"], config["name"])})


def hub_preprocessor(name: str | Path, sequence_length: int) -> ClsSepPreprocessor:
    """Makes the preprocessor of a TF Hub module.

    If its vocabulary is among its assets, and TensorFlow Text's fast tokenizer gives the same ids
    for texts that are known to be hard, the fast tokenizer is used (about eight times as fast).
    Otherwise the module's own graph is used.

    Args:
        name: a handle, or the folder of a preprocessor's SavedModel.
        sequence_length: most tokens that the encoder reads.

    Raises:
        ConnectionError: the handle cannot be reached.
        FileNotFoundError: no such folder.
        ValueError: not a SavedModel, or not a preprocessor.
    """
    folder = module_folder(name)
    module = load_preprocessor(folder, name)
    expected = _flat(module.tokenize(tf.constant(PROBES))).to_list()
    vocabulary = _vocabulary_of(folder)
    if vocabulary:
        for lowercase in (True, False):
            fast = WordPiecePreprocessor(sequence_length, vocabulary, lowercase)
            if fast.tokenize(PROBES).to_list() == expected:
                return fast
    return HubPreprocessor(sequence_length, pack_module(folder))


def preprocessor_of_encoder(folder: Path, sequence_length: int) -> WordPiecePreprocessor | None:
    """Rebuilds the preprocessor from the vocabulary in an encoder.

    Args:
        folder: the encoder's SavedModel.
        sequence_length: most tokens that the encoder reads.

    Returns:
        The preprocessor, or None if the encoder has no vocabulary.
    """
    vocabulary = _vocabulary_of(folder)
    if not vocabulary:
        return None
    prefix = folder / "variables" / "variables"
    if prefix.with_suffix(".index").is_file():
        reader = tf.train.load_checkpoint(str(prefix))
        if reader.has_tensor(_LOWER_CASE):
            lowercase = bool(reader.get_tensor(_LOWER_CASE))
            return WordPiecePreprocessor(sequence_length, vocabulary, lowercase)
    # The special tokens are upper case in every vocabulary.
    pieces = [piece for piece in vocabulary if not piece.startswith("[")]
    lowercase = all(piece == piece.lower() for piece in pieces)
    return WordPiecePreprocessor(sequence_length, vocabulary, lowercase)


def load_preprocessor(folder: Path, name: object) -> Any:
    """Loads a preprocessor's SavedModel.

    Args:
        folder: the folder of the SavedModel.
        name: the name that the user passed, for the message.

    Raises:
        ValueError: the module has no `tokenize`, or does not pack texts.
    """
    import tensorflow_text  # noqa: F401 - the module holds its ops

    module = tf.saved_model.load(str(folder))
    if not callable(module) or not hasattr(module, "tokenize"):
        found = sorted(getattr(module, "signatures", {}))
        raise ValueError(
            "This is not a text preprocessor: the module must pack strings when called, and have "
            f"`tokenize`. Received: {name}, which has the signatures {found}"
        )
    return module


def _vocabulary_of(folder: Path) -> tuple[str, ...]:
    files = sorted((folder / "assets").glob("*vocab*.txt"))
    return tuple(read_vocabulary(files[0])) if len(files) == 1 else ()


def _flat(tokens: tf.RaggedTensor) -> tf.RaggedTensor:
    """Flattens words of pieces to pieces."""
    flat = tokens.merge_dims(1, -1) if tokens.shape.rank > 2 else tokens
    return tf.cast(flat, tf.int32)
