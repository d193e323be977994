"""The parts of the reference that are made from the code when the site is built."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import keras_seqzoo as sz
from keras_seqzoo.encoders.registry import MODELS
from keras_seqzoo.options import markdown_table, options_of
from keras_seqzoo.tasks import TASKS
from keras_seqzoo.zoo import find_model, head_options

# The part of the package that a public name is from, and its heading; in the order of a project.
HEADINGS = {
    "data": "Reading data",
    "zoo": "Building models",
    "batches": "Training",
    "training": "Training",
    "estimator": "scikit-learn",
    "reports": "Evaluating and deciding",
    "evaluation": "Evaluating and deciding",
    "comparison": "Comparing",
    "explanation": "Explaining",
    "distillation": "Distillation",
    "tasks": "Vectors",
    "serving": "Export, serving and sharing",
    "tracking": "Export, serving and sharing",
}


def python() -> str:
    """Every public name, by what it is for."""
    sections: dict[str, list[str]] = {heading: [] for heading in HEADINGS.values()}
    for name in sz.__all__:
        if name != "__version__":
            module = importlib.import_module("keras_seqzoo")._homes.get(name, "zoo")
            sections[HEADINGS[module.split(".")[0]]].append(name)
    parts = []
    for heading, members in sections.items():
        first = sorted(members, key=lambda name: (name[0].isupper(), name))
        parts += [f"## {heading}", *(f"::: keras_seqzoo.{name}" for name in first)]
    return "\n\n".join(parts)


def _commands() -> Iterator[tuple[str, Any]]:
    from typer.main import get_command

    from keras_seqzoo.cli.main import app

    group: Any = get_command(app)
    yield from group.commands.items()


def commands() -> str:
    """Every command with its arguments and options."""
    parts = []
    for name, command in _commands():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        shown = " ".join(_usage(p) for p in arguments)
        parts += [f"## {name}", f"```text\nkeras-seqzoo {name} {shown} [options]\n```"]
        parts.append(_plain(command.help.split("\f")[0]))
        rows = [f"| `{_usage(p)}` | {_cell(getattr(p, 'help', '') or '')} | |" for p in arguments]
        rows += [
            f"| {_names(p)} | {_cell(p.help or '')} | {_default(p)} |"
            for p in command.params
            if p.param_type_name == "option" and not getattr(p, "hidden", False)
        ]
        parts.append("\n".join(["| option | meaning | default |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _usage(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    name = name.strip("[]").removesuffix("...")
    return (name if parameter.required else f"[{name}]") + ("…" if parameter.nargs == -1 else "")


def _names(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    kind = "" if parameter.is_bool_flag else f" {_kind(parameter)}"
    return names + kind + (" (repeatable)" if parameter.multiple else "")


def _kind(parameter: Any) -> str:
    """What an option takes, such as `PATH`."""
    if parameter.metavar:
        return f"`{parameter.metavar}`"
    annotation = str(parameter.type_descriptor.annotation)
    kinds = {"Path": "PATH", "int": "N", "float": "X"}
    return f"`{next((k for name, k in kinds.items() if name in annotation), 'TEXT')}`"


def _default(parameter: Any) -> str:
    default = parameter.default
    if callable(default) or default in (None, False, "", [], ()):
        return ""
    return f"`{default}`"


def _plain(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")).replace("<", "&lt;")


def _cell(text: str) -> str:
    return _plain(text).replace("\n\n", " ").replace("|", "\\|")


def models() -> str:
    """A row for each registered model."""
    rows = ["| name | architecture | parameters | weights | licence |", "|---|---|---|---|---|"]
    for name in sz.list_models():
        card = sz.model_card(name)
        rows.append(
            f"| `{name}` | {_cell(card.description)} | {card.parameters:,} | "
            f"{_cell(card.source)} | {_cell(card.licence)} |"
        )
    return "\n".join(rows)


def options() -> str:
    """The options of each family of encoders, and those that a name changes."""
    families: dict[Any, list[str]] = {}
    for name, model in MODELS.items():
        families.setdefault(model.builder, []).append(name)
    parts = []
    for builder, names in families.items():
        family = sz.model_card(names[0]).family
        named = ", ".join(f"`{name}`" for name in names)
        told = options_of(builder)
        shown = [option for name, option in told.items() if name in find_model(names[0]).options]
        parts += [f"### {family[0].upper()}{family[1:]}", f"{named}.", markdown_table(shown)]
    return "\n\n".join(parts)


def heads() -> str:
    """The options of each task's head."""
    parts = []
    for name in TASKS:
        found = head_options(name)
        table = markdown_table(found.values()) if found else "No options."
        parts += [f"### Task `{name}`", table]
    return "\n\n".join(parts)


