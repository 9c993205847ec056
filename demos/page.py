"""The whole page: a head, and one tab per method. `build` makes it, `launch_options` says how it is served."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.routes import App
from starlette.middleware import Middleware

from demos import compare, compare_endpoint, endpoints, examples, history, models_page, sending, sprites, theme
from demos.history_visitor import Cookie
from demos.send_to import Courier
from demos.tabs import TABS
from models import runtime
from models.catalog import SPECS

HEAD = """<header class="easel-head"><h1>Easel</h1>
<p>Image-composition papers you can use: compose on the left, look on the right.</p></header>"""
WAITING = 64  # runs that may wait before the queue says that it is full


class Page(gr.Blocks):  # type: ignore[misc]
    """Blocks whose queue has its length from the start: asking for it later builds the whole server once more.

    And whose browsers make no component that nobody sees: an endpoint's arguments are a third of all.
    """

    def queue(self, *arguments: Any, max_size: int | None = WAITING, **named: Any) -> gr.Blocks:
        """As `gr.Blocks.queue`, with a limit on how many wait."""
        return super().queue(*arguments, max_size=max_size, **named)

    def get_config_file(self) -> Any:
        """As `gr.Blocks.get_config_file`, the arguments of endpoints neither laid out nor waited for."""
        config = super().get_config_file()
        arguments = [one for one in config["components"] if one["type"] == "api"]
        for one in arguments:
            one["props"]["visible"] = False
        hidden, layout = {one["id"] for one in arguments}, config["layout"]
        layout["children"] = [child for child in layout["children"] if child["id"] not in hidden]
        return config


@contextlib.contextmanager
def _without_servers() -> Iterator[None]:
    """Blocks make a server when they begin and when they end, and `launch` makes the one that serves: half a second
    of a start goes into two that nobody asks."""
    make = App.create_app
    App.create_app = staticmethod(lambda *arguments, **named: None)
    try:
        yield
    finally:
        App.create_app = staticmethod(make)


def build(opened: Callable[[], None] | None = None) -> gr.Blocks:
    """The page, not yet launched; nothing heavy is imported by it. `opened` is called when a visitor's page stands."""
    options = {"delete_cache": (3600, 86400), "analytics_enabled": False, "fill_width": True}
    titles = {**{key: SPECS[key].title for key in TABS}, sending.COMPARE: sending.TITLE}
    with _without_servers(), Page(title="Easel", **options) as page:
        courier, parcel = Courier(HEAD, titles), gr.State(None)
        with sending.places() as joined, gr.Tabs(overflow_behavior="wrap") as tabs:
            for key, tab in TABS.items():
                with gr.Tab(SPECS[key].title, id=key):
                    tab(SPECS[key])
            with gr.Tab(sending.TITLE, id=sending.COMPARE):
                compare.tab(courier, parcel)
            if runtime.settings.history_dir:
                with gr.Tab("History", id="history"):
                    history.tab()
            with gr.Tab("Models", id="models"):
                models_page.tab()
        sending.connect(joined, tabs, courier, parcel)
        endpoints.add()
        compare_endpoint.add()
        if opened is not None:
            page.load(opened, queue=False, show_progress="hidden", api_visibility="private")
    return page


def launch_options() -> dict[str, Any]:
    """What `launch` needs for the page to look and behave as designed."""
    return {
        "theme": theme.theme(),
        "css": theme.CSS.read_text(encoding="utf-8"),
        "footer_links": ["api", "settings"],
        "run_history": False,
        "max_file_size": "64mb",
        "allowed_paths": [str(examples.FOLDER), str(sprites.SHEET)],
        "show_error": True,
        "ssr_mode": False,  # a Space would render on its server, and the canvases live in the browser
        **({"app_kwargs": {"middleware": [Middleware(Cookie)]}} if runtime.settings.history_dir else {}),
    }
