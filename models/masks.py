"""SAM 2 (Ravi et al. 2024, arXiv 2408.00714) on single pictures: from clicks and boxes to masks.

The network is `transformers.Sam2Model`; what goes in and what comes out is done here, without torchvision: the
picture stretched to the model's square, points scaled with it, logits stretched back and cut at zero. Points count
pixels as the authors' code does: the middle of the first pixel is 0, and the model adds the half itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Sam2Config, Sam2Model, logging
from transformers.utils import cached_file

from models.cutout import Point
from models.pixels import Box

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as published
INCLUDE, EXCLUDE, TOP_LEFT, BOTTOM_RIGHT = 1, 0, 2, 3  # labels of points; a box is two of them
SMALL = 512  # pixels a side up to which attention that is written out is faster on a CPU than the fused kernel
TWINS = ("shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding")

Remember = Callable[[tuple[Any, ...], Callable[[], Any]], Any]
Prompt = tuple[tuple[Point, ...], tuple[int, ...]]  # points in pixels of the picture, and their labels
Shapes = Mapping[str, tuple[int, ...]]


# --- loading


class Sam2:
    """Loads a `Sam2Model` whose every weight is in the file: a key that is missing or unknown is an error."""

    @staticmethod
    def from_pretrained(
        source: str,
        *,
        subfolder: str = "",
        local_files_only: bool = True,
        revision: str | None = None,
        torch_dtype: torch.dtype = torch.float32,
    ) -> Sam2Model:
        """The model of a folder or a hub repository; raises `OSError` or `ValueError` with one sentence.

        The published files hold the video model; its parts that a single picture has no use for are left out.
        """
        from safetensors.torch import load_file

        where = {"subfolder": subfolder, "local_files_only": local_files_only, "revision": revision}
        logging.set_verbosity_error()  # a video model's configuration is read as a picture model's, on purpose
        config = Sam2Config.from_pretrained(source, **where)
        tensors = load_file(str(cached_file(source, "model.safetensors", **where)))
        model = empty(config)
        known = matched({name: tuple(t.shape) for name, t in tensors.items()}, model)
        model.load_state_dict({name: tensors[key].to(torch_dtype) for name, key in known.items()}, assign=True)
        return model.requires_grad_(False).eval()


def empty(config: Sam2Config) -> Sam2Model:
    """The model of a configuration with its shapes only, on the meta device."""
    side = config.prompt_encoder_config.image_size
    with torch.device("meta"):
        return Sam2Model._from_config(config, attn_implementation="eager" if side <= SMALL else "sdpa")


def matched(found: Shapes, model: Sam2Model) -> dict[str, str]:
    """For each of the model's tensors the key of the file that fills it; raises `ValueError` naming what differs."""
    wanted = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    used = {name: name for name in wanted if name in found}
    for one, other in (TWINS, TWINS[::-1]):  # one matrix under two names: files may hold it once
        if one not in found and other in found:
            used[one] = other
    foreign = re.compile("|".join(model._keys_to_ignore_on_load_unexpected or ["$^"]))
    wrong = {
        "missing": [name for name in wanted if name not in used],
        "of another shape": [name for name, key in used.items() if found[key] != wanted[name]],
        "unknown": [name for name in found if name not in wanted and not foreign.search(name)],
    }
    said = [
        f"{what}: {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else "")
        for what, names in wrong.items()
        if names
    ]
    if said:
        raise ValueError("; ".join(said))
    return used


# --- pictures and prompts


