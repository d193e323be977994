"""`BackboneEncoder`: a KerasHub backbone with the outputs that tasks read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_seqzoo.hub.freezing import freeze


@keras.saving.register_keras_serializable("keras_seqzoo")
class BackboneEncoder(keras.layers.Layer):
    """A KerasHub backbone, as a layer with the inputs and outputs of `HubEncoder`.

    Takes `token_ids`, `padding_mask` and `segment_ids`, int32 `(batch, length)`, and returns a
    dict of `sequence_output` `(batch, length, hidden)` and `pooled_output` `(batch, hidden)`: the
    backbone's own, or the first token's vector where it has none (ELECTRA).

    Args:
        backbone: a `keras_hub.models.Backbone` of text.
        tune: which weights are trainable: True, False, or `"last:N"` for the last N transformer
            layers and the pooler. A frozen backbone also runs without its dropout.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `tune` is something else.
    """

    def __init__(self, backbone: keras.Model, tune: bool | str = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.tune = tune
        freeze(backbone.weights, tune)
        self.built = True

    @property
    def hidden_dim(self) -> int:
        """Width of its vectors."""
        return int(self.backbone.hidden_dim)

    @property
    def vocabulary_size(self) -> int:
        """Rows of its token embedding."""
        return int(self.backbone.token_embedding.input_dim)

    @property
    def sequence_length(self) -> int | None:
        """Rows of its position embedding; None where it has none."""
        return getattr(self.backbone, "max_sequence_length", None)

    def call(self, features: Any, training: bool | None = None) -> dict[str, Any]:
        """Encodes features; see the class."""
        inputs = {name: features[name] for name in self.backbone.input}
        outputs = self.backbone(inputs, training=bool(training) and self.tune is not False)
        if not isinstance(outputs, dict):
            outputs = {"sequence_output": outputs}
        sequence = outputs["sequence_output"]
        return {
            "sequence_output": sequence,
            "pooled_output": outputs.get("pooled_output", sequence[:, 0]),
        }

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, the backbone serialised."""
        backbone = keras.saving.serialize_keras_object(self.backbone)
        return {**super().get_config(), "backbone": backbone, "tune": self.tune}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BackboneEncoder:
        """Makes the layer again from what `get_config` returned."""
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})


def load_backbone(name: str, dtype: Any = None) -> tuple[keras.Model, list[str], bool]:
    """Loads a BERT or ELECTRA checkpoint through KerasHub.

    Args:
        name: a KerasHub preset, `hf://…`, `kaggle://…`, or a folder in KerasHub's layout or in
            that of Hugging Face's transformers.
        dtype: Keras dtype policy of the backbone.

    Returns:
        The backbone, its WordPiece vocabulary in the order of ids, and whether it is uncased.

    Raises:
        ConnectionError: a preset that is not at hand can not be downloaded.
        ValueError: no checkpoint, a damaged one, or one of another family.
    """
    import keras_hub

    try:
        backbone = keras_hub.models.Backbone.from_preset(name, dtype=dtype)
        tokenizer = keras_hub.models.Tokenizer.from_preset(name)
    except (OSError, ValueError, KeyError) as error:
        if Path(name).is_dir():
            raise ValueError(
                "The folder must hold a checkpoint in the layout of KerasHub (config.json, "
                "model.weights.h5) or of transformers (config.json, model.safetensors), complete. "
                f"Download it again. Received: {name}, which gave {type(error).__name__}: {error}"
            ) from error
        raise ConnectionError(
            "The checkpoint can not be downloaded. Check the name and the network; or download it "
            "on another machine and pass its folder instead of the name. "
            f"Received: {name}, which gave {type(error).__name__}: {error}"
        ) from error
    if not isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        raise ValueError(
            "Of KerasHub's families, those with WordPiece are read: BERT, ELECTRA, DistilBERT. "
            f"Received: {name}, which holds a {type(backbone).__name__}"
        )
    return backbone, list(tokenizer.get_vocabulary()), bool(tokenizer.lowercase)
