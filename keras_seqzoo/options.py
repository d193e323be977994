"""Options, defined once: checks, `--help`, `list NAME` and tables in the documents use them.

The options of an encoder or a task are the fields of a frozen dataclass, each an `option`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any

from keras_seqzoo.checks import check_flag


@dataclass(frozen=True)
class Option:
    """The description of an option.

    Attributes:
        name: the keyword.
        types: names of the types that its values may have, such as `{"int", "None"}`.
        default: its value if it is not given.
        help: what it means, in one line.
        told: the default in words, if the value itself does not show it.
    """

    name: str
    types: frozenset[str]
    default: Any
    help: str = ""
    told: str = ""

    @property
    def shown(self) -> str:
        """The default as a table shows it; empty if there is none."""
        if self.told or self.default in (None, inspect.Parameter.empty, MISSING):
            return self.told
        is_number = isinstance(self.default, (int, float)) and not isinstance(self.default, bool)
        return f"{self.default:,}" if is_number else repr(self.default).replace("'", '"')


def option(default: Any, help: str, told: str = "") -> Any:
    """Makes a field of a dataclass of options.

    Args:
        default: the value if the option is not given.
        help: what it means, in one line.
        told: the default in words, if the value itself does not show it.
    """
    return field(default=default, metadata={"help": help, "told": told})


def options_of(source: Callable[..., Any]) -> dict[str, Option]:
    """Returns the options of a dataclass by name, or the arguments of a function.

    An argument without an annotation has the type of its default.
    """
    if isinstance(source, type) and is_dataclass(source):
        return {
            f.name: Option(f.name, _types(f.type), f.default, **f.metadata) for f in fields(source)
        }
    return {
        p.name: Option(
            p.name,
            _types(type(p.default) if p.annotation is p.empty else p.annotation),
            p.default,
        )
        for p in inspect.signature(source).parameters.values()
    }


def check_flags(options: Mapping[str, Option], given: Mapping[str, Any]) -> None:
    """Refuses values of a flag that would count as true, such as `"false"`.

    Raises:
        ValueError: names the first such option.
    """
    for name, value in given.items():
        kinds = options[name].types if name in options else frozenset()
        is_none = value is None and "None" in kinds
        if "bool" not in kinds or is_none or isinstance(value, bool):
            continue
        if kinds <= {"bool", "None"}:
            check_flag(**{name: value})
        # If lists are allowed too, as for `calibrate`, a string would be a list of letters. An
        # option that takes strings checks them itself.
        elif isinstance(value, (str, int, float)) and "str" not in kinds:
            raise ValueError(
                f"`{name}` must be True or False, or hold its values in a list. "
                f"Received: {name}={value!r}"
            )


def markdown_table(options: Iterable[Option]) -> str:
    """Returns a table for a document, with a row for each option."""
    rows = ["| option | default | |", "|---|---|---|"]
    for o in options:
        shown = f"`{o.shown}`" if o.shown[:1] in ('"', "T", "F") and not o.told else o.shown
        rows.append(f"| `{o.name}` | {shown} | {o.help} |")
    return "\n".join(rows) + "\n"


def _types(annotation: Any) -> frozenset[str]:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return frozenset(part.strip() for part in text.split("|"))
