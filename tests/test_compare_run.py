"""Two real pocket methods and their baselines on one sheet: every cell replays, and the judge is what it should be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.main import main
from models import pictures, runtime
from models.compare import measures, report
from models.pixels import resize

EXAMPLE = Path(__file__).parent.parent / "assets" / "examples" / "dreamfuse"
FLAGS = ["--x", ".3", "--y", ".62", "--scale", ".6", "--object-prompt", "a goat", "--quiet"]
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path / "cache"))
    settings = runtime.settings
    yield
    runtime.settings = settings


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_every_cell_of_two_methods_and_two_baselines_replays(tmp_path: Path) -> None:
    for name in ("scene", "object"):  # smaller than they ship, which is quicker
        with Image.open(EXAMPLE / f"goat-{name}.webp") as picture:
            picture.resize((160, 160)).save(tmp_path / f"{name}.png")
    files = ["--scene", f"{tmp_path}/scene.png", "--object", f"{tmp_path}/object.png", "--out", f"{tmp_path}/out"]
    axes = ["--methods", "collage,inpaint,paste,poisson", "--axis", "steps=2", "--axis", "seed=1-2"]
    assert main(["compare", *files, *FLAGS, *axes]) == 0
    told = json.loads((tmp_path / "out" / report.REPORT).read_text())
    assert [cell["reason"] for cell in told["cells"]] == [""] * 6
    assert all(-1 <= cell["similarity"] <= 1 for cell in told["cells"])
    inpainted = [cell for cell in told["cells"] if cell["key"] == "cat"]
    assert [cell["kept_changed"] for cell in inpainted] == [0, 0]
    first, second = (pixels_of(tmp_path / "out" / cell["file"]) for cell in inpainted)
    assert not np.array_equal(first, second)  # another seed, another picture
    runtime.cache.clear()
    for cell in told["cells"]:
        again = tmp_path / f"again-{Path(cell['file']).name}"
        assert main(["replay", f"{tmp_path}/out/{cell['file']}", "--out", str(again), "--quiet"]) == 0
        assert np.array_equal(pixels_of(tmp_path / "out" / cell["file"]), pixels_of(again)), cell["key"]


def test_the_judge_is_the_shipped_clip_asked_as_a_whole() -> None:
    import torch
    from transformers import AutoTokenizer, CLIPModel

    picture = pictures.decode(EXAMPLE.parent / "cat" / "camera-picture.webp", "rgb", "camera")
    clip = CLIPModel.from_pretrained(measures.CLIP).eval()
    tokens = AutoTokenizer.from_pretrained(measures.CLIP)("a camera", return_tensors="pt")["input_ids"]
    side = clip.config.vision_config.image_size
    small = (resize(picture, (side, side)) / 255 - np.array(measures.MEAN)) / np.array(measures.DEVIATION)
    seen = torch.tensor(small, dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.no_grad():  # its logits are scaled cosines
        expected = float(clip(input_ids=tokens, pixel_values=seen).logits_per_image[0, 0] / clip.logit_scale.exp())
    assert measures.similarity(picture, "a camera") == pytest.approx(expected, abs=2e-3)
    assert measures.similarity(picture, "") is None
