"""Loads encoders from an address or folder: TF Hub modules and KerasHub checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from keras_seqzoo.checks import check_dtype, check_rate
from keras_seqzoo.encoders.parts import EncoderParts
from keras_seqzoo.encoders.registry import MODELS, register_source
from keras_seqzoo.hub.resolve import POSITIONS, is_checkpoint, is_source, module_folder
from keras_seqzoo.options import option

if TYPE_CHECKING:
    import keras

    from keras_seqzoo.preprocessing.base import Preprocessor


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """The options of every transformer, and how to load a pretrained one."""

    sequence_length: int | None = option(
        None, "most tokens to read from each text, special ones included", "all its positions"
    )
    trainable: bool | str = option(
        True, '`False`, or `"last:2"`: the last two layers and the pooler'
    )
    lora_rank: int | None = option(
        None, "trains matrices of this rank (8 is usual) in place of the weights"
    )
    native: bool = option(
        True,
        "whether BERT and similar models run on a faster graph; `False`: TF Hub's or KerasHub's",
    )
    preprocessor: Any = option(
        None,
        "a TF Hub preprocessor's handle or folder, or one of this package's",
        "the encoder's own",
    )
    dropout: float = option(0.1, "dropout before the head; from scratch, inside too")
    dtype: Any = option(None, 'Keras dtype policy, such as `"mixed_bfloat16"`', "Keras's")

    def load(self, source: str) -> EncoderParts:
        """Loads an encoder from a TF Hub module or a KerasHub checkpoint.

        Its vocabulary comes with the weights. A TF Hub module keeps its own dropout inside, or has
        none if `dropout` is 0. On its own graph (`native=False`, or a graph that cannot be
        rebuilt), it computes in float32, whatever `dtype` is.

        Args:
            source: a handle, a KerasHub preset, `hf://…`, or a folder.

        Raises:
            ConnectionError: `source` cannot be downloaded.
            FileNotFoundError: no such folder.
            ValueError: not an encoder; no vocabulary, or one that does not fit; `sequence_length`
                exceeds the positions; `lora_rank` with a TF Hub module on its own graph.
        """
        from keras_seqzoo.hub.encoder import hub_encoder
        from keras_seqzoo.preprocessing.hub import preprocessor_of_encoder

        check_rate(dropout=self.dropout)
        tune, rank = self.trainable, self.lora_rank
        layer: Any
        own: Any
        if is_checkpoint(source):
            from keras_seqzoo.hub.backbone import encoder_of, load_backbone
            from keras_seqzoo.preprocessing.kerashub import preprocessor_of_tokenizer

            policy = check_dtype(self.dtype)
            backbone, tokenizer, causal = load_backbone(source, policy)
            layer = encoder_of(
                backbone, causal, tune, rank, native=self.native, dtype=policy, name="backbone"
            )
            length = _check_positions(self.sequence_length, layer.sequence_length)
            own = preprocessor_of_tokenizer(tokenizer, length, causal)
        else:
            folder = module_folder(source)
            layer = hub_encoder(
                folder,
                tune,
                native=self.native,
                dropout=self.dropout > 0,
                lora_rank=rank,
                dtype=check_dtype(self.dtype),
                name="hub_encoder",
            )
            length = _check_positions(self.sequence_length, layer.sequence_length)
            own = preprocessor_of_encoder(folder, length)
        # Larger steps suit a head over frozen vectors, and small matrices that start at zero.
        rate = 1e-3 if tune is False else 5e-4 if rank else _learning_rate(layer.hidden_dim)
        chosen = _choose_preprocessor(self.preprocessor, own, layer, length, source)
        parts = transformer_parts(layer, chosen, rate, self.dropout)
        parts.source = source
        return parts


@register_source(is_source)
@dataclass(frozen=True, kw_only=True)
class Source(Pretrained):
    """An encoder that is loaded from an address or folder."""

    weights: str | None = option("pretrained", "the weights of the handle or folder")

    def build(self, data: Any, *, source: str) -> EncoderParts:
        """Loads what `source` names; `data` is unused."""
        if self.weights != "pretrained":
            raise ValueError(
                "The weights are those of the handle or folder that you named. Leave `weights` "
                "out, or name a model of list_models(). "
                f"Received: weights={self.weights!r}, name={source!r}"
            )
        return self.load(source)


def transformer_parts(
    layer: Any, preprocessor: Preprocessor, rate: float, dropout: float
) -> EncoderParts:
    """Combines an encoding layer and a preprocessor with the settings of fine-tuning.

    Args:
        layer: turns the features into `sequence_output` and `pooled_output`.
        preprocessor: turns texts into the features.
        rate: peak learning rate.
        dropout: rate before the head.
    """
    import keras

    from keras_seqzoo.training.optimizers import TransformerAdamW

    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask", "segment_ids")
    }
    causal = getattr(layer, "causal", False)
    return EncoderParts(
        keras.Model(inputs, layer(inputs), name="encoder", trainable=layer.trainable),
        preprocessor,
        pooling="last" if causal else "mean",
        poolings=("last", "mean", "max") if causal else ("pooled", "cls", "mean", "max"),
        optimizer=partial(TransformerAdamW, rate),
        dropout=dropout,
        schedule="linear",
        warmup=0.1,
    )


def _choose_preprocessor(
    given: Any, own: Preprocessor | None, layer: keras.layers.Layer, length: int, source: str
) -> Preprocessor:
    from keras_seqzoo.preprocessing.base import Preprocessor
    from keras_seqzoo.preprocessing.hub import hub_preprocessor

    cards = (model.card for model in MODELS.values())
    of_card = next((card.preprocessor for card in cards if card.source == source), None)
    if isinstance(given, Preprocessor):
        chosen: Any = given
        _check_positions(given.sequence_length, layer.sequence_length)
    elif given is not None:
        chosen = hub_preprocessor(given, length)
    elif own is not None:
        # A card's preprocessor would return the same ids: it reads the same vocabulary.
        chosen = own
    elif of_card is not None:
        chosen = hub_preprocessor(of_card, length)
    else:
        raise ValueError(
            "The encoder has no vocabulary. Pass the preprocessor that belongs to it: "
            "build_model(…, preprocessor='handle or folder of its SavedModel'). "
            f"Received: {source}"
        )
    size, rows = len(chosen.vocabulary), layer.vocabulary_size
    # Checkpoints may have more rows than tokens: the number is rounded up, or some rows are for
    # tokens that no text has.
    fits = size <= (rows or size) if is_checkpoint(source) else size == rows
    if size and rows and not fits:
        raise ValueError(
            "The preprocessor's vocabulary must be the encoder's. Use the preprocessor that "
            f"belongs to it. Received: {size:,} tokens for an encoder of {rows:,}"
        )
    return chosen


def _check_positions(sequence_length: int | None, positions: int | None) -> int:
    if sequence_length and positions and sequence_length > positions:
        raise ValueError(
            f"The encoder has {positions} positions. Set `sequence_length` to {positions} or less. "
            f"Received: sequence_length={sequence_length!r}"
        )
    return sequence_length or positions or POSITIONS


def _learning_rate(hidden_dim: int) -> float:
    """The peak learning rate: narrow models need larger steps.

    Source: 3e-4 for ELECTRA's width of 256 (Clark et al. 2020, table 7), 5e-5 to 2e-5 for BERT's
    768 and 1024 (Devlin et al. 2019, section A.3). ELECTRA's own 1e-4 for 768 is left out: one
    rate serves both.
    """
    for width, rate in ((256, 3e-4), (512, 1e-4), (768, 5e-5)):
        if hidden_dim <= width:
            return rate
    return 2e-5
