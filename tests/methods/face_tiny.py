"""Every component of Face-diffuser at toy size with random weights, as its presets name them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, CLIPVisionModelWithProjection

from models.cache import ModelCache
from models.contract import Preset, Result, Step
from models.facediffuser import method
from models.facediffuser.conditions import Parts
from models.facediffuser.post_fuse import PostFuse
from models.facediffuser.presets import PRESETS
from models.facediffuser.spec import SPEC, FaceRequest
from tests import tiny
from tests.methods import cat_parts
from tests.methods.dreamfuse_tiny import clip_tokenizer

SIDE, STEPS = 64, 8
PROMPT, CAPTION = "a man <|image|> and a woman <|image|> in the rain", "a man and a woman in the rain"
SLOTS = (2, 5)


def _small(name: str, **settings: Any) -> Preset:
    """The preset at toy size, in float32."""
    preset = PRESETS[name]
    components = {n: dataclasses.replace(w, dtype=w.dtype and "float32") for n, w in preset.components.items()}
    settings = {**preset.settings, "multiple": 16, "prediction": "epsilon", **settings}
    return dataclasses.replace(preset, components=components, size=SIDE, steps=STEPS, settings=settings)


POCKET, FULL = _small("pocket"), _small("full")
VELOCITY = _small("full", prediction="v_prediction")


@cache
def _tokenizer() -> Any:
    """Its files take a second to read."""
    return clip_tokenizer()


def clip() -> CLIPModel:
    """Both towers; pictures of 32 pixels."""
    shared = {"intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": 12}
    text = {"vocab_size": 49408, "hidden_size": cat_parts.WORDS, **shared}
    vision = {"hidden_size": 16, "image_size": 32, "patch_size": 8, **shared}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).eval().requires_grad_(False)


def image_encoder(towers: CLIPModel) -> CLIPVisionModelWithProjection:
    """The vision tower of a CLIP."""
    made = CLIPVisionModelWithProjection(towers.config.vision_config).eval().requires_grad_(False)
    made.vision_model.load_state_dict(towers.vision_model.state_dict())
    made.visual_projection.load_state_dict(towers.visual_projection.state_dict())
    return made


def components() -> dict[str, Any]:
    """By the presets' names; the same weights each time, as after training: no two tensors are equal."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        towers, postfuse = clip(), PostFuse(cat_parts.WORDS).eval().requires_grad_(False)
        for parameter in (*towers.parameters(), *postfuse.parameters()):
            parameter.normal_(0, 0.5)
        return {
            "tokenizer": _tokenizer(),
            "text_encoder": cat_parts.text_encoder(),
            "image_encoder": image_encoder(towers),
            "postfuse": postfuse,
            "tdm": tiny.unet(1),
            "base": tiny.unet(2),
            "sdm": tiny.unet(3),
            "vae": cat_parts.vae(),
            "clip": towers,
        }


class Desk:
    """Runs requests on one set of components and one cache, as the runtime does, and counts the U-Nets' calls."""

    def __init__(self, preset: Preset = POCKET, made: dict[str, Any] | None = None) -> None:
        torch.set_num_threads(1)
        self.preset, self.made = preset, made or components()
        self.calls = dict.fromkeys(("tdm", "base", "sdm", "image_encoder", "text_encoder"), 0)
        for name in self.calls:
            self.made[name].register_forward_hook(lambda *_, name=name: self._count(name))
        self._cache = ModelCache({w: self.made[name] for name, w in preset.components.items()}.__getitem__)

    def _count(self, name: str) -> None:
        self.calls[name] += 1

    @contextmanager
    def parts(self, request: FaceRequest) -> Iterator[Parts]:
        """What the runtime hands to `run`: what the request needs and nothing else."""
        with self._cache.lease(SPEC.needed(self.preset, request)) as lease:
            yield method.load(lease, self.preset, "cpu")

    @property
    def both(self) -> tuple[int, int]:
        """Calls of the scene model and of the subject model until now."""
        return self.calls["tdm"], self.calls["sdm"]

    def events(self, request: FaceRequest) -> Iterator[Any]:
        """As `method.run` gives them."""
        with self.parts(request) as parts:
            yield from method.run(parts, request)

    def result(self, **changes: Any) -> Result:
        """Of a request with some fields changed, after steps that count up to their total."""
        *steps, last = self.events(request(**changes))
        assert isinstance(last, Result)
        assert all(isinstance(step, Step) for step in steps)
        assert [step.done for step in steps] == sorted(step.done for step in steps)
        assert steps[-1].done == steps[-1].total
        return last

    def only(self, **changes: Any) -> np.ndarray:
        """The picture of a request for one."""
        (picture,) = self.result(**changes).images
        return picture


def portrait(seed: int, height: int = 160, width: int = 144) -> np.ndarray:
    """A picture with some shapes in it, of nobody."""
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)


def request(**changes: Any) -> FaceRequest:
    """Two people in the rain, in eight steps of which the third is the last of the scene alone."""
    fields: dict[str, Any] = {"references": (portrait(1), portrait(2)), "prompt": PROMPT, "seed": 5, "steps": STEPS}
    fields |= {"guidance_scale": 4.0, "sampler": "paper", "scene_until": 0.25, "subject_from": 0.6}
    return FaceRequest(**(fields | changes))
