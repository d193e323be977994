"""The tokenizer next to an export: `tokenizer.json`, or a SavedModel.

`tokenizer.json` is for the Rust library `tokenizers`, which needs no TensorFlow. It is written for
word pieces, byte pairs and words, if it returns the same ids as the model's own graph for texts
that are known to be hard.
"""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import sentencepiece
import tensorflow as tf
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from keras_seqzoo.preprocessing import words
from keras_seqzoo.preprocessing.base import Preprocessor, with_a_token
from keras_seqzoo.preprocessing.bytepair import BytePairPreprocessor
from keras_seqzoo.preprocessing.hub import PROBES
from keras_seqzoo.preprocessing.wordpiece import UNKNOWN, WordPiecePreprocessor
from keras_seqzoo.quiet import logging_from
from keras_seqzoo.serving.warmup import TEXTS
from keras_seqzoo.tasks.model import TextModel

JSON, SAVED = "tokenizer.json", "tokenizer"
_SIGNS = [chr(n) for n in range(1, 0x110000) if not 0xD800 <= n < 0xE000]

# The expressions of `words` for engines with look-around.
LINE_BREAK_TAGS = words.LINE_BREAK_TAGS.replace(r"\s", r"[\t\n\f\r ]")
FINAL_SIGMA = r"(?<=\p{L})Σ(?!\p{L})"
# `words.QUOTES` splits quotes off, and matches the sign before or after each, so it reads two
# neighbours at a time. This finds the same quotes one by one, in runs of up to six:
_IN, _OUT = r"[\p{L}\p{N}]", r"[^\p{L}\p{N}']"
QUOTES = (
    rf"'(?={_OUT}|\z)"
    r"|(?<=')'(?=')"
    rf"|(?<=\A|{_OUT})'(?=')"
    rf"|(?<=\A|{_OUT})(?<!{_IN}'{_OUT}|{_IN}'{{3}}{_OUT}|\A''{_OUT}|{_OUT}''{_OUT})'(?!')"
    rf"|(?<=\A''|{_OUT}''|\A'{{4}}|{_OUT}'{{4}}|{_IN}'|{_IN}'{{3}}|{_IN}'{{5}})'(?!')"
)


def write_tokenizer(model: TextModel, path: Path) -> str:
    """Writes the file or folder that turns texts into features, and returns its name.

    Args:
        model: the model.
        path: a folder.
    """
    made = tokenizer_of(model.preprocessor)
    if made is not None:
        made.save(str(path / JSON), pretty=False)
        return JSON
    specs = {k: tf.TensorSpec(s.shape, s.dtype, k) for k, s in model.served_inputs.items()}
    features = tf.function(lambda **given: model.read_served(given), autograph=False)
    module = tf.Module()
    module.resources = list(model.resources)
    with logging_from(logging.WARNING):
        signature = features.get_concrete_function(**specs)
        tf.saved_model.save(module, str(path / SAVED), signatures=signature)
    return SAVED


def tokenizer_of(preprocessor: Preprocessor) -> Tokenizer | None:
    """Makes a tokenizer of the Rust library that returns the same ids as a preprocessor.

    Except: a text without tokens gets none, while the preprocessor gives it the unknown one; so
    does an export.

    Args:
        preprocessor: the preprocessor of a model.

    Returns:
        The tokenizer; None for pairs, which that library truncates differently, for SentencePiece
        and for graphs of TF Hub.
    """
    make = _KINDS.get(type(preprocessor))
    if make is None or preprocessor.pair:
        return None
    tokenizer = make(preprocessor)
    tokens = preprocessor.vocabulary
    special = {
        name: None if number is None else (tokens[number], number)
        for name, number in (("start", preprocessor.start_id), ("end", preprocessor.end_id))
    }
    if any(special.values()):
        around = [special["start"], ("$A", 0), special["end"]]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[token[0] for token in around if token],
            special_tokens=[token for token in special.values() if token],
        )
    tokenizer.enable_truncation(preprocessor.sequence_length)
    tokenizer.enable_padding(pad_id=preprocessor.pad_id, pad_token=tokens[preprocessor.pad_id])
    texts = [*PROBES, *TEXTS]
    return tokenizer if are_same(preprocessor, texts, features_of(tokenizer, texts)) else None


def are_same(preprocessor: Preprocessor, texts: Sequence[str], features: Any) -> bool:
    """Whether features of texts equal those of a preprocessor."""
    wanted, found = preprocessor(texts), with_a_token(features, preprocessor.unknown_id)
    return all(
        wanted[name].shape == found[name].shape and bool(tf.reduce_all(wanted[name] == found[name]))
        for name in wanted
    )


