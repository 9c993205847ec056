"""The published files arrive whole, tensor by tensor, and become the folders that the full preset loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.facediffuser import published
from models.facediffuser.image_encoder import embed
from models.facediffuser.layout import PARTS, PUBLISHED, Kind
from tests.methods import face_published
from tests.methods.face_published import CLASSES, TINY

KINDS: tuple[Kind, ...] = ("subject", "scene")
# The published counts of tensors and weights, by part.
COUNTS = {
    "unet": (686, 859_520_964),
    "text_encoder": (196, 123_060_480),
    "image_encoder": (392, 303_966_208),
    "postfuse": (14, 2_958_336),
    "vae": (248, 83_653_863),
}
TENSORS = {"subject": 1538, "scene": 1131}
BYTES = {"subject": 4_521_665_870, "scene": 3_851_513_158}  # 4.52 and 3.85 GB are listed


def expected(kind: Kind) -> set[str]:
    return {part.name for part in PARTS if kind in part.kinds}


# ---- full size, without memory


@pytest.fixture(scope="module")
def full() -> dict[Kind, dict[str, Tensor]]:
    with torch.device("meta"):
        return {kind: face_published.checkpoint(face_published.networks(PUBLISHED, kind)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_full_files_are_as_large_as_the_published_ones(full: Any, kind: Kind) -> None:
    assert len(full[kind]) == TENSORS[kind]
    assert sum(value.numel() * value.element_size() for value in full[kind].values()) == BYTES[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_every_key_of_the_full_files_arrives(full: Any, kind: Kind, wrapper: str) -> None:
    groups = published.split({wrapper + key: value for key, value in full[kind].items()}, kind)
    assert {name for name, entries in groups.items() if entries} == expected(kind)
    for part in PARTS:
        if kind in part.kinds:
            state = published.fitted(part, groups[part.name], PUBLISHED[part.name]).state_dict()
            assert (len(state), sum(value.numel() for value in state.values())) == COUNTS[part.name]


def test_the_last_two_layers_of_the_image_encoder_are_the_files_own(full: Any) -> None:
    part = next(part for part in PARTS if part.name == "image_encoder")
    entries = published.split(full["subject"], "subject")["image_encoder"]
    state = published.fitted(part, entries, PUBLISHED["image_encoder"]).state_dict()
    single = {key for key, value in state.items() if value.dtype == torch.float32}
    assert {key.split(".")[3] for key in single} == {"22", "23"}
    assert sum(state[key].numel() for key in single) == 2 * 12_596_224


# ---- real tensors


@pytest.fixture(scope="module")
def made() -> dict[Kind, dict[str, Any]]:
    return {"subject": face_published.tiny_networks("subject", 7), "scene": face_published.tiny_networks("scene", 8)}


def write(folder: Path, made: dict[Kind, dict[str, Any]], form: str = "pickle") -> tuple[Path, Path]:
    """Both files, the subject model's first."""
    paths = []
    for kind in KINDS:
        state = {key: value.contiguous() for key, value in face_published.checkpoint(made[kind]).items()}
        path = folder / f"{kind}.{'safetensors' if form == 'safetensors' else 'bin'}"
        if form == "safetensors":
            save_file(state, path)
        elif form == "wrapped":
            torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
        else:
            torch.save(state, path)
        paths.append(path)
    return paths[0], paths[1]


@pytest.mark.parametrize("form", ["pickle", "safetensors", "wrapped"])
def test_two_files_become_five_folders_tensor_by_tensor(tmp_path: Path, made: Any, form: str) -> None:
    subject, scene = write(tmp_path, made, form)
    said: list[str] = []
    published.convert(subject, scene, tmp_path / "face", TINY, notify=said.append)
    folders = {folder.name for folder in (tmp_path / "face").iterdir()}
    assert folders == {"sdm_unet", "tdm_unet", "text_encoder", "image_encoder", "postfuse"}
    assert [line.split()[0] for line in said] == ["Reading"] * 2 + ["Writing"] * 5
    for folder in folders:
        kind, part = ("scene", "unet") if folder == "tdm_unet" else ("subject", folder.removeprefix("sdm_"))
        home = tmp_path / "face" / folder
        files = [file.name for file in home.iterdir()]
        assert all(name.endswith((".safetensors", ".json")) for name in files)
        again = CLASSES[part].from_pretrained(home).state_dict()
        held = published.load(subject if kind == "subject" else scene, kind, TINY)[part].state_dict()
        source = made[kind][part].state_dict()
        assert again.keys() == source.keys()
        on_disk = {value.dtype for file in files if file.endswith("s") for value in load_file(home / file).values()}
        assert on_disk == {torch.float32 if part == "postfuse" else torch.float16}
        for key, value in again.items():
            assert torch.equal(value.float(), held[key].to(*on_disk).float())
            assert torch.equal(held[key], source[key].to(held[key].dtype))


