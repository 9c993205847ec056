"""From a request to the passes that answer it: prompts read, words aligned, controls decided, targets grouped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from torch.nn.functional import max_pool2d

from models.contract import BadRequest
from models.dit4edit.alignment import Alignment, Words, align, word_tokens
from models.dit4edit.blending import LocalBlend
from models.dit4edit.conditions import FACTOR, Parts, Prompt, read_prompt
from models.dit4edit.controller import PATCH, Controller
from models.dit4edit.cross import CrossControl
from models.dit4edit.finishing import latent_mask
from models.dit4edit.merging import Merging
from models.dit4edit.mutual import PRESETS
from models.dit4edit.presets import Controls, controls
from models.dit4edit.rows import Row, Rows, paired, pinned
from models.dit4edit.sizes import working_size
from models.dit4edit.spec import EditRequest
from models.dit4edit.weights import phrases, word_weights
from models.pixels import Size


@dataclass(frozen=True, eq=False)
class Prompts:
    """Everything that is read: `told` is what the inversion is told."""

    source: Prompt
    targets: tuple[Prompt, ...]
    negative: Prompt
    told: Prompt

    def of(self, row: Row, targets: Sequence[int]) -> Prompt:
        """The prompt of a row of a pass over these targets."""
        if not row.conditional:
            return self.negative
        return self.source if row.branch == 0 else self.targets[targets[row.branch - 1]]

    def repeats(self, target: int) -> bool:
        """Whether this target says what the source says, and no negative prompt says anything."""
        return self.targets[target].text == self.source.text and not self.negative.text


@dataclass(frozen=True, eq=False)
class Plan:
    """One pass: targets (by number) that share their self-attention control, and what controls them.

    same: these targets say what the source says. Guidance would change the picture all the same, so with a pinned
        source they do without, which shows how well the inversion leads back.
    """

    targets: tuple[int, ...]
    chosen: Controls
    rows: Rows
    layers: int
    tokens: tuple[int, int]  # the grid of patches
    alignments: tuple[Alignment, ...]
    cross: tuple[CrossControl, ...]
    merging: Merging
    blend: LocalBlend | None
    watch: tuple[tuple[tuple[int, ...], ...], ...]
    same: bool = False

    def controller(self, steps: int) -> Controller:
        """A fresh controller for one run of this pass."""
        rules = PRESETS[self.chosen.control](steps, self.layers, self.chosen.control_until, self.chosen.from_layer)
        return Controller(
            self.rows,
            self.layers,
            self.tokens,
            steps,
            cross=self.cross,
            rules=rules,
            merging=self.merging,
            blend=self.blend,
            watch=self.watch,
        )

    def single(self) -> Plan:
        """The same for its first target only, with a pinned source."""
        guided = any(not row.conditional for row in self.rows)
        return replace(self, targets=self.targets[:1], rows=pinned(1, guided), cross=self.cross[:1], watch=())


def size_of(parts: Parts, request: EditRequest) -> Size:
    """The working size, (height, width) in pixels."""
    if request.width:
        return request.height, request.width
    square = (parts.preset.size, parts.preset.size)
    picture = square if request.image is None else (request.image.shape[0], request.image.shape[1])
    return working_size(picture, request.resolution, parts.preset.size)


def read(parts: Parts, request: EditRequest) -> Prompts:
    """Encode all prompts of a request."""
    source, negative = read_prompt(parts, request.source_prompt), read_prompt(parts, request.negative_prompt)
    targets = tuple(read_prompt(parts, target) for target in request.targets)
    told = {"source": source, "target": targets[0], "empty": read_prompt(parts, "")}[request.invert_with]
    return Prompts(source, targets, negative, told)


def plans(request: EditRequest, prompts: Prompts, layers: int, size: Size) -> list[Plan]:
    """The passes of a request: targets of the same controls share one, and with it the source's row."""
    if not request.pin_source and len(prompts.targets) > 1:
        raise BadRequest("Without an exact source there is one target prompt at a time; please keep one line.")
    length = prompts.source.tokens.shape[1]
    alignments = [align(prompts.source.words, target.words, length) for target in prompts.targets]
    chosen = [controls(request, [change for change, _, _ in a.pairs], layers) for a in alignments]
    weights = _weights(request, prompts)
    groups: dict[tuple[Controls, bool], list[int]] = {}
    for number, one in enumerate(chosen):
        same = prompts.repeats(number) and not weights[number]
        groups.setdefault((one, same), []).append(number)
    latent = size[0] // FACTOR, size[1] // FACTOR
    fixed = None if request.mask is None else latent_mask(request.mask, latent)
    found = []
    for (one, same), targets in groups.items():
        guided = request.guidance_scale != 1 and not same
        found.append(
            Plan(
                targets=tuple(targets),
                chosen=one,
                rows=pinned(len(targets), guided) if request.pin_source else paired(),
                layers=layers,
                tokens=(latent[0] // PATCH, latent[1] // PATCH),
                alignments=tuple(alignments[t] for t in targets),
                cross=tuple(
                    CrossControl(
                        alignments[t],
                        until=one.words_until,
                        weights=weights[t],
                        renormalise=None if request.renormalise else False,
                    )
                    for t in targets
                ),
                merging=Merging(request.merge_ratio, request.merge_stride, request.seed, labels=_sides(fixed)),
                blend=_blend(request, prompts, targets, fixed),
                watch=tuple(_shown(p.words) for p in (prompts.source, *(prompts.targets[t] for t in targets))),
                same=same,
            )
        )
    return found


def _weights(request: EditRequest, prompts: Prompts) -> list[dict[int, float]]:
    """Token -> factor for every target; a word has to stand in one of them."""
    found: list[dict[int, float]] = [{} for _ in prompts.targets]
    for phrase, factor in word_weights(request.weights).items():
        for number, tokens in _places(phrase, [p.words for p in prompts.targets]):
            found[number].update(dict.fromkeys(tokens, factor))
    return found


def _sides(fixed: Tensor | None) -> np.ndarray | None:
    """The mask for merging, bool by token: what may change is not averaged with what is to stay."""
    return None if fixed is None else (max_pool2d(fixed, PATCH)[0, 0] > 0).numpy()


def _blend(request: EditRequest, prompts: Prompts, targets: Sequence[int], fixed: Tensor | None) -> LocalBlend | None:
    """Where the edit may show: the mask, the words, or what both allow."""
    sides = [prompts.source.words, *(prompts.targets[t].words for t in targets)]
    tokens: list[list[int]] = [[] for _ in sides]
    for phrase in phrases(request.blend):
        for number, found in _places(phrase, sides):
            tokens[number] += found
    if fixed is None and not any(tokens):
        return None
    return LocalBlend(tuple(tokens[0]), tuple(tuple(t) for t in tokens[1:]), fixed=fixed)


def _places(phrase: str, sides: Sequence[Words]) -> list[tuple[int, list[int]]]:
    """(prompt number, tokens) wherever the phrase stands; raises `BadRequest` if it stands nowhere."""
    found, refusal = [], None
    for number, side in enumerate(sides):
        try:
            found.append((number, word_tokens(side, phrase)))
        except BadRequest as error:
            refusal = refusal or error
    if not found and refusal:
        raise refusal
    return found


def _shown(words: Words) -> tuple[tuple[int, ...], ...]:
    """The tokens of every word that has letters."""
    return tuple(tuple(words.tokens_of(n)) for n in shown_words(words))


def shown_words(words: Words) -> list[int]:
    """The words that have letters and that the encoder had room for."""
    return [n for n in range(len(words)) if words[n][0].isalnum() and words.tokens_of(n)]
