"""`HubEncoder`: a TF Hub text encoder as a Keras 3 layer."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.hub.archive import Graph, pack_module, trusted, unpack_module
from keras_seqzoo.hub.freezing import freeze
from keras_seqzoo.hub.native import GARDEN, UnlikeError, dropout_rates, is_like, rebuild
from keras_seqzoo.hub.resolve import module_folder
from keras_seqzoo.hub.transformer import TransformerEncoder

INPUTS = {
    "input_word_ids": "token_ids",
    "input_mask": "padding_mask",
    "input_type_ids": "segment_ids",
}
_OUTPUTS = ("sequence_output", "pooled_output")


@keras.saving.register_keras_serializable("keras_seqzoo")
class HubEncoder(keras.layers.Layer):
    """A SavedModel that follows TF Hub's text-encoder API, as a trainable layer.

    Takes the features of a preprocessor, `token_ids`, `padding_mask` and `segment_ids`, int32
    `(batch, length)`, and returns a dict of `sequence_output` `(batch, length, hidden)` and
    `pooled_output` `(batch, hidden)`, float32. The variables of the module are the weights of the
    layer. In a `tf.distribute` scope, the strategy creates them. If the module takes `training`,
    the layer passes it on.

    The API: https://www.tensorflow.org/hub/common_saved_model_apis/text, "Text embeddings with
    preprocessed inputs".

    The graph is part of the layer's config, and its weights are saved like those of any layer: a
    `.keras` file needs no other file. Keras's safe mode refuses such a file, because an external
    graph is a program. `hub_encoder` makes the layer from a folder.

    Args:
        archive: the packed graph.
        module: the module that `tf.saved_model.load` returned, with its weights; if None, loaded
            from the archive, with zero weights.
        tune: which weights are trainable: True, False, or `"last:N"` for the last N transformer
            layers and the pooler. A frozen encoder also runs without its dropout.
        dropout: whether to use the module's own dropout in training. Its draws can be neither
            seeded nor kept in a checkpoint.
        **kwargs: arguments of `keras.layers.Layer`. The graph computes in float32, whatever the
            dtype policy is; with another policy, a warning says so.

    Raises:
        TypeError: a string that comes neither from `pack_module` nor from a trusted file.
        ValueError: a damaged SavedModel, or not a text encoder.
    """

    def __init__(
        self,
        archive: Graph,
        module: Any = None,
        tune: bool | str = True,
        dropout: bool = True,
        dtype: Any = None,
        **kwargs: Any,
    ):
        _tell_precision(dtype)
        super().__init__(dtype="float32", **kwargs)
        if module is None:
            with tempfile.TemporaryDirectory() as unpacked:
                unpack_module(archive, unpacked)
                module = _load_encoder(Path(unpacked), "the graph in the file")
        self.archive = archive
        self.tune = tune
        self.dropout = dropout
        self._function = module.__call__
        self._takes_training = _takes_training(module.__call__)
        self._weights = [_as_keras(variable) for variable in _variables_of(module.__call__)]
        self.built = True
        freeze(self, tune)

    @property
    def hidden_dim(self) -> int:
        """Width of its vectors."""
        outputs = self._function.concrete_functions[0].structured_outputs
        return int(outputs["sequence_output"].shape[-1])

    @property
    def vocabulary_size(self) -> int | None:
        """Rows of the module's word embedding; None if it is not found."""
        return self._rows("word_embedding")

    @property
    def sequence_length(self) -> int | None:
        """Rows of the module's position embedding; None if it is not found."""
        return self._rows("position_embedding")

    def call(self, features: Any, training: bool | None = None) -> dict[str, Any]:
        """Encodes features; see the class."""
        inputs = {theirs: features[ours] for theirs, ours in INPUTS.items()}
        if self._takes_training:
            active = self.dropout and self.trainable
            training = bool(training) and active
            outputs = self._function(inputs, training=training)
        else:
            outputs = self._function(inputs)
        return {name: outputs[name] for name in _OUTPUTS}

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, with the graph in place of the folder."""
        kept = ("name", "trainable", "tune", "archive", "dropout")
        return {name: getattr(self, name) for name in kept}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> HubEncoder:
        """Makes the layer again; its weights are zero until they are loaded.

        Raises:
            ValueError: the graph comes from a file that is not trusted.
        """
        return cls(**{**config, "archive": trusted(config["archive"], config["name"])})

    def _rows(self, name: str) -> int | None:
        return next((int(w.shape[0]) for w in self.weights if name in w.name), None)


def hub_encoder(
    folder: str | Path,
    tune: bool | str = True,
    *,
    native: bool = True,
    dropout: bool = True,
    lora_rank: int | None = None,
    **kwargs: Any,
) -> HubEncoder | TransformerEncoder:
    """Makes the layer of a SavedModel, with its weights.

    Args:
        folder: the SavedModel, or a handle of TF Hub or Kaggle.
        tune: which weights are trainable, as in `HubEncoder`.
        native: whether to rebuild a module that TF Hub's own exporter wrote as a
            `TransformerEncoder`. It is faster, and its files hold no program. Its answers are
            compared with the module's; if they differ, the module keeps its own graph.
        dropout: whether to use the module's dropout in training.
        lora_rank: as in `TransformerEncoder`.
        **kwargs: further arguments of the layer.

    Raises:
        ConnectionError: the handle cannot be reached.
        FileNotFoundError: no such folder.
        ValueError: not a SavedModel, a damaged one, or not a text encoder; the message lists what
            was found. `lora_rank` for a module that keeps its own graph.
    """
    path = module_folder(folder)
    why = "native=False"
    if native:
        with ThreadPoolExecutor(1) as pool:  # no strategy in this thread: weights can be read
            module = pool.submit(_load_encoder, path, folder).result()
        further = {} if dropout else {"dropout": 0.0}
        try:
            return _rebuilt(module, tune=tune, lora_rank=lora_rank, **further, **kwargs)
        except UnlikeError as reason:
            why = str(reason)
    if not native or tf.distribute.has_strategy():
        module = _load_encoder(path, folder)
    if lora_rank is not None:
        raise ValueError(
            "The graph of this TF Hub module cannot be rebuilt for low-rank training. Use the same "
            "encoder as a KerasHub preset or in transformers' layout, or trainable='last:2'. "
            f"Received: lora_rank={lora_rank!r}, {folder}: {why}"
        )
    if native and is_like(_weights_of(module), GARDEN):
        warnings.warn(
            f"This TF Hub module keeps its own graph, which is slower, as {why}. To choose that "
            f"graph without this warning, pass native=False. Received: {folder}",
            stacklevel=2,
        )
    return HubEncoder(pack_module(path), module, tune, dropout, **kwargs)


def _rebuilt(module: Any, **kwargs: Any) -> TransformerEncoder:
    """The module on our own graph; raises `UnlikeError` if it is not such an encoder."""
    takes_training = _takes_training(module.__call__)

    def answer(features: Mapping[str, tf.Tensor]) -> Any:
        inputs = {theirs: features[ours] for theirs, ours in INPUTS.items()}
        return module(inputs, training=False) if takes_training else module(inputs)

    graphs = [concrete.graph for concrete in module.__call__.concrete_functions]
    rates = [rate for graph in graphs for rate in dropout_rates(graph)]
    return rebuild(_weights_of(module), GARDEN, answer, rates, **kwargs)


def _weights_of(module: Any) -> dict[str, Any]:
    return {v.name.split(":")[0]: v.numpy() for v in _variables_of(module.__call__)}


def _tell_precision(dtype: Any) -> None:
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    if policy.compute_dtype != "float32":
        warnings.warn(
            "The graph of a TF Hub module has a fixed precision: it computes in float32, "
            f"whatever the dtype policy is. Received: dtype={policy.name!r}",
            stacklevel=5,
        )


def _load_encoder(path: Path, name: object) -> Any:
    import tensorflow_text  # noqa: F401 - a module may hold its ops

    try:
        module = tf.saved_model.load(str(path))
    except (OSError, ValueError, LookupError, RuntimeError, tf.errors.OpError) as error:
        raise ValueError(
            "The SavedModel cannot be read: it is damaged or not wholly downloaded. Download it "
            f"again. Received: {name}, which gave {type(error).__name__}: {error}"
        ) from error
    if not callable(module) or not _takes_features(module.__call__):
        raise ValueError(
            "This is not a text encoder: the module must be callable with a dict of "
            f"{', '.join(INPUTS)} and return a dict with {' and '.join(_OUTPUTS)}. Use an encoder "
            "like BERT, not an embedding of whole strings, an image module or a preprocessor. "
            f"Received: {name}, which has {_describe(module)}"
        )
    return module


def _variables_of(function: Any) -> list[tf.Variable]:
    """The variables that a loaded function reads, without repeats, in a fixed order."""
    seen = {id(v): v for concrete in function.concrete_functions for v in concrete.variables}
    return sorted(seen.values(), key=lambda variable: variable.name)


def _as_keras(variable: tf.Variable) -> keras.Variable:
    """Wraps the given variable, not a copy, as a Keras variable."""
    name = variable.name.split(":")[0].replace("/", "_")
    return keras.Variable(variable, trainable=variable.trainable, dtype=variable.dtype, name=name)


def _takes_features(function: Any) -> bool:
    for concrete in function.concrete_functions:
        (inputs, *_), _ = concrete.structured_input_signature
        outputs = concrete.structured_outputs
        if (
            isinstance(inputs, dict)
            and set(inputs) == set(INPUTS)
            and isinstance(outputs, dict)
            and set(_OUTPUTS) <= set(outputs)
        ):
            return True
    return False


def _takes_training(function: Any) -> bool:
    """Whether a loaded function distinguishes training from inference."""
    signatures = [concrete.structured_input_signature for concrete in function.concrete_functions]
    return any(
        "training" in named or any(isinstance(argument, bool) for argument in rest)
        for (_, *rest), named in signatures
    )


def _describe(module: Any) -> str:
    found = []
    calls = module.__call__.concrete_functions if callable(module) else ()
    for concrete in calls[:1]:
        inputs = tf.nest.flatten(concrete.structured_input_signature)
        shapes = [f"{s.dtype.name}{list(s.shape)}" for s in inputs if isinstance(s, tf.TensorSpec)]
        found.append(f"a call of {', '.join(shapes)}")
    signatures = getattr(module, "signatures", {})
    for key in signatures:
        takes = sorted(signatures[key].structured_input_signature[1])
        found.append(f"the signature {key!r} of {', '.join(takes)}")
    return "; ".join(found) or "neither a call nor a signature"
