"""Self-attention control: which branch gives the target rows their queries, keys and values, by step and layer.

The paper's equation of it is told in words only; the table below is data, so that readings of it can be compared.
Taking keys and values of the source is MasaCtrl (arXiv 2304.08465), queries and keys prompt-to-prompt's way of
keeping a layout (arXiv 2208.01626). Nothing but rows of the batch is moved, no map is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from models.attention import QKV, attend
from models.dit4edit.rows import Rows, active_steps

Supplier = Literal["target", "source", "union"]


@dataclass(frozen=True)
class Rule:
    """Where queries, keys and values of target rows come from, in some steps and layers (from included, to excluded).

    `union` is both: a row attends to the source's tokens and to its own at once; for keys and values together.
    Layers count self-attention sites in the order in which they run.
    """

    from_step: int
    to_step: int
    from_layer: int
    to_layer: int
    q: Supplier
    k: Supplier
    v: Supplier

    def __post_init__(self) -> None:
        if self.q == "union" or (self.k == "union") != (self.v == "union"):
            raise ValueError("A union is of keys and values, together.")

    def reaches(self, layer: int) -> bool:
        """Whether it acts in this layer at any step."""
        return self.from_step < self.to_step and self.from_layer <= layer < self.to_layer

    def covers(self, step: int, layer: int) -> bool:
        """Whether it acts at this step and layer."""
        return self.from_step <= step < self.to_step and self.from_layer <= layer < self.to_layer

    @property
    def follows(self) -> bool:
        """Whether it takes anything from the source row at all."""
        return any(supplier != "target" for supplier in (self.q, self.k, self.v))


def covering(rules: Sequence[Rule], step: int, layer: int) -> Rule | None:
    """The rule that acts here, the first of several; None = every row attends to itself."""
    return next((rule for rule in rules if rule.follows and rule.covers(step, layer)), None)


_WORDS: dict[str, Supplier] = {"t": "target", "s": "source", "u": "union"}
_PHASES = {  # suppliers of q, k, v before the start step and from it on; "" = no control
    "non_rigid": ("", "tss"),  # MasaCtrl: pose, shape, number; its own start is a tenth of the steps
    "unified": ("sss", "tss"),  # the paper's words: the target's queries are adopted from a step on
    "rigid": ("sst", ""),  # objects, materials and styles in the source's layout
    "structure": ("sst", "sst"),  # prompt-to-prompt's self-attention over the whole run: global style
    "union": ("tuu", "tuu"),  # added objects
    "none": ("", ""),
}


def _preset(
    phases: tuple[str, str], steps: int, layers: int, start: float = 0.3, from_layer: int | None = None
) -> tuple[Rule, ...]:
    """Rules for `steps` and `layers`; the phase changes at the fraction `start` of the steps.

    from_layer: the first layer under control, half-way by default: queries of earlier ones carry little layout.
    """
    change, first = active_steps(start, steps), layers // 2 if from_layer is None else from_layer
    spans = (0, change), (change, steps)
    return tuple(
        Rule(begin, end, first, layers, *(_WORDS[letter] for letter in phase))
        for phase, (begin, end) in zip(phases, spans, strict=True)
        if phase and begin < end and first < layers
    )


PRESETS: dict[str, Callable[..., tuple[Rule, ...]]] = {
    name: partial(_preset, phases) for name, phases in _PHASES.items()
}


def attend_mutual(qkv: QKV, rows: Rows, rule: Rule) -> Tensor:
    """Self-attention of the batch under `rule`; source rows come out as they would without it, bit for bit."""
    taken = [row.source if row.role != "source" else number for number, row in enumerate(rows)]

    def supplied(supplier: Supplier, x: Tensor) -> Tensor:
        return x[taken] if supplier == "source" else x

    if rule.k != "union":
        q, k, v = (supplied(supplier, x) for supplier, x in ((rule.q, qkv.q), (rule.k, qkv.k), (rule.v, qkv.v)))
        return attend(QKV(q, k, v, qkv.bias))
    # Other rows keep the kernel call of the stock shape: kernels may round batches of other sizes differently.
    out = attend(qkv)
    own = [number for number, row in enumerate(rows) if row.role != "source"]
    source = [taken[number] for number in own]
    k, v = (torch.cat([x[source], x[own]], dim=2) for x in (qkv.k, qkv.v))
    out[own] = attend(dataclasses.replace(qkv, q=supplied(rule.q, qkv.q)[own], k=k, v=v, bias=None))
    return out
