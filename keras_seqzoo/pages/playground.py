"""`playground_page`: the page on which people try the models that a server serves."""

from __future__ import annotations

import base64
import hashlib

from markupsafe import Markup
from starlette.responses import HTMLResponse

from keras_seqzoo.pages.page import template


def playground_page() -> HTMLResponse:
    """Makes the page: one file, the same for all models, which it asks the server for.

    A browser runs nothing on it but its own script, loads nothing, asks no other server, and shows
    it in no other page.
    """
    style = "".join(template(name).render() for name in ("page.css", "playground.css"))
    script = template("playground.js").render()
    html = template("playground.html.j2").render(style=Markup(style), script=Markup(script))
    policy = (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(html, headers=headers)


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
