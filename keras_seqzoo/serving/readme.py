"""`README.md` of a model: a model card for the Hugging Face Hub, with the test's figures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_seqzoo.features import FEATURES
from keras_seqzoo.names import shown_names
from keras_seqzoo.serving.versions import SAVED_MODEL
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.base import Task

KERAS = "keras"  # the format of a `.keras` file

# The Hub's names of our tasks of texts.
_PIPELINES = {
    "classify": "text-classification",
    "label": "text-classification",
    "regress": "text-classification",
    "prompt": "text-classification",
    "tag": "token-classification",
    "answer": "question-answering",
    "embed": "feature-extraction",
    "generate": "text-generation",
    "fill_mask": "fill-mask",
}
_LICENCES = ("apache-2.0", "mit")  # the Hub's names of licences in the zoo's cards
_HUB_SOURCE = re.compile(r"hf://([\w.-]+/[\w.-]+)")
_READS = {"text": "texts", "text_pair": "pairs of texts", "values": "windows of numbers in time"}


def figures_of(report: Any) -> dict[str, Any] | None:
    """A test for the model card: its `rows`, its `figures`, and 95 % `intervals` of some of them.

    Args:
        report: what `evaluate` returned; or figures by name, such as those that Keras's `evaluate`
            returns with `return_dict=True` or `train` writes as `test`; None for no test.

    Raises:
        TypeError: something else.
    """
    if report is None:
        return None
    if hasattr(report, "figures") and hasattr(report, "intervals"):
        given = {"rows": len(report.labels), **report.figures, "intervals": report.intervals}
    elif isinstance(report, Mapping):
        given = dict(report)
    else:
        raise TypeError(
            "`report` must be what evaluate(model, table) returns, or a mapping of figures by "
            f"name. Leave it out if there is none. Received: {type(report).__name__}"
        )
    rows, intervals = given.pop("rows", None), given.pop("intervals", None)
    intervals = intervals if isinstance(intervals, Mapping) else {}
    numbers = {k: v for k, v in given.items() if isinstance(v, (int, float, np.number))}
    figures = {k: float(v) for k, v in numbers.items() if np.isfinite(v)}
    return {
        "rows": rows if isinstance(rows, int) else None,
        "figures": figures,
        "intervals": {k: [*map(float, v)] for k, v in intervals.items() if k in figures},
    }


def readme(card: Mapping[str, Any], name: str) -> str:
    """Returns a model card: metadata of the Hugging Face Hub in YAML, and Markdown for readers.

    Args:
        card: the content of `model_card.json`; for a `.keras` file, its `facts`.
        name: name of the model: of its folder, or of its repository.
    """
    task = task_from_dict(card["task"])
    parts = [
        f"---\n{_metadata(card, task, name)}\n---\n",
        f"# {name}",
        _what(card, task),
        "## How to ask it",
        *_HOW.get(card["format"], _of_other_runtimes)(card, name, card["example"]),
        "## How good it is",
        _figures(card, task),
        "## How it was made",
        _making(card),
        "## Limits",
        _limits(card, task),
        "## Versions",
        ", ".join(f"{k} {v}" for k, v in card["written_with"].items()) + f"; {card['exported']}",
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _metadata(card: Mapping[str, Any], task: Task, name: str) -> str:
    # A heavy import, not needed to list models; it does not use the network.
    from huggingface_hub import EvalResult, ModelCardData

    pipeline = _PIPELINES.get(task.name) if "values" not in card["inputs"] else None
    if task.name == "forecast":
        pipeline = "time-series-forecasting"
    test = card.get("test") or {}
    titles = _titles(task)
    results = [
        EvalResult(
            task_type=pipeline or "other",
            dataset_type="unknown",
            dataset_name="test rows",
            metric_type=figure,
            metric_value=value,
            metric_name=titles.get(figure, figure),
        )
        for figure, value in test.get("figures", {}).items()
    ]
    zoo_card = card.get("card") or {}
    licence = str(zoo_card.get("licence", "")).lower()
    # Pretrained weights have a licence; a model from scratch belongs to its trainer.
    is_known = card["source"] and zoo_card.get("source") in (
        card["source"],
        f"KerasHub: {card['source']}",
    )
    on_hub = _HUB_SOURCE.fullmatch(str(card["source"]))
    data = ModelCardData(
        library_name="keras_seqzoo",
        pipeline_tag=pipeline,
        tags=["keras", "tensorflow", card["format"].replace("_", "-"), task.name],
        license=licence if is_known and licence in _LICENCES else None,
        base_model=on_hub[1] if on_hub else None,
        model_name=name,
        eval_results=results or None,
    )
    if not results:
        data.model_name = None
    return str(data.to_yaml()).strip()


def _titles(task: Task) -> dict[str, str]:
    return {metric.name: metric.title for metric in task.metrics}


def _what(card: Mapping[str, Any], task: Task) -> str:
    described = (card.get("card") or {}).get("description")
    kind = f"`{card['model']}`{f' ({described})' if described else ''}"
    names = f"\n\nIts {task.noun}: {shown_names(task.names, 50)}." if task.names else ""
    return (
        f"A model of keras_seqzoo for the task `{task.name}`: {kind}, {card['parameters']:,} "
        f"parameters. It reads {_reads(card)}.{names}"
    )


def _reads(card: Mapping[str, Any]) -> str:
    return _READS.get([*card["inputs"]][-1], "texts, as the ids of their tokens")


def _fence(language: str, code: str) -> str:
    return f"```{language}\n{code}\n```"


def _of_saved_model(card: Mapping[str, Any], name: str, example: Mapping[str, Any]) -> list[str]:
    ops = card["serving"]["tensorflow_text_ops"]
    given = ", ".join(f"{k}=tf.constant({_python(v)})" for k, v in example.items())
    return [
        "In Python, with TensorFlow"
        + " and TensorFlow Text" * bool(ops)
        + " alone; `FOLDER` holds `saved_model.pb`:",
        _fence(
            "python",
            "import tensorflow as tf\n"
            + "import tensorflow_text  # operations of the graph\n" * bool(ops)
            + f'\nask = tf.saved_model.load("FOLDER").signatures["serving_default"]\nask({given})',
        ),
        f"Served by TensorFlow Serving as `{name}`:",
        _curl(name, example),
    ]


def _of_keras_file(card: Mapping[str, Any], name: str, example: Mapping[str, Any]) -> list[str]:
    trust = ", trust=True" if card["module_graph"] else ""
    [first, *others] = example.values()
    asked = _python([list(row) for row in zip(first, *others, strict=True)] if others else first)
    call = f"model.predict({asked}, as_frame=True)"
    if "values" in example:
        call = f"model.predict(np.array({_python(first)}), as_frame=True)"
    if card["task"]["name"] == "generate":
        call = f"model.generate({asked})"
    if card["task"]["name"] == "embed":
        call = f"model.predict({asked})"
    repository = card.get("repository", name)
    return [
        "In Python"
        + ("; the file holds a TensorFlow graph, which is a program:" if trust else ":"),
        _fence(
            "python",
            ("import numpy as np\n" if "np." in call else "")
            + f'import keras_seqzoo as sz\n\nmodel = sz.from_hub("{repository}"{trust})\n{call}',
        ),
        f'Exported, `sz.export_model(model, "saved_models/{name}")`, and served by TensorFlow '
        f"Serving as `{name}`:",
        _curl(name, example),
    ]


def _of_other_runtimes(card: Mapping[str, Any], name: str, example: Mapping[str, Any]) -> list[str]:
    artifact = card["artifact"]
    outputs = ", ".join(f"`{k}`: {v}" for k, v in artifact["outputs"].items())
    inputs = ", ".join(f"`{k}`: {v}" for k, v in artifact["inputs"].items())
    told = f"`{artifact['file']}` takes {inputs}; it returns {outputs}. {_RUNTIMES[card['format']]}"
    if artifact["tokenizer"] == "inside":
        return [told, _fence("python", _OPENVINO.format(_python(example["text"])))]
    if not artifact["tokenizer"].endswith(".json"):
        return [told, "The SavedModel `tokenizer` turns texts into these ids, with TensorFlow."]
    code = _IDS.format(_python(example["text"]), *FEATURES)
    return [told, "`tokenizer.json` turns texts into these ids:", _fence("python", code)]


_HOW = {SAVED_MODEL: _of_saved_model, KERAS: _of_keras_file}
_RUNTIMES = {
    "onnx": 'Run it with `onnxruntime.InferenceSession("model.onnx").run(None, inputs)`.',
    "openvino": 'Load it with `openvino.compile_model("model.xml", "CPU")`.',
    "litert": 'Load it with `ai_edge_litert.interpreter.Interpreter("model.tflite")`, and call its '
    "`get_signature_runner()`.",
}
_OPENVINO = """import numpy as np
import openvino
import openvino_tokenizers  # operations of the graph

