"""Serve a page with only the layer editor on a free port and say which; its argument is the pictures' folder."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

READY = {"scene": "a wide field", "object": "a red egg", "plain": "a grey wall", "opaque": "a blue sky"}
PLACES = ((0.5, 0.5, 4 / 3), (0.3, 0.6, 0.4), (0.7, 0.3, 0.3), (0.75, 0.75, 0.25))
STAGE = ":root { --easel-stage: 520px; }"


def main() -> None:
    import gradio as gr
    from gradio import networking

    from demos import theme
    from demos.canvas import LayerCanvas, LayerScene, remove_incoming, replaced, with_layer
    from demos.widgets import QUIET
    from models import pictures
    from models.contract import BadRequest

    folder = Path(sys.argv[1])

    def added(value: LayerScene) -> tuple[LayerScene, str]:
        assert value.incoming is not None
        while "slow" in str(value.incoming.orig_name) and not (folder / "go").exists():
            time.sleep(0.05)  # a test does something else meanwhile
        try:
            picture = pictures.decode(value.incoming.path, "rgba", "The picture")
            changed = (
                replaced(value, str(value.selected), picture) if value.role == "replace" else with_layer(value, picture)
            )
            return changed, changed.model_dump_json()
        except BadRequest as error:
            return remove_incoming(value), f"{value.role}: {error}"

    def stacked() -> tuple[LayerScene, str]:
        scene = LayerScene()
        for (name, words), place in zip(READY.items(), PLACES, strict=True):
            picture = pictures.decode(str(folder / f"{name}.png"), "rgba", name)
            scene = with_layer(scene, picture, words, **dict(zip(("x", "y", "scale"), place, strict=True)))
        return scene, scene.model_dump_json()

    def heard(value: LayerScene) -> str:
        return value.model_dump_json()

    networking.url_ok = lambda url: True
    with gr.Blocks() as app:
        editor = LayerCanvas(elem_id="layers")
        told, asked = gr.Textbox(elem_id="told", label="told"), gr.Textbox(elem_id="asked", label="asked")
        editor.upload(added, editor, [editor, told], **QUIET)
        gr.Button("Stack", elem_id="stack").click(stacked, None, [editor, told], **QUIET)
        editor.input(heard, editor, told, queue=False, trigger_mode="always_last", **QUIET)
        editor.extract(heard, editor, asked, **QUIET)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    css = theme.CSS.read_text(encoding="utf-8") + STAGE
    _, address, _ = app.launch(prevent_thread_lock=True, quiet=True, server_port=port, theme=theme.theme(), css=css)
    print(address, flush=True)
    sys.stdin.read()  # until the tests close the pipe


if __name__ == "__main__":
    main()
