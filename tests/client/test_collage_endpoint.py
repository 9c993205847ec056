"""A collage over HTTP: as layers or as a saved file, the same pixels; never both, never a path that is merely named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from models.collage import files
from models.collage.spec import CollageRequest, collage_of
from models.recipe import read_png
from tests.client.conftest import Served
from tests.methods.collage_tiny import request

pytestmark = pytest.mark.client


@pytest.fixture(scope="module")
def asked() -> CollageRequest:
    return request(width=128, height=128, steps=2, guidance_scale=0.0, seed=4)


@pytest.fixture
def saved(asked: CollageRequest, tmp_path: Path) -> Any:
    path = tmp_path / "box.collage.zip"
    path.write_bytes(files.encode(collage_of(asked)))
    return handle_file(str(path))


def as_records(asked: CollageRequest, folder: Path) -> list[dict[str, Any]]:
    found = []
    for number, layer in enumerate(asked.layers):
        path, placed = folder / f"{number}.png", layer.placed
        Image.fromarray(placed.image).save(path)
        where = {"x": placed.x, "y": placed.y, "scale": placed.scale, "text": layer.text}
        found.append({"image": handle_file(str(path)), **where, "noise": layer.dials.noise})
    return found


def picture(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_layers_and_their_saved_file_make_the_same_picture(
    served: Served, asked: CollageRequest, saved: Any, tmp_path: Path
) -> None:
    (by_file, *_), recipe, seeds = served.client.predict(collage=saved, api_name="/collage")
    told = {"prompt": asked.prompt, "width": 128, "height": 128, "steps": 2, "seed": 4, "blur": 0.0}
    (by_layers, *_), *_ = served.client.predict(layers=as_records(asked, tmp_path), **told, api_name="/collage")
    assert seeds == [4]
    assert np.array_equal(picture(by_file), picture(by_layers))
    assert recipe["request"]["layers"][2]["dials"]["noise"] == 0.2
    _, inputs = read_png(by_file)
    assert np.array_equal(inputs["layers.1.placed.image"], asked.layers[1].placed.image)


def test_what_is_said_beside_the_file_wins(served: Served, saved: Any) -> None:
    told = {"seed": 9, "variant": "gh", "ladder": True}
    (_, *rungs), recipe, seeds = served.client.predict(collage=saved, **told, api_name="/collage")
    assert seeds == [9]
    assert [Path(rung).name for rung in rungs] == ["paste.png"]
    assert (recipe["request"]["variant"], recipe["request"]["steps"]) == ("gh", 2)


def test_one_layer_of_a_result_changes_and_the_rest_stays(served: Served, saved: Any) -> None:
    (first, *_), *_ = served.client.predict(collage=saved, api_name="/collage")
    more = {"previous": handle_file(first), "edited": "3", "change": 0.9, "reach": 0.0, "seed": 8}
    (second, *_), recipe, _ = served.client.predict(collage=saved, **more, api_name="/collage")
    assert recipe["facts"]["kept_pixels_changed"] == [0]
    changed = (picture(first) != picture(second)).any(axis=2)
    assert changed[66:88, 84:108].any()
    assert not changed[:, :70].any()


@pytest.mark.parametrize("both", [True, False])
def test_exactly_one_of_layers_and_file(served: Served, saved: Any, asked: CollageRequest, both: bool) -> None:
    given = {"layers": [], "collage": saved} if both else {}
    with pytest.raises(AppError, match="either “layers” or “collage”"):
        served.client.predict(**given, api_name="/collage")


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([], "at least one layer"),
        ([3], "list of objects"),
        ([{"image": "/etc/passwd", "text": "ball"}], "uploaded file"),
        ([{"image": {"path": "/etc/passwd"}, "text": "ball"}], "not uploaded here"),
        ([{"text": "ball"}], "uploaded file"),
    ],
)
def test_bad_layers_are_one_sentence(served: Served, layers: Any, says: str) -> None:
    with pytest.raises(AppError, match=says):
        served.client.predict(layers=layers, api_name="/collage")


def test_words_that_the_prompt_lacks_are_one_sentence(served: Served, asked: CollageRequest, tmp_path: Path) -> None:
    with pytest.raises(AppError, match="“ball” is not in the prompt"):
        layers = as_records(asked, tmp_path)
        served.client.predict(layers=layers, prompt="a green wall and a red box", api_name="/collage")


def test_a_file_that_is_no_collage_is_one_sentence(served: Served) -> None:
    with pytest.raises(AppError, match="damaged, or no collage"):
        served.client.predict(collage=handle_file(served.background), api_name="/collage")
