"""What all commands have in common: options given once, errors in the command's own words."""

from __future__ import annotations

import ast
import re
import shlex
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

from keras_seqzoo.cli.console import problem
from keras_seqzoo.options import options_of

BAD_INPUT, AGAIN = 2, 175

# Other workers that were lost, or have not come in time.
_TO_BE_REPEATED = (ConnectionAbortedError, TimeoutError)

# An argument of Python in a message: `name`, `name=value` or name=value.
_ARGUMENT = re.compile(
    r"""(?P<tick>`?)\b(?P<name>[a-z_]+)
        (?:=(?P<value>'[^']*'|"[^"]*"|\[[^][]*\]|\([^()]*\)|\{[^{}]*\}|-?\d+(?:\.\d+)?(?:e-?\d+)?
            |True|None|str|\.\.\.|…|))?
        (?P=tick)(?![\w=('"\[{])""",
    re.VERBOSE,
)
_PHRASES = (
    # What only Python can do.
    (r" ?(?:For|Pass label=None for) rows without labels(?: pass label=None)?\.", ""),
    (r"\bread (it|other JSON) with pandas and pass the DataFrame", r"write \1 as CSV"),
    (r" Read it alone with label=None\.", ""),
    (r", or pass (classes=|target=train\.target) for a part of a larger table", ""),
    (r", or the target of another table, such as train\.target", ""),
    (r"\b(table|parts)\.drop_duplicates\(\)", "--drop-duplicates"),
    (r"Pass frame(?:\[::-1\]|\.sort_values\(time\)), or", "Sort the rows, or pass"),
    (r", as with frame\.(?:groupby\(time\)\.mean\(\)|resample)", ""),
    (r" with\s+pandas\.to_datetime", ""),
    (r", or an? keras_hub\.samplers\.Sampler", ""),
    (r"; classes=\((.*?),?\)", r"; the classes are \1"),
    (r"Read the table with read_table\(…, classes=\w+\.classes\)\. ", ""),
)
_REPEATED = ("text", "label", "value")
_BY_NAME = ("precision", "recall")


class Command(TyperCommand):
    """A command that refuses an option given twice where it takes one value.

    Errors of bad input end it with a sentence on stderr and exit code 2, or 175 where it is to be
    started again; their arguments are named as the command's options.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments, of which each option that takes one value may be there once."""
        given = Counter(
            parameter.opts[0]
            for parameter in self.make_parser(ctx).parse_args(args=list(args))[2]
            if isinstance(parameter, TyperOption) and not parameter.multiple
        )
        for option, times in given.items():
            if times > 1:
                ctx.fail(
                    f"{option} can be given only once. Give it once. Received: {option} "
                    f"{times} times"
                )
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        options = {
            name.lstrip("-").replace("-", "_"): name
            for parameter in self.params
            if isinstance(parameter, TyperOption)
            for name in parameter.opts
            if name.startswith("--")
        }

        shown: set[str] = set()

        def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
            # A stream is read, and warned of, several times.
            if category is UserWarning and str(message) not in shown:
                shown.add(str(message))
                problem(f"Warning: {in_options(str(message), options)}")

        with warnings.catch_warnings():
            warnings.showwarning = show
            try:
                return super().invoke(ctx)
            except BrokenPipeError:
                raise
            except (ValueError, TypeError, OSError, ImportError) as error:
                problem(f"Error: {in_options(str(error), options)}")
                code = AGAIN if isinstance(error, _TO_BE_REPEATED) else BAD_INPUT
                raise typer.Exit(code) from error


def in_options(message: str, options: Mapping[str, str]) -> str:
    """Names the options of a command where a message names arguments of Python.

    Args:
        message: what the library says, such as `"Pass na='drop'."`.
        options: the command's options by argument, such as `{"na": "--na"}`; where `--read` is
            among them, other arguments of pandas become `--read NAME=VALUE`.
    """
    for pattern, words in _PHRASES:
        if not words.startswith("--") or words in options.values():
            message = re.sub(pattern, words, message)
    of_pandas = _arguments_of_pandas() if "read" in options else set()

    def replace(found: re.Match[str]) -> str:
        name, value, tick = found["name"], found["value"], found["tick"]
        if value is None and not tick:
            return found[0]
        if name in options:
            return _written(options[name], name, value)
        if name in of_pandas and value is not None:
            return f"--read {name}={_plain(value)}"
        return found[0]

    return _ARGUMENT.sub(replace, message)


def _written(option: str, name: str, value: str | None) -> str:
    # A flag takes no value.
    if not value or value == "True":
        return option
    if name in _REPEATED and value[0] in "[(":
        items = ast.literal_eval(value)
        if name == "text" and value[0] == "[":  # joined
            items = [items]
        return " ".join(f"{option} {shlex.quote(_listed(item))}" for item in items)
    if name in _BY_NAME and value[0] == "{":
        pairs = ast.literal_eval(value).items()
        return " ".join(f"{option} {shlex.quote(f'{key}={given}')}" for key, given in pairs)
    return f"{option} {_plain(value)}"


def _listed(item: Any) -> str:
    return ",".join(map(str, item)) if isinstance(item, list) else str(item)


def _plain(value: str) -> str:
    """A value of Python as one types it in a shell."""
    if value in ("...", "…", "[...]"):
        return "…"
    if value[:1] in ("'", '"'):
        return shlex.quote(value[1:-1])
    if value[:1] in ("(", "{"):
        return shlex.quote(value) if set(value) & set('"$`\\') else f'"{value}"'
    return value.strip("[]").replace("'", "").replace(", ", ",")


def _arguments_of_pandas() -> set[str]:
    # Whatever a message is about, a table was read.
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return set()
    readers = (pandas.read_csv, pandas.read_json, pandas.read_excel)
    return {name for reader in readers for name in options_of(reader)}
