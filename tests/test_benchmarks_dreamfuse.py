"""DreamFuse's rows and the clicks, on drawn cases and on tiny real models; the committed numbers measured again."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image

from benchmarks import clicks, examples, fidelity, machine, measures, page
from benchmarks.rows import dreamfuse
from models import catalog, loading, pixels, regions, runtime
from models.autoencoder import PatchAutoencoder
from models.cache import ModelCache
from models.contract import Weights
from models.dreamfuse.adapter import Adapter
from models.dreamfuse.spec import object_matrix, placed_box
from models.dreamfuse.text import Prompt
from tests import tiny
from training import world

POCKET = catalog.SPECS["dreamfuse"].presets["pocket"]


def load_tiny(weights: Weights) -> Any:
    """A random component of the right class and a small size; the same one each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        name = weights.class_name.rpartition(".")[2]
        if name == "FluxTransformer2DModel":
            return tiny.flux(in_channels=32)
        if name == "Adapter":
            return Adapter(*tiny_lora(), rank=2, alpha=2)
        if name == "PatchAutoencoder":
            return PatchAutoencoder(block_out_channels=(8, 8, 8, 8), layers_per_block=1).eval().requires_grad_(False)
        return FlowMatchEulerDiscreteScheduler(shift=1.0)


def tiny_lora() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """LoRA matrices for the tiny FLUX and tags."""
    wide = {
        n: m for n, m in tiny.flux(in_channels=32).named_modules() if n.endswith(("to_q", "to_k", "to_v", "to_out.0"))
    }
    lora = {f"{n}.lora_A.weight": torch.randn(2, m.in_features) for n, m in wide.items()}
    lora |= {f"{n}.lora_B.weight": torch.randn(m.out_features, 2) for n, m in wide.items()}
    return lora, torch.randn(3, 32)


@pytest.fixture
def tiny_pocket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The catalogue's DreamFuse with tiny random components at 128 px, without prompts, behind the real runtime."""
    torch.set_num_threads(1)
    spec = catalog.SPECS["dreamfuse"]
    Prompt(torch.randn(1, 4, 12), torch.randn(1, 10)).save(tmp_path / "empty.safetensors")
    settings = {**POCKET.settings, "empty_prompt": str(tmp_path / "empty.safetensors")}
    preset = dataclasses.replace(POCKET, size=128, steps=3, settings=settings)
    monkeypatch.setitem(catalog.SPECS, "dreamfuse", dataclasses.replace(spec, presets={"pocket": preset}))
    monkeypatch.setattr(loading, "load_component", load_tiny)
    monkeypatch.setattr(runtime, "cache", ModelCache(load_tiny))
    monkeypatch.setattr(runtime, "settings", runtime.Settings(threads=1, preset="pocket"))
    return preset


def test_a_case_measures_every_number_of_every_row(tiny_pocket: Any) -> None:
    cases = dreamfuse.draw(6, 0, tiny_pocket, None)
    case = next(c for c in cases if placed_box(c.request)[2] - placed_box(c.request)[0] < 50)
    case = dataclasses.replace(case, request=case.request.replace(prompt=""))
    measured = dreamfuse.measure(case, tiny_pocket)
    wanted = {key for row in dreamfuse.ROWS for key in (row.ours, row.against, *row.beside.values()) if key}
    assert wanted == measured.numbers.keys()
    again = dreamfuse.measure(case, tiny_pocket)
    assert fidelity.as_case(0, again) == fidelity.as_case(0, measured)
    near = measures.inside(measures.scaled(placed_box(case.request), 1.5), (128, 128))
    assert measured.numbers["inside_ours"] == measures.psnr(measured.pictures["ours"], case.truth, near)
    assert measured.numbers["inside_ours"] != measured.numbers["inside_affine"]


