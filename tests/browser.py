"""Headless Chromium at the playground of a server that runs in a thread."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import uvicorn
from starlette.responses import HTMLResponse

from keras_seqzoo.pages.playground import playground_page
from keras_seqzoo.serving.server.app import Limits, create_app
from keras_seqzoo.serving.server.store import ModelStore

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Waits until a condition holds, in the page.
_UNTIL = """
const until = async (holds) => {
  while (!holds()) await new Promise((next) => setTimeout(next, 20));
};
"""


def driven_page(script: str) -> HTMLResponse:
    """Returns the playground with a script of ours at its end, which its policy allows, too."""
    script = f"{_UNTIL}(async () => {{ {script} }})();"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = playground_page()
    policy = page.headers["content-security-policy"]
    policy = policy.replace("script-src ", f"script-src 'sha256-{digest}' ")
    html = bytes(page.body).decode().replace("</body>", f"<script>{script}</script></body>")
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


@contextmanager
def served(store: ModelStore, page: HTMLResponse, limits: Limits | None = None) -> Iterator[str]:
    """Serves a store's models and a page; gives the server's address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        app = create_app(store, limits, page=page)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


def visit(url: str, *flags: str) -> str:
    """Opens a page in Chromium; returns what it then is, as HTML, where `--dump-dom` is given."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += ["--virtual-time-budget=10000", f"--user-data-dir={profile}", *flags, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout
