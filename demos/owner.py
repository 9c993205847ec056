"""Whether a visitor sits at the machine that serves the page: only such a one may fill its disk."""

from __future__ import annotations

from urllib.parse import urlsplit

import gradio as gr

from models import zerogpu

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def at_home(request: gr.Request) -> bool:
    """Whether the page is served to this machine alone, and asked for from it, through no relay or proxy.

    The page that a request came from counts too: another site may make a browser post to this machine.
    """
    raw = request.request
    if zerogpu.on_space() or raw is None or raw.client is None:
        return False
    page = raw.app.get_blocks()
    headers = raw.headers
    if page.share or any(name.startswith(("x-forwarded", "forwarded")) for name in headers):
        return False
    named = [raw.client.host, page.server_name, _host(headers.get("host", ""))]
    named += [_host(headers["origin"])] if "origin" in headers else []
    return all(name in LOOPBACK for name in named)


def _host(address: str) -> str:
    """The host of "127.0.0.1:7860" or "http://localhost"; "" for what is none."""
    try:
        return urlsplit(address if "//" in address else f"//{address}").hostname or ""
    except ValueError:
        return ""
