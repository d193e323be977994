"""`export_model` writes a SavedModel for TensorFlow Serving, complete or not at all."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.checks import check_whole
from keras_seqzoo.files import settle
from keras_seqzoo.hub.backbone import BackboneEncoder
from keras_seqzoo.layers.recurrent import portable
from keras_seqzoo.quiet import logging_from
from keras_seqzoo.serving import warmup as warmup_requests
from keras_seqzoo.serving.audit import AuditError, audit
from keras_seqzoo.serving.card import describe, requirements, told
from keras_seqzoo.serving.card import write as write_card
from keras_seqzoo.serving.formats import check_format, inputs_of, write_artifact
from keras_seqzoo.serving.optimize import check as check_optimize
from keras_seqzoo.serving.optimize import optimized
from keras_seqzoo.serving.readme import figures_of
from keras_seqzoo.serving.session import first_line
from keras_seqzoo.serving.versions import SAVED_MODEL, check_answers, versions
from keras_seqzoo.tasks.model import ServingFunction, TextModel

# Folders of killed exports are removed at this age.
_STALE_SECONDS = 86_400.0
_UNFINISHED = ".exporting-"
_TRACING = threading.Lock()
_UNLIKE = "The inputs must have the same shape."


def export_model(
    model: TextModel,
    directory: str | os.PathLike[str],
    version: int | None = None,
    *,
    warmup: Any = None,
    allow_changes: bool = False,
    optimize: str | None = None,
    format: str = SAVED_MODEL,
    report: Any = None,
) -> Path:
    """Writes a model as the next version of a SavedModel that takes raw text, or for other runtimes.

    The version is written to a temporary folder in `directory`, audited (see `audit`), and then
    renamed. A server that watches `directory` never sees an unfinished model, or one that it cannot
    serve. The SavedModel needs only TensorFlow, and TensorFlow Text if the model reads word pieces:
    it runs without Keras and without this package.
    Its signatures take `text`: string `(batch,)`, or `text` and `text_pair` for pairs:

    | signature | of the tasks | returns |
    |---|---|---|
    | `serving_default` | `classify`, `prompt` | `label`: string `(batch,)`, `probability`: float32 `(batch,)`, `probabilities`: float32 `(batch, classes)` |
    | | `label` | `labels`: string `(batch, most labels of a row)`, the most probable first, with `""` after the last one; `probabilities`: float32 `(batch, labels)` |
    | | `regress` | `value`: float32 `(batch,)`; for several numbers `values`: float32 `(batch, numbers)` |
    | | `forecast` | `forecast`: float32 `(batch, horizon, columns)`, from `values`: float32 `(batch, window, columns)`; classes of series like `classify` |
    | | `tag` | `label`, `text`: string, `start`, `end`, `start_byte`, `end_byte`: int32, `probability`: float32, `(batch, most pieces of a text)`, with `""`, -1 and 0 after the last one |
    | | `answer` | `answer`: string, `start`, `end`, `start_byte`, `end_byte`: int32, places in the context, which is `text_pair`; `""` and -1 for no answer; `probability`, `no_answer`: float32, `(batch,)` each |
    | | `embed` | `embedding`: float32 `(batch, hidden)` |
    | | `generate` | `text`, `generated`: string `(batch,)`, the whole text and its new part; also named `generate` |
    | | `fill_mask` | `token`: string, `probability`: float32, `(batch, most masks of a text, top_k)`, with `""` and 0 after the last mask |
    | `classify` | `classify`, `label`, `prompt` | `classes`, `scores`: `(batch, classes)`, in the form of TF Serving's Classify API |
    | `regress` | `regress` of one number | `outputs`: float32 `(batch,)`, in the form of its Regress API |
    | `spans` | `tag` | the same, `(pieces,)` each, and `row_splits`: int64 `(batch + 1,)` |
    | `masks` | `fill_mask` | the same, `(masks, top_k)` each, and `row_splits`: int64 `(batch + 1,)` |
    | `tokens` | all of texts except `answer`, `generate`, `tag`, `fill_mask` | the same as `serving_default` |
    | `embed` | all of texts except `answer`, `generate`, `prompt`, `tag`, `fill_mask` | `embedding`: float32 `(batch, hidden)`, the vector that the head reads |

    `classify` and `regress` take `inputs`: serialised `tf.Example`s with the string features `text`
    and, for pairs, `text_pair`; `tokens` takes `token_ids`, `padding_mask` and `segment_ids`: int32
    `(batch, length)`.
    Low-rank matrices are merged into the weights.
    The folder `assets.extra` holds the model card, as `model_card.json` and as `README.md` for the
    Hugging Face Hub; `requirements.md`, which lists what a server must have; and
    `tf_serving_warmup_requests`, the requests that TensorFlow Serving sends to a version before it
    becomes available.

    The other formats hold models of texts for the tasks `classify`, `label`, `regress` and `embed`:
    `model.onnx` for ONNX Runtime, `model.xml` and `model.bin` for OpenVINO, `model.tflite` for
    LiteRT. They return `probabilities`, `value` or `values`, or `embedding`. They take the inputs of
    `tokens`, with any batch size and any length up to the model's; `tokenizer.json` or the
    SavedModel `tokenizer` next to them turns texts into ids. With OpenVINO they take `text` if the
    model reads one text per row, as word pieces or words. `model_card.json` is at the same place as
    in SavedModels. Before it is published, the export answers the warm-up texts in its own runtime;
    its answers must be within 1e-4 of the model's (relative for those above 1).

    Args:
        model: a model of `build_model`, or loaded from a `.keras` file.
        directory: the folder that holds the versions; it is created if it is missing.
        version: a whole number, at least 1. Defaults to one more than the highest existing version.
        warmup: texts like those of future requests, or pairs as `predict` takes them, for the
            warm-up requests: up to 8 of them, of different lengths, are stored with the model. By
            default four texts of the package, of 5 to 500 words, because the training texts may not
            be for everybody who gets the model. `[]` stores none. With `optimize="int8"` the ranges
            of numbers are measured on up to 256 of them.
        allow_changes: whether the newest version in `directory` may be of another task, have other
            names (of classes, labels or numbers) or inputs, or a signature that the model lacks. A
            server replaces it with the new version.
        optimize: `"int8"` multiplies 8-bit integers in the transformer, for servers with x86
            processors: up to twice as fast there, on a third of the disk. Answers change a little;
            the model card says how much on `warmup`, and `evaluate` of the version shows the effect
            on the figures. None, the default, leaves the numbers as they were trained.
        format: `"saved_model"`, `"onnx"`, `"openvino"` or `"litert"`. The last three need packages:
            `pip install "keras-seqzoo[onnx]"`, and so on.
        report: what `evaluate` returned, or figures by name, for the model cards.

    Returns:
        The path `directory/version`. With several workers, only the chief writes; the others return
        `directory`.

    Raises:
        FileExistsError: the version exists; it does not change.
        OSError: `directory` cannot be written to, or the disk is full; nothing is left behind.
        TypeError: not a model of this package, not a report, or `warmup` does not hold strings, or
            pairs of strings for a model of pairs.
        ValueError: `version` is not a whole number of at least 1, the newest version there differs
            (see `allow_changes`), `optimize` is unknown or not for the model or the `format`, or
            the audit failed (`AuditError`): nothing was published. For the other formats also: the
            format does not support the task, packages are missing, or the runtime cannot run the
            model or returns different answers.

    Warns:
        UserWarning: the model was never trained.
    """  # noqa: E501
    if not isinstance(model, TextModel):
        raise TypeError(
            "`export_model` takes a model of keras_seqzoo. Build it with build_model(…), or load "
            f"a .keras file that such a model was saved to. Received: {type(model).__name__}"
        )
    if version is not None:
        check_whole(version=version)
    directory = Path(directory)
    if not model.is_chief:
        return directory
    test = figures_of(report)
    check_format(model, format)
    check_optimize(model, optimize, format)
    rows = warmup_requests.choose(warmup, model.pair)
    if not allow_changes and versions(directory):
        check_answers(directory, told(model, format, inputs_of(model, format)))
    _warn_of_chance(model)
    made, name = _make(directory), directory.resolve().name
    try:
        if version is not None:
            _check_free(directory / str(version))
        _remove_stale(directory)
        with _unfinished(directory) as unfinished:
            with _TRACING:  # the model's parts are changed during this time
                if format == SAVED_MODEL:
                    with optimized(model, optimize, warmup) as gained:
                        _write(model, unfinished, name, rows, gained, test)
                else:
                    write_artifact(merge_lora(model), unfinished, format, rows, name, test)
            return _publish(unfinished, directory, version)
    except (tf.errors.OpError, OSError) as error:
        if isinstance(error, FileExistsError):
            raise
        raise OSError(
            "The model could not be written. Nothing was published, and nothing is left behind. "
            f"Make room, or choose another folder. Received: {directory}: {first_line(error)}"
        ) from error
    finally:
        _remove_empty(made)


def _make(directory: Path) -> list[Path]:
    """Creates a folder, and returns the folders that were missing, the innermost first."""
    missing = [p for p in (directory, *directory.parents) if not p.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
    except OSError as error:
        _remove_empty(missing)
        raise type(error)(
            "`directory` must be a folder that can be written to. Choose another one, or ask for "
            f"access. Received: {directory}: {error}"
        ) from error
    return missing


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it holds a version now, or was never made
            folder.rmdir()


@contextmanager
def _unfinished(directory: Path) -> Iterator[Path]:
    """A folder next to the versions, for one that is not yet complete."""
    folder = directory / f"{_UNFINISHED}{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(directory: Path) -> None:
    """Removes the folders of killed exports."""
    for left in directory.glob(f"{_UNFINISHED}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _warn_of_chance(model: TextModel) -> None:
    """Warns if the last layer was never trained: its biases start as zeros."""
    head = next((layer for layer in model.layers if layer.name == "logits"), None)
    if head is not None and not np.any(keras.ops.convert_to_numpy(head.bias)):
        warnings.warn(
            "This model was never trained, so its answers are random. Call fit first. "
            f"Received: {model.name}, whose last layer is as it was made",
            stacklevel=3,
        )


def _publish(unfinished: Path, directory: Path, version: int | None) -> Path:
    while True:
        target = directory / str(version or max(versions(directory), default=0) + 1)
        _check_free(target)
        try:
            # Renaming onto a folder with content fails: the second of two exporters gets an error.
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
    """Returns a model whose low-rank matrices are added to its weights; other models unchanged.

    A `TransformerEncoder` keeps its matrices separate, which costs next to nothing.
    """
    layers = [layer for layer in model.encoder.layers if isinstance(layer, BackboneEncoder)]
    if not any(layer.lora_rank for layer in layers):
        return model
    merged = type(model).from_config(_without_rank(model.get_config()))
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


def _write(
    model: TextModel,
    path: Path,
    name: str,
    rows: Sequence[tuple[str, ...]],
    gained: Mapping[str, Any] | None,
    test: Mapping[str, Any] | None,
) -> None:
    model = merge_lora(model)
    functions = model.serving_functions()
    signatures = traced(model, functions)
    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]
    if gained:  # only the integers of the kernels
        used = {v.ref(): v for function in signatures.values() for v in function.variables}
        module.weights = list(used.values())
    module.resources = list(model.resources)
    # TensorFlow would log the path of the unfinished folder, which is soon gone.
    with logging_from(logging.WARNING):
        # Custom gradients would be functions that a server reads and prepares but never calls.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(path), signatures=signatures, options=options)
    _set_methods(path, functions)
    (path / "assets.extra").mkdir()
    if rows:
        warmup_requests.write(model, functions, path, name, rows)
    found = audit(path)
    if not found.passed:
        raise AuditError(
            "TensorFlow Serving would not serve this model. Nothing was published. "
            f"Received: {model.name}: {'; '.join(found.problems)}"
        )
    card = describe(model, found, gained, test)
    write_card(card, path, name)
    (path / "assets.extra" / "requirements.md").write_text(requirements(card), encoding="utf-8")
    settle(path, durable=True)


def traced(model: TextModel, functions: Mapping[str, ServingFunction]) -> dict[str, Any]:
    """Traces a model's signatures; each checks the shapes of its inputs.

    A server feeds whatever a client sent: TensorFlow's C++ code does not check a signature's
    shapes, and some of TensorFlow Text's ops end the process on a tensor of another rank.

    Args:
        model: the model.
        functions: its signatures.

    Returns:
        A concrete function for each.
    """
    with portable(model.encoder), _shared(model.encoder):
        return {
            name: tf.function(_checked(f)).get_concrete_function(**_named(f.inputs))
            for name, f in functions.items()
        }


@contextmanager
def _shared(encoder: keras.Model) -> Iterator[None]:
    """Makes an encoder one function that all signatures call: a server reads it only once."""
    call = encoder.call
    function = tf.function(lambda features: call(features, training=False))
    encoder.call = lambda features, training=None, mask=None: function(features)
    try:
        yield
    finally:
        del encoder.call


def _checked(asked: ServingFunction) -> Callable[..., Mapping[str, tf.Tensor]]:
    def function(**given: tf.Tensor) -> Mapping[str, tf.Tensor]:
        tensors = {name: tf.ensure_shape(given[name], s.shape) for name, s in asked.inputs.items()}
        first, *others = map(tf.shape, tensors.values())
        alike = [tf.debugging.assert_equal(first, other, _UNLIKE) for other in others]
        with tf.control_dependencies(alike):
            return asked.function(**tensors)

    return function


def _named(inputs: Mapping[str, tf.TensorSpec]) -> dict[str, tf.TensorSpec]:
    return {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()}


def _set_methods(path: Path, functions: Mapping[str, ServingFunction]) -> None:
    """Names the API of each signature; TensorFlow writes `predict` for all of them."""
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(path))
    for name, function in functions.items():
        updater.replace_method_name(signature_key=name, method_name=function.method)
    updater.save()
