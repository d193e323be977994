"""What `mkdocs build` adds to the pages that are written by hand.

`<!-- made: NAME -->` in a page is replaced by a part that `generated.py` makes from the code. Files
of the repository that a page links to, such as an example or a table of results, become pages
under `repository/`.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
# Files of the repository that have a place of their own in the site.
PLACES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
CODE = {".py": "python", ".yaml": "yaml", ".sbatch": "bash", ".csv": "", ".txt": ""}
MADE = re.compile(r"^<!-- made: (\w+) -->$", re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_files(files: Any, config: Any) -> Any:
    """Adds the files of the repository that pages link to, as pages."""
    todo = [*PLACES, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    seen: set[str] = set(todo)
    while todo:
        path = todo.pop()
        if not path.startswith("docs/"):
            files.append(_page_of(path, config))
        if path.endswith(".md"):
            found = {target for target in _links(path) if not target.startswith("docs/")} - seen
            seen |= found
            todo += sorted(found)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Puts the generated parts in, and points links to files of the repository at their pages."""
    markdown = re.sub(MADE, lambda found: _made(found[1]), markdown)
    here = _repository_path(page.file.src_uri)

    def moved(found: re.Match[str]) -> str:
        target = _target(here, found["path"])
        if target is None:
            return found[0]
        uri = posixpath.relpath(_site_path(target), posixpath.dirname(page.file.src_uri) or ".")
        return uri + (found["anchor"] or "")

    return re.sub(LINK, moved, markdown)


def _made(name: str) -> str:
    """A part of a page that the code writes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
    try:
        import generated
    finally:
        del sys.path[:2]
    made: str = generated.PARTS[name]()
    return made


def _page_of(path: str, config: Any) -> File:
    """A file of the repository as a page, or as it is where it is no text."""
    source = ROOT / path
    if path.endswith(".md"):
        return File.generated(config, _site_path(path), content=source.read_text("utf-8"))
    if source.suffix not in CODE:
        return File.generated(config, _site_path(path), abs_src_path=str(source))
    text = source.read_text("utf-8")
    title = f"---\ntitle: {source.name}\n---\n\n# `{path}`\n\n"
    return File.generated(
        config, _site_path(path), content=f"{title}````{CODE[source.suffix]}\n{text}````\n"
    )


def _links(path: str) -> Iterator[str]:
    """What a document of the repository links to in the repository."""
    for found in re.finditer(LINK, (ROOT / path).read_text("utf-8")):
        target = _target(path, found["path"])
        if target is not None:
            yield target


def _target(path: str, link: str) -> str | None:
    """The file of the repository that a link of `path` means; None where there is none."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    if (ROOT / target).is_dir():
        target = f"{target}/README.md"
    return target if not target.startswith("..") and (ROOT / target).is_file() else None


def _site_path(path: str) -> str:
    """Where in the site a file of the repository is."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path == "README.md":
        return "index.md"
    if path in PLACES:
        return PLACES[path]
    return f"repository/{path}" + (".md" if Path(path).suffix in CODE else "")


def _repository_path(uri: str) -> str:
    """Where in the repository a page of the site is."""
    for path, place in PLACES.items():
        if uri == place:
            return path
    if not uri.startswith("repository/"):
        return f"docs/{uri}"
    path = uri.removeprefix("repository/")
    return path if (ROOT / path).exists() else path.removesuffix(".md")
