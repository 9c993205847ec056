"""Local blend: the edit stays where the words it is about are seen, or where a person painted.

Prompt-to-prompt's (arXiv 2208.01626, section 3.3), with its constants. A multistep solver also needs its cached
clean prediction blended, or the next step brings back what was taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, max_pool2d, pad


@dataclass(frozen=True, eq=False)
class LocalBlend:
    """Where the target may differ from the source.

    source: tokens of the source prompt whose places are in the mask; targets: those of each target prompt. Without
        any tokens the fixed mask is all there is.
    threshold: of a map divided by its maximum, what is in the mask.
    from_step: the fraction of the steps after which it acts, once the maps say something.
    fixed: (1, 1, h, w) in 0..1 at the latents' size, 1 = may change; limits what the words say.
    softness: the standard deviation of the mask's soft edge in latent pixels, 0 = hard.
    """

    source: tuple[int, ...] = ()
    targets: tuple[tuple[int, ...], ...] = ()
    threshold: float = 0.3
    from_step: float = 0.2
    fixed: Tensor | None = None
    softness: float = 1.0

    def __post_init__(self) -> None:
        if self.fixed is None and not self.source and not any(self.targets):
            raise ValueError("A local blend needs words or a mask.")

    def tokens(self, branch: int) -> tuple[int, ...]:
        """The tokens of one branch, 0 = the source."""
        return self.source if branch == 0 else (self.targets[branch - 1] if branch <= len(self.targets) else ())


def blend(target: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """source + mask (target - source), exactly one of them where the mask is 0 or 1; also for clean predictions."""
    return torch.lerp(source, target, mask.to(target))


def words_mask(maps: Sequence[Tensor], size: tuple[int, int], threshold: float = 0.3, softness: float = 1.0) -> Tensor:
    """A mask (1, 1, *size) in 0..1 of where any of the maps (h, w) is above the threshold, grown by one token."""
    pooled = torch.stack([max_pool2d(m.float()[None], 3, stride=1, padding=1)[0] for m in maps])
    peaks = pooled.amax((1, 2), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    mask = (pooled / peaks > threshold).any(dim=0)[None, None]
    return soft(interpolate(mask.float(), size=size), softness)


def soft(mask: Tensor, softness: float) -> Tensor:
    """Blur a mask (1, 1, h, w) with a Gaussian; what is flat stays exactly as it is."""
    if softness <= 0:
        return mask
    reach = max(1, round(3 * softness))
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64, device="cpu")
    kernel = torch.exp(-0.5 * (offsets / softness) ** 2)
    kernel = kernel / kernel.sum()
    wide = pad(mask.cpu().double(), (reach,) * 4, mode="replicate")  # not every device has double precision
    rows = conv2d(wide, kernel[None, None, None])
    return conv2d(rows, kernel[None, None, :, None]).to(mask)
