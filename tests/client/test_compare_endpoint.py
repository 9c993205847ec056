"""`/compare` over HTTP: a sheet, its cells, the page and the report for uploads, and a sentence for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from models import loading
from models.collage.composing import compose
from models.collage.files import decode
from models.compare import measures
from models.recipe import read_png
from tests.client.conftest import Served
from tests.painter import scene
from tests.test_bundles import PERSON

pytestmark = pytest.mark.client
COMPARE = ["scene", "object", "mask", "references", "collage", "source", "x", "y", "scale", "angle", "flip", "prompt"]
COMPARE += ["object_prompt", "scene_prompt", "source_prompt", "target_prompt", "negative_prompt"]
COMPARE += ["methods", "axes", "crop", "paste_back"]


@pytest.fixture(autouse=True)
def own_paces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measures, "similarity", lambda picture, text: None)


def ask(served: Served, **more: Any) -> Any:
    """`/compare` through gradio_client, of one scene and an object unless something else is given."""
    usual = {"scene": [handle_file(served.background)], "object": handle_file(served.foreground), "scale": 0.4}
    return served.client.predict(api_name="/compare", **{**usual, "methods": "fuse, paste", **more})


def test_arguments_are_the_published_ones(served: Served) -> None:
    told = served.client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/compare"]
    assert [p["parameter_name"] for p in told["parameters"]] == COMPARE
    assert all(p["parameter_has_default"] for p in told["parameters"])
    assert [one["label"] for one in told["parameters"]][:2] == ["Scenes", "Object"]


def test_a_comparison_comes_back_as_sheet_cells_page_and_report(served: Served) -> None:
    sheet, items, page, report = ask(served, axes=["seed=3-4", "steps=2"])
    with Image.open(sheet) as picture:
        assert picture.width > 500
    assert "default-src 'none'" in Path(page).read_text()
    assert [cell["key"] for cell in report["cells"]] == ["paste", "dreamfuse", "dreamfuse"]
    assert (report["finished"], report["axes"]) == (True, {"seed": [3, 4], "steps": [2]})
    assert len(items) == 3
    assert sorted(read_png(item)[0].seed for item in items[1:]) == [3, 4]


def test_a_picture_of_easels_is_compared_with_its_own_settings(served: Served) -> None:
    (made,), _, _ = served.fuse(x=0.3, seed=6, steps=2)
    path = made["image"] if isinstance(made, dict) else made
    found = ask(served, scene=None, object=None, source=[handle_file(path)], methods="fuse")
    assert [cell["seed"] for cell in found[3]["cells"]] == [6]
    with Image.open(found[1][0]) as now, Image.open(path) as then:
        assert np.array_equal(np.asarray(now), np.asarray(then))


def test_a_saved_collage_and_a_mask_are_cases_too(served: Served, tmp_path: Path) -> None:
    collage = loading.ROOT / "assets" / "examples" / "collage" / "table.collage.zip"
    _, items, _, report = ask(
        served, scene=None, object=None, collage=handle_file(str(collage)), methods="paste, poisson"
    )
    assert [cell["reason"] for cell in report["cells"]] == ["", ""]
    flat = flat_of(collage)
    with Image.open(items[0]) as pasted:
        assert np.abs(np.asarray(pasted).astype(int) - flat).max() <= len(decode(collage).shown)  # rounded once a layer
    hole = np.zeros(scene().shape[:2], np.uint8)
    hole[10:30, 10:30] = 255
    Image.fromarray(hole).save(tmp_path / "hole.png")
    more = {"mask": [handle_file(str(tmp_path / "hole.png"))], "crop": True, "object": None, "methods": "fill, input"}
    cases = ask(served, **more)[3]["cases"]
    assert (cases[0]["rest_put_back"], cases[0]["size"]) == (True, [64, 48])
    assert ask(served, **more, paste_back="off")[3]["cases"][0]["rest_put_back"] is False


def flat_of(collage: Path) -> np.ndarray:
    """The collage as its own tab draws it, without a model."""
    return compose(decode(collage)).flat.astype(int)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"scene": None, "object": None}, "nothing to compare on"),
        ({"scene": None}, "needs a scene"),
        ({"methods": "magic"}, "no method “magic”"),
        ({"axes": ["seed=3-1"]}, "is empty"),
        ({"axes": ["colour=red"]}, "has no field"),
        ({"axes": "seed=1-3"}, "list of texts"),
        ({"axes": ["seed=1-61"]}, "the limit is 60"),
        ({"paste_back": "maybe"}, "auto, on or off"),
        ({"x": 9}, "between -4 and 5"),
        ({"scene": ["/etc/passwd"]}, "uploaded file"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(served: Served, more: dict[str, Any], says: str) -> None:
    with pytest.raises(AppError) as refused:
        ask(served, **more)
    assert says in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_pictures_of_people_are_gone_after_the_call(served: Served, tmp_path: Path) -> None:
    Image.fromarray(PERSON).save(tmp_path / "person.png")
    _, _, _, report = ask(served, references=[handle_file(str(tmp_path / "person.png"))], axes=["steps=2"])
    assert report["cases"][0]["references"] == 1
    cache = Path(served.background).parent / "cache"
    stored = [file for file in cache.rglob("*.png") if "person" in file.name]
    assert stored == []
    assert "person" not in json.dumps(report)
