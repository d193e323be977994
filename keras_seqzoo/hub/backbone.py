"""`BackboneEncoder`: a KerasHub backbone with the outputs that tasks read."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors import SafetensorError

from keras_seqzoo.checks import check_whole
from keras_seqzoo.features import FEATURES
from keras_seqzoo.hub.freezing import freeze
from keras_seqzoo.hub.native import KERAS_HUB, UnlikeError, is_like, rebuild
from keras_seqzoo.hub.transformer import TransformerEncoder

# Layers of KerasHub that hold embeddings.
_INSIDE = re.compile(r"^(token_and_position_embedding|embeddings)/")


@keras.saving.register_keras_serializable("keras_seqzoo")
class BackboneEncoder(keras.layers.Layer):
    """A KerasHub backbone, as a layer with the inputs and outputs of `HubEncoder`.

    Takes `token_ids`, `padding_mask` and `segment_ids`, int32 `(batch, length)`, and returns a
    dict of `sequence_output` `(batch, length, hidden)` and `pooled_output` `(batch, hidden)`. The
    latter is the backbone's own. If it has none, it is the vector of the first token (ELECTRA,
    DistilBERT), or of the last real token of a causal backbone (GPT-2).

    Args:
        backbone: a `keras_hub.models.Backbone` of text.
        tune: which weights are trainable: True, False, or `"last:N"` for the last N transformer
            layers and the pooler. A frozen backbone also runs without its dropout.
        causal: whether a token's vector depends only on the tokens before it.
        lora_rank: rank of the low-rank matrices that are trained in place of the backbone's
            weights, together with the biases of queries and values (Hu et al. 2021, LoRA; see
            `keras_hub.models.Backbone.enable_lora`); None trains the weights.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `tune` has another value, or is not True together with `lora_rank`.
    """

    def __init__(
        self,
        backbone: keras.Model,
        tune: bool | str = True,
        causal: bool = False,
        lora_rank: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.tune = tune
        self.causal = causal
        self.lora_rank = lora_rank
        if lora_rank is not None:
            check_whole(lora_rank=lora_rank)
            if tune is not True:
                raise ValueError(
                    "With `lora_rank` the backbone's own weights are frozen. Leave `trainable` "
                    f"out, or `lora_rank`. Received: trainable={tune!r}, lora_rank={lora_rank!r}"
                )
            backbone.enable_lora(lora_rank)
            if not self._lora_weights():
                raise ValueError(
                    "KerasHub finds no layer for low-rank training in this backbone. Leave "
                    f"`lora_rank` out. Received: a {type(backbone).__name__}"
                )
        self.built = True
        freeze(self, tune)

    @property
    def hidden_dim(self) -> int:
        """Width of its vectors."""
        return int(self.backbone.output_shape[-1] if self.causal else self.backbone.hidden_dim)

    @property
    def vocabulary_size(self) -> int:
        """Rows of its token embedding."""
        return int(self.backbone.token_embedding.input_dim)

    @property
    def sequence_length(self) -> int | None:
        """Rows of its position embedding; None if it has none."""
        return getattr(self.backbone, "max_sequence_length", None)

    def call(self, features: Any, training: bool | None = None) -> dict[str, Any]:
        """Encodes features; see the class."""
        inputs = {name: features[name] for name in self.backbone.input}
        outputs = self.backbone(inputs, training=bool(training) and self.trainable)
        if not isinstance(outputs, dict):
            outputs = {"sequence_output": outputs}
        sequence = outputs["sequence_output"]
        pooled = outputs.get("pooled_output", sequence[:, 0])
        if self.causal:
            last = keras.ops.sum(features["padding_mask"], axis=1)[:, None, None] - 1
            pooled = keras.ops.take_along_axis(sequence, last, axis=1)[:, 0]
        return {"sequence_output": sequence, "pooled_output": pooled}

    def wake_lora(self) -> None:
        """Makes loaded low-rank matrices trainable again.

        Keras saves them merged into the weights and loads both as zeros, whose gradients stay
        zero. This draws one of each pair again; their product stays zero, so answers do not change.
        """
        draw = keras.initializers.HeUniform()
        for weight in self._lora_weights():
            if not np.any(keras.ops.convert_to_numpy(weight)):
                weight.assign(draw(weight.shape))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, with the backbone serialised."""
        backbone = keras.saving.serialize_keras_object(self.backbone)
        names = ("tune", "causal", "lora_rank")
        arguments = {name: getattr(self, name) for name in names}
        return {**super().get_config(), "backbone": backbone, **arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BackboneEncoder:
        """Makes the layer again from what `get_config` returned."""
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})

    def _lora_weights(self) -> list[Any]:
        return [weight for weight in self.backbone.weights if "lora_kernel_a" in weight.path]


