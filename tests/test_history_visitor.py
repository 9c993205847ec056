"""Who a visitor is (a login name, or a random key that a page brings to the browser), and the flag for all this."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request as HttpRequest

from cli import serve
from demos import history_visitor, page
from models import runtime

KEY, OTHER = "k" * 43, "o" * 43


def asked(cookie: str = "", username: str | None = None) -> gr.Request:
    """What a handler is told of a visitor with this key."""
    header = f'theme={{"a": 1}}; easel-visitor={cookie}; last=1'.encode()  # other pages of this host set cookies too
    scope = {"type": "http", "headers": [(b"cookie", header)] if cookie else []}
    return gr.Request(HttpRequest(scope), username=username)


def test_a_login_name_counts_before_the_browser() -> None:
    names = {history_visitor.visitor(asked(KEY, name)) for name in ("ann", "ben", None)}
    assert len(names) == 3
    assert history_visitor.visitor(asked(KEY, "ann")) == history_visitor.visitor(asked(OTHER, "ann"))
    assert history_visitor.visitor(asked("", f"browser {KEY}")) != history_visitor.visitor(asked(KEY))


@pytest.mark.parametrize(
    ("kind", "https", "framed", "flags"),
    [
        ("text/html; charset=utf-8", False, False, "; SameSite=Lax"),
        ("text/html", True, False, "; Secure; SameSite=Lax"),
        ("text/html", True, True, "; Secure; SameSite=None; Partitioned"),
        ("application/json", False, False, None),
    ],
)
def test_a_page_brings_a_key_and_keeps_the_one_that_is_there(kind: str, https: bool, framed: bool, flags: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})

    def got(cookie: bytes = b"") -> list[str]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"cookie", cookie), (b"sec-fetch-dest", b"iframe" if framed else b"document")]
        headers += [(b"x-forwarded-proto", b"https")] if https else []
        scope = {"type": "http", "method": "GET", "scheme": "http", "headers": headers}
        with ThreadPoolExecutor(1) as thread:  # a browser's driver may run a loop in this one
            thread.submit(asyncio.run, history_visitor.Cookie(app)(scope, None, send)).result()
        return [value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie"]

    if flags is None:
        assert got() == []
        return
    (first,), (second,), (again,) = got(), got(), got(f"a=b; easel-visitor={KEY}".encode())
    assert first.endswith(f"; HttpOnly{flags}")
    assert first != second
    assert again.startswith(f"easel-visitor={KEY};")


def test_there_is_a_tab_and_a_cookie_with_the_flag_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "settings", dataclasses.replace(runtime.settings, history_dir=str(tmp_path)))

    def tabs() -> list[str]:
        blocks = page.build().blocks.values()
        return [block.label for block in blocks if isinstance(block, gr.Tab)]

    assert "History" in tabs()
    assert "app_kwargs" in page.launch_options()
    runtime.configure(history_dir="")
    assert "History" not in tabs()
    assert "app_kwargs" not in page.launch_options()


@pytest.mark.parametrize("named", [True, False])
def test_the_flag_takes_the_output_folder_or_one_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EASEL_HISTORY", "1")
    monkeypatch.setattr(runtime, "settings", runtime.Settings())
    parser = argparse.ArgumentParser()
    serve.add(parser.add_subparsers())
    flags = ["--output-dir", str(tmp_path / "mine")] if named else []
    serve.configure(parser.parse_args(["serve", *flags]))
    assert runtime.settings.history_dir == str(tmp_path / ("mine" if named else "cache/history"))
    assert Path(runtime.settings.history_dir).is_dir()
    assert runtime.settings.output_dir == (str(tmp_path / "mine") if named else "")