def pixel_values(image: np.ndarray, side: int) -> Tensor:
    """A uint8 HxWx3 picture as the encoder sees it: float (1, 3, side, side), stretched, antialiased, normalised.

    Bytes are resized to bytes, as transformers' processor does: forty times faster than floats on a photograph.
    """
    planes = torch.tensor(image).permute(2, 0, 1)[None]
    square = F.interpolate(planes, (side, side), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (square / 255 - mean) / std


def scaled(points: Sequence[Point], size: tuple[int, int], side: int) -> Tensor:
    """Points of a picture of `size` (height, width) on the model's square: float (N, 2)."""
    height, width = size
    return torch.tensor(points, dtype=torch.float32).reshape(-1, 2) * torch.tensor([side / width, side / height])


def turns(points: Sequence[Point], labels: Sequence[int], box: Box | None) -> Iterator[Prompt]:
    """The prompts of a dialogue as the model is trained on it: first the box or an included point, then one more
    point at a time, each with the answer before it."""
    order = list(range(len(points)))
    if box is None:
        first = next((k for k in order if labels[k] == INCLUDE), 0)
        order = [first, *(k for k in order if k != first)]
        said: Prompt = ((), ())
    else:
        corners = ((float(box[0]), float(box[1])), (float(box[2]), float(box[3])))
        said = (corners, (TOP_LEFT, BOTTOM_RIGHT))
        yield said
    for k in order:
        said = ((*said[0], points[k]), (*said[1], labels[k]))
        yield said


@dataclass(frozen=True, eq=False)
class Embedding:
    """A picture as the decoder sees it: three maps, from fine to coarse; its size (height, width) and digest."""

    digest: str
    size: tuple[int, int]
    maps: tuple[Tensor, ...]

    @property
    def nbytes(self) -> int:
        """For the cache's budget."""
        return sum(m.nbytes for m in self.maps)


@dataclass(frozen=True, eq=False)
class Answer:
    """Candidates for one object, best first: logits (N, h, w) at a quarter of the model's side, expected IoU (N,)."""

    logits: Tensor
    scores: Tensor

    @property
    def nbytes(self) -> int:
        """For the cache's budget."""
        return self.logits.nbytes + self.scores.nbytes


def _at_once(_: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
    return compute()


class Sam2Masker:
    """The `Masker` on a `Sam2Model`. What `remember` keeps (embeddings, answers) is not computed again.

    With `refine` each further point goes on from the mask before it; without, all points are asked about at once.
    """

    def __init__(self, model: Sam2Model, remember: Remember = _at_once, refine: bool = True) -> None:
        self.model, self._remember, self._refine = model, remember, refine
        self.side = int(model.config.prompt_encoder_config.image_size)

    @torch.inference_mode()
    def embed(self, image: np.ndarray, digest: str = "") -> Embedding:
        """The embedding of a uint8 HxWx3 picture; `digest` spares hashing it again."""
        digest = digest or hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()

        def compute() -> Embedding:
            pixels = pixel_values(image, self.side).to(self.model.device, self.model.dtype)
            maps = tuple(m.contiguous() for m in self.model.get_image_embeddings(pixels))
            return Embedding(digest, (image.shape[0], image.shape[1]), maps)

        found: Embedding = self._remember((digest,), compute)
        return found

    def mask(
        self, embedding: Embedding, points: Sequence[Point] = (), labels: Sequence[int] = (), box: Box | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Candidate masks, uint8 NxHxW of 0 and 255, with expected IoU in 0..1, best first.

        A single click may mean the part or the whole, so it has three candidates; everything else has one.
        """
        answer = self.answer(embedding, points, labels, box)
        return self.masks(embedding, answer.logits), answer.scores.cpu().numpy()

    @torch.inference_mode()
    def answer(
        self, embedding: Embedding, points: Sequence[Point] = (), labels: Sequence[int] = (), box: Box | None = None
    ) -> Answer:
        """The candidates before they are brought to the picture's size."""
        before: Tensor | None = None
        dialogue = list(turns(points, labels, box))
        for prompt in dialogue if self._refine else dialogue[-1:]:
            found = self._turn(embedding, prompt, before)
            before = found.logits[:1]
        return found

    def _turn(self, embedding: Embedding, prompt: Prompt, before: Tensor | None) -> Answer:
        """One turn of a dialogue. It depends on the turns before it, which its points tell, so they are its key."""

        def compute() -> Answer:
            points, labels = prompt
            several = len(points) == 1
            logits, scores = self.decode(
                embedding, scaled(points, embedding.size, self.side)[None], torch.tensor([labels]), before, several
            )
            order = scores[0].argsort(descending=True)
            return Answer(logits[0, order], scores[0, order])

        found: Answer = self._remember((embedding.digest, prompt), compute)
        return found

    @torch.inference_mode()
    def decode(
        self, embedding: Embedding, points: Tensor, labels: Tensor, before: Tensor | None = None, several: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Logits (N, M, h, w) and expected IoU (N, M) of N objects, each with P points on the model's square.

        `points` (N, P, 2), `labels` (N, P); `before` (1, h, w) are logits to go on from; `several` asks for three
        candidates, else there is one: where it is not stable the model takes the best of the three itself.
        """
        told = self.model(
            image_embeddings=list(embedding.maps),
            input_points=points[None].to(self.model.device, self.model.dtype),
            input_labels=labels[None].to(self.model.device),
            input_masks=None if before is None else before[None].to(self.model.dtype),
            multimask_output=several,
        )
        return told.pred_masks[0].float(), told.iou_scores[0].float().clamp(0, 1)

    def boxes(self, embedding: Embedding, boxes: Sequence[Box]) -> tuple[np.ndarray, np.ndarray]:
        """One mask per box, all at once: uint8 NxHxW and expected IoU (N,), in the order of the boxes."""
        corners = scaled([p for box in boxes for p in (box[:2], box[2:])], embedding.size, self.side)
        labels = torch.tensor([[TOP_LEFT, BOTTOM_RIGHT]]).expand(len(boxes), -1)
        logits, scores = self.decode(embedding, corners.view(-1, 2, 2), labels)
        return self.masks(embedding, logits[:, 0]), scores[:, 0].cpu().numpy()

    def masks(self, embedding: Embedding, logits: Tensor) -> np.ndarray:
        """Logits (N, h, w) at the picture's size (bilinear), cut at zero: uint8 NxHxW of 0 and 255."""
        height, width = embedding.size
        masks = np.empty((len(logits), height, width), np.uint8)
        for mask, low in zip(masks, logits.cpu().numpy(), strict=True):
            full = cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR)
            cv2.compare(full, 0, cv2.CMP_GT, dst=mask)
        return masks


def overlap_on_a_disc(model: Sam2Model) -> float:
    """IoU of a click's mask with a bright disc on a dark ground: what any trained model finds."""
    y, x = np.mgrid[:256, :256]
    disc = np.hypot(x - 120, y - 140) < 60
    image = np.where(disc[..., None], (230, 180, 60), (30, 50, 70)).astype(np.uint8)
    masker = Sam2Masker(model)
    found = masker.mask(masker.embed(image), [(120, 140)], [INCLUDE])[0][0] > 0
    return float((found & disc).sum() / (found | disc).sum())