def test_a_click_is_stopped_queued_behind_and_leaves_no_patch(tiny_pocket: Any) -> None:
    request = examples.example("dreamfuse")
    picture, _, steps = clicks.click("dreamfuse", request)
    assert [number for number, _ in steps] == [1, 2, 3]
    assert clicks.steps_per_second([(1, 2.0), (5, 4.0)]) == 2.0
    stopped = clicks.stop("dreamfuse", request)
    assert (stopped["steps_after"], stopped["patches_gone"]) == (0, True)
    other = clicks.second_visitor("dreamfuse", request, picture)
    assert (other["waited"], other["same_pixels"]) == (True, True)
    assert other["patched_while_running"] == ["transformer"], "or else “patches gone” would mean nothing"
    assert not clicks.second_visitor("dreamfuse", request, picture[::-1])["same_pixels"]
    assert runtime.cache.resident()["cpu"] > 0
    assert clicks.cache("dreamfuse", request)["hit_s"] < 1


def test_a_patch_shows_in_the_fingerprint_and_its_removal_too() -> None:
    model = tiny.flux()
    stock = clicks.fingerprint(model)
    block = model.transformer_blocks[0]
    hook = block.register_forward_pre_hook(lambda *_: None)
    assert clicks.fingerprint(model) != stock
    hook.remove()
    assert clicks.fingerprint(model) == stock
    block.attn.processor = object()
    assert clicks.fingerprint(model) != stock


def test_cases_are_the_same_each_time_and_the_first_ones_do_not_depend_on_the_count() -> None:
    few, many = dreamfuse.draw(2, 5, POCKET, None), dreamfuse.draw(4, 5, POCKET, None)
    for a, b in zip(few, many, strict=False):
        assert a.request.digest() == b.request.digest()
        assert np.array_equal(a.truth, b.truth)
    other = dreamfuse.draw(2, 6, POCKET, None)
    assert not np.array_equal(few[0].truth, other[0].truth)


def test_cases_show_held_out_objects_only_and_ask_for_raw_output() -> None:
    held_out = json.loads((machine.ROOT / "assets/sprites/held_out.json").read_text())["families"]
    rows = json.loads((machine.ROOT / "assets/sprites/names.json").read_text())
    trained = {row["noun"] for row in rows if row["family"] not in held_out}
    drawn = dreamfuse.draw(12, 0, POCKET, None)
    assert not trained & {case.name for case in drawn}
    assert len({case.name for case in drawn}) > 6
    for case in drawn:
        assert (case.request.keep_detail, case.request.background_lock, case.request.steps) == ("off", False, 0)
        assert case.truth.shape == case.request.background.shape == (POCKET.size, POCKET.size, 3)


def test_a_case_asks_for_the_place_where_the_world_put_the_object() -> None:
    """The raw paste at the request's place agrees with the world's own, which is made from boxes by torch."""
    size = (POCKET.size, POCKET.size)
    for seed, kind in enumerate(world.FUSION_KINDS):
        batch = world.fusion(1, size, seed, "held_out", kinds=(kind,))
        case = dreamfuse.as_case(batch, 0, POCKET)
        pasted, _ = pixels.paste(case.request.background, case.request.foreground, object_matrix(case.request))
        want = pixels.to_bytes(255 * world.paste(batch)[0].permute(1, 2, 0).numpy())
        near = measures.inside(measures.scaled(placed_box(case.request), 1.5), size)
        assert measures.psnr(pasted, want, near) > 33, kind
        assert measures.psnr(np.roll(pasted, 3, axis=1), want, near) < measures.psnr(pasted, want, near) - 10


def test_poisson_keeps_the_place_around_the_object_and_takes_its_gradients() -> None:
    case = next(c for c in dreamfuse.draw(8, 2, POCKET, None) if c.kind == "place")
    plate, matrix = case.request.background, object_matrix(case.request)
    cloned, done = pixels.poisson(plate, case.request.foreground, matrix)
    pasted, mask = pixels.paste(plate, case.request.foreground, matrix)
    assert done
    assert measures.psnr(cloned, plate, mask == 0) > 45, "only the solver's rounding"
    core = regions.shrink(mask, 4) == 255
    steps = [np.diff(p.astype(float), axis=1)[core[:, 1:] & core[:, :-1]].ravel() for p in (cloned, pasted)]
    assert np.corrcoef(*steps)[0, 1] > 0.8
    rim = (mask > 0) & (regions.shrink(mask, 2) < 128)
    assert measures.psnr(cloned, plate, rim) > measures.psnr(pasted, plate, rim) + 3, "it meets the place at its edge"


