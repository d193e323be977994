"""Writes the README's tables of options, from the options themselves.

    python docs/make_tables.py

A table stands between `<!-- options: MODEL -->` and `<!-- end -->`, MODEL being one of its family,
or the name of a task for the options of its head.
"""

from __future__ import annotations

import re
from pathlib import Path

from keras_seqzoo.options import markdown_table, options_of
from keras_seqzoo.tasks import TASKS
from keras_seqzoo.zoo import find_model, head_options

README = Path(__file__).parents[1] / "README.md"


def with_tables(text: str) -> str:
    """Returns a document with its tables written anew."""

    def table(found: re.Match[str]) -> str:
        name = found["model"]
        options = head_options(name) if name in TASKS else options_of(find_model(name).builder)
        return f"{found['start']}\n\n{markdown_table(options.values())}\n<!-- end -->"

    pattern = r"(?P<start><!-- options: (?P<model>\w+) -->)\n.*?<!-- end -->"
    return re.sub(pattern, table, text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text("utf-8")), "utf-8")
