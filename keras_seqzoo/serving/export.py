"""`export_model`: a model to a SavedModel for TensorFlow Serving, whole or not at all."""

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

# Folders of exports that were killed are removed when they are as old as this.
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

    The version is written beside its place, audited (see `audit`), and renamed into its place, so
    that a server watching `directory` never sees half a model, or one that it cannot serve. The
    SavedModel needs TensorFlow alone, or with TensorFlow Text where the model reads word pieces:
    neither Keras nor this package is imported to run it.
    Signatures, which take `text`: string `(batch,)`, or `text` and `text_pair` for pairs:

    | signature | of the tasks | gives |
    |---|---|---|
    | `serving_default` | `classify`, `prompt` | `label`: string `(batch,)`, `probability`: float32 `(batch,)`, `probabilities`: float32 `(batch, classes)` |
    | | `label` | `labels`: string `(batch, most labels of a row)`, the likeliest first, with `""` after the last one; `probabilities`: float32 `(batch, labels)` |
    | | `regress` | `value`: float32 `(batch,)`; of several numbers `values`: float32 `(batch, numbers)` |
    | | `forecast` | `forecast`: float32 `(batch, horizon, columns)`, of `values`: float32 `(batch, window, columns)`; classes of series as `classify` |
    | | `tag` | `label`, `text`: string, `start`, `end`, `start_byte`, `end_byte`: int32, `probability`: float32, `(batch, most pieces of a text)`, with `""`, -1 and 0 after the last one |
    | | `answer` | `answer`: string, `start`, `end`, `start_byte`, `end_byte`: int32, of the context, which is `text_pair`, `""` and -1 for none; `probability`, `no_answer`: float32, `(batch,)` each |
    | | `embed` | `embedding`: float32 `(batch, hidden)` |
    | | `generate` | `text`, `generated`: string `(batch,)`, all and what was written; also named `generate` |
    | | `fill_mask` | `token`: string, `probability`: float32, `(batch, most masks of a text, top_k)`, with `""` and 0 after the last mask |
    | `classify` | `classify`, `label`, `prompt` | `classes`, `scores`: `(batch, classes)`, as TF Serving's Classify API has it |
    | `regress` | `regress` of one number | `outputs`: float32 `(batch,)`, as its Regress API has it |
    | `spans` | `tag` | the same, `(pieces,)` each, and `row_splits`: int64 `(batch + 1,)` |
    | `masks` | `fill_mask` | the same, `(masks, top_k)` each, and `row_splits`: int64 `(batch + 1,)` |
    | `tokens` | all of texts but `answer`, `generate`, `tag`, `fill_mask` | as `serving_default` |
    | `embed` | all of texts but `answer`, `generate`, `prompt`, `tag`, `fill_mask` | `embedding`: float32 `(batch, hidden)`, what the head reads |

    `classify` and `regress` take `inputs`: serialised `tf.Example`s with the string features `text`
    and, for pairs, `text_pair`; `tokens` takes `token_ids`, `padding_mask` and `segment_ids`: int32
    `(batch, length)`.
    Low-rank matrices are merged into the weights.
    In `assets.extra`, `model_card.json` and `README.md`, a model card as the Hugging Face Hub reads
    it, describe the model, `requirements.md` lists what a server must have, and
    `tf_serving_warmup_requests` holds what TensorFlow Serving asks a version before it becomes
    available.

    The other formats hold models of texts for the tasks `classify`, `label`, `regress` and `embed`:
    `model.onnx` for ONNX Runtime, `model.xml` and `model.bin` for OpenVINO, `model.tflite` for
    LiteRT. They give `probabilities`, `value` or `values`, or `embedding`, and take what `tokens`
    takes, of any batch and of any length up to the model's; beside them is what makes ids of texts,
    `tokenizer.json` or the SavedModel `tokenizer`. Of OpenVINO they take `text` where a model reads
    one text a row, by word pieces or words. `model_card.json` is where SavedModels have it. Before
    it is published, the export answers the warm-up texts in its own runtime, within 1e-4 of the
    model's answers (of those above 1, relative).

    Args:
        model: a model of `build_model`, or loaded from a `.keras` file.
        directory: the folder that holds the versions; it is made if it is missing.
        version: a whole number, at least 1. Defaults to one more than the highest there is.
        warmup: texts like those that will be asked, or pairs as `predict` takes them, for the
            warm-up requests: up to 8 of them, of different lengths, are stored with the model. By
            default four texts of the package, of 5 to 500 words, since the training texts may not
            be for everybody who gets the model. `[]` stores none. With `optimize="int8"` the ranges
            of numbers are found on up to 256 of them.
        allow_changes: whether the newest version in `directory` may be of another task, have other
            names (of classes, labels or numbers) or inputs, or a signature that the model lacks. A
            server puts the new version in its place.
        optimize: `"int8"` multiplies whole numbers of 8 bits in the transformer, for servers with
            x86 processors: up to twice as fast there, on a third of the disk. Answers move a
            little; the model card says how far on `warmup`, and `evaluate` of the version what that
            costs. None, the default, leaves the numbers as they were trained.
        format: `"saved_model"`, `"onnx"`, `"openvino"` or `"litert"`. The others need packages:
            `pip install "keras-seqzoo[onnx]"`, and so on.
        report: what `evaluate` returned, or figures by name, for the model cards.

    Returns:
        The path `directory/version`. Of several workers the chief alone writes; the others return
        `directory`.

    Raises:
        FileExistsError: the version exists; it is left as it was.
        OSError: `directory` cannot be written to, or the disk is full; nothing is left behind.
        TypeError: not a model of this package, no report, or `warmup` holds something else than strings, or
            pairs of them for a model of pairs.
        ValueError: `version` is not a whole number of at least 1, the newest version there answers
            otherwise (see `allow_changes`), `optimize` is unknown or not for the model or the
            `format`, or the audit failed (`AuditError`): nothing was published. Of the other
            formats also: the task is not for it, packages are missing, or the runtime cannot run
            the model or answers otherwise.

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
            with _TRACING:  # the model's parts are changed for the while
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
    """Makes a folder, and returns the folders that were missing, the innermost first."""
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
    """A folder beside the versions for one that is not yet whole."""
    folder = directory / f"{_UNFINISHED}{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(directory: Path) -> None:
    """Removes what exports have left that were killed."""
    for left in directory.glob(f"{_UNFINISHED}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _warn_of_chance(model: TextModel) -> None:
    """Warns where the last layer has never moved: its biases begin as zeros."""
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
    """Returns a model whose low-rank matrices are added to its weights; others as they are.

    A `TransformerEncoder` keeps them beside its weights, where they cost next to nothing.
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
    if gained:  # of the kernels the whole numbers alone
        used = {v.ref(): v for function in signatures.values() for v in function.variables}
        module.weights = list(used.values())
    module.resources = list(model.resources)
    # It would tell of the unfinished folder, which is gone when that is read.
    with logging_from(logging.WARNING):
        # Gradients of our own would be functions that a server reads and prepares for nothing.
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
    """Traces a model's signatures, each of which checks the shapes of what it is given.

    A server feeds whatever a client sent: TensorFlow's C++ does not hold it to a signature's
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
    """Makes an encoder one function that signatures call: a server reads it once, not in each."""
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
