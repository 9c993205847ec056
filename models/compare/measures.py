"""Numbers of a cell: what changed that should not have, memory, how well picture and words agree. Plain at import."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from models import loading, pixels, runtime, zerogpu
from models.compare.cases import Case
from models.contract import Weights

CLIP = "assets/pocket/clip"
JUDGE = {
    "tokenizer": Weights(CLIP, "transformers.AutoTokenizer", dtype=""),
    "clip": Weights(CLIP, "transformers.CLIPModel"),
}
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's own


def kept(case: Case, picture: np.ndarray) -> dict[str, Any]:
    """Pixels outside what may change: how many there are, how many differ from the scene, and by how much (0..255).

    Nothing for a case that does not say what may change.
    """
    scene, region = case.bundle.scene, case.region
    if scene is None or region is None:
        return {}
    outside = region == 0
    if not outside.any():
        return {"kept_pixels": 0, "kept_changed": 0}
    found = pixels.resize(picture, (scene.shape[0], scene.shape[1]))
    error = float(np.abs(found.astype(np.int16) - scene)[outside].mean())
    count = {"kept_pixels": int(outside.sum()), "kept_changed": pixels.changed_pixels(scene, found, region)}
    return {**count, "kept_error": round(error, 4)}


def words(case: Case) -> str:
    """What a picture of the case should show: the object's words, the target, or the prompt; "" where nothing says."""
    bundle = case.bundle
    top = bundle.placed or (bundle.layers[-1] if len(bundle.layers) == 1 else None)
    told = top.prompt if top is not None else ""
    prompts = bundle.prompts
    found = told.strip() or prompts.get("target_prompt", "").strip() or prompts.get("prompt", "").strip()
    return " ".join(found.replace("<|image|>", " ").split())


def focus(case: Case, picture: np.ndarray) -> np.ndarray:
    """The part of a picture that the words are about: where something was to change, or all of it."""
    box = pixels.alpha_box(case.region) if case.region is not None else None
    if box is None or case.region is None or case.region.shape != picture.shape[:2]:
        return picture
    left, top, right, bottom = box
    return picture[top:bottom, left:right] if min(right - left, bottom - top) >= 8 else picture


def similarity(picture: np.ndarray, text: str) -> float | None:
    """Cosine of a picture (uint8 HxWx3) and words by the pocket CLIP, -1 to 1; None where that model is not here."""
    if not text or not all(loading.present(w) for w in JUDGE.values()):
        return None
    import torch

    with runtime.cache.lease(JUDGE) as lease, torch.inference_mode():
        clip, tokenizer = lease["clip"], lease["tokenizer"]
        side = int(clip.config.vision_config.image_size)
        small = pixels.resize(picture, (side, side)).astype(np.float32) / 255
        inputs = torch.from_numpy(((small - MEAN) / DEVIATION).astype(np.float32)).permute(2, 0, 1)[None]
        limit = int(clip.config.text_config.max_position_embeddings)
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=limit)
        device = next(clip.parameters()).device
        seen = clip.get_image_features(pixel_values=inputs.to(device))
        read = clip.get_text_features(input_ids=tokens["input_ids"].to(device))
        seen, read = (getattr(one, "pooler_output", one) for one in (seen, read))
        return round(float(torch.cosine_similarity(seen, read)[0]), 4)


class Peak:
    """The most memory that was in use while a cell ran, in megabytes: looked at from time to time, exact on CUDA."""

    def __init__(self) -> None:
        self._cuda = _cuda()
        if self._cuda is not None:
            self._cuda.reset_peak_memory_stats()
        self.megabytes = 0.0
        self.look()

    def look(self) -> None:
        """Once more."""
        if self._cuda is not None:
            found = self._cuda.max_memory_allocated()
        else:
            import psutil

            found = psutil.Process().memory_info().rss
        self.megabytes = max(self.megabytes, round(found / 1e6, 1))


def _cuda() -> Any:
    """`torch.cuda` where runs use it; nothing is imported for it."""
    torch = sys.modules.get("torch")
    used = torch is not None and runtime.settings.device in ("auto", "cuda") and torch.cuda.is_available()
    used = used and not zerogpu.outside()
    return torch.cuda if torch is not None and used else None
