"""The full preset at its published sizes, on the meta device: counts, shapes, bytes, and where each component is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models import loading
from models.facediffuser import location, presets
from models.facediffuser.denoising import Guidance, Networks, Words, denoise, scheduler
from models.facediffuser.image_encoder import embed
from models.facediffuser.layout import PUBLISHED
from models.facediffuser.published import SCENE_UNET, SUBJECT_UNET
from models.facediffuser.stages import Bounds, counts, iterations
from tests.methods import face_published
from tests.methods.face_published import CLASSES
from tests.methods.face_tiny import request

FULL = presets.PRESETS["full"]
# Which of the published networks each component is, and how many weights it has.
PARTS = {
    "text_encoder": ("text_encoder", 123_060_480),
    "image_encoder": ("image_encoder", 303_966_208),
    "postfuse": ("postfuse", 2_958_336),
    "tdm": ("unet", 859_520_964),
    "base": ("unet", 859_520_964),
    "sdm": ("unet", 859_520_964),
    "vae": ("vae", 83_653_863),
}
BYTES = {"float16": 2, "float32": 4}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    with torch.device("meta"):
        return dict(face_published.networks(PUBLISHED, "subject"))


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_component_is_the_published_network(made: dict[str, Any]) -> None:
    assert set(FULL.components) == {"tokenizer", *PARTS}
    for name, (part, weights) in PARTS.items():
        assert size(made[part]) == weights
        assert loading._class(FULL.components[name].class_name) is CLASSES[part]


def test_what_a_run_holds_and_what_is_downloaded() -> None:
    """The U-Nets in half precision and the post-fuse module in full: 4.47 GB for a run of both models."""
    held = {n: weights * BYTES[FULL.components[n].dtype] for n, (_, weights) in PARTS.items()}
    run = sum(bytes_ for name, bytes_ in held.items() if name != "base")
    assert run == pytest.approx(4.47e9, rel=0.003)
    assert run + 1.5e9 < FULL.memory_gigabytes["full"] * 2**30
    published = sum(file.gigabytes for file in FULL.files)
    assert (FULL.download_gigabytes - published) * 1e9 == pytest.approx(held["base"] + held["vae"], rel=0.01)


def test_converted_folders_are_where_the_preset_looks_for_them(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("EASEL_FACE", str(tmp_path / "face"))
    assert location.weights_folder() == tmp_path / "face"
    own = {n: w.subfolder for n, w in presets._full().components.items() if w.source == str(tmp_path / "face")}
    assert own == {
        "tdm": SCENE_UNET,
        "sdm": SUBJECT_UNET,
        **{name: name for name in ("text_encoder", "image_encoder", "postfuse")},
    }
    monkeypatch.delenv("EASEL_FACE")
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path))
    assert location.weights_folder() == tmp_path / "face"


def test_what_takes_turns_stays_together_when_offloading() -> None:
    names = [name for name in FULL.components if name != "tokenizer"]
    together = FULL.settings["together"]
    assert set(together) == {"tdm", "base", "sdm"}
    assert names[-1] == "vae"
    assert sorted(names.index(name) for name in together) == list(range(len(names) - 4, len(names) - 1))
    assert "offload" in FULL.memory_modes


def test_nothing_else_is_the_users_own() -> None:
    for name, weights in FULL.components.items():
        assert weights.own == (name not in ("tokenizer", "base", "vae"))
        assert weights.made_by == ("models convert-face SUBJECT SCENE" if weights.own else "")
        assert weights.source == presets.BASE or weights.own


def test_the_released_setting_takes_132_of_204_evaluations() -> None:
    asked = request(sampler="released", scene_until=0.3, subject_from=0.6, steps=FULL.steps)
    bounds, total = asked.bounds(FULL.steps), iterations("released", FULL.steps)
    stages = counts(bounds, total)
    assert bounds == Bounds(15, 30)
    assert (stages.evaluations, stages.all_evaluations, stages.after_scene) == (132, 204, 100)
    assert stages.readout() == "16 scene / 15 fused / 20 subject steps"


def test_shapes_agree_from_picture_to_noise(made: dict[str, Any]) -> None:
    """Without memory: two people's vectors, the rows they go into, and a fused step of both U-Nets."""
    height, width = 64, 96
    with torch.device("meta"):
        vectors = made["image_encoder"](pixel_values=torch.empty(2, 3, 224, 224)).image_embeds
        states = made["text_encoder"](torch.empty(1, 77, dtype=torch.long)).last_hidden_state
        rows = made["postfuse"](states[0, [2, 5]], vectors)
        picture = made["vae"].decode(torch.empty(1, 4, height, width)).sample
    assert (vectors.shape, states.shape, rows.shape) == ((2, 768), (1, 77, 768), (2, 768))
    assert picture.shape == (1, 3, 8 * height, 8 * width)

    def network(latents: torch.Tensor, _: torch.Tensor, words: tuple[Words, Words]) -> torch.Tensor:
        text = states.expand(len(latents), -1, -1)
        assert text.shape == (len(words), 77, 768)
        return made["unet"](latents, torch.empty((), device="meta"), text).sample  # type: ignore[no-any-return]

    steps = scheduler("paper", 3)
    loop = denoise(
        Networks(network, network), torch.empty(1, 4, height, width, device="meta"), steps, Bounds(-1, 9), Guidance()
    )
    state = next(loop)
    assert state.mask is not None
    assert (state.latents.shape, state.mask.shape) == ((1, 4, height, width), (1, height, width))


def test_the_encoder_sees_224_pixels(made: dict[str, Any]) -> None:
    assert made["image_encoder"].config.image_size == 224
    with torch.device("meta"):
        assert embed(made["image_encoder"], torch.empty(1, 2, 3, 224, 224)).shape == (1, 2, 768)
