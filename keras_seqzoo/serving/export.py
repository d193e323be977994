"""`export_model`: a model to a SavedModel for TensorFlow Serving, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo import __version__, zoo
from keras_seqzoo.layers.recurrent import portable
from keras_seqzoo.tasks.base import ServingFunction, TextModel


def export_model(
    model: TextModel, directory: str | os.PathLike[str], version: int | None = None
) -> Path:
    """Writes a model as the next version of a SavedModel that takes raw text.

    The version is written beside its place and renamed into it, so that a server watching
    `directory` never sees half a model. The SavedModel needs TensorFlow alone, or with TensorFlow
    Text where the model reads word pieces: neither Keras nor this package is imported to run it.
    Signatures of a classifier:

    | signature | takes | gives |
    |---|---|---|
    | `serving_default` | `text`: string `(batch,)` | `label`: string `(batch,)`, `probability`: float32 `(batch,)`, `probabilities`: float32 `(batch, classes)` |
    | `classify` | `inputs`: serialised `tf.Example`s with a string feature `text` | `classes`, `scores`: `(batch, classes)`, as TF Serving's Classify API has it |
    | `tokens` | `token_ids`, `padding_mask`, `segment_ids`: int32 `(batch, length)` | as `serving_default` |
    | `embed` | `text` | `embedding`: float32 `(batch, hidden)`, what the head reads |

    A model of the task `embed` answers `serving_default` and `tokens` with an `embedding` too, one
    of the task `prompt` has the first three. One of the task `generate` has `generate`, which is
    its `serving_default`: `text` to `text` (with what was written) and `generated` (that alone).
    Low-rank matrices are merged into the weights.
    `assets.extra/model_card.json` tells what the model is.

    Args:
        model: a model of `build_model`, or loaded from a `.keras` file.
        directory: the folder that holds the versions; it is made where it is missing.
        version: a whole number, at least 1. Defaults to one more than the highest there is.

    Returns:
        The path `directory/version`. Of several workers the chief alone writes; the others return
        `directory`.

    Raises:
        FileExistsError: the version exists; it is left as it was.
        OSError: `directory` can not be written to.
        TypeError: not a model of this package.
        ValueError: `version` is not a whole number of at least 1.
    """  # noqa: E501
    if not isinstance(model, TextModel):
        raise TypeError(
            "`export_model` takes a model of keras_seqzoo. Build it with build_model(…), or load "
            f"a .keras file that such a model was saved to. Received: {type(model).__name__}"
        )
    if version is not None and (not isinstance(version, int) or version < 1):
        raise ValueError(
            f"`version` must be a whole number, at least 1. Received: version={version!r}"
        )
    directory = Path(directory)
    if not model.is_chief:
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    if version is not None:
        _check_free(directory / str(version))
    unfinished = Path(tempfile.mkdtemp(dir=directory, prefix=".exporting-"))
    try:
        _write(model, unfinished)
        # mkdtemp gives access to its owner only; a server is likely another user.
        umask = os.umask(0)
        os.umask(umask)
        unfinished.chmod(0o777 & ~umask)
        return _publish(unfinished, directory, version)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def versions(directory: str | os.PathLike[str]) -> list[int]:
    """Lists the versions in an export folder, lowest first; none where there is no folder."""
    if not Path(directory).is_dir():
        return []
    return sorted(int(p.name) for p in Path(directory).iterdir() if p.name.isdecimal())


def _publish(unfinished: Path, directory: Path, version: int | None) -> Path:
    while True:
        target = directory / str(version or max(versions(directory), default=0) + 1)
        _check_free(target)
        try:
            # Renaming onto a folder with content fails, so of two exporters one is told.
            return unfinished.rename(target)
        except OSError:
            if version is not None or not target.exists():
                _check_free(target)
                raise


def _check_free(target: Path) -> None:
    if target.exists():
        raise FileExistsError(
            "A version is never overwritten. Leave `version` out to get the next free one, or "
            f"choose another. Received: {target}"
        )


def merge_lora(model: TextModel) -> TextModel:
    """Returns a model whose low-rank matrices are added to its weights; others as they are."""
    config = model.get_config()
    layers = [layer for layer in model.encoder.layers if getattr(layer, "lora_rank", None)]
    if not layers:
        return model
    merged = type(model).from_config(_without_rank(config))
    merged.preprocessor = model.preprocessor
    with tempfile.TemporaryDirectory() as folder:
        # Keras merges them when it saves.
        path = str(Path(folder) / "merged.weights.h5")
        model.save_weights(path)
        merged.load_weights(path)
    return merged


def _without_rank(config: Any) -> Any:
    if isinstance(config, Mapping):
        return {k: None if k == "lora_rank" else _without_rank(v) for k, v in config.items()}
    return [_without_rank(v) for v in config] if isinstance(config, list) else config


def _write(model: TextModel, path: Path) -> None:
    model = merge_lora(model)
    functions = model.serving_functions()
    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]
    module.resources = list(model.resources)
    with portable(model.encoder):
        signatures = {
            name: tf.function(f.function).get_concrete_function(**_named(f.inputs))
            for name, f in functions.items()
        }
    tf.saved_model.save(module, str(path), signatures=signatures)
    _set_methods(path, functions)
    extra = path / "assets.extra"
    extra.mkdir()
    card = json.dumps(_describe(model, signatures), indent=2, ensure_ascii=False)
    (extra / "model_card.json").write_text(card + "\n", encoding="utf-8")


def _named(inputs: Mapping[str, tf.TensorSpec]) -> dict[str, tf.TensorSpec]:
    return {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()}


def _set_methods(path: Path, functions: Mapping[str, ServingFunction]) -> None:
    """Names the API of each signature; TensorFlow writes `predict` for all of them."""
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(path))
    for name, function in functions.items():
        updater.replace_method_name(signature_key=name, method_name=function.method)
    updater.save()


def _describe(model: TextModel, signatures: Mapping[str, Any]) -> dict[str, Any]:
    known = model.name in zoo.list_models()
    return {
        "model": model.name,
        "task": type(model).__name__,
        "classes": list(getattr(model, "classes", ())),
        "parameters": model.count_params(),
        "sequence_length": model.preprocessor.sequence_length,
        "vocabulary_size": len(model.preprocessor.vocabulary),
        "preprocessor": type(model.preprocessor).__name__,
        "preprocessor_fingerprint": model.preprocessor.fingerprint(),
        "signatures": sorted(signatures),
        "card": zoo.model_card(model.name).as_dict() if known else None,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "written_with": {
            "keras_seqzoo": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    }
