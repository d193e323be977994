"""BERT and ELECTRA: pretrained from TF Hub, KerasHub or a folder, or from scratch.

Pretrained, they are TF Hub's own graph (`HubEncoder`) or KerasHub's (`BackboneEncoder`); from
scratch, KerasHub's with a WordPiece vocabulary learnt from the user's texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from keras_seqzoo.checks import check_dtype, check_rate, check_whole
from keras_seqzoo.encoders.parts import (
    EncoderParts,
    given_for_scratch,
    learn_pieces,
    transformer_sizes,
)
from keras_seqzoo.encoders.sources import build_from_source, transformer_parts
from keras_seqzoo.hub.resolve import POSITIONS
from keras_seqzoo.zoo import ModelCard, register

if TYPE_CHECKING:
    from keras_seqzoo.preprocessing.wordpiece import ClsSepPreprocessor

_BERT = "Devlin et al. (2019), BERT: Pre-training of Deep Bidirectional Transformers"
_SMALL = "Turc et al. (2019), Well-Read Students Learn Better"
_ELECTRA = "Clark et al. (2020), ELECTRA: Pre-training Text Encoders as Discriminators"
_HUB = "https://tfhub.dev/tensorflow"
_UNCASED, _CASED = 30_522, 28_996
_KINDS = {
    "en_uncased": "uncased",
    "en_cased": "cased",
    "multi_cased": "104 languages",
    "zh": "Chinese",
}


def _parameters(size: Mapping[str, int]) -> int:
    """Weights of an encoder, its pooler and a head for two classes; a test counts them."""
    hidden, inner = size["hidden_dim"], size["intermediate_dim"]
    width = size.get("embedding_dim", hidden)
    embeddings = (size["vocabulary_size"] + POSITIONS + 2 + 2) * width
    if width != hidden:
        embeddings += (width + 1) * hidden
    layer = 4 * (hidden + 1) * hidden + 4 * hidden + (2 * hidden + 1) * inner + hidden
    return embeddings + size["num_layers"] * layer + (hidden + 1) * (hidden + 2)


def _card(
    name: str,
    handle: str,
    layers: int,
    hidden: int,
    *,
    architecture: str = "bert",
    paper: str = _BERT,
    kind: str = "en_uncased",
    vocabulary_size: int = _UNCASED,
    heads: int | None = None,
    embedding_dim: int | None = None,
) -> ModelCard:
    size = {
        "num_layers": layers,
        "num_heads": heads or hidden // 64,
        "hidden_dim": hidden,
        "intermediate_dim": 4 * hidden,
        "vocabulary_size": vocabulary_size,
    }
    tiny = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
    if embedding_dim:
        size["embedding_dim"] = embedding_dim
        tiny["embedding_dim"] = 8
    title = {"bert": "BERT", "electra": "ELECTRA"}[architecture]
    return ModelCard(
        name=name,
        family=title,
        description=f"{title} {layers} x {hidden}, {_KINDS[kind]}",
        parameters=_parameters(size),
        size=size,
        source=handle,
        paper=paper,
        licence="Apache-2.0",
        preprocessor=f"{_HUB}/bert_{kind}_preprocess/3",
        fixed={
            "architecture": architecture,
            "handle": handle,
            "hub_preprocessor": f"{_HUB}/bert_{kind}_preprocess/3",
            "size": size,
        },
        tiny={**tiny, "dropout": 0.0},
    )


def _small_berts() -> list[ModelCard]:
    return [
        _card(
            f"small_bert_l{layers}_h{hidden}",
            f"{_HUB}/small_bert/bert_en_uncased_L-{layers}_H-{hidden}_A-{hidden // 64}/2",
            layers,
            hidden,
            paper=_SMALL,
        )
        for layers in (2, 4, 6, 8, 10, 12)
        for hidden in (128, 256, 512, 768)
    ]


_google = "https://tfhub.dev/google"
_electra = partial(_card, architecture="electra", paper=_ELECTRA)


@register(
    _electra("electra_small", f"{_google}/electra_small/2", 12, 256, heads=4, embedding_dim=128),
    _electra("electra_base", f"{_google}/electra_base/2", 12, 768, embedding_dim=768),
    _electra("electra_large", f"{_google}/electra_large/2", 24, 1024, embedding_dim=1024),
    _card("bert_base", f"{_HUB}/bert_en_uncased_L-12_H-768_A-12/4", 12, 768),
    _card("bert_large", f"{_HUB}/bert_en_uncased_L-24_H-1024_A-16/4", 24, 1024),
    _card(
        "bert_base_cased",
        f"{_HUB}/bert_en_cased_L-12_H-768_A-12/4",
        12,
        768,
        kind="en_cased",
        vocabulary_size=_CASED,
    ),
    _card(
        "bert_large_cased",
        f"{_HUB}/bert_en_cased_L-24_H-1024_A-16/4",
        24,
        1024,
        kind="en_cased",
        vocabulary_size=_CASED,
    ),
    _card(
        "bert_base_multilingual",
        f"{_HUB}/bert_multi_cased_L-12_H-768_A-12/4",
        12,
        768,
        kind="multi_cased",
        vocabulary_size=119_547,
    ),
    _card(
        "bert_base_chinese",
        f"{_HUB}/bert_zh_L-12_H-768_A-12/4",
        12,
        768,
        kind="zh",
        vocabulary_size=21_128,
    ),
    _card("bert_expert_wiki_books", f"{_google}/experts/bert/wiki_books/2", 12, 768),
    _card("bert_expert_pubmed", f"{_google}/experts/bert/pubmed/2", 12, 768),
    *_small_berts(),
)
def bert(
    data: Any,
    *,
    architecture: str,
    handle: str,
    hub_preprocessor: str,
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
    embedding_dim: int | None = None,
    dropout: float = 0.1,
    vocabulary_size: int | None = None,
    vocabulary: Any = None,
    lowercase: bool | None = None,
    dtype: Any = None,
) -> EncoderParts:
    """Builds BERT or ELECTRA.

    Args:
        data: training texts, from which a model from scratch learns its vocabulary; else unused.
        architecture: `"bert"` or `"electra"`.
        handle: where the pretrained weights are.
        hub_preprocessor: handle of the preprocessor that belongs to them.
        size: the sizes of the card.
        sequence_length: most tokens read of a text, the two special ones included; 512 by default.
        weights: `"pretrained"`, None (from scratch), or what `build_from_source` takes.
        trainable: True, False, or `"last:N"` for the last N layers and the pooler.
        lora_rank: trains low-rank matrices of this rank (8 is usual) inside a KerasHub backbone
            instead of its weights; a TF Hub graph takes none.
        preprocessor: a TF Hub preprocessor's handle or folder, or one of this package's, in place
            of the one that belongs to the weights.
        num_layers: transformer layers. This and what follows is for `weights=None`.
        num_heads: attention heads.
        hidden_dim: width of a token's vector.
        intermediate_dim: width of the feed-forward layers.
        embedding_dim: width of ELECTRA's token embedding.
        dropout: rate inside the encoder and before the head. A TF Hub graph keeps its own
            inside, or has none at 0.
        vocabulary_size: most entries of a learnt vocabulary, the five special ones included.
        vocabulary: the word pieces, or a text file of one a line, where they are not to be learnt.
        lowercase: whether case is folded and accents are stripped; as the card's name says by
            default.
        dtype: Keras dtype policy; the global one by default. A TF Hub graph computes in float32
            whatever it is.

    Raises:
        ConnectionError: the weights can not be downloaded.
        FileNotFoundError: no such folder.
        ValueError: a value out of its range, or one for `weights=None` with pretrained weights.
    """
    given = given_for_scratch(
        weights,
        preprocessor,
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=intermediate_dim,
        embedding_dim=embedding_dim,
        vocabulary_size=vocabulary_size,
        vocabulary=vocabulary,
        lowercase=lowercase,
    )
    check_rate(dropout=dropout)
    if weights is not None:
        source = handle if weights == "pretrained" else str(weights)
        return build_from_source(
            data,
            source=source,
            sequence_length=sequence_length,
            trainable=trainable,
            preprocessor=preprocessor,
            dropout=dropout,
            lora_rank=lora_rank,
            dtype=dtype,
        )
    if architecture == "bert" and embedding_dim is not None:
        raise ValueError(
            "BERT's token embedding is as wide as its layers: set `hidden_dim`. Only ELECTRA has "
            f"`embedding_dim`. Received: embedding_dim={embedding_dim!r}"
        )
    uncased = "_cased" not in hub_preprocessor if lowercase is None else lowercase
    length = sequence_length or POSITIONS
    pieces = learn_pieces(
        data, length, vocabulary, vocabulary_size or size["vocabulary_size"], uncased
    )
    layer = _from_scratch(
        architecture, {**size, **given}, pieces, length, trainable, lora_rank, dropout, dtype
    )
    # Nothing is learnt yet that small steps would keep, and a pooler is one more layer to learn.
    return transformer_parts(layer, pieces, 5e-4, dropout)


def _from_scratch(
    architecture: str,
    sizes: Mapping[str, Any],
    preprocessor: ClsSepPreprocessor,
    length: int,
    trainable: bool | str,
    lora_rank: int | None,
    dropout: float,
    dtype: Any,
) -> Any:
    import keras_hub

    from keras_seqzoo.hub.backbone import BackboneEncoder

    arguments = transformer_sizes(sizes)
    backbone = keras_hub.models.BertBackbone
    vocabulary = "vocabulary_size"
    if architecture == "electra":
        backbone = keras_hub.models.ElectraBackbone
        arguments["embedding_dim"] = sizes["embedding_dim"]
        check_whole(embedding_dim=sizes["embedding_dim"])
        vocabulary = "vocab_size"
    arguments[vocabulary] = len(preprocessor.vocabulary)
    policy = check_dtype(dtype)
    built = backbone(**arguments, dropout=dropout, max_sequence_length=length, dtype=policy)
    return BackboneEncoder(built, trainable, lora_rank=lora_rank, dtype=policy, name="backbone")
