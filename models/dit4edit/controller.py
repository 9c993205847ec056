"""Everything that an edit does inside the transformer, put together: one `Controller` serves one run.

    with controller.installed(transformer):
        for step in range(steps):
            controller.begin(step)
            transformer(...)  # the batch is laid out as `rows` says
            mask = controller.mask()

Steps and layers are told by their numbers, never by counting calls. Rows without control, and layers and steps
without it, compute exactly what the stock model does. Works on any transformer whose blocks attend to themselves and
then to text, such as PixArt-alpha and PixArt-Sigma.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from models.attention import QKV, Edit, Site, attend, edited, sites
from models.dit4edit.blending import LocalBlend, words_mask
from models.dit4edit.cross import CrossControl, Fold, attend_folded
from models.dit4edit.heatmaps import HeatMaps, Tokens
from models.dit4edit.merging import Matchings, Merging
from models.dit4edit.mutual import Rule, attend_mutual, covering
from models.dit4edit.rows import Rows, active_steps, without_source

Restore = Callable[[Tensor], Tensor]
PATCH = 2  # latent pixels along the side of a token


class Controller:
    """Attention control, merging and word maps of one run.

    rows: the batch of the transformer; see `begin` for steps without its source rows.
    layers: how many blocks the transformer has.
    grid: (height, width) in tokens, half of the latents' size.
    steps: how many steps the run has.
    cross: one control for each target, None = that target is left alone. rules: self-attention, see `mutual.PRESETS`.
    merging: None or ratio 0 = no token is merged. blend: gives `mask` its words.
    watch: words to draw maps of, each a list of tokens: [words of the source, words of target 1, ...].
    watched: the layers that maps are read from; by default the middle ones, 10 to 20 of 28.
    """

    def __init__(
        self,
        rows: Rows,
        layers: int,
        grid: tuple[int, int],
        steps: int,
        *,
        cross: Sequence[CrossControl | None] = (),
        rules: Sequence[Rule] = (),
        merging: Merging | None = None,
        blend: LocalBlend | None = None,
        watch: Sequence[Sequence[Tokens]] = (),
        watched: range | None = None,
    ) -> None:
        self.rows, self.layers, self.grid, self.steps = rows, layers, grid, steps
        self.cross, self.blend = tuple(cross), blend
        self.rules = tuple(rule for rule in rules if rule.follows and rule.from_layer < min(rule.to_layer, layers))
        self.matchings = Matchings(merging, grid) if merging and merging.ratio else None
        self.watched = range(round(layers * 10 / 28), round(layers * 21 / 28)) if watched is None else watched
        branches = 1 + max(row.branch for row in rows)
        if len(self.cross) >= branches:
            raise ValueError(f"{len(self.cross)} cross controls for {branches - 1} targets.")
        self._shown = [len(watch[branch]) if branch < len(watch) else 0 for branch in range(branches)]
        self.maps = HeatMaps([self._words(branch, watch) for branch in range(branches)], grid)
        self._step = -1
        self._present = rows
        self._folds: dict[int, tuple[int, Fold]] = {}
        self._fitted: dict[tuple[Fold, int, torch.dtype, torch.device], Fold] = {}

    # ---- for the loop over steps

    @contextmanager
    def installed(self, transformer: nn.Module) -> Iterator[None]:
        """Act inside `transformer` while the block lasts; without anything to do its processors stay the stock ones."""
        own, text = _layers(transformer, "self"), _layers(transformer, "cross")
        if len(own) != self.layers:
            raise ValueError(f"The transformer has {len(own)} layers of self-attention, the controller {self.layers}.")

        def within(site: Site, hidden: Tensor) -> tuple[Tensor, Restore]:
            return self._merge(own[site], hidden)

        def across(site: Site, hidden: Tensor) -> tuple[Tensor, Restore]:
            return self._merge(text[site], hidden)

        merging = self.matchings is not None
        merging_cross = self.matchings is not None and self.matchings.merging.cross
        on_self = Edit(
            lambda site: site in own and (merging or any(rule.reaches(own[site]) for rule in self.rules)),
            tokens=within if merging else None,
            attend=lambda site, qkv: self._attend_self(own[site], qkv),
        )
        on_cross = Edit(
            lambda site: site in text and (merging_cross or self._controls_text() or self._watches(text[site])),
            tokens=across if merging_cross else None,
            attend=lambda site, qkv: self._attend_cross(text[site], qkv),
        )
        with ExitStack() as stack:
            for edit in (on_self, on_cross):
                stack.enter_context(edited(transformer, edit))
            yield

    def begin(self, step: int, rows: Rows | None = None) -> None:
        """Say which step the next call of the transformer is, from 0; `rows` = its batch, if it lacks some rows.

        Raises `ValueError` if the step needs source rows that the batch does not have.
        """
        present = self.rows if rows is None else rows
        if self.needs_source_now(step) and any(row.source < 0 for row in present):
            raise ValueError(f"Step {step} takes features from the source, but the batch has no source row.")
        self._step, self._present = step, present
        self._folds = {}
        for number, row in enumerate(present):
            control = self.cross[row.branch - 1] if row.role == "target" and row.branch <= len(self.cross) else None
            if control and (fold := control.fold(step, self.steps)):
                self._folds[number] = (row.source, fold)

    def needs_source(self, step: int) -> bool:
        """Whether any step from this one on needs the source rows: for their features, or for the local blend.

        Word maps do not hold them back: those of the source are of the steps in which it was there.
        """
        return self.blend is not None or any(self.needs_source_now(later) for later in range(step, self.steps))

    def needs_source_now(self, step: int) -> bool:
        """Whether this step takes features from the source rows."""
        follows = (control for control in self.cross if control and control.follows)
        words = any(control.fold(step, self.steps) is not None for control in follows)
        return words or any(rule.from_step <= step < rule.to_step for rule in self.rules)

    def without_source(self) -> Rows:
        """The rows of a batch for steps that do not need the source."""
        return without_source(self.rows)

    # ---- what the run tells

    def mask(self, branch: int = 1) -> Tensor | None:
        """Where target number `branch` may differ after this step, (1, 1, h, w) of the latents' size in 0..1.

        None where no blend acts yet.
        """
        if self.blend is None or self._step < active_steps(self.blend.from_step, self.steps):
            return None
        found = [self._blended(side) for side in (0, branch) if self.blend.tokens(side)]
        seen = [word for word in found if word is not None]
        if not seen:
            return self.blend.fixed if not found else None
        size = self.grid[0] * PATCH, self.grid[1] * PATCH
        mask = words_mask(seen, size, self.blend.threshold, self.blend.softness)
        return mask if self.blend.fixed is None else mask * self.blend.fixed.to(mask)

    def word_maps(self) -> tuple[Tensor, ...]:
        """For each branch (words, h, w) float32 on the CPU, each word's map divided by its maximum; zeros if unseen."""
        found = []
        for branch, count in enumerate(self._shown):
            maps = self.maps.mean(branch)
            maps = torch.zeros(count, *self.grid) if maps is None else maps[:count].cpu()
            found.append(maps / maps.amax((1, 2), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny))
        return tuple(found)

    @property
    def effective_ratio(self) -> float:
        """The share of tokens that merging took away so far, which may be less than was asked for."""
        return self.matchings.effective_ratio if self.matchings else 0.0

    # ---- inside the transformer

    def _merge(self, layer: int, hidden: Tensor) -> tuple[Tensor, Restore]:
        assert self.matchings is not None
        self._check(hidden)
        matching = self.matchings.of(self._step, layer, hidden)
        return matching.merge(hidden), matching.restore

    def _attend_self(self, layer: int, qkv: QKV) -> Tensor:
        self._check(qkv.q)
        rule = covering(self.rules, self._step, layer)
        return attend_mutual(qkv, self._present, rule) if rule else attend(qkv)

    def _attend_cross(self, layer: int, qkv: QKV) -> Tensor:
        self._check(qkv.q)
        if self._watches(layer):
            self._look(layer, qkv)
        if not self._folds:
            return attend(qkv)
        folds = {row: (source, self._fit(fold, qkv.v)) for row, (source, fold) in self._folds.items()}
        return attend_folded(qkv, folds)

    def _look(self, layer: int, qkv: QKV) -> None:
        found = self.maps.look(qkv, self._present)
        if found is None:
            return
        if self.matchings and self.matchings.merging.cross:
            found = self.matchings.of(self._step, layer, found).restore(found)
        self.maps.add(found, self._present)

    def _fit(self, fold: Fold, values: Tensor) -> Fold:
        key = fold, values.shape[2], values.dtype, values.device
        if key not in self._fitted:
            self._fitted[key] = fold.fitted(values)
        return self._fitted[key]

    def _check(self, batch: Tensor) -> None:
        if self._step < 0:
            raise ValueError("Call `begin` before the transformer.")
        if len(batch) != len(self._present):
            raise ValueError(f"The transformer was given {len(batch)} rows, the controller {len(self._present)}.")

    # ---- what there is to do

    def _controls_text(self) -> bool:
        return any(control and control.acts(self.steps) for control in self.cross)

    def _watches(self, layer: int) -> bool:
        return layer in self.watched and bool(self.maps)

    def _words(self, branch: int, watch: Sequence[Sequence[Tokens]]) -> list[Tokens]:
        """The words to show, then the tokens of the blend as one more."""
        blended = self.blend.tokens(branch) if self.blend else ()
        return [*(watch[branch] if branch < len(watch) else ()), *([blended] if blended else [])]

    def _blended(self, branch: int) -> Tensor | None:
        maps = self.maps.mean(branch)
        return None if maps is None else maps[-1]


def _layers(transformer: nn.Module, kind: str) -> dict[Site, int]:
    """The number of each site among those of its kind, in the order in which they run."""
    return {site: layer for layer, site in enumerate(s for s in sites(transformer) if s.kind == kind)}
