"""Exports for other runtimes: ONNX Runtime, OpenVINO and LiteRT.

An export answers with the same numbers as the SavedModel's `serving_default`. With OpenVINO it
takes texts if OpenVINO has the operations. Others take the inputs of the signature `tokens`;
`tokenizer_files` writes the tokenizer that turns texts into these ids.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_seqzoo.features import FEATURES
from keras_seqzoo.files import settle
from keras_seqzoo.layers.recurrent import portable
from keras_seqzoo.quiet import logging_from
from keras_seqzoo.serving import warmup
from keras_seqzoo.serving.card import facts
from keras_seqzoo.serving.card import write as write_card
from keras_seqzoo.serving.openvino_tokenizer import openvino_core, openvino_tokenizer
from keras_seqzoo.serving.session import first_line
from keras_seqzoo.serving.tokenizer_files import write_tokenizer
from keras_seqzoo.serving.versions import SAVED_MODEL
from keras_seqzoo.tasks.model import TextModel

TASKS = ("classify", "label", "regress", "embed")
_NUMBERS = ("probabilities", "value", "values", "embedding")
_MOST = 1e-4  # most that answers may differ from the model's; relative for those above 1
_OPSET = 18  # of ONNX; runtimes of 2023 and later support it
_SPECS = [tf.TensorSpec([None, None], tf.int32, name) for name in FEATURES]

Ask = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


class _Format(NamedTuple):
    """A format: its file, its packages by module, and the functions that write and run it."""

    file: str
    packages: Mapping[str, str]
    write: Callable[[Any, Path, Path, Any], None]
    load: Callable[[Path], Ask]
    padded: bool = False  # whether it lacks the operations to skip padding


def check_format(model: TextModel, format: str) -> None:
    """Raises an error if a model cannot be exported in a format, before anything is written.

    Args:
        model: the model.
        format: `"saved_model"`, `"onnx"`, `"openvino"` or `"litert"`.

    Raises:
        ValueError: an unknown format, a task or input that it does not support, or packages that
            are not installed.
    """
    names = (SAVED_MODEL, *_FORMATS)
    if format not in names:
        raise ValueError(f"`format` must be one of {names}. Received: format={format!r}")
    if format == SAVED_MODEL:
        return
    if model.task.name not in TASKS or "text" not in model.served_inputs:
        raise ValueError(
            f"Formats other than {SAVED_MODEL} are for models of texts with one of the tasks "
            f"{', '.join(TASKS)}. Leave `format` out. Received: format={format!r}, a model of the "
            f"task {model.task.name} of {' and '.join(model.served_inputs)}"
        )
    missing = [name for module, name in _FORMATS[format].packages.items() if not find_spec(module)]
    if missing:
        raise ValueError(
            "Writing and checking this format needs packages that are not installed. Run pip "
            f'install "keras-seqzoo[{format}]". '
            f"Received: format={format!r}, no {' and no '.join(missing)}"
        )


def inputs_of(model: TextModel, format: str) -> tuple[str, ...]:
    """The inputs of an export.

    Args:
        model: the model.
        format: a format that `check_format` accepts.
    """
    takes_texts = format == SAVED_MODEL or _tokenizer_inside(model, format) is not None
    return tuple(model.served_inputs if takes_texts else FEATURES)


def _tokenizer_inside(model: TextModel, format: str) -> Any:
    return openvino_tokenizer(model.preprocessor) if format == "openvino" else None


def write_artifact(
    model: TextModel,
    path: Path,
    format: str,
    rows: Sequence[tuple[str, ...]],
    name: str = "model",
    test: Any = None,
) -> None:
    """Writes a model, its tokenizer and its card to a folder, and tests it in its own runtime.

    Args:
        model: the model, with merged low-rank matrices.
        path: the folder, which is empty.
        format: a format that `check_format` accepts.
        rows: texts for the test, as `warmup.choose` returns them; if empty, the package's own.
        name: name of the model, for its card.
        test: what `figures_of` returned, for its card.

    Raises:
        ValueError: the format cannot hold the model, or its runtime returns different answers.
    """
    kind, tokenizer = _FORMATS[format], _tokenizer_inside(model, format)
    function = model.serving_functions()["tokens"].function
    try:
        graph = portable(model.encoder, plain=True, padded=kind.padded)
        with graph, tempfile.TemporaryDirectory() as folder:
            numbers = _save(model, function, folder)
            kind.write(numbers, Path(folder), path / kind.file, tokenizer)
        ask, rows = kind.load(path / kind.file), rows or warmup.choose(None, model.pair)
        differs_by = _differs_by(ask, function, model, rows, tokenizer is not None)
    except OSError:
        raise
    except Exception as error:  # each library has its own errors
        raise ValueError(
            f"This model cannot be written as {format}, or its runtime cannot run it. Nothing was "
            f"published. Leave `format` out. Received: format={format!r}, {model.name}: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    if not differs_by <= _MOST:
        raise ValueError(
            f"The answers in {format} must be within {_MOST:g} of the model's. Nothing was "
            f"published. Leave `format` out. Received: format={format!r}, {model.name}, whose "
            f"answers differ by {differs_by:.2g}"
        )
    inputs = dict.fromkeys(FEATURES, "int32 (batch, length)")
    if tokenizer is not None:
        inputs = {"text": "string (batch)"}
    outputs = {
        name: f"float32 ({', '.join(str(size or 'batch') for size in spec.shape)})"
        for name, spec in numbers.get_concrete_function().structured_outputs.items()
    }
    artifact = {
        "file": kind.file,
        "inputs": inputs,
        "outputs": outputs,
        "tokenizer": write_tokenizer(model, path) if tokenizer is None else "inside",
        "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        "checked_in": {name: version(name) for name in kind.packages.values()},
        "differs_by": differs_by,
    }
    card = {**facts(model, format, tuple(inputs), test), "artifact": artifact}
    write_card(card, path, name)
    settle(path, durable=True)


def _save(model: TextModel, tokens: Callable[..., Mapping[str, Any]], folder: str) -> Any:
    """Saves the source of an export, without tables of words, and returns it as a function."""

    @tf.function(input_signature=_SPECS, autograph=False)
    def numbers(token_ids: Any, padding_mask: Any, segment_ids: Any) -> dict[str, tf.Tensor]:
        features = dict(zip(FEATURES, (token_ids, padding_mask, segment_ids), strict=True))
        return {name: v for name, v in tokens(**features).items() if name in _NUMBERS}

    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]
    with logging_from(logging.WARNING):
        tf.saved_model.save(module, folder, signatures=numbers.get_concrete_function())
    return numbers


def _differs_by(
    ask: Ask,
    function: Callable[..., Any],
    model: TextModel,
    rows: Sequence[tuple[str, ...]],
    by_text: bool,
) -> float:
    """The largest difference of answers: to single rows, all rows, and two empty rows."""
    most = 0.0
    nothing = ("",) * len(rows[0])
    for batch in [*([row] for row in rows), rows, [nothing] * 2]:
        features = model.read_served(model.samples(batch))
        wanted = function(**features)
        inputs = {name: value.numpy() for name, value in features.items()}
        if by_text:
            inputs = {"text": np.array([text for (text,) in batch])}
        for name, found in ask(inputs).items():
            right = wanted[name].numpy()
            differ = np.abs(found - right) / np.maximum(1.0, np.abs(right))
            most = float(np.maximum(most, differ.max()))  # keeps NaN
    return most


def _write_onnx(function: Any, folder: Path, file: Path, tokenizer: None) -> None:
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    patch_tf2onnx()  # for NumPy 2
    with logging_from(logging.ERROR):
        tf2onnx.convert.from_function(
            function,
            _SPECS,
            opset=_OPSET,
            custom_op_handlers={"Erfc": (_write_erfc, [])},
            output_path=str(file),
        )


def _write_erfc(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Writes `Erfc`, which the exact GELU uses and ONNX lacks, as 1 - erf."""
    inputs, outputs, shapes, dtypes = (
        node.input,
        node.output,
        node.output_shapes,
        node.output_dtypes,
    )
    graph.remove_node(name)
    one = graph.make_const(f"{name}_one", np.float32(1))
    erf = graph.make_node("Erf", inputs, shapes=shapes, dtypes=dtypes)
    graph.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=outputs, shapes=shapes, dtypes=dtypes
    )


