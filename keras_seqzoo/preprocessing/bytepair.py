"""Byte-level byte-pair encoding: the tokens of GPT-2 and RoBERTa, exact and fast, as one graph."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.preprocessing.base import Preprocessor, as_strings
from keras_seqzoo.preprocessing.spans import Span, spans_of_bytes, trimmed

END = "<|endoftext|>"

# The character classes of GPT-2's expression. `\s` is Unicode's White_Space. RE2 knows Unicode
# 15.0; additions of 15.1 and 16.0 are listed, so that classes are those of `tokenizers` 0.23.
_SPACE = r"\t-\r\x{85}\p{Z}"
_LETTER = (
    r"\p{L}\x{1c89}-\x{1c8a}\x{a7cb}-\x{a7cd}\x{a7da}-\x{a7dc}\x{105c0}-\x{105f3}\x{10d4a}-\x{10d65}"
    r"\x{10d6f}-\x{10d85}\x{10ec2}-\x{10ec4}\x{11380}-\x{11389}\x{1138b}\x{1138e}\x{11390}-\x{113b5}"
    r"\x{113b7}\x{113d1}\x{113d3}\x{11bc0}-\x{11be0}\x{13460}-\x{143fa}\x{16100}-\x{1611d}"
    r"\x{16d40}-\x{16d6c}\x{18cff}\x{1e5d0}-\x{1e5ed}\x{1e5f0}\x{2ebf0}-\x{2ee5d}"
)
_NUMBER = (
    r"\p{N}\x{10d40}-\x{10d49}\x{116d0}-\x{116e3}\x{11bf0}-\x{11bf9}\x{16130}-\x{16139}"
    r"\x{16d70}-\x{16d79}\x{1ccf0}-\x{1ccf9}\x{1e5f1}-\x{1e5fa}"
)

# GPT-2 splits by `'s|…|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`. RE2 has no
# look-ahead, so texts are first cut before every space that something else follows: a word always
# begins there. Inside the pieces, `\s+` does the same as the look-ahead.
_CUT = rf"[{_SPACE}][^{_SPACE}]"
_WORD = (
    rf"'s|'t|'re|'ve|'m|'ll|'d| ?[{_LETTER}]+| ?[{_NUMBER}]+"
    rf"| ?[^{_SPACE}{_LETTER}{_NUMBER}]+|[{_SPACE}]+"
)
_MARK = b"\xff"  # a byte that UTF-8 does not use


@keras.saving.register_keras_serializable("keras_seqzoo")
class BytePairPreprocessor(Preprocessor):
    """GPT-2's byte-level byte-pair encoding, and RoBERTa's, which adds special tokens.

    The ids are those of Hugging Face's `tokenizers` for each text; the tests show which texts were
    compared. A special token that a user writes out is read as text. Bytes that are not UTF-8
    are read as by `bytes.decode(errors="replace")`.

    GPT-2 has neither special nor padding tokens. `<|endoftext|>` (id 0 if the vocabulary lacks it)
    is the padding under the mask, and the only token of a text that has none.

    Args:
        sequence_length: most tokens that the encoder reads.
        vocabulary: ids of the tokens, written as in GPT-2's `vocab.json` (a space is "Ġ"). None
            if `load_assets` will load it.
        merges: the merges in the order learnt, such as "Ġ t".
        start_token: the token before every text, such as RoBERTa's "<s>"; none if None.
        end_token: the token after every text, such as RoBERTa's "</s>"; none if None.
        pad_token: the token for padding; `<|endoftext|>` if None.

    Raises:
        TypeError: a path: use `read_byte_pairs` to read files.
        ValueError: a special token that is not in the vocabulary; only one of `vocabulary` and
            `merges`; ids that are not 0, 1, 2, …; a byte without a token; a merge of unknown
            tokens, or listed twice.

    Example:
        >>> vocabulary = {sign: i for i, sign in enumerate([*byte_signs(), "go", "Ġgo"])}
        >>> pairs = BytePairPreprocessor(8, vocabulary, merges=["g o", "Ġ go"])
        >>> pairs.tokenize(["go go", ""]).to_list()
        [[256, 257], []]
    """

    unit = "byte pairs"

    def __init__(
        self,
        sequence_length: int,
        vocabulary: Mapping[str, int] | None = None,
        merges: Sequence[str] | None = None,
        start_token: str | None = None,
        end_token: str | None = None,
        pad_token: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(sequence_length, **kwargs)
        self.start_token = start_token
        self.end_token = end_token
        self.pad_token = pad_token
        # Keras's tracker would wrap and watch plain tuple attributes, item by item.
        object.__setattr__(self, "_tokens", ())
        object.__setattr__(self, "_merges", ())
        if (vocabulary is None) != (merges is None):
            raise ValueError(
                "A vocabulary and its merges come together. Pass both or neither. Received: "
                f"{'merges' if vocabulary is None else 'vocabulary'} alone"
            )
        if vocabulary is not None and merges is not None:
            self._set_vocabulary(vocabulary, merges)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens as in `vocab.json`, in the order of their ids."""
        return self._tokens

    @property
    def merges(self) -> tuple[str, ...]:
        """The merges, in the order learnt."""
        return self._merges

    @property
    def resources(self) -> Sequence[Any]:
        """The lookup table that a SavedModel must hold."""
        self.check_vocabulary()
        return (self._ranks,)

    @tf.autograph.experimental.do_not_convert  # it has no Python control flow to convert
    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """Returns int32 ids of strings `(batch,)`, ragged `(batch, None)`; no special tokens."""
        self.check_vocabulary()
        texts = as_strings(texts)
        with tf.device("CPU:0"):
            texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
            texts = tf.strings.regex_replace(texts, _CUT, _MARK + rb"\0")
            pieces = tf.strings.split(texts, _MARK)
            unique, which = tf.unique(pieces.flat_values, out_idx=tf.int64)
            words = tf.strings.regex_replace(unique, _WORD, rb"\0" + _MARK)
            data = tf.io.decode_raw(tf.strings.reduce_join(words), tf.uint8)
            ids = self._merge(tf.cast(data, tf.int32))
            is_token = ids >= 0
            before = tf.pad(tf.cumsum(tf.cast(is_token, tf.int64)), [[1, 0]])
            splits = tf.gather(before, tf.pad(tf.cumsum(tf.strings.length(words)), [[1, 0]]))
            kept = tf.gather(ids, _places(is_token))
            rows = tf.RaggedTensor.from_row_splits(kept, splits, validate=False)
            rows = tf.gather(rows, which)
            splits = tf.gather(rows.row_splits, pieces.row_splits)
            return tf.RaggedTensor.from_row_splits(rows.values, splits, validate=False)

    def uncut_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Finds spans of all tokens of texts, without the space in a word's first token.

        Every sign of a token is one byte of the text.
        """
        spans = []
        for text, ids in zip(texts, self.tokenize(texts).to_list(), strict=True):
            ends = np.cumsum([0, *(len(self._tokens[i]) for i in ids)]).tolist()
            found = spans_of_bytes(text, ends[:-1], ends[1:])
            spans.append([trimmed(text, span) for span in found])
        return spans

    @tf.autograph.experimental.do_not_convert
    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Turns int32 ids, ragged `(batch, None)`, into strings `(batch,)`, without special tokens.

        A text cut within a character ends in bytes that are not UTF-8.
        """
        with tf.device("CPU:0"):
            # A table of strings can be gathered only on the CPU.
            return tf.strings.reduce_join(tf.gather(self._spelt, tokens), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments except vocabulary and merges, which are assets."""
        names = ("start_token", "end_token", "pad_token")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def fingerprint(self) -> str:
        """Returns a digest of everything that affects the ids: equal digests mean equal ids."""
        content = json.dumps([super().fingerprint(), self._merges])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def save_assets(self, dir_path: str) -> None:
        """Writes `vocab.json` and `merges.txt` (Keras calls this in `model.save`)."""
        ids = json.dumps({token: i for i, token in enumerate(self._tokens)}, ensure_ascii=False)
        (Path(dir_path) / "vocab.json").write_text(ids, encoding="utf-8", newline="")
        lines = "".join(f"{merge}\n" for merge in ("#version: 0.2", *self._merges))
        (Path(dir_path) / "merges.txt").write_text(lines, encoding="utf-8", newline="")

    def load_assets(self, dir_path: str) -> None:
        """Reads what `save_assets` wrote (Keras calls this in `load_model`)."""
        self._set_vocabulary(
            *read_byte_pairs(Path(dir_path) / "vocab.json", Path(dir_path) / "merges.txt")
        )

    def _set_vocabulary(self, ids: Mapping[str, int], merges: Sequence[str]) -> None:
        if not isinstance(ids, Mapping) or isinstance(merges, (str, os.PathLike)):
            raise TypeError(
                "The vocabulary is a dict of ids and the merges a list. Read files with "
                f"read_byte_pairs(vocab, merges). Received: {ids!r:.60}, {merges!r:.60}"
            )
        tokens = tuple(sorted(ids, key=ids.__getitem__))
        if [ids[token] for token in tokens] != list(range(len(tokens))):
            raise ValueError(
                "The ids of a vocabulary are 0, 1, 2, … without gaps. Number the tokens again. "
                f"Received: {len(tokens)} tokens, ids {sorted(ids.values())[:5]} first"
            )
        signs = byte_signs()
        if missing := [sign for sign in signs if sign not in ids]:
            raise ValueError(
                "A byte-level vocabulary has a token for each of the 256 bytes. Add "
                f"{missing[:5]}. Received: {len(tokens)} tokens"
            )
        pairs = [tuple(merge.split(" ")) for merge in merges]
        parts = [(*pair, "".join(pair)) for pair in pairs]
        wrong = [part for part in parts if len(part) != 3 or not ids.keys() >= {*part}]
        wrong += [(*pair, "") for pair, n in Counter(pairs).items() if n > 1]
        if wrong:
            raise ValueError(
                "A merge is listed once and joins two tokens into a third, all in the vocabulary. "
                f"Take both from one model. Received: merge {' '.join(wrong[0][:-1])!r}, "
                f"{len(tokens)} tokens"
            )
        object.__setattr__(self, "_tokens", tokens)
        object.__setattr__(self, "_merges", tuple(merges))
        special = (self.start_token, self.end_token, self.pad_token)
        if unknown := [token for token in special if token is not None and token not in ids]:
            raise ValueError(
                "A special token must be in the vocabulary. Add it, or take both from one model. "
                f"Received: {unknown}, {len(tokens)} tokens"
            )
        self.pad_id = self.unknown_id = ids.get(self.pad_token or END, 0)
        self.start_id, self.end_id = (
            None if token is None else ids[token] for token in (self.start_token, self.end_token)
        )
        # RoBERTa, whose texts have a first and a last token, has two between the texts of a pair.
        self.separators = 1 if None in (self.start_id, self.end_id) else 2

        never, mark = len(pairs), len(tokens)
        flat = (ids[token] for part in parts for token in part)
        left, right, merged = np.fromiter(flat, np.int64).reshape(-1, 3).T
        ranks = np.arange(never + 1, dtype=np.int32)
        # A table cannot be empty: it has one key, -1, that is never looked up.
        keys = np.append(left * (mark + 1) + right, -1)
        used = np.full(mark, never, np.int32)  # the lowest rank of a merge that uses the token
        np.minimum.at(used, left, ranks[:-1])
        np.minimum.at(used, right, ranks[:-1])
        # By rank: the lowest rank among the merges that use the token that this merge makes.
        follow = np.append(used[merged], never + 1)
        byte_ids = np.array([ids[sign] for sign in signs])
        byte_ids[0xFF] = mark
        byte_of = {sign: byte for byte, sign in enumerate(signs)}
        silent = {END, *special}
        spelt = [
            b"" if token in silent else bytes(byte_of.get(sign, 0x3F) for sign in token)
            for token in tokens
        ]
        self._is_ordered = bool((follow > ranks).all())
        with tf.init_scope(), tf.device("CPU:0"):
            self._byte_ids = tf.constant(byte_ids, tf.int32)
            self._merged = tf.constant(merged, tf.int32)
            self._spelt = tf.constant(spelt)
            self._next = tf.constant(follow, tf.int32)
            self._ranks = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(keys, ranks), default_value=never
            )

    def _merge(self, data: tf.Tensor) -> tf.Tensor:
        """Merges the bytes of words, each closed by a mark.

        The reference merges the pair of lowest rank in a word, the leftmost if there are several,
        and repeats. Here a round merges many pairs at once, those that no other merge can reach:
        a pair whose neighbours rank higher, and whose own rank lies below `bound`, the lowest
        rank of a pair that the merges of its word can newly form. A learnt list names a token's
        parts before the token, so the lowest pair of a word lies below its bound. In a list with
        another order it may not, and then only this pair is merged.

        Args:
            data: int32 bytes `(n,)`.

        Returns:
            int32 `(n,)`: the id of a token at its first byte, -1 elsewhere.
        """
        never, mark = len(self._merges), len(self._tokens)

        def merge(ids, rank, place, done_ids, done_places):  # type: ignore[no-untyped-def]
            word = tf.cumsum(tf.cast(ids == mark, tf.int32), exclusive=True)
            bound = tf.gather(tf.math.segment_min(tf.gather(self._next, rank), word), word)
            is_active = bound <= never
            done = _places(~is_active & (ids != mark))
            done_ids = tf.concat([done_ids, tf.gather(ids, done)], axis=0)
            done_places = tf.concat([done_places, tf.gather(place, done)], axis=0)
            active = _places(is_active)
            ids, rank, place, bound = (tf.gather(x, active) for x in (ids, rank, place, bound))

            before = tf.concat([[never], rank[:-1]], axis=0)
            after = tf.concat([rank[1:], [never]], axis=0)
            is_safe = rank < bound
            if not self._is_ordered:
                size = tf.size(rank, tf.int64)
                order = tf.cast(rank, tf.int64) * size + tf.range(size)
                word = tf.gather(word, active)
                is_safe |= order == tf.gather(tf.math.segment_min(order, word), word)
            best = _places((rank <= before) & (rank <= after) & is_safe)
            # In a run of one sign ("aaaa"), every second pair is merged, from the left.
            is_first = tf.concat([best[:1] >= 0, best[1:] != best[:-1] + 1], axis=0)
            first = tf.gather(best, _places(is_first))
            first = tf.gather(first, tf.cumsum(tf.cast(is_first, tf.int32)) - 1)
            is_free = tf.gather(before, first) > tf.gather(rank, first)
            best = tf.gather(best, _places(is_free & ((best - first) % 2 == 0)))

            merged = tf.gather(self._merged, tf.gather(rank, best))
            ids = tf.tensor_scatter_nd_update(ids, best[:, None], merged)
            is_gone = tf.scatter_nd(best[:, None] + 1, best >= 0, tf.shape(ids, tf.int64))
            kept = _places(~is_gone)
            ids, rank, place = (tf.gather(x, kept) for x in (ids, rank, place))
            # Each merge moved what follows by one; the pairs on both sides of it are new.
            best -= tf.range(tf.size(best, tf.int64))
            new = tf.concat([best, tf.maximum(best - 1, 0)], axis=0)
            rank = tf.tensor_scatter_nd_update(rank, new[:, None], look_up(ids, new))
            return ids, rank, place, done_ids, done_places

        def look_up(ids: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
            pair = tf.cast(tf.gather(ids, left), tf.int64) * (mark + 1)
            return self._ranks.lookup(pair + tf.cast(tf.gather(ids, left + 1), tf.int64))

        ids = tf.gather(self._byte_ids, data)
        rank = tf.concat([look_up(ids, tf.range(tf.size(ids))[:-1]), [never]], axis=0)
        state = (ids, rank, tf.range(tf.size(data)), data[:0], data[:0])
        shapes = (tf.TensorShape([None]),) * len(state)
        *_, ids, places = tf.while_loop(lambda ids, *_: tf.size(ids) > 0, merge, state, shapes)
        return tf.tensor_scatter_nd_update(tf.fill(tf.shape(data), -1), places[:, None], ids)


def _places(chosen: tf.Tensor) -> tf.Tensor:
    """Returns int64 places of true values `(n,)`; a mask as index makes twenty operations."""
    return tf.squeeze(tf.where(chosen), axis=1)


def byte_signs() -> list[str]:
    """Returns GPT-2's signs for the 256 bytes: printable ones as they are, others shifted."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    shifted = iter(range(0x100, 0x200))
    return [chr(byte) if byte in plain else chr(next(shifted)) for byte in range(256)]


def read_byte_pairs(vocabulary: Any, merges: Any) -> tuple[Mapping[str, int], Sequence[str]]:
    """Reads a `vocab.json` and a `merges.txt`; returns values that are not paths unchanged.

    Raises:
        FileNotFoundError: no such file.
    """
    for path, kind in ((vocabulary, "vocab.json"), (merges, "merges.txt")):
        if isinstance(path, (str, os.PathLike)) and not Path(path).is_file():
            raise FileNotFoundError(
                f"There is no such file. Check the path of the {kind}. Received: {path}"
            )
    if isinstance(vocabulary, (str, os.PathLike)):
        vocabulary = json.loads(Path(vocabulary).read_text(encoding="utf-8"))
    if isinstance(merges, (str, os.PathLike)):
        merges = read_merges(Path(merges))
    return vocabulary, merges


def read_merges(path: Path) -> list[str]:
    """Reads a `merges.txt`: one merge on each line, in the order learnt."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [line for line in lines if line and not line.startswith("#version")]


def learn_byte_pairs(
    chunks: Iterable[Sequence[str]],
    vocabulary_size: int,
    min_count: int = 2,
    special_tokens: Sequence[str] = (END,),
) -> tuple[dict[str, int], list[str]]:
    """Learns a byte-level vocabulary with the trainer of Hugging Face's `tokenizers`.

    Args:
        chunks: the training texts, some thousands at a time.
        vocabulary_size: most tokens, including the 256 bytes and the special ones.
        min_count: pairs seen less often are not merged.
        special_tokens: the first tokens of the vocabulary.

    Returns:
        The ids of the tokens, and the merges in the order learnt: the constructor's arguments.
    """
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer(add_prefix_space=False)
    trained.train_from_iterator(
        # A lone surrogate (half of a broken emoji) is a legal Python string without UTF-8 form.
        (text.encode("utf-8", "replace").decode() for texts in chunks for text in texts),
        vocab_size=vocabulary_size,
        min_frequency=min_count,
        special_tokens=list(special_tokens),
        show_progress=False,
    )
    model = json.loads(trained.to_str())["model"]
    return model["vocab"], [" ".join(pair) for pair in model["merges"]]
