"""A recipe leads back to the request it was made from, or says in words what is in the way."""

import dataclasses
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from models import loading, recipe, replay
from models.contract import BadRequest, Placed, Preset, Request, Weights, option

RNG = np.random.default_rng(9)
WEIGHTS = {"vae": Weights("assets/pocket/vae", "diffusers.AutoencoderKL")}
PRESET = Preset("pocket", WEIGHTS, steps=3, label="Pocket")


@dataclass(frozen=True, eq=False, kw_only=True)
class Fuse(Request):
    background: np.ndarray = option("rgb", None, "Background", required=True)
    mask: np.ndarray | None = option("mask", None, "Mask")
    x: float = option("number", 0.5, "Across", low=0, high=1)
    flip: bool = option("flag", False, "Mirror")


@dataclass(frozen=True)
class Nested:
    """Stands for a request with layers and references: what `_told` and `_revived` promise for any shape."""

    layers: tuple[Placed, ...] = ()
    references: tuple[np.ndarray, ...] = ()
    subjects: tuple[tuple[str, np.ndarray], ...] | None = None


def fuse(**changes: object) -> Fuse:
    picture = RNG.integers(0, 256, (16, 20, 3), np.uint8)
    return Fuse(background=picture, prompt="ein Apfel \N{RED APPLE}", x=0.1, seed=5, preset="pocket").replace(**changes)


def recorded(request: Request, index: int = 0) -> tuple[recipe.Recipe, dict[str, np.ndarray]]:
    return replay.record("fuse", request, PRESET, WEIGHTS, device="cpu", threads=2, seconds=1.0, index=index)


@pytest.mark.parametrize("mask", [None, np.eye(16, 20, dtype=np.uint8)])
def test_a_request_survives_the_file(mask: np.ndarray | None, tmp_path: Path) -> None:
    request = fuse(mask=mask, num_images=3, flip=True)
    recipe.write_png(tmp_path / "a.png", request.background, *recorded(request, index=2))
    back = replay.to_request(*recipe.read_png(tmp_path / "a.png"), Fuse)
    assert back.digest() == request.replace(seed=7, num_images=1).digest(), "picture 2 is the request with seed + 2"


def test_layers_and_references_survive_too() -> None:
    layer = Placed(RNG.integers(0, 256, (9, 9, 4), np.uint8), x=0.25, flip=True, prompt="a hat")
    face = RNG.integers(0, 256, (10, 10, 3), np.uint8)
    inputs: dict[str, np.ndarray] = {}
    told = {
        "layers": replay._told((layer,), "layers", inputs),
        "references": replay._told((face, face), "references", inputs),
        "subjects": replay._told((("Ann", face),), "subjects", inputs),
    }
    assert set(inputs) == {"layers.0.image", "references.0", "references.1", "subjects.0.1"}
    back = replay._revived(told, Nested, inputs)
    assert isinstance(back.layers[0], Placed)
    assert (back.layers[0].x, back.layers[0].flip, back.layers[0].prompt) == (0.25, True, "a hat")
    np.testing.assert_array_equal(back.layers[0].image, layer.image)
    np.testing.assert_array_equal(back.references[1], face)
    assert back.subjects[0][0] == "Ann"


def test_a_missing_or_exchanged_picture_is_named() -> None:
    request = fuse()
    made, inputs = recorded(request)
    with pytest.raises(BadRequest, match="add the picture “background” .20x16"):
        replay.to_request(made, {}, Fuse)
    with pytest.raises(BadRequest, match="not the picture"):
        replay.to_request(made, {"background": 255 - request.background}, Fuse)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("cfg", 3, "does not know"),
        ("x", 99, "between"),
        ("x", {"a": 1}, "number"),
        ("background", 5, "8-bit"),
        ("steps", "many", "number"),
    ],
)
def test_a_bent_recipe_is_refused_in_words(field: str, value: object, says: str) -> None:
    made, inputs = recorded(fuse())
    bent = dataclasses.replace(made, request={**made.request, field: value})
    with pytest.raises(BadRequest, match=says):
        replay.to_request(bent, inputs, Fuse)


def test_differences_name_each_weight_library_and_setting_that_changed() -> None:
    then, _ = recorded(fuse())
    assert replay.differences(then, then) == []
    weights = {"vae": {**then.weights["vae"], "sha256": "cd"}, "lora": then.weights["vae"]}
    versions = {**then.versions, "torch": "9.9"}
    now = dataclasses.replace(then, weights=weights, versions=versions, threads=4, seconds=99.0, facts={"a": 1})
    lines = replay.differences(then, now)
    assert len(lines) == 4
    assert lines[0] == "lora was not used and is now"
    assert "vae's sha256" in lines[1]
    assert lines[1].endswith("is cd now")
    assert lines[2] == f"torch was {metadata.version('torch')} and is 9.9 now"
    assert lines[3] == "threads was 2 and is 4 now"
    assert "lora was used and is not now" in replay.differences(now, then)


def test_identify_follows_the_files_of_one_component_only(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"unet/a.safetensors": "1", "unet/config.json": "2", "vae/a.safetensors": "3"}
    monkeypatch.setattr(loading, "manifest", lambda name: {"files": files} if name == "cat" else {})
    unet = Weights("assets/pocket/cat", "diffusers.UNet2DConditionModel", subfolder="unet")
    first = replay.identify(unet)
    assert first["source"] == "assets/pocket/cat"
    assert len(first["sha256"]) == 64
    files["vae/a.safetensors"] = "4"
    assert replay.identify(unet) == first
    assert replay.identify(Weights("assets/pocket/cat/unet", unet.class_name))["sha256"] == first["sha256"]
    files["unet/config.json"] = "5"
    assert replay.identify(unet)["sha256"] != first["sha256"]


def test_identify_hashes_a_folder_of_ones_own_and_keeps_its_path_out(tmp_path: Path) -> None:
    unet = tmp_path / "anna" / "cat" / "unet"
    unet.mkdir(parents=True)
    (unet / "config.json").write_text("{}")
    weights = Weights(str(tmp_path / "anna" / "cat"), "diffusers.UNet2DConditionModel", subfolder="unet")
    first = replay.identify(weights)
    assert (first["source"], first["subfolder"], first["revision"]) == ("cat", "unet", "")
    assert first["sha256"] == replay._over({"config.json": loading.sha256(unet / "config.json")})
    assert "anna" not in str(first)
    (unet / "config.json").write_text("{ }")
    assert replay.identify(weights)["sha256"] != first["sha256"]


def test_identify_reads_commit_and_sha256_from_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache laid out as huggingface_hub lays it out: refs, blobs named by sha256, snapshots of links."""
    commit, repo = "c" * 40, tmp_path / "models--someone--model"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    (repo / "blobs").mkdir()
    (repo / "snapshots" / commit / "unet").mkdir(parents=True)
    for sha, name in (("a" * 64, "unet/w.safetensors"), ("b" * 64, "model_index.json")):
        (repo / "blobs" / sha).write_text(name)
        (repo / "snapshots" / commit / name).symlink_to(repo / "blobs" / sha)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    got = replay.identify(Weights("someone/model", "diffusers.UNet2DConditionModel", subfolder="unet"))
    assert got["revision"] == commit
    assert got["sha256"] == replay._over({"unet/w.safetensors": "a" * 64})
    absent = replay.identify(Weights("someone/else", "diffusers.UNet2DConditionModel", revision="d" * 40))
    assert (absent["revision"], absent["sha256"]) == ("d" * 40, "")
