"""Makes this package's preprocessor with the right ids from a KerasHub tokenizer."""

from __future__ import annotations

from typing import Any

from keras_seqzoo.preprocessing.base import Preprocessor
from keras_seqzoo.preprocessing.bytepair import BytePairPreprocessor
from keras_seqzoo.preprocessing.sentencepiece import SentencePiecePreprocessor
from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor

# Tokenizers that use GPT-2's expression. Others (Llama 3, Qwen, BLOOM, …) have their own.
_LIKE_GPT2 = ("GPT2Tokenizer", "RobertaTokenizer", "OPTTokenizer", "GPTNeoXTokenizer")


def preprocessor_of_tokenizer(tokenizer: Any, length: int, causal: bool) -> Preprocessor:
    """Makes the preprocessor from a KerasHub tokenizer's vocabulary.

    KerasHub's own tokenizers are not used: called on strings, its byte pairs split by Llama 3's
    expression, and its WordPiece loses accented words.

    Args:
        tokenizer: a `keras_hub.tokenizers.Tokenizer`.
        length: most tokens that the encoder reads.
        causal: whether the encoder is a causal language model: these read no end token.

    Raises:
        ValueError: a tokenizer of another kind.
    """
    import keras_hub

    kind = type(tokenizer).__name__
    if isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer) and kind != "ESMTokenizer":
        pieces = list(tokenizer.get_vocabulary())
        return WordPiecePreprocessor(length, pieces, bool(tokenizer.lowercase))
    start = getattr(tokenizer, "start_token", None)
    end = None if causal else getattr(tokenizer, "end_token", None)
    pad = getattr(tokenizer, "pad_token", None)
    if kind in _LIKE_GPT2:
        # GPT-2 and GPT-NeoX were trained on texts without a start token.
        start = None if causal and kind != "OPTTokenizer" else start
        # The tokenizer keeps the head line of a `merges.txt`.
        merges = [m for m in tokenizer.merges if m and not m.startswith("#version")]
        return BytePairPreprocessor(length, dict(tokenizer.vocabulary), merges, start, end, pad)
    if isinstance(tokenizer, keras_hub.tokenizers.SentencePieceTokenizer):
        shifted = kind == "XLMRobertaTokenizer"
        return SentencePiecePreprocessor(
            length,
            tokenizer.proto,
            start_id=getattr(tokenizer, "start_token_id", None),
            end_id=None if end is None else tokenizer.end_token_id,
            pad_id=getattr(tokenizer, "pad_token_id", None) or 0,
            offset=int(shifted),
            unknown_id=tokenizer.unk_token_id if shifted else None,
            mask_id=getattr(tokenizer, "mask_token_id", None),
        )
    raise ValueError(
        "The supported tokenizers of KerasHub are WordPiece, SentencePiece, and byte pairs that "
        "split like GPT-2. Take another family, or pass its ids yourself. "
        f"Received: a {kind}, of which no graph with the right ids is known"
    )