def test_fastcomposers_file_alone_leaves_the_scene_to_the_base(tmp_path: Path, made: Any) -> None:
    published.convert(write(tmp_path, made)[0], None, tmp_path / "face", TINY)
    folders = {folder.name for folder in (tmp_path / "face").iterdir()}
    assert folders == {"sdm_unet", "text_encoder", "image_encoder", "postfuse"}


def test_what_is_converted_sees_and_fuses_what_was_trained(tmp_path: Path, made: Any) -> None:
    exact = {name: model.bfloat16().float() for name, model in face_published.tiny_networks().items()}
    subject = write(tmp_path, {"subject": exact, "scene": made["scene"]})[0]
    published.convert(subject, None, tmp_path / "face", TINY, torch.float32)
    loaded = {p: CLASSES[p].from_pretrained(tmp_path / "face" / p) for p in ("image_encoder", "postfuse")}
    pictures = torch.rand(1, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    vectors = embed(loaded["image_encoder"], pictures)
    assert torch.equal(vectors, embed(exact["image_encoder"], pictures))
    states = torch.randn(1, 5, 12, generator=torch.Generator().manual_seed(1))
    augmented = loaded["postfuse"].augment(states, [[1, 3]], vectors)
    assert torch.equal(augmented, exact["postfuse"].augment(states, [[1, 3]], vectors))
    ids = torch.tensor([[1, 5, 39]])
    text = CLASSES["text_encoder"].from_pretrained(tmp_path / "face" / "text_encoder")
    assert torch.equal(text(ids).last_hidden_state, exact["text_encoder"](ids).last_hidden_state)


def test_the_autoencoder_is_known_by_its_old_and_new_names_or_absent(tmp_path: Path, made: Any) -> None:
    part = next(part for part in PARTS if part.name == "vae")
    old = face_published.checkpoint(made["subject"])
    assert len([key for key in old if re_old(key)]) == 16
    new = {f"vae.{key}": value.bfloat16() for key, value in made["subject"]["vae"].state_dict().items()}
    for entries in (published.split(old, "subject")["vae"], new):
        state = published.fitted(part, entries, TINY["vae"]).state_dict()
        assert all(torch.equal(state[key.removeprefix("vae.")], value) for key, value in new.items())
    without = {key: value for key, value in old.items() if not key.startswith("vae.")}
    torch.save(without, tmp_path / "subject.bin")
    assert "vae" not in published.load(tmp_path / "subject.bin", "subject", TINY)


def re_old(key: str) -> bool:
    return key.startswith("vae.") and any(f".{name}." in key for name in ("query", "key", "value", "proj_attn"))


def test_text_encoders_that_differ_are_told_and_the_subjects_is_kept(tmp_path: Path, made: Any) -> None:
    other = face_published.tiny_networks("scene", 8)
    other["text_encoder"].final_layer_norm.bias.add_(1)
    subject, scene = write(tmp_path, {"subject": made["subject"], "scene": other})
    said: list[str] = []
    published.convert(subject, scene, tmp_path / "face", TINY, notify=said.append)
    assert [line for line in said if line.startswith("The two")] == [
        "The two files' text encoders differ in 1 tensors; the subject model's (SDM) is kept."
    ]
    kept = load_file(next((tmp_path / "face" / "text_encoder").glob("*.safetensors")))
    bias = next(value for key, value in kept.items() if key.endswith("final_layer_norm.bias"))
    assert torch.equal(bias, made["subject"]["text_encoder"].final_layer_norm.bias.bfloat16().half())