def signatures() -> str:
    """The signatures of an export of each task, as a tiny model has them."""
    rows = [
        "| task | signature | inputs | outputs |",
        "|---|---|---|---|",
    ]
    for task, model in _tiny_models():
        for name, (inputs, outputs) in _specs(model).items():
            rows.append(f"| {task} | `{name}` | {inputs} | {outputs} |")
    return "\n".join(rows)


def _specs(model: Any) -> dict[str, tuple[str, str]]:
    """Inputs and outputs of each signature, with their types and shapes."""
    import tensorflow as tf

    found = {}
    for name, signature in model.serving_functions().items():
        given = {
            key: tf.TensorSpec(spec.shape, spec.dtype, name=key)
            for key, spec in signature.inputs.items()
        }
        traced = tf.function(signature.function).get_concrete_function(**given)
        found[name] = (_shapes(given), _shapes(traced.structured_outputs))
    return found


def _shapes(tensors: Any) -> str:
    told = []
    for name, tensor in tensors.items():
        shape = ", ".join("…" if size is None else str(size) for size in tensor.shape)
        shape = f"({shape},)" if len(tensor.shape) == 1 else f"({shape})"
        told.append(f"`{name}` {tensor.dtype.name} {shape}")
    return "<br>".join(told)


def _tiny_models() -> Iterator[tuple[str, Any]]:
    """An untrained model of each task, of two classes, labels or numbers."""
    import keras
    import numpy as np
    import pandas as pd
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # so many small models are traced anew, as they should be
    keras.utils.set_random_seed(0)
    texts = ["a good film", "a bad film"] * 4
    tables: dict[str, Any] = {
        "`classify`": sz.TextTable.from_texts(texts, ["yes", "no"] * 4),
        "`classify`, pairs": sz.TextTable.from_texts(
            list(zip(texts, texts[::-1], strict=True)), ["yes", "no"] * 4
        ),
        "`label`": sz.TextTable.from_texts(texts, [["a", "b"], []] * 4),
        "`regress`": sz.TextTable.from_texts(texts, range(8), target="number"),
        "`regress`, two numbers": sz.TextTable.from_texts(
            texts, np.arange(16.0).reshape(8, 2), target="number"
        ),
        "`tag`": sz.TextTable.from_texts(texts[:1], [[(2, 6, "good")]], target="tags"),
        "`answer`": sz.TextTable.from_texts(
            (["what ?"], ["a good film"]), ["good"], target="answer"
        ),
    }
    small = {"units": 4, "embedding_dim": 8}
    for task, table in tables.items():
        yield task, sz.build_model("gru", table, **small)
    prices = pd.DataFrame({"Date": range(40), "Close": np.sin(np.arange(40.0)) + 5})
    series = sz.read_series(prices, window=8, horizon=2)
    yield "`forecast` (window 8, horizon 2)", sz.build_model("gru", series, units=4)
    yield "`embed`", sz.build_model("gru", texts, task="embed", **small)
    yield "`generate`", sz.build_model("gru", texts, task="generate", vocabulary_size=300, **small)
    tiny = {**sz.model_card("bert_base").tiny, "weights": None}
    yield "`fill_mask`", sz.build_model("bert_base", texts, task="fill_mask", **tiny)


PARTS: dict[str, Callable[[], str]] = {
    "python": python,
    "commands": commands,
    "models": models,
    "options": options,
    "heads": heads,
    "signatures": signatures,
}
