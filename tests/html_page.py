"""Pages as a browser sees them, and names that would break them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

NASTY = (
    "<script>alert(1)</script>",
    "\"quoted\" & 'single'",
    "emoji 😀",
    "عربي",
    "a" * 90,
    "$x^2$ {{ 7*7 }}",
)


class Page(HTMLParser):
    """What a browser would see: elements, text, and whether tags are nested well."""

    VOID = frozenset({"meta", "br", "hr", "img", "input", "link", "wbr"})

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self.open, self.unbalanced = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", "".join(self.text))

    def ids(self):
        return [attrs["id"] for _, attrs in self.elements if "id" in attrs]
