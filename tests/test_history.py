"""The history: one visitor's folder, what is shown of it and what is never touched, and where runs go."""

from __future__ import annotations

import dataclasses
import os
import re
import zlib
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.context import LocalContext
from PIL import Image

import models.history
from demos import history as board, output, result
from models import recipe, replay, runtime
from models.catalog import SPECS
from models.contract import BadRequest, Result
from models.facediffuser.spec import FaceRequest
from models.history import SMALL, History
from tests.painter import scene
from tests.test_history_visitor import KEY, OTHER, asked

FACTS = {"seed": 5, "preset": "pocket", "steps": 3, "guidance_scale": 2.0, "memory": "full"}
FACTS |= {"device": "cpu", "threads": 1, "seconds": 1.5}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setattr(runtime, "settings", dataclasses.replace(runtime.settings, history_dir=str(folder)))
    return folder


def mine(root: Path, key: str = KEY) -> History:
    return History(root, f"browser {key}")


def made(**changes: Any) -> tuple[np.ndarray, recipe.Recipe, dict[str, np.ndarray]]:
    """A picture, its recipe and its inputs."""
    request = SPECS["cat"].request(image=scene(), mask=scene()[..., 0], prompt="a red  cup", seed=5, **changes)
    preset = SPECS["cat"].presets["pocket"]
    told, inputs = replay.record("cat", request, preset, {}, device="cpu", threads=1, seconds=1.5)
    return scene(), told, inputs


def placed(history: History, name: str = "cat-1.png", when: int = 0, **changes: Any) -> Path:
    history.keep(name, *made(**changes))
    if when:
        os.utime(history.folder / name, (when, when))
    return history.folder / name


def ran(key: str, request: Any, cookie: str = KEY, username: str | None = None) -> output.Shown:
    """What the end of a run leaves, for the visitor of this key."""
    token = LocalContext.request.set(asked(cookie, username))
    try:
        return output.save(key, request, Result((scene(),), {}, FACTS))
    finally:
        LocalContext.request.reset(token)


def answer(act: Any, given: Any, cookie: str = KEY) -> board.HistoryValue:
    return board._answering(act)(SimpleNamespace(_data=given), asked(cookie))


def inpaint() -> Any:
    return SPECS["cat"].request(image=scene(), mask=scene()[..., 0], prompt="a red cup", seed=5)


# --- one folder


