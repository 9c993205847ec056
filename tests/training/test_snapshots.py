"""The weights that ship: whole, of known parents, small enough, and loaded by the classes that the presets name."""

import importlib
from pathlib import Path

import pytest
import torch

from models.dreamfuse.spec import PRESETS
from models.loading import POCKET, load_component
from training import world
from training.export import MANIFEST, faults

SNAPSHOTS = sorted(p.parent for p in POCKET.glob(f"*/{MANIFEST}"))
MEGABYTE = 2**20


@pytest.mark.parametrize("folder", SNAPSHOTS, ids=lambda p: p.name)
def test_shipped_weights_are_whole_and_of_the_parents_they_were_trained_on(folder: Path) -> None:
    assert faults(folder, world.digest()) == []


def test_every_pocket_model_of_what_the_app_offers_ships() -> None:
    assert {"vae", "clip", "t5", "flux", "dreamfuse", "judge", "sam2"} <= {p.name for p in SNAPSHOTS}


def test_shipped_files_stay_small() -> None:
    sizes = [p.stat().st_size for p in POCKET.rglob("*") if p.is_file()]
    assert max(sizes) < 10 * MEGABYTE
    assert sum(sizes) < 80 * MEGABYTE


@pytest.mark.parametrize("name", list(PRESETS["pocket"].components))
def test_pocket_components_of_dreamfuse_load(name: str) -> None:
    component = load_component(PRESETS["pocket"].components[name])
    if isinstance(component, torch.nn.Module):
        assert all(p.isfinite().all() for p in component.parameters())


def test_empty_prompt_on_disk_is_what_the_shipped_encoders_say() -> None:
    preset = PRESETS["pocket"]
    text = importlib.import_module("models.dreamfuse.text")
    parts = {
        name: load_component(preset.components[name])
        for name in ("tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2")
    }
    said = text._encode(parts, "", preset.settings["text_tokens"])
    kept = text.Prompt.load(POCKET.parent.parent / preset.settings["empty_prompt"])
    # Encoded before the weights were rounded to fp16.
    torch.testing.assert_close(said.tokens, kept.tokens, atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(said.pooled, kept.pooled, atol=2e-2, rtol=2e-2)
