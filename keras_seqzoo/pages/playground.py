"""`playground_page`: the page on which people try the models of a server."""

from __future__ import annotations

import base64
import hashlib

from markupsafe import Markup
from starlette.responses import HTMLResponse

from keras_seqzoo.pages.page import template


def playground_page() -> HTMLResponse:
    """Makes the page: one file, the same for all models. It asks the server for the models.

    A browser runs only the page's own script, loads nothing else, contacts no other server, and
    does not show it inside other pages.
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
