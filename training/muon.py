"""Muon: steps of equal length in every direction of a weight matrix. torch's own computes in bfloat16, which a CPU
only emulates: 2.4 s a step for the pocket FLUX, four times its gradients' time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steepest at zero: singular values end between 0.7 and 1.2, soon enough
ROUNDS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices to (K, n, m), about: five Newton-Schulz rounds (Jordan et al. 2024)."""
    x = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    linear, cubic, quintic = COEFFICIENTS
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = linear * x + (cubic * gram + quintic * gram @ gram) @ x
    near: Tensor = x.mT if matrices.shape[1] > matrices.shape[2] else x
    return near


def is_inner(name: str, weight: Tensor, convolutions: bool = False) -> bool:
    """Whether a weight maps hidden states to hidden states in a repeated block; not tables, heads and modulations.
    Kernels of `convolutions` (n, m, h, w) may count too, as matrices (n, m h w)."""
    repeated, shapes = any(part.isdigit() for part in name.split(".")), (2, 4) if convolutions else (2,)
    return repeated and weight.ndim in shapes and not any(word in name for word in ("norm", "embed", "bias"))


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, for matrices inside a network; the rest is AdamW's.

    Steps are scaled to AdamW's typical size (arXiv 2502.16982, section 2.2), so learning rates compare.
    """

    def __init__(
        self, weights: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step along the gradients that are there; matrices of one shape go together."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(tuple(weight.shape), []).append(weight)
            for weights in by_shape.values():
                self._move(weights, group)

    def _move(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        for weight in weights:
            self.state[weight].setdefault("momentum", torch.zeros_like(weight))
        gradients: list[Tensor] = [weight.grad for weight in weights if weight.grad is not None]
        memory = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(memory, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, memory, group["momentum"])
        matrices = torch.stack(list(ahead)).flatten(2)
        steps = orthogonal(matrices) * (-0.2 * group["lr"] * max(matrices.shape[1:]) ** 0.5)
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, list(steps.reshape(-1, *weights[0].shape).unbind()))
