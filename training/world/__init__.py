"""The pocket world: a seeded compositor that draws whole training batches with complete ground truth.

Everything is batched, float32 in 0..1, NCHW, on any ``device``; sizes are (height, width), multiples of 8. The same
seed (an int, or a ``torch.Generator`` that is advanced by one draw) gives the same pictures on the same machine.
``split``: "train", "held_out" (objects and people never trained), "combos" (trained objects in a colour and place that
training never combines, for text-driven rows).

    scenes(count, size, seed, split, device, people=.25, kinds=..., styled=True, counts=...) -> SceneBatch
    layer_canvases(SceneBatch) -> (B, L, 4, H, W) unlit layers in place     layer_crops(SceneBatch, side)
    fusion(count, size, seed, split, device, large=False, kinds=FUSION_KINDS) -> FusionBatch    paste(FusionBatch)
    edits(count, size, seed, split, device, kinds=EDIT_KINDS) -> EditBatch
    faces(count, size, seed, split, device, pairs=.3, reference_side=128) -> FaceBatch
    holes(count, size, seed, split, device, people=.15, boxes=.5) -> HoleBatch        (inpainting)
    crops(count, side, seed, split, device) -> CropBatch                              (judge)
    crop(images, boxes, side) -> square crops
    captions(count, seed, split) -> list[str]        vocabulary() -> tuple of words   (tokenizers)
    nouns(), COLOUR_NAMES, SCENE_NAMES, STYLE_NAMES, HAIR_STYLES, ... : label tables
    VERSION, digest(): what a MANIFEST stores as parent

The fields of each batch are described at its class. ``python -m training.world --sheet out.png`` draws a contact sheet.
"""

from __future__ import annotations

from pathlib import Path

from .assets import FOLDER, digest_files, nouns
from .captioned import SceneBatch, captions, layer_canvases, layer_crops, scenes
from .cutouts import CropBatch, HoleBatch, crop, crops, holes
from .fusions import KINDS as FUSION_KINDS, FusionBatch, fusion, paste
from .grammar import split_words, vocabulary
from .identity import FaceBatch, faces
from .pairs import KINDS as EDIT_KINDS, EditBatch, edits
from .plan import Size, Split
from .splits import held_out, identities_of, is_held_out_combination, sprites_of
from .words import (
    BEARDS,
    COLOUR_NAMES,
    EXPRESSIONS,
    EYEWEAR,
    HAIR_COLOURS,
    HAIR_STYLES,
    MARKER,
    NOUNS,
    SCENE_NAMES,
    SKINS,
    STYLE_NAMES,
)

VERSION = 1


def digest() -> str:
    """sha256 over the package's sources and its art: a model trained on another world has another parent.

    The contact sheet draws nothing that is trained on and stays out. ``assets/sprites/WORLD.json`` holds the frozen
    value; changing it makes every shipped model stale.
    """
    here = Path(__file__).parent
    code = [p for p in here.glob("*.py") if p.name != "__main__.py"]
    art = [p for p in FOLDER.iterdir() if p.suffix in (".webp", ".json") and p.name != "WORLD.json"]
    return digest_files(sorted(code) + [here.parent / "hold_out.py"] + sorted(art))


__all__ = [
    "BEARDS", "COLOUR_NAMES", "EDIT_KINDS", "EXPRESSIONS", "EYEWEAR", "FUSION_KINDS", "HAIR_COLOURS", "HAIR_STYLES",
    "MARKER", "NOUNS", "SCENE_NAMES", "SKINS", "STYLE_NAMES", "VERSION", "CropBatch", "EditBatch", "FaceBatch",
    "FusionBatch", "HoleBatch", "SceneBatch", "Size", "Split", "captions", "crop", "crops", "digest", "edits", "faces",
    "fusion", "held_out", "holes", "identities_of", "is_held_out_combination", "layer_canvases", "layer_crops", "nouns",
    "paste", "scenes", "split_words", "sprites_of", "vocabulary",
]  # fmt: skip