def test_torch_is_seen_in_a_process_from_outside() -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("this system has no /proc")
    assert page.has_torch(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=PIPE, stdout=PIPE) as plain:
        assert plain.stdout.readline() == b"1\n"
        assert page.has_torch(plain.pid) is False
        plain.communicate(b"\n")


def test_the_timed_call_sends_what_the_timed_request_holds(tmp_path: Path) -> None:
    request = examples.example("dreamfuse").replace(angle=12.0)
    sent = page.endpoint_arguments(request, tmp_path)
    for name in ("background", "foreground"):
        with Image.open(sent.pop(name)["path"]) as picture:
            assert np.array_equal(np.asarray(picture), getattr(request, name))
    assert sent == {"y": 0.65, "angle": 12.0, "seed": 1}


@pytest.mark.slow
def test_a_folder_of_cutouts_takes_the_place_of_the_held_out_objects_and_goes_again(tmp_path: Path) -> None:
    before = dreamfuse.draw(1, 0, POCKET, None)[0]
    for name, colour in (("red_ball", (250, 0, 0, 255)), ("lime", (0, 250, 0, 255))):
        picture = Image.new("RGBA", (50, 40))
        picture.paste(colour, (10, 5, 40, 35))
        picture.save(tmp_path / f"{name}.png")
    drawn = dreamfuse.draw(8, 0, POCKET, tmp_path)
    assert {case.name for case in drawn} == {"red ball", "lime"}
    for case in drawn:
        colour = case.request.foreground[case.request.foreground[..., 3] == 255][:, :3].mean(axis=0)
        assert colour.argmax() == (0 if case.name == "red ball" else 1)
    assert dreamfuse.draw(1, 0, POCKET, None)[0].request.digest() == before.request.digest()


def test_results_of_other_weights_are_named_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "weight_digests", lambda _: {"a.safetensors": "1", "new.safetensors": "2"})
    assert machine.changed_weights({"a.safetensors": "1", "new.safetensors": "2"}, POCKET) == []
    recorded = {"a.safetensors": "0", "gone.safetensors": "3"}
    assert machine.changed_weights(recorded, POCKET) == ["a.safetensors", "gone.safetensors", "new.safetensors"]


COMMITTED = sorted(machine.RESULTS.glob("fidelity-*.json"))
TOLERANCE = {"dB": 0.1, "": 0.03}  # what another CPU's rounding may do over 20 steps


@pytest.mark.slow
@pytest.mark.parametrize("path", COMMITTED, ids=lambda p: p.stem)
def test_the_first_committed_cases_measure_the_same_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(path.read_text())
    monkeypatch.setattr(runtime, "settings", runtime.Settings(threads=1))
    changed = fidelity.stale(found)
    assert not changed, f"{path.name} is stale: {', '.join(changed)} changed since; run benchmarks.fidelity again."
    assert len(found["cases"]) >= 64
    again = fidelity.remeasure(found, 8)
    rows = fidelity.rows_of(found["method"])
    for row in rows.ROWS:
        for key in {row.ours, *row.beside.values()} - getattr(rows, "OF_ALL", set()):
            was, now = ([c["numbers"].get(key) for c in cases] for cases in (found["cases"][:8], again))
            if getattr(rows, "ANSWERS", False):
                was, now = ([statistics.mean(n for n in numbers if n is not None)] for numbers in (was, now))
            assert now == pytest.approx(was, abs=TOLERANCE[row.unit]), key
