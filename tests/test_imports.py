"""What the package imports when a module of it is imported."""

from __future__ import annotations

import ast
from pathlib import Path

import keras_seqzoo

NOT_ON_WINDOWS = {"fcntl", "grp", "pwd", "resource", "termios", "tty", "tensorflow_text"}


def _imported_at_the_top(path: Path) -> set[str]:
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_no_module_needs_what_windows_lacks() -> None:
    folder = Path(keras_seqzoo.__file__).parent
    modules = {path: _imported_at_the_top(path) for path in folder.rglob("*.py")}
    assert len(modules) > 200
    assert {
        p.name: names & NOT_ON_WINDOWS for p, names in modules.items() if names & NOT_ON_WINDOWS
    } == {}