def _load_onnx(file: Path) -> Ask:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _write_openvino(function: Any, folder: Path, file: Path, tokenizer: Any) -> None:
    import openvino
    from openvino_tokenizers import connect_models

    graph = openvino_core().read_model(folder)  # `convert_model` would report its use to Intel
    if tokenizer is not None:
        graph = connect_models(tokenizer, graph, {name: name for name in FEATURES})
    openvino.save_model(graph, file, compress_to_fp16=False)


def _load_openvino(file: Path) -> Ask:
    import openvino_tokenizers  # noqa: F401 - the graph may hold its operations

    # Without this hint it computes with 16 bits if the processor can.
    compiled = openvino_core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda inputs: {
        output.get_any_name(): value for output, value in compiled(dict(inputs)).items()
    }


def _write_litert(function: Any, folder: Path, file: Path, tokenizer: None) -> None:
    file.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())


def _load_litert(file: Path) -> Ask:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(file)).get_signature_runner()
    return lambda inputs: runner(**inputs)


_FORMATS = {
    "onnx": _Format(
        "model.onnx",
        {"tf2onnx": "tf2onnx", "onnxruntime": "onnxruntime"},
        _write_onnx,
        _load_onnx,
    ),
    "openvino": _Format(
        "model.xml",
        {"openvino": "openvino", "openvino_tokenizers": "openvino-tokenizers"},
        _write_openvino,
        _load_openvino,
    ),
    "litert": _Format(
        "model.tflite",
        {"ai_edge_litert": "ai-edge-litert"},
        _write_litert,
        _load_litert,
        padded=True,
    ),
}
