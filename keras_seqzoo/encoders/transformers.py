"""BERT, ELECTRA, GPT-2, DistilBERT, RoBERTa and DeBERTa-v3: one encoder and a table of them.

BERT, ELECTRA, DistilBERT and RoBERTa run on a graph of this package (`TransformerEncoder`). GPT-2,
DeBERTa-v3 and models that this graph cannot rebuild run on KerasHub's (`BackboneEncoder`) or TF
Hub's own (`HubEncoder`). A model from scratch learns its vocabulary from the user's texts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seqzoo.checks import check_dtype, check_rate, check_whole
from keras_seqzoo.encoders.parts import (
    NO_TEXTS,
    EncoderParts,
    existing,
    learn_pairs,
    learn_pieces,
    text_chunks,
)
from keras_seqzoo.encoders.registry import ModelCard, register
from keras_seqzoo.encoders.sources import Pretrained, transformer_parts
from keras_seqzoo.hub.resolve import POSITIONS
from keras_seqzoo.options import option

if TYPE_CHECKING:
    from keras_seqzoo.preprocessing.base import Preprocessor


@dataclass(frozen=True)
class Architecture:
    """What distinguishes one kind of transformer from the others.

    Attributes:
        title: its name.
        paper: the paper that introduced it.
        backbone: the class of `keras_hub.models`.
        licence: licence of the pretrained weights.
        tokens: the entries of its vocabulary: word pieces, byte pairs or sentence pieces.
        vocabulary_size: entries of the pretrained vocabulary, if all its models have the same.
        positions: most tokens of a text.
        segments: entries of its segment embedding.
        buckets: buckets of relative positions, if it has those instead of positions.
        pooler: whether it has a layer over the first token.
        causal: whether a token sees only the tokens before it.
        factorised: whether the token embedding has a width of its own.
        vocabulary_argument: the backbone's argument for the size of the vocabulary.
        special: special tokens of its byte pairs, by argument of their preprocessor.
        further: more special tokens of its vocabulary.
        activation: activation of its feed-forward layers, if our own graph can compute it.
        epsilon: epsilon of its layer norms there.
    """

    title: str
    paper: str
    backbone: str
    licence: str = "Apache-2.0"
    tokens: str = "word pieces"
    vocabulary_size: int = 0
    positions: int = POSITIONS
    segments: int = 0
    buckets: int = 0
    pooler: bool = False
    causal: bool = False
    factorised: bool = False
    vocabulary_argument: str = "vocabulary_size"
    special: Mapping[str, str] = field(default_factory=dict)
    further: Sequence[str] = ()
    activation: str = ""
    epsilon: float = 1e-12


ARCHITECTURES = {
    "bert": Architecture(
        "BERT",
        "Devlin et al. (2019), BERT: Pre-training of Deep Bidirectional Transformers",
        "BertBackbone",
        segments=2,
        pooler=True,
        activation="gelu_tanh",
    ),
    "electra": Architecture(
        "ELECTRA",
        "Clark et al. (2020), ELECTRA: Pre-training Text Encoders as Discriminators",
        "ElectraBackbone",
        segments=2,
        pooler=True,
        factorised=True,
        vocabulary_argument="vocab_size",
        activation="gelu_tanh",
    ),
    "distilbert": Architecture(
        "DistilBERT",
        "Sanh et al. (2019), DistilBERT, a distilled version of BERT",
        "DistilBertBackbone",
        activation="gelu",
    ),
    "gpt2": Architecture(
        "GPT-2",
        "Radford et al. (2019), Language Models are Unsupervised Multitask Learners",
        "GPT2Backbone",
        licence="MIT",
        tokens="byte pairs",
        vocabulary_size=50_257,
        positions=1024,
        causal=True,
    ),
    "roberta": Architecture(
        "RoBERTa",
        "Liu et al. (2019), RoBERTa: A Robustly Optimized BERT Pretraining Approach",
        "RobertaBackbone",
        licence="MIT",
        tokens="byte pairs",
        vocabulary_size=50_265,
        special={"start_token": "<s>", "pad_token": "<pad>", "end_token": "</s>"},
        further=("<unk>", "<mask>"),
        activation="gelu",
        epsilon=1e-5,
    ),
    "deberta": Architecture(
        "DeBERTa",
        "He et al. (2023), DeBERTaV3: Improving DeBERTa using ELECTRA-Style Pre-Training",
        "DebertaV3Backbone",
        licence="MIT",
        tokens="sentence pieces",
        vocabulary_size=128_100,
        buckets=256,
    ),
}

_SMALL = "Turc et al. (2019), Well-Read Students Learn Better"
_HUB = "https://tfhub.dev/"
# Vocabularies of word pieces: number of pieces, and the words that describe them.
_PIECES = {
    "en_uncased": (30_522, "uncased"),
    "en_cased": (28_996, "cased"),
    "multi_cased": (119_547, "104 languages"),
    "zh": (21_128, "Chinese"),
}


def encoder_parameters(kind: Architecture, size: Mapping[str, int], positions: int) -> int:
    """Number of weights of an encoder with its pooler; a test compares it with built models."""
    hidden, inner = size["hidden_dim"], size["intermediate_dim"]
    width = size.get("embedding_dim", hidden)
    # The embeddings and the norm over them.
    rows = 2 * kind.buckets + 2 if kind.buckets else positions + kind.segments
    total = (size["vocabulary_size"] + rows + 2) * width
    if width != hidden:
        total += (width + 1) * hidden
    layer = 4 * (hidden + 1) * hidden + 4 * hidden + (2 * hidden + 1) * inner + hidden
    return total + size["num_layers"] * layer + kind.pooler * (hidden + 1) * hidden


def _card(
    name: str,
    architecture: str,
    source: str,
    layers: int,
    hidden: int,
    vocabulary: str = "en_uncased",
    *,
    paper: str = "",
    heads: int | None = None,
    **further: int,
) -> ModelCard:
    kind = ARCHITECTURES[architecture]
    entries, note = kind.vocabulary_size, ""
    if kind.tokens == "word pieces":
        entries, told = _PIECES[vocabulary]
        note = f", {told}"
    size = {
        "num_layers": layers,
        "num_heads": heads or hidden // 64,
        "hidden_dim": hidden,
        "intermediate_dim": 4 * hidden,
        "vocabulary_size": entries,
        **further,
    }
    on_hub = "/" in source
    source = _HUB + source if on_hub else source
    tiny = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
    return ModelCard(
        name=name,
        family=kind.title,
        description=f"{kind.title} {layers} x {hidden}{note}",
        parameters=encoder_parameters(kind, size, kind.positions) + 2 * (hidden + 1),
        size=size,
        source=source if on_hub else f"KerasHub: {source}",
        paper=paper or kind.paper,
        licence=kind.licence,
        preprocessor=f"{_HUB}tensorflow/bert_{vocabulary}_preprocess/3" if on_hub else "",
        fixed={
            "architecture": architecture,
            "source": source,
            "size": size,
            "uncased": "_cased" not in vocabulary,
        },
        tiny={**tiny, **dict.fromkeys(further, 8), "dropout": 0.0},
    )


@register(
    _card("electra_small", "electra", "google/electra_small/2", 12, 256, heads=4,
          embedding_dim=128),
    _card("electra_base", "electra", "google/electra_base/2", 12, 768, embedding_dim=768),
    _card("electra_large", "electra", "google/electra_large/2", 24, 1024, embedding_dim=1024),
    _card("bert_base", "bert", "tensorflow/bert_en_uncased_L-12_H-768_A-12/4", 12, 768),
    _card("bert_large", "bert", "tensorflow/bert_en_uncased_L-24_H-1024_A-16/4", 24, 1024),
    _card("bert_base_cased", "bert", "tensorflow/bert_en_cased_L-12_H-768_A-12/4", 12, 768,
          "en_cased"),
    _card("bert_large_cased", "bert", "tensorflow/bert_en_cased_L-24_H-1024_A-16/4", 24, 1024,
          "en_cased"),
    _card("bert_base_multilingual", "bert", "tensorflow/bert_multi_cased_L-12_H-768_A-12/4", 12,
          768, "multi_cased"),
    _card("bert_base_chinese", "bert", "tensorflow/bert_zh_L-12_H-768_A-12/4", 12, 768, "zh"),
    _card("bert_expert_wiki_books", "bert", "google/experts/bert/wiki_books/2", 12, 768),
    _card("bert_expert_pubmed", "bert", "google/experts/bert/pubmed/2", 12, 768),
    *(
        _card(f"small_bert_l{layers}_h{hidden}", "bert",
              f"tensorflow/small_bert/bert_en_uncased_L-{layers}_H-{hidden}_A-{hidden // 64}/2",
              layers, hidden, paper=_SMALL)
        for layers in (2, 4, 6, 8, 10, 12)
        for hidden in (128, 256, 512, 768)
    ),
    _card("gpt2", "gpt2", "gpt2_base_en", 12, 768),
    _card("gpt2_medium", "gpt2", "gpt2_medium_en", 24, 1024),
    _card("gpt2_large", "gpt2", "gpt2_large_en", 36, 1280),
    _card("gpt2_xl", "gpt2", "gpt2_extra_large_en", 48, 1600),
    _card("distilbert", "distilbert", "distil_bert_base_en_uncased", 6, 768),
    _card("distilbert_cased", "distilbert", "distil_bert_base_en", 6, 768, "en_cased"),
    _card("roberta_base", "roberta", "roberta_base_en", 12, 768),
    _card("roberta_large", "roberta", "roberta_large_en", 24, 1024),
    _card("deberta_v3_xsmall", "deberta", "deberta_v3_extra_small_en", 12, 384),
    _card("deberta_v3_small", "deberta", "deberta_v3_small_en", 6, 768),
    _card("deberta_v3_base", "deberta", "deberta_v3_base_en", 12, 768),
    _card("deberta_v3_large", "deberta", "deberta_v3_large_en", 24, 1024),
)  # fmt: skip
@dataclass(frozen=True, kw_only=True)
class Transformer(Pretrained):
    """A transformer, pretrained or from scratch.

    The options that are None by default are for `weights=None`, except `lora_rank`, `preprocessor`
    and `dtype`.
    """

    weights: str | None = option(
        "pretrained", "a handle, preset or folder in place of the name's own; `None`: from scratch"
    )
    num_layers: int | None = option(
        None, "layers; this option and all below it: only from scratch", "as named"
    )
    num_heads: int | None = option(None, "attention heads", "as named")
    hidden_dim: int | None = option(None, "width of a token's vector", "as named")
    intermediate_dim: int | None = option(None, "width of the feed-forward layers", "as named")
    embedding_dim: int | None = option(None, "width of ELECTRA's token embedding")
    vocabulary_size: int | None = option(
        None, "most entries of a learnt vocabulary, special ones included", "as named"
    )
    vocabulary: Any = option(
        None,
        "the tokens, if they are not learnt: word pieces in order or a `vocab.txt`; ids "
        "of byte pairs or a `vocab.json` (GPT-2, RoBERTa); a SentencePiece model (DeBERTa-v3)",
        "learnt",
    )
    merges: Sequence[str] | str | Path | None = option(
        None, "merges of byte pairs, in order, or a `merges.txt`; with `vocabulary`", "learnt"
    )
    lowercase: bool | None = option(
        None, "whether word pieces fold case and strip accents", "as its vocabulary does"
    )

    def build(
        self, data: Any, *, architecture: str, source: str, size: Mapping[str, int], uncased: bool
    ) -> EncoderParts:
        """Builds the encoder.

        Args:
            data: training texts; a model from scratch learns its vocabulary from them.
            architecture: one of `ARCHITECTURES`.
            source: where the pretrained weights are.
            size: the sizes of the card.
            uncased: whether its word pieces fold case.

        Raises:
            ConnectionError: the weights cannot be downloaded.
            FileNotFoundError: no such folder or vocabulary file.
            ValueError: a value out of its range, or an option of `weights=None` with pretrained
                weights.
        """
        given = self._given_for_scratch()
        check_rate(dropout=self.dropout)
        if self.weights is not None:
            return self.load(source if self.weights == "pretrained" else str(self.weights))
        kind = ARCHITECTURES[architecture]
        if self.embedding_dim is not None and not kind.factorised:
            raise ValueError(
                f"{kind.title}'s token embedding is as wide as its layers: set `hidden_dim`. Only "
                f"ELECTRA has `embedding_dim`. Received: embedding_dim={self.embedding_dim!r}"
            )
        sizes = {**size, **given}
        # A model from scratch needs only the positions that the texts use.
        length = self.sequence_length or kind.positions
        lowercase = uncased if self.lowercase is None else self.lowercase
        tokens = self._preprocessor(kind, data, length, sizes["vocabulary_size"], lowercase)
        layer = self._layer(kind, sizes, tokens, length)
        # Small steps would protect pretrained weights; here there are none.
        return transformer_parts(layer, tokens, 5e-4, self.dropout)

    def _given_for_scratch(self) -> dict[str, Any]:
        names = {f.name for f in fields(self)} - {f.name for f in fields(Pretrained)} - {"weights"}
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.weights is None and self.preprocessor is not None:
            raise ValueError(
                "A model from scratch has a preprocessor of its own. Pass its `vocabulary` "
                f"instead. Received: preprocessor={self.preprocessor!r}"
            )
        if self.weights is not None and given:
            shown = {
                k: v
                if isinstance(v, (int, str, os.PathLike))
                else f"{type(v).__name__} of {len(v)}"
                for k, v in given.items()
            }
            raise ValueError(
                "Pretrained weights have their sizes and their vocabulary. Leave these options "
                f"out, or start from scratch with weights=None. Received: {shown}"
            )
        return given

    def _preprocessor(
        self, kind: Architecture, data: Any, length: int, entries: int, lowercase: bool
    ) -> Preprocessor:
        vocabulary = self.vocabulary
        check_whole(vocabulary_size=entries)
        if kind.tokens == "byte pairs":
            return learn_pairs(
                data, length, vocabulary, self.merges, entries, kind.special, kind.further
            )
        if self.merges is not None:
            raise ValueError(
                f"Only byte pairs have merges; {kind.title} has none. Leave `merges` out. "
                f"Received: merges={self.merges!r:.60}"
            )
        if kind.tokens == "word pieces":
            return learn_pieces(data, length, vocabulary, entries, lowercase)
        from keras_seqzoo.preprocessing import sentencepiece

        if isinstance(vocabulary, (str, Path)):
            vocabulary = existing(vocabulary).read_bytes()
        if vocabulary is None:
            if data is None:
                raise ValueError(NO_TEXTS)
            vocabulary = sentencepiece.learn_sentence_pieces(text_chunks(data), entries)
        return sentencepiece.SentencePiecePreprocessor(length, vocabulary, start_id=1, end_id=2)

    def _layer(
        self, kind: Architecture, sizes: Mapping[str, Any], tokens: Preprocessor, length: int
    ) -> Any:
        names = ("num_layers", "num_heads", "hidden_dim", "intermediate_dim")
        arguments = {n: sizes[n] for n in (*names, *(["embedding_dim"] * kind.factorised))}
        check_whole(**arguments)
        if sizes["hidden_dim"] % sizes["num_heads"]:
            raise ValueError(
                "`hidden_dim` is divided among the heads: make it a multiple of `num_heads`. "
                f"Received: hidden_dim={sizes['hidden_dim']}, num_heads={sizes['num_heads']}"
            )
        policy = check_dtype(self.dtype)
        if kind.activation and self.native:
            from keras_seqzoo.hub.transformer import TransformerEncoder

            return TransformerEncoder(
                len(tokens.vocabulary),
                length,
                kind.segments,
                **arguments,
                activation=kind.activation,
                epsilon=kind.epsilon,
                pooler=kind.pooler,
                dropout=self.dropout,
                tune=self.trainable,
                lora_rank=self.lora_rank,
                dtype=policy,
                name="backbone",
            )
        import keras_hub

        from keras_seqzoo.hub.backbone import BackboneEncoder

        if kind.buckets:
            arguments["bucket_size"] = kind.buckets
        arguments[kind.vocabulary_argument] = len(tokens.vocabulary)
        backbone = getattr(keras_hub.models, kind.backbone)(
            **arguments, dropout=self.dropout, max_sequence_length=length, dtype=policy
        )
        return BackboneEncoder(
            backbone, self.trainable, kind.causal, self.lora_rank, dtype=policy, name="backbone"
        )
