"""A checkpoint of the authors' layout, one file, into the five folders that the `full` preset loads.

Everything is checked before anything is written: a key that is missing, unknown or of another shape, another noise
schedule, and files of the training's earlier stages are refused with one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import diffusion
from models.cat.published import PARTS, PUBLISHED, Part, Sizes
from models.checkpoint import Notify, State, fit, read, shown, silent, written
from models.contract import BadRequest, MissingWeights

Groups = dict[str, State]  # by folder, keys as in the file

TOLERATED = "embeddings.position_ids"  # counted from 0; older libraries saved them


def convert(path: Path, out: Path, sizes: Sizes = PUBLISHED, notify: Notify = silent) -> None:
    """Write `path`'s networks to out/{unet,semantic_inpainter,vae,text_encoder,clip_vision}, in the file's dtype.

    Raises `BadRequest` if there is no such file or `out` is taken or cannot be written, and `MissingWeights` for a
    file that is not a whole CAT-Diffusion checkpoint.
    """
    if any((out / part.folder).exists() for part in PARTS):
        raise BadRequest(f"{out} already holds weights; please name another folder with --out, or remove it.")
    notify(f"Reading {path}")
    groups = split(read(path))
    models = {part.folder: fitted(part, groups[part.folder], sizes[part.folder]) for part in PARTS}
    _refuse_untrained(models["unet"])
    with written(out) as partial:
        for folder, model in models.items():
            notify(f"Writing {out / folder}")
            model.save_pretrained(partial / folder)


def split(state: Mapping[str, Any]) -> Groups:
    """The entries by network, after the checks that need no network; raises `MissingWeights`."""
    groups: Groups = {part.folder: {} for part in PARTS}
    schedule: State = {}
    unknown = []
    for key, value in state.items():
        part = next((p for p in PARTS if key.startswith(p.prefix)), None)
        if not isinstance(value, Tensor):
            unknown.append(key)
        elif part is None:
            schedule[key] = value
        elif not key.endswith(TOLERATED):
            groups[part.folder][key] = value
    _refuse_partial(groups)
    unknown += _check_schedule(schedule)
    if unknown:
        raise MissingWeights(f"The checkpoint has {len(unknown)} unknown keys: {shown(unknown)}.")
    return groups


def _refuse_partial(groups: Groups) -> None:
    adapters = any(".attn3." in key for key in groups["unet"])
    if groups["unet"] and not adapters:
        raise MissingWeights(
            "This is not a CAT-Diffusion checkpoint: its U-Net has no reference adapters (no key with “.attn3.”)."
        )
    if adapters and not groups["semantic_inpainter"]:
        raise MissingWeights(
            "This file is of stage 1b, the U-Net's own training: it has no semantic inpainter (“fusion_model.”); "
            "please merge the one of stage 1a into it first."
        )
    absent = [part for part in PARTS if not groups[part.folder]]
    if absent:
        names = ", ".join(f"{part.title} (“{part.prefix}”)" for part in absent)
        raise MissingWeights(f"This is not a whole CAT-Diffusion checkpoint; what it lacks: {names}.")


def _check_schedule(found: State) -> list[str]:
    """Compare the noise schedule with the one that is sampled with; returns keys that belong to nothing."""
    expected = _schedule()
    for key in found.keys() & expected.keys():
        same = found[key].shape == expected[key].shape
        if not same or not torch.allclose(found[key].double(), expected[key], rtol=1e-3, atol=1e-6):
            raise MissingWeights(f"The checkpoint was trained with another noise schedule: its {key} differs.")
    return [key for key in found if key not in expected]


def _schedule() -> State:
    """The twelve tables (1000,) that the authors' code saves beside the weights."""
    alphas = diffusion.alphas_cumprod().double()
    before = torch.cat([torch.ones(1, dtype=torch.float64), alphas[:-1]])
    betas = 1 - alphas / before
    variance = betas * (1 - before) / (1 - alphas)
    return {
        "betas": betas,
        "alphas_cumprod": alphas,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": alphas.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - alphas).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - alphas).log(),
        "sqrt_recip_alphas_cumprod": (1 / alphas).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / alphas - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp_min(1e-20).log(),
        "posterior_mean_coef1": betas * before.sqrt() / (1 - alphas),
        "posterior_mean_coef2": (1 - before) * (1 - betas).sqrt() / (1 - alphas),
    }


def fitted(part: Part, state: State, size: Mapping[str, Any]) -> Any:
    """The network with the file's own tensors in it; raises `MissingWeights` unless all keys and shapes fit.

    Every entry has to arrive: a conversion that leaves one out without a word is a fault too.
    """
    with torch.device("meta"):
        model = part.build(size)
    given = {key: _as_linear(key, value) for key, value in state.items()}
    try:
        renamed = {key: value for key, value in part.rename(given, part, model).items() if value is not None}
    except KeyError as error:
        raise MissingWeights(f"The {part.title} does not fit: {error.args[0]} is missing.") from error
    arrived = {id(value) for value in renamed.values()}
    fit(model, part.title, renamed, [key for key, value in given.items() if id(value) not in arrived])
    return model


def _as_linear(key: str, value: Tensor) -> Tensor:
    """The autoencoder's attention is written as 1x1 convolutions and loaded as linear layers."""
    return value.flatten(1) if ".mid.attn_1." in key and value.ndim > 1 else value


def _refuse_untrained(unet: Any) -> None:
    """Refuse adapters whose norms are still those of a new layer: pictures made with them would not be the paper's."""
    norms = [adapter.norm for adapter in unet.adapters()]
    if all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms):
        raise MissingWeights(
            "This file is of stage 1a, the semantic inpainter's own training: its reference adapters are untrained; "
            "please merge its “fusion_model.” into the file of stage 1b."
        )