ask = openvino.compile_model("model.xml", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
ask({{"text": np.array({})}})"""
_IDS = """import numpy as np
from tokenizers import Tokenizer

rows = Tokenizer.from_file("tokenizer.json").encode_batch({})
inputs = {{"{}": np.array([row.ids for row in rows], "int32"),
          "{}": np.array([row.attention_mask for row in rows], "int32"),
          "{}": np.array([row.type_ids for row in rows], "int32")}}"""


def _python(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _curl(name: str, example: Mapping[str, Any]) -> str:
    rows = [dict(zip(example, row, strict=True)) for row in zip(*example.values(), strict=True)]
    instances = [next(iter(row.values())) if len(row) == 1 else row for row in rows]
    body = _python({"instances": instances})
    return _fence("sh", f"curl -d '{body}' http://localhost:8501/v1/models/{name}:predict")


def _figures(card: Mapping[str, Any], task: Task) -> str:
    test = card.get("test")
    if not test or not test["figures"]:
        return "The card was written without test figures."
    titles = _titles(task)
    lower = {metric.name for metric in task.metrics if metric.lower_is_better}
    lines = ["| figure | value | 95 % interval |", "|---|---|---|"]
    for name, value in test["figures"].items():
        ends = test["intervals"].get(name)
        told = "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"
        title = titles.get(name, name) + " (lower is better)" * (name in lower)
        lines.append(f"| {title} | {value:.4f} | {told} |")
    rows = test["rows"]
    before = "Its test" if rows is None else f"Its test, {rows:,} rows"
    after = "\n\nIntervals come from draws of these rows." * bool(test["intervals"])
    if card.get("optimized"):
        after += (
            "\n\nThe figures are of the model before it was converted to 8-bit integers, which "
            f"changed numbers in its answers by up to "
            f"{card['optimized']['largest_difference']:.2g} on {card['optimized']['texts']} texts."
        )
    return f"{before}:\n\n" + "\n".join(lines) + after


def _making(card: Mapping[str, Any]) -> str:
    lines = []
    if card["source"]:
        lines.append(f"- Its weights started from {card['source']}.")
    if card.get("epochs"):
        lines.append(f"- Epochs of its last training: {card['epochs']}.")
    if card["vocabulary_size"]:
        lines.append(f"- It knows {card['vocabulary_size']:,} tokens ({card['preprocessor']}).")
    paper = (card.get("card") or {}).get("paper")
    if paper:
        lines.append(f"- Architecture: {paper}.")
    return "\n".join(lines) or "Not known."


def _limits(card: Mapping[str, Any], task: Task) -> str:
    lines = ["- Figures hold for rows like those of the test; others were not tested."]
    if "values" not in card["inputs"]:
        lines.append(
            f"- It reads at most {card['sequence_length']:,} tokens of a text; the rest is cut."
        )
    if task.name in ("classify", "prompt"):
        lines.append("- It always chooses one of its classes, even if none fits a text.")
    lines.append("- Biases of the training rows were not measured.")
    return "\n".join(lines)
