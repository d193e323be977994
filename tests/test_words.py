"""Messages are in plain English: words that CONTRIBUTING has us avoid are in none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "keras_seqzoo"
# TensorFlow Serving's own words, to the letter.
COPIED = ROOT / "serving" / "server"
# Calls that show what they are given: warnings, lines and help of the command line.
SHOWN = {"warn", "say", "problem", "echo", "Option", "Argument", "option", "_table", "_series"}
AVOIDED = {
    r"can not": "cannot",
    r"mend": "fix",
    r"anew": "again",
    r"put right|puts right": "fix",
    r"ha(?:s|ve) not(?= (?:a|an|any|the)\b|[.,;:])": "does not have, has no",
    r"(?:is|are) told|tells?": "says, lists, or who says what",
    r"(?:goes|go|going) on": "continues",
    r"begins? without": "start without",
    r"whoever|somebody|nobody": "you, or who it is",
    r"what there is": "name it",
    r"is to be|are to be": "must be",
    r"alike|likewise": "same, like",
    r"goes astray|went astray": "diverged",
    r"no numbers": "not numbers",
    r"a row a|a text a|a class a|a line a": "for each",
    r"too sure of": "overconfident",
}


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """What a module shows to users: line and text."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        is_raised = isinstance(node, ast.Raise)
        called = node.func if isinstance(node, ast.Call) else None
        if is_raised or getattr(called, "id", getattr(called, "attr", "")) in SHOWN:
            parts = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
            yield node.lineno, "".join(part for part in parts if isinstance(part, str))


def test_messages_have_no_word_that_we_avoid() -> None:
    count, found = 0, []
    for path in sorted(ROOT.rglob("*.py")):
        for line, message in messages(path) if COPIED not in path.parents else ():
            count += 1
            found += [
                f"{path.relative_to(ROOT.parent)}:{line}: {avoided!r}, better {better!r}: {message}"
                for avoided, better in AVOIDED.items()
                if re.search(rf"\b(?:{avoided})\b", message)
            ]
    assert count > 500
    assert not found, "\n".join(found)
