"""GPT-2, DistilBERT, RoBERTa and DeBERTa-v3: KerasHub's backbones, pretrained or from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seqzoo.checks import check_dtype, check_rate, check_whole
from keras_seqzoo.encoders.parts import (
    NO_TEXTS,
    EncoderParts,
    existing,
    given_for_scratch,
    learn_pairs,
    learn_pieces,
    text_chunks,
    transformer_sizes,
)
from keras_seqzoo.encoders.sources import build_from_source, transformer_parts
from keras_seqzoo.zoo import ModelCard, register

if TYPE_CHECKING:
    from keras_seqzoo.preprocessing.base import Preprocessor

_TITLES = {"gpt2": "GPT-2", "distilbert": "DistilBERT", "roberta": "RoBERTa", "deberta": "DeBERTa"}
_PAPERS = {
    "gpt2": "Radford et al. (2019), Language Models are Unsupervised Multitask Learners",
    "distilbert": "Sanh et al. (2019), DistilBERT, a distilled version of BERT",
    "roberta": "Liu et al. (2019), RoBERTa: A Robustly Optimized BERT Pretraining Approach",
    "deberta": "He et al. (2023), DeBERTaV3: Improving DeBERTa using ELECTRA-Style Pre-Training",
}
_POSITIONS = {"gpt2": 1024}
_BUCKETS = 256  # of DeBERTa-v3's relative positions
_ROBERTA_SPECIAL = {"start_token": "<s>", "pad_token": "<pad>", "end_token": "</s>"}
_ROBERTA_FURTHER = ("<unk>", "<mask>")


def encoder_parameters(architecture: str, size: Mapping[str, int], positions: int) -> int:
    """Number of weights of an encoder; a test holds it to what KerasHub builds."""
    hidden, inner = size["hidden_dim"], size["intermediate_dim"]
    norm = 2 * hidden
    layer = 4 * (hidden + 1) * hidden + 2 * norm + (2 * hidden + 1) * inner + hidden
    total = size["vocabulary_size"] * hidden + size["num_layers"] * layer + norm
    if architecture == "deberta":
        return total + 2 * _BUCKETS * hidden + norm
    return total + positions * hidden


def _card(
    name: str,
    architecture: str,
    preset: str,
    layers: int,
    hidden: int,
    vocabulary_size: int,
    licence: str,
    note: str = "",
) -> ModelCard:
    size = {
        "num_layers": layers,
        "num_heads": hidden // 64,
        "hidden_dim": hidden,
        "intermediate_dim": 4 * hidden,
        "vocabulary_size": vocabulary_size,
    }
    positions = _POSITIONS.get(architecture, 512)
    tiny = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
    return ModelCard(
        name=name,
        family=_TITLES[architecture],
        description=f"{_TITLES[architecture]} {layers} x {hidden}{note}",
        parameters=encoder_parameters(architecture, size, positions) + 2 * (hidden + 1),
        size=size,
        source=f"KerasHub: {preset}",
        paper=_PAPERS[architecture],
        licence=licence,
        fixed={"architecture": architecture, "preset": preset, "size": size},
        tiny={**tiny, "dropout": 0.0},
    )


@register(
    _card("gpt2", "gpt2", "gpt2_base_en", 12, 768, 50_257, "MIT"),
    _card("gpt2_medium", "gpt2", "gpt2_medium_en", 24, 1024, 50_257, "MIT"),
    _card("gpt2_large", "gpt2", "gpt2_large_en", 36, 1280, 50_257, "MIT"),
    _card("gpt2_xl", "gpt2", "gpt2_extra_large_en", 48, 1600, 50_257, "MIT"),
    _card(
        "distilbert",
        "distilbert",
        "distil_bert_base_en_uncased",
        6,
        768,
        30_522,
        "Apache-2.0",
        ", uncased",
    ),
    _card(
        "distilbert_cased",
        "distilbert",
        "distil_bert_base_en",
        6,
        768,
        28_996,
        "Apache-2.0",
        ", cased",
    ),
    _card("roberta_base", "roberta", "roberta_base_en", 12, 768, 50_265, "MIT"),
    _card("roberta_large", "roberta", "roberta_large_en", 24, 1024, 50_265, "MIT"),
    _card("deberta_v3_xsmall", "deberta", "deberta_v3_extra_small_en", 12, 384, 128_100, "MIT"),
    _card("deberta_v3_small", "deberta", "deberta_v3_small_en", 6, 768, 128_100, "MIT"),
    _card("deberta_v3_base", "deberta", "deberta_v3_base_en", 12, 768, 128_100, "MIT"),
    _card("deberta_v3_large", "deberta", "deberta_v3_large_en", 24, 1024, 128_100, "MIT"),
)
def nlp(
    data: Any,
    *,
    architecture: str,
    preset: str,
    size: Mapping[str, int],
    sequence_length: int | None = None,
    weights: str | None = "pretrained",
    trainable: bool | str = True,
    lora_rank: int | None = None,
    preprocessor: Any = None,
    num_layers: int | None = None,
    num_heads: int | None = None,
    hidden_dim: int | None = None,
    intermediate_dim: int | None = None,
    dropout: float = 0.1,
    vocabulary_size: int | None = None,
    vocabulary: Any = None,
    merges: Sequence[str] | str | Path | None = None,
    lowercase: bool | None = None,
    dtype: Any = None,
) -> EncoderParts:
    """Builds GPT-2, DistilBERT, RoBERTa or DeBERTa-v3.

    Args:
        data: training texts, from which a model from scratch learns its vocabulary; else unused.
        architecture: `"gpt2"`, `"distilbert"`, `"roberta"` or `"deberta"`.
        preset: KerasHub's name of the pretrained weights.
        size: the sizes of the card.
        sequence_length: most tokens read of a text, special ones included; by default as many as
            there are positions, 1,024 for GPT-2 and 512 for the others.
        weights: `"pretrained"`, None (from scratch), or what `build_from_source` takes.
        trainable: True, False, or `"last:N"` for the last N layers.
        lora_rank: trains low-rank matrices of this rank (8 is usual) instead of the weights.
        preprocessor: one of this package's, in place of the one that belongs to the weights.
        num_layers: transformer layers. This and what follows is for `weights=None`.
        num_heads: attention heads.
        hidden_dim: width of a token's vector.
        intermediate_dim: width of the feed-forward layers.
        dropout: rate inside the encoder and before the head.
        vocabulary_size: most entries of a learnt vocabulary, special ones included.
        vocabulary: the tokens, where they are not to be learnt: for GPT-2 and RoBERTa a dict of
            ids or a `vocab.json`; for DistilBERT the word pieces in order or a `vocab.txt`; for
            DeBERTa-v3 a SentencePiece model, as bytes or a file.
        merges: of byte pairs, in order, or a `merges.txt`; it comes with `vocabulary`.
        lowercase: whether DistilBERT folds case and strips accents; as the card's name says by
            default.
        dtype: Keras dtype policy; the global one by default.

    Raises:
        ConnectionError: the weights can not be downloaded.
        FileNotFoundError: no such folder or vocabulary file.
        ValueError: a value out of its range, or one for `weights=None` with pretrained weights.
    """
    given = given_for_scratch(
        weights,
        preprocessor,
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=intermediate_dim,
        vocabulary_size=vocabulary_size,
        vocabulary=vocabulary,
        merges=merges,
        lowercase=lowercase,
    )
    check_rate(dropout=dropout)
    if weights is not None:
        return build_from_source(
            data,
            source=preset if weights == "pretrained" else str(weights),
            sequence_length=sequence_length,
            trainable=trainable,
            preprocessor=preprocessor,
            dropout=dropout,
            lora_rank=lora_rank,
            dtype=dtype,
        )
    length = sequence_length or _POSITIONS.get(architecture, 512)
    uncased = not preset.endswith("_en") if lowercase is None else lowercase
    tokens = _preprocessor(
        architecture,
        data,
        length,
        vocabulary,
        merges,
        vocabulary_size or size["vocabulary_size"],
        uncased,
    )
    # Positions are there for the texts, not for all that a pretrained model would have.
    layer = _from_scratch(
        architecture, {**size, **given}, tokens, length, trainable, lora_rank, dropout, dtype
    )
    return transformer_parts(layer, tokens, 5e-4, dropout)


def _from_scratch(
    architecture: str,
    sizes: Mapping[str, Any],
    preprocessor: Preprocessor,
    length: int,
    trainable: bool | str,
    lora_rank: int | None,
    dropout: float,
    dtype: Any,
) -> Any:
    import keras_hub

    from keras_seqzoo.hub.backbone import BackboneEncoder

    arguments = transformer_sizes(sizes)
    if architecture == "deberta":
        arguments["bucket_size"] = _BUCKETS
    backbone = {
        "gpt2": keras_hub.models.GPT2Backbone,
        "distilbert": keras_hub.models.DistilBertBackbone,
        "roberta": keras_hub.models.RobertaBackbone,
        "deberta": keras_hub.models.DebertaV3Backbone,
    }[architecture]
    policy = check_dtype(dtype)
    built = backbone(
        vocabulary_size=len(preprocessor.vocabulary),
        dropout=dropout,
        max_sequence_length=length,
        dtype=policy,
        **arguments,
    )
    causal = architecture == "gpt2"
    return BackboneEncoder(built, trainable, causal, lora_rank, dtype=policy, name="backbone")


def _preprocessor(
    architecture: str,
    data: Any,
    length: int,
    vocabulary: Any,
    merges: Any,
    vocabulary_size: int,
    uncased: bool,
) -> Preprocessor:
    check_whole(vocabulary_size=vocabulary_size)
    if merges is not None and architecture not in ("gpt2", "roberta"):
        raise ValueError(
            f"Only byte pairs have merges; {_TITLES[architecture]} has none. Leave `merges` out. "
            f"Received: merges={merges!r:.60}"
        )
    if vocabulary is None and data is None:
        raise ValueError(NO_TEXTS)
    if architecture == "distilbert":
        return learn_pieces(data, length, vocabulary, vocabulary_size, uncased)
    if architecture == "deberta":
        from keras_seqzoo.preprocessing import sentencepiece

        if isinstance(vocabulary, (str, Path)):
            vocabulary = existing(vocabulary).read_bytes()
        if vocabulary is None:
            vocabulary = sentencepiece.learn_sentence_pieces(text_chunks(data), vocabulary_size)
        return sentencepiece.SentencePiecePreprocessor(length, vocabulary, start_id=1, end_id=2)

    special = _ROBERTA_SPECIAL if architecture == "roberta" else {}
    further = _ROBERTA_FURTHER if architecture == "roberta" else ()
    return learn_pairs(data, length, vocabulary, merges, vocabulary_size, special, further)