def test_pictures_are_listed_newest_first_with_what_made_them(root: Path) -> None:
    history = mine(root)
    assert history.entries() == []
    placed(history, "a.png", 1000)
    placed(history, "b.png", 3000)
    placed(history, "c.png", 2000)
    assert [entry.name for entry in history.entries()] == ["b.png", "c.png", "a.png"]
    told = history.entries("cat")[0]
    assert (told.method, told.seed, told.words, told.when) == ("cat", 5, "a red cup", 3000)
    assert history.entries("dit4edit") == []
    assert history.recipe("b.png") == recipe.read_png(history.folder / "b.png")[0]  # the quick way, and the long one
    halves = np.repeat(np.uint8([[[200, 40, 40], [40, 40, 200]]]), 300, axis=1).repeat(300, axis=0)
    history.keep("wide.png", halves, *made()[1:])
    with Image.open(BytesIO(history.thumbnail("wide.png"))) as small:
        assert (small.format, small.size) == ("WEBP", (SMALL, SMALL // 2))
        colours = np.asarray(small.convert("RGB")).astype(int)[64, [40, 216]]
        assert np.abs(colours - [[200, 40, 40], [40, 40, 200]]).max() < 12  # WebP's loss


@pytest.mark.parametrize(
    "name",
    [
        "../outside.png",
        "..\\outside.png",
        "{root}/outside.png",
        "C:\\outside.png",
        "sub/inside.png",
        "link.png",
        "pipe.png",
        "plain.png",
        "notes.txt",
        ".hidden.png",
        "cat-1.png\0.png",
        "",
        "..",
        None,
        7,
        ["cat-1.png"],
    ],
)
def test_nothing_but_his_own_easel_pictures_is_read_shown_or_deleted(root: Path, name: Any) -> None:
    history = mine(root)
    signed = placed(history).read_bytes()
    outside = [root / "outside.png", history.folder / "sub" / "inside.png", history.folder / ".hidden.png"]
    outside[1].parent.mkdir()
    for file in outside:
        file.write_bytes(signed)
    (history.folder / "link.png").symlink_to(outside[0])
    os.mkfifo(history.folder / "pipe.png")
    Image.fromarray(scene()).save(history.folder / "plain.png")
    (history.folder / "notes.txt").write_bytes(signed)
    before = sorted(root.rglob("*"))
    assert [entry.name for entry in history.entries()] == ["cat-1.png"]
    wanted = name.format(root=root) if isinstance(name, str) else name
    for reading in (history.recipe, history.data, history.thumbnail):
        with pytest.raises(BadRequest):
            reading(wanted)
    assert answer(board._opened, {"name": wanted}).bad
    answer(board._removed, {"names": [wanted]})
    assert sorted(root.rglob("*")) == before


def test_links_and_pipes_are_refused_also_by_a_system_that_would_follow_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.history, "FLAGS", os.O_RDONLY)
    history = mine(root)
    placed(history).rename(root / "outside.png")
    (history.folder / "link.png").symlink_to(root / "outside.png")
    os.mkfifo(history.folder / "pipe.png")
    assert history.entries() == []
    for name in ("link.png", "pipe.png"):
        with pytest.raises(BadRequest):
            history.data(name)


def test_a_folder_that_leads_elsewhere_is_nobodys(root: Path, tmp_path: Path) -> None:
    history = mine(root)
    placed(history).rename(tmp_path / "theirs.png")
    history.folder.rmdir()
    history.folder.symlink_to(tmp_path)
    for act in (history.entries, lambda: history.data("theirs.png"), lambda: placed(history)):
        with pytest.raises(BadRequest, match="cannot be reached"):
            act()


def test_broken_and_forged_files_are_left_out_and_the_page_goes_on(root: Path) -> None:
    history = mine(root)
    signed = placed(history, "good.png").read_bytes()
    pixels = signed.index(b"IDAT")
    forged = {
        "cut.png": signed[:-20],
        "text.png": b"no picture",
        "empty.png": b"",
        "head.png": signed[:8],
        "huge-chunk.png": signed[:33] + b"\xff\xff\xff\xff" + signed[37:],
        "other.png": signed.replace(b'"method": "cat"', b'"method": "dog"'),
        "half.png": re.sub(rb'"seed": 5, "preset"', b'"seed": {}, "preset"', signed),
        "pixels.png": signed[: pixels + 4] + b"\0" * 40 + signed[pixels + 44 :],  # the recipe is whole
    }
    for name, data in forged.items():
        (history.folder / name).write_bytes(data)
    bomb = signed[8:33][:8] + (60_000).to_bytes(4, "big") * 2 + signed[24:29]
    (history.folder / "bomb.png").write_bytes(signed[:8] + bomb + zlib.crc32(bomb[4:]).to_bytes(4, "big") + signed[33:])
    value = answer(board._looked, {}).listing
    assert value is not None
    assert [seen.name for seen in value.pictures] == ["good.png"]
    assert value.pictures[0].small.startswith("data:image/webp;base64,")
    assert not {"cut.png", "text.png", "other.png", "half.png"} & {entry.name for entry in history.entries()}


def test_a_vanished_or_read_only_folder_is_one_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed(mine(root))

    def refused(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)
        assert answer(board._cleared, {}).note == "cat-1.png could not be deleted: the folder may not be written."
    root.rename(root.with_name("elsewhere"))
    assert "cannot be reached" in answer(board._looked, {}).note
    shown = ran("cat", inpaint())
    assert Path(shown.pictures[0].signed).is_file()  # the result is there all the same
    assert "Not in the history" in result.facts_line(shown)
    assert "could not be made: the folder does not exist" in shown.facts["unkept"]


# --- visitors


def test_each_visitor_has_a_folder_of_his_own_that_does_not_tell_his_key(root: Path) -> None:
    placed(mine(root))
    placed(mine(root, OTHER), "theirs.png")
    listed = answer(board._looked, {}).listing
    assert listed is not None
    assert [seen.name for seen in listed.pictures] == ["cat-1.png"]
    assert answer(board._opened, {"name": "theirs.png"}).bad
    assert answer(board._removed, {"names": ["theirs.png"]}).note == "0 pictures deleted."
    assert answer(board._cleared, {}).note == "1 picture deleted."
    assert [entry.name for entry in mine(root, OTHER).entries()] == ["theirs.png"]
    assert not any(KEY in str(path) or OTHER in str(path) for path in root.rglob("*"))


@pytest.mark.parametrize("cookie", ["", "short", "../" * 14 + "x", "k" * 44])
def test_without_a_key_nothing_is_shown(root: Path, cookie: str) -> None:
    value = answer(board._looked, {}, cookie)
    assert (value.bad, value.listing) == (True, None)
    assert "cookie" in value.note


# --- where runs go


def test_a_run_is_in_the_history_of_its_visitor_and_not_in_the_open_folder(root: Path) -> None:
    runtime.configure(output_dir=str(root))
    ran("cat", inpaint())
    ran("cat", inpaint(), username="ann")
    assert [entry.seed for entry in mine(root).entries()] == [5]
    assert len(History(root, "login ann").entries()) == 1
    assert list(root.glob("*.png")) == []
    ran("cat", inpaint(), cookie="")  # a caller of an endpoint: as without a history
    assert len(list(root.glob("*.png"))) == 1


def test_results_of_a_request_with_a_private_field_are_never_kept_or_shown(root: Path) -> None:
    request = FaceRequest(references=(scene(),), prompt="a man <|image|>", seed=5)
    shown = ran("facediffuser", request)
    assert "unkept" not in shown.facts
    assert list(root.rglob("*.png")) == []
    history = mine(root)
    placed(history, "other.png")
    (history.folder / "face.png").write_bytes(Path(shown.pictures[0].signed).read_bytes())  # put there by hand
    assert [entry.name for entry in history.entries()] == ["other.png"]
    with pytest.raises(BadRequest):
        history.data("face.png")
    with gr.Blocks():
        assert board.HistoryBoard().props["unkept"] == [SPECS["facediffuser"].title]


# --- the page


def test_a_page_holds_a_few_and_says_how_many_there_are(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "ROOM", 2)
    for k in range(5):
        placed(mine(root), f"{k}.png", 1000 + k)
    for page_number, names in ((0, ["4.png", "3.png"]), (2, ["0.png"]), (99, ["0.png"]), (-5, ["4.png", "3.png"])):
        value = answer(board._looked, {"page": page_number, "method": "cat"}).listing
        assert value is not None
        assert [seen.name for seen in value.pictures] == names
        assert (value.pages, value.total, value.methods) == (3, 5, [("cat", SPECS["cat"].title, 5)])
    for odd in (None, "x", {"page": "1", "method": ["cat"]}, {"names": "4.png"}):
        assert answer(board._removed, odd).listing.pictures[0].name == "4.png"  # type: ignore[union-attr]


def test_a_picture_is_opened_with_its_settings_and_its_copy_goes_with_it(root: Path) -> None:
    placed(mine(root), steps=7, feather=3.0)
    opened = answer(board._opened, {"name": "cat-1.png"}).opened
    assert opened is not None
    copy = Path(opened.file.path)
    assert copy.read_bytes() == mine(root).data("cat-1.png")
    assert not copy.is_relative_to(root)
    told = dict(opened.settings)
    assert (told["Seed"], told["Steps"]) == ("5", "7")
    assert "a red  cup" in told.values()
    assert answer(board._removed, {"names": ["cat-1.png"]}).note == "1 picture deleted."
    assert not copy.exists()
