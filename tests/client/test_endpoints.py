"""The HTTP contract: names and parameters, one good call each, and a sentence for every bad one."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from models import runtime
from models.contract import MissingWeights
from models.dreamfuse.spec import DreamFuseRequest
from models.recipe import read_png
from tests import fakes
from tests.client.conftest import Served
from tests.client.test_compare_endpoint import COMPARE
from tests.client.test_segment_endpoint import SEGMENT
from tests.painter import cutout, scene
from tests.test_pictures import BAD, CLEAR

pytestmark = pytest.mark.client
OWN = ["background", "foreground", "x", "y", "scale", "angle", "flip", "prompt", "text_strength", "guidance_scale"]
OWN += ["variant", "resolution", "keep_detail", "background_lock", "enlarge", "affine"]
ESCAPES = ["/etc/passwd", "{cache}/../../../../../etc/passwd", "{picture}", "", "\0", "x" * 5000]
COMMON = ["seed", "steps", "num_images", "preset", "memory"]
FUSE = [*OWN, *COMMON]
INPAINT = ["image", "mask", "prompt", "negative_prompt", "guidance_scale", "adapter_strength", "region", "padding"]
INPAINT += ["resolution", "grow", "paste_back", "feather", "comparisons", *COMMON]

EDIT = ["image", "source_prompt", "target_prompt", "kind", "strength", "guidance_scale", "negative_prompt", "weights"]
EDIT += ["mask", "blend", "control", "control_until", "words_until", "from_layer", "renormalise", "inversion"]
EDIT += [
    "invert_with",
    "refine",
    "grid",
    "pin_source",
    "merge_ratio",
    "merge_stride",
    "resolution",
    "width",
    "height",
    "keep_detail",
    "paste_back",
]
EDIT += ["feather", "match_colours", "comparisons", *(name for name in COMMON if name != "num_images")]

COLLAGE = ["layers", "collage", "prompt", "negative_prompt", "width", "height", "colour", "guidance_scale", "strength"]
COLLAGE += ["variant", "ladder", "looks", "look_steps", "blur", "blend_level", "bias_sigma", "bias_growth", "antialias"]
COLLAGE += ["resolution", "keep_detail", "previous", "edited", "edit_mode", "change", "keep", "uncovered", "lock"]
COLLAGE += ["reach", *COMMON]
FACE = ["references", "prompt", "negative_prompt", "scene_until", "subject_from", "guidance_scale", "variant", "ladder"]
FACE += ["sampler", "anchor", "scene_model", "object_resolution", "crop_to_face", "width", "height", *COMMON]


def test_names_and_parameters_are_the_published_ones(served: Served) -> None:
    told = served.client.view_api(return_format="dict", print_info=False)
    names = {name: [p["parameter_name"] for p in e["parameters"]] for name, e in told["named_endpoints"].items()}
    methods = {"/fuse": FUSE, "/collage": COLLAGE, "/inpaint": INPAINT, "/edit": EDIT, "/face": FACE}
    assert names == {**methods, "/segment": SEGMENT, "/compare": COMPARE, "/models": [], "/health": []}
    assert told["unnamed_endpoints"] == {}
    required = [p["parameter_name"] for p in told["named_endpoints"]["/fuse"]["parameters"][:3]]
    by_name = {p["parameter_name"]: p for p in told["named_endpoints"]["/fuse"]["parameters"]}
    assert [by_name[n]["parameter_has_default"] for n in required] == [False, False, True]
    assert by_name["x"]["label"] == "Across"
    assert "Between -1 and 2. Default: 0.5" in by_name["x"]["python_type"]["description"]
    assert by_name["preset"]["type"] == {"enum": ["auto", "pocket", "full"], **_told(by_name["preset"])}


def _told(parameter: dict[str, Any]) -> dict[str, str]:
    return {"additional_description": parameter["python_type"]["description"]}


def test_fuse_returns_png_files_recipe_and_seeds(served: Served) -> None:
    images, recipe, seeds = served.fuse(x=0.25, y=0.7, scale=0.4, seed=5, steps=2, num_images=2)
    asked = DreamFuseRequest(
        background=scene(), foreground=cutout(), x=0.25, y=0.7, scale=0.4, seed=5, steps=2, num_images=2
    )
    *_, direct = runtime.run("dreamfuse", asked)
    assert seeds == [5, 6]
    assert recipe["request"]["x"] == 0.25
    for path, seed, expected in zip(images, seeds, direct.images, strict=True):
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image), expected)
        inside, inputs = read_png(path)
        assert inside.seed == seed
        assert np.array_equal(inputs["foreground"], cutout())


def test_inpaint_keeps_what_is_outside_the_mask(served: Served, tmp_path: Path) -> None:
    mask = np.zeros(scene().shape[:2], np.uint8)
    mask[20:60, 30:80] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    files = {"image": handle_file(served.background), "mask": handle_file(str(tmp_path / "mask.png"))}
    asked = {**files, "prompt": "a red car", "steps": 2, "comparisons": "off", "seed": 3}
    images, recipe, seeds = served.client.predict(**asked, api_name="/inpaint")
    assert seeds == [3]
    assert recipe["request"]["prompt"] == "a red car"
    with Image.open(images[0]) as image:
        changed = (np.asarray(image) != scene()).any(axis=2)
    assert not changed[mask == 0].any()
    assert changed[mask > 0].mean() > 0.5


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"x": "nan"}, "finite"),
        ({"x": 7}, "between -1 and 2"),
        ({"x": -0.9}, "outside the scene"),
        ({"scale": 0}, "between 0.01 and 3"),
        ({"scale": 1e9}, "between 0.01 and 3"),
        ({"seed": 1.5}, "whole number"),
        ({"flip": "false"}, "true or false"),
        ({"preset": "large"}, "no preset “large”"),
        ({"prompt": "x" * 10_000}, "10000 characters"),
        ({"preset": "full", "memory": "offload"}, "https://huggingface.co/black-forest-labs/FLUX.1-dev"),
        ({"prompt": "fail"}, "log says what"),
    ],
)
def test_bad_arguments_are_one_sentence(served: Served, more: dict[str, Any], says: str) -> None:
    with pytest.raises(AppError) as refused:
        served.fuse(**more)
    assert says in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_output_folder_keeps_every_picture_with_its_recipe(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runtime, "settings", dataclasses.replace(runtime.settings, output_dir=str(tmp_path)))
    served.fuse(seed=11, num_images=2)
    assert sorted(read_png(path)[0].seed for path in tmp_path.iterdir()) == [11, 12]


def test_null_is_the_default(served: Served) -> None:
    recipe = served.fuse(x=None, steps=None, prompt=None)[1]
    assert (recipe["request"]["x"], recipe["request"]["steps"]) == (0.5, 4)


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("shape", ["bare", "path", "file"])
def test_only_uploaded_files_are_read(served: Served, escape: str, shape: str) -> None:
    uploaded = served.upload(served.foreground)
    path = escape.format(cache=Path(uploaded).parent, picture=served.background)  # a picture, but never uploaded
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    value = {"bare": path, "path": {"path": path}, "file": file}[shape]
    event, data = served.post({"background": value, "foreground": {"path": uploaded}})
    assert event == "error"
    assert "root:" not in data


def test_a_bare_path_is_refused_even_for_an_uploaded_file(served: Served) -> None:
    uploaded = served.upload(served.background)
    event, data = served.post({"background": uploaded, "foreground": {"path": uploaded}})
    assert event == "error"
    assert "uploaded file" in data
    with pytest.raises(AppError, match="uploaded file"):
        served.fuse("/etc/passwd", handle_file(served.foreground))


def test_a_file_that_is_no_picture_is_one_sentence(served: Served) -> None:
    with pytest.raises(AppError, match="“Background”"):
        served.fuse(handle_file(__file__), handle_file(served.foreground))


@pytest.mark.parametrize("case", ["empty", "cut short", "pdf", "cmyk", "gif", "one pixel", "bomb", "nothing in it"])
def test_a_bad_file_is_one_sentence(served: Served, tmp_path: Path, case: str) -> None:
    role, (data, says) = ("background", BAD[case]) if case in BAD else ("foreground", (CLEAR, "transparent"))
    (tmp_path / "upload.png").write_bytes(data)
    files = {**served.pictures, role: str(tmp_path / "upload.png")}
    event, said = served.post({name: {"path": served.upload(path)} for name, path in files.items()})
    assert event == "error"
    assert re.search(says, said)


def test_a_full_device_and_damaged_weights_are_one_sentence(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for error, says in (
        (torch.OutOfMemoryError("CUDA out of memory"), "choose the pocket preset"),
        (MissingWeights("net.safetensors is damaged (its sha256 differs)."), "is damaged"),
    ):

        def load(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(served.painter, "load", load)
        with pytest.raises(AppError, match=says):
            served.fuse()


def test_an_output_folder_that_went_away_is_one_sentence(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "settings", dataclasses.replace(runtime.settings, output_dir="/dev/null/kept"))
    with pytest.raises(AppError, match="could not be saved"):
        served.fuse()


def test_curl_uploads_posts_and_reads_the_result(served: Served) -> None:
    body = {name: {"path": served.upload(path)} for name, path in served.pictures.items()}
    event, data = served.post({**body, "seed": 8})
    images, recipe, seeds = json.loads(data)
    assert (event, seeds, recipe["seed"]) == ("complete", [8], 8)
    picture = httpx.get(images[0]["url"])
    assert picture.headers["content-type"] == "image/png"
    assert read_png(picture.content)[0].seed == 8


def test_not_a_number_in_raw_json_is_refused(served: Served) -> None:
    files = {"background": {"path": served.upload(served.background)}, "foreground": {"path": "x"}}
    body = json.dumps({**files, "foreground": files["background"], "x": float("nan")}).encode()
    event, data = served.post(body)
    assert event == "error"
    assert "finite" in data


def test_models_and_health(served: Served) -> None:
    states = {(e["verb"], e["preset"]): e["state"] for e in served.client.predict(api_name="/models")}
    assert [states["fuse", "pocket"], states["fuse", "full"]] == ["ready", "gated"]
    assert [states["segment", "pocket"], states["segment", "full"]] == ["ready", "missing"]
    health = served.client.predict(api_name="/health")
    assert (health["status"], health["busy"]) == ("ok", False)
    assert health["methods"] == ["fuse", "collage", "inpaint", "face", "edit"]


def test_cancelling_a_job_stops_the_run(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes, "PAUSE", 0.02)
    before = served.painter.steps
    pictures = [handle_file(served.background), handle_file(served.foreground)]
    job = served.client.submit(*pictures, steps=200, api_name="/fuse")
    while served.painter.steps < before + 3:
        time.sleep(0.01)
    job.cancel()
    end = time.monotonic() + 10
    while runtime.lock.busy and time.monotonic() < end:
        time.sleep(0.02)
    assert not runtime.lock.busy
    assert served.painter.steps - before < 150


@pytest.mark.parametrize("path", ["/etc/passwd", "pyproject.toml", "{here}"])
def test_the_server_gives_out_no_other_files(served: Served, path: str) -> None:
    answer = httpx.get(f"{served.url}gradio_api/file={path.format(here=__file__)}")
    assert answer.status_code in (403, 404)


def test_mcp_lists_the_tools_and_runs_one(served: Served) -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    def data(path: str) -> str:
        return "data:image/png;base64," + base64.b64encode(Path(path).read_bytes()).decode()

    async def talk() -> tuple[list[str], Any]:
        async with streamable_http_client(f"{served.url}gradio_api/mcp/") as (read, write, _):
            async with ClientSession(read, write) as session:
                await session.initialize()
                tools = [tool.name for tool in (await session.list_tools()).tools]
                pictures = {"background": data(served.background), "foreground": data(served.foreground)}
                return tools, await session.call_tool("fuse", {**pictures, "seed": 4})

    with ThreadPoolExecutor(1) as other:  # Playwright's loop may be running in this thread
        tools, answer = other.submit(asyncio.run, talk()).result()
    assert tools == ["fuse", "collage", "inpaint", "face", "edit", "segment", "models", "health", "compare"]
    assert not answer.isError
    assert "fuse-4.png" in answer.content[0].text