def features_of(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, tf.Tensor]:
    """Features of texts, int32 `(batch, length)`, from a tokenizer of the Rust library."""
    rows = tokenizer.encode_batch(list(texts))
    parts = {"token_ids": "ids", "padding_mask": "attention_mask", "segment_ids": "type_ids"}
    return {
        name: tf.constant([getattr(row, part) for row in rows], tf.int32)
        for name, part in parts.items()
    }


def _of_word_pieces(preprocessor: WordPiecePreprocessor) -> Tokenizer:
    numbers = {piece: i for i, piece in enumerate(preprocessor.vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        # The map cannot hold the character 0.
        [
            normalizers.Replace("\0", " "),
            normalizers.Precompiled(map_of_word_pieces(preprocessor.lowercase)),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


@lru_cache
def map_of_word_pieces(lowercase: bool) -> bytes:
    """How TensorFlow Text's BERT tokenizer maps each character, compiled by SentencePiece.

    Characters that are tokens of their own get spaces around them.
    """
    import tensorflow_text

    normal = tensorflow_text.FastBertNormalizer(lower_case_nfd_strip_accents=lowercase)
    forms = [form.decode() for form in normal.normalize(tf.constant(_SIGNS)).numpy()]
    letters = sorted({letter for form in forms for letter in form})
    probe = tensorflow_text.FastBertTokenizer(["[UNK]", "a", "b"], token_out_type=tf.int32)
    found = probe.tokenize(tf.constant([f"a{letter}b" for letter in letters])).to_list()
    kinds = {(1, 2): " ", (1, 0, 2): " {} "}
    pattern = {x: kinds.get(tuple(ids), "{}") for x, ids in zip(letters, found, strict=True)}
    return _compiled("".join(pattern[x].replace("{}", x) for x in form) for form in forms)


@lru_cache
def map_of_lower_case() -> bytes:
    """The lower case of each character in TensorFlow, compiled by SentencePiece."""
    lower = tf.strings.lower(tf.constant(_SIGNS), encoding="utf-8")
    return _compiled(form.decode() for form in lower.numpy())


def _compiled(forms: Iterable[str]) -> bytes:
    """Compiles a map from each of `_SIGNS` to its form."""
    rules = io.StringIO()
    for sign, form in zip(_SIGNS, forms, strict=True):
        if form != sign:
            rules.write(f"{ord(sign):X}\t{' '.join(f'{ord(x):X}' for x in form)}\n")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.tsv"
        file.write_text(rules.getvalue())
        written = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a"]),
            model_writer=written,
            model_type="char",
            vocab_size=8,
            hard_vocab_limit=False,
            normalization_rule_tsv=str(file),
            minloglevel=2,
        )
    spec = sentencepiece_model_pb2.ModelProto.FromString(written.getvalue()).normalizer_spec
    return bytes(spec.precompiled_charsmap)


def _of_byte_pairs(preprocessor: BytePairPreprocessor) -> Tokenizer:
    numbers = {token: i for i, token in enumerate(preprocessor.vocabulary)}
    merges = (merge.split(" ") for merge in preprocessor.merges)
    tokenizer = Tokenizer(models.BPE(numbers, [(first, second) for first, second in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def _of_words(preprocessor: words.WordPreprocessor) -> Tokenizer:
    numbers = {word: i for i, word in enumerate(preprocessor.vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=words.UNKNOWN))
    steps = [
        _replaced(LINE_BREAK_TAGS, " "),
        _replaced(words.APOSTROPHES, "'"),
        *([normalizers.NFKC(), _replaced(words.IGNORABLE, "")] if preprocessor.normalize else []),
        _replaced(words.SPACES, " "),
        *([_replaced(FINAL_SIGMA, "ς"), normalizers.Lowercase()] if preprocessor.lowercase else []),
        _replaced(QUOTES, " ' "),
    ]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(words.SIGNS), "isolated")]
    )
    return tokenizer


def _replaced(pattern: str, content: str) -> Any:
    return normalizers.Replace(Regex(pattern), content)


_KINDS: dict[type, Callable[[Any], Tokenizer]] = {
    WordPiecePreprocessor: _of_word_pieces,
    BytePairPreprocessor: _of_byte_pairs,
    words.WordPreprocessor: _of_words,
}