def load_backbone(name: str, dtype: Any = None) -> tuple[keras.Model, Any, bool]:
    """Loads a text encoder or a causal language model through KerasHub.

    Args:
        name: a KerasHub preset, `hf://…`, `kaggle://…`, or a folder in the layout of KerasHub or
            of Hugging Face's transformers.
        dtype: Keras dtype policy of the backbone.

    Returns:
        The backbone, its KerasHub tokenizer, and whether it is causal.

    Raises:
        ConnectionError: a preset that is not in the cache cannot be downloaded.
        FileNotFoundError: a folder without its vocabulary.
        ValueError: not a checkpoint, a damaged one, or not a text encoder.
    """
    import keras_hub

    _check_preset(name)
    try:
        backbone = keras_hub.models.Backbone.from_preset(name, dtype=dtype)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _explained(name, error) from error
    inputs = set(backbone.input) if isinstance(backbone.input, dict) else set()
    if "token_ids" not in inputs or not inputs <= {*FEATURES}:
        raise ValueError(_not_text(name, type(backbone).__name__, sorted(inputs)))
    if "padding_mask" not in inputs:
        raise ValueError(
            "The backbone takes no padding mask, so its answers would depend on the other texts of "
            f"a batch. Use another family. Received: {name}, a {type(backbone).__name__}"
        )
    try:
        tokenizer = keras_hub.models.Tokenizer.from_preset(name)
    except (OSError, ValueError, KeyError) as error:
        if Path(name).is_dir():
            raise FileNotFoundError(
                "The folder must hold the vocabulary too: vocab.json and merges.txt, vocab.txt, or "
                "a SentencePiece model, depending on its family. Copy them from the source of the "
                f"weights. Received: {name}, which gave {type(error).__name__}: {error}"
            ) from error
        raise _explained(name, error) from error
    return backbone, tokenizer, _is_causal(backbone)


def encoder_of(
    backbone: keras.Model,
    causal: bool = False,
    tune: bool | str = True,
    lora_rank: int | None = None,
    *,
    native: bool = True,
    **kwargs: Any,
) -> BackboneEncoder | TransformerEncoder:
    """Makes the layer of a backbone, with its weights.

    Args:
        backbone: a `keras_hub.models.Backbone` of text.
        causal: as in `BackboneEncoder`.
        tune: the same.
        lora_rank: the same.
        native: whether to rebuild BERT, DistilBERT, ELECTRA and RoBERTa as a faster
            `TransformerEncoder`, whose answers are compared with the backbone's.
        **kwargs: further arguments of the layer.

    Raises:
        ValueError: what `BackboneEncoder` refuses.
    """
    shown = {_INSIDE.sub("", weight.path): weight for weight in backbone.weights}
    if native and not causal and is_like(shown, KERAS_HUB):
        own = BackboneEncoder(backbone, causal=causal, **kwargs)
        values = {name: keras.ops.convert_to_numpy(weight) for name, weight in shown.items()}
        epsilon = backbone.get_layer("embeddings_layer_norm").epsilon
        further = {"epsilon": epsilon, "tune": tune, "lora_rank": lora_rank, **kwargs}
        try:
            return rebuild(values, KERAS_HUB, own, [backbone.dropout], **further)
        except UnlikeError as why:
            warnings.warn(
                f"This backbone keeps KerasHub's graph, which is slower, as {why}. To choose that "
                "graph without this warning, pass native=False. Received: a "
                f"{type(backbone).__name__}",
                stacklevel=2,
            )
    return BackboneEncoder(backbone, tune, causal, lora_rank, **kwargs)


def _is_causal(backbone: keras.Model) -> bool:
    import keras_hub

    models = vars(keras_hub.models)
    return any(
        getattr(models[name], "backbone_cls", None) is type(backbone)
        for name in models
        if name.endswith("CausalLM")
    )


def _check_preset(name: str) -> None:
    """Refuses the name of a preset that does not exist or is not for text, before a download."""
    import keras_hub

    if Path(name).exists() or "://" in name:
        return
    models = vars(keras_hub.models)
    backbones = [models[m] for m in models if m.endswith("Backbone")]
    owners = [cls for cls in backbones if name in getattr(cls, "presets", {})]
    if not owners:
        raise ValueError(
            "There is no such preset in KerasHub, nor a folder of that name. See "
            f"keras_hub.models.Backbone.presets, or list_models(). Received: {name!r}"
        )
    # The base class lists the presets of all classes.
    cls = min(owners, key=lambda cls: len(cls.presets))
    if not hasattr(models.get(cls.__name__.replace("Backbone", "Tokenizer")), "backbone_cls"):
        raise ValueError(_not_text(name, cls.__name__, None))


def _not_text(name: str, kind: str, inputs: list[str] | None) -> str:
    return (
        "The backbone must read one text: token ids and a padding mask. Models of images or sound "
        "and encoder-decoder pairs do not fit. Use a text encoder or a causal language model. "
        f"Received: {name}, a {kind}" + (f" of {', '.join(inputs)}" if inputs else "")
    )


def _explained(name: str, error: Exception) -> Exception:
    if Path(name).is_dir():
        return ValueError(
            "The folder must hold a checkpoint in the layout of KerasHub (config.json, "
            "model.weights.h5) or of transformers (config.json, model.safetensors), complete. "
            f"Download it again. Received: {name}, which gave {type(error).__name__}: {error}"
        )
    return ConnectionError(
        "The checkpoint cannot be downloaded. Check the name and the network; or download it "
        "on another machine and pass its folder instead of the name. "
        f"Received: {name}, which gave {type(error).__name__}: {error}"
    )
