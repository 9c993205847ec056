"""Who a visitor is to the history: the login name where the page is served with one, else a random key of his browser.

The key is a cookie that the server sets with the page. It comes back with every event, so that a run knows where its
result belongs; it is the same on all ports, so that a start on another one finds it; and no script of a page reads it.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import gradio as gr
from gradio.context import LocalContext

COOKIE = "easel-visitor"
KEY = re.compile(rf"(?:^|;) *{COOKIE}=([A-Za-z0-9_-]{{43}}) *(?:;|$)")  # 32 random bytes, among cookies of any form
SECONDS = 400 * 86400  # the longest that browsers keep one; each visit counts anew


def visitor(request: gr.Request | None) -> str:
    """What tells this visitor from all others, "" where nothing does (a caller of an endpoint, a refused cookie)."""
    if request is None:
        return ""
    if request.username:
        return f"login {request.username}"
    inner = request.request
    key = _key(inner.headers.get("cookie", "")) if inner is not None else ""
    return f"browser {key}" if key else ""


def current() -> str:
    """The visitor whose event is being answered."""
    return visitor(LocalContext.request.get(None))


class Cookie:
    """ASGI middleware: pages that are sent out carry the visitor's key, a new one on the first visit."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Relay a request, and its answer with the cookie."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        asked = {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start" and _is_page(message["headers"]):
                message = {**message, "headers": [*message["headers"], (b"set-cookie", _cookie(scope, asked))]}
            await send(message)

        await self.app(scope, receive, answer)


def _key(header: str) -> str:
    found = KEY.search(header)
    return found[1] if found else ""


def _is_page(headers: Any) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers)


def _cookie(scope: Any, asked: dict[str, str]) -> bytes:
    key = _key(asked.get("cookie", "")) or secrets.token_urlsafe(32)
    told = f"{COOKIE}={key}; Path=/; Max-Age={SECONDS}; HttpOnly"
    if not asked.get("x-forwarded-proto", scope["scheme"]).startswith("https"):
        return f"{told}; SameSite=Lax".encode()
    # A frame on another site's page (a Space) gets a cookie that counts on that page alone.
    framed = asked.get("sec-fetch-dest") == "iframe"
    return f"{told}; Secure; SameSite={'None; Partitioned' if framed else 'Lax'}".encode()
