"""Control inside a whole PixArt: every attention against probabilities written out; what is off changes no bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention import sites
from models.dit4edit.alignment import align
from models.dit4edit.blending import LocalBlend
from models.dit4edit.controller import Controller
from models.dit4edit.cross import CrossControl
from models.dit4edit.merging import Merging
from models.dit4edit.mutual import PRESETS, Rule
from models.dit4edit.rows import Rows, paired, pinned
from tests import tiny
from tests.methods.dit4edit_tiny import LENGTH, Seen, batch, split

LAYERS, STEPS = 4, 10
ALPHA = {"use_additional_conditions": True, "num_attention_heads": 3, "cross_attention_dim": 24}  # as its 1024 model
SOURCE, SWAPPED, ADDED = "a lion on grass", "a tig|er on grass", "a red lion on the grass"


def pixart(**changes: Any) -> nn.Module:
    return tiny.pixart(num_layers=LAYERS, **changes)


def control(target: str, **options: Any) -> CrossControl:
    return CrossControl(align(split(SOURCE), split(target), LENGTH), **options)


def controller(rows: Rows, **options: Any) -> Controller:
    return Controller(rows, LAYERS, options.pop("grid", (4, 4)), STEPS, **options)


def run(model: nn.Module, guide: Controller, inputs: Any, step: int = 0) -> Tensor:
    with torch.no_grad(), guide.installed(model):
        guide.begin(step)
        return model(**inputs).sample


def stock(model: nn.Module, inputs: Any) -> Tensor:
    with torch.no_grad():
        return model(**inputs).sample


def processors(model: nn.Module) -> list[int]:
    return [id(model.get_submodule(site.name).processor) for site in sites(model)]


def swapped_by_hand(maps: Tensor, target: int, source: int) -> Tensor:
    """'lion' hands half of its attention to each of 'tig' and 'er'."""
    out = maps.clone()
    out[target] = 0
    for taken, j, share in ((0, 0, 1), (1, 1, 0.5), (1, 2, 0.5), (2, 3, 1), (3, 4, 1), (4, 5, 1)):
        out[target, ..., j] = share * maps[source, ..., taken]
    return out


@pytest.mark.parametrize("rows", [pinned(), paired()], ids=["pinned", "paired"])
@pytest.mark.parametrize("changes", [{}, ALPHA], ids=["sigma", "alpha"])
def test_every_attention_of_the_model_is_controlled_as_written(rows: Rows, changes: dict[str, Any]) -> None:
    """Rows of 8 x 12 latents; self-attention takes keys and values of the source in the last two layers."""
    model = pixart(**changes).double()
    seen, rules = Seen(model), PRESETS["non_rigid"](STEPS, LAYERS, start=0.0)
    guide = controller(rows, grid=(4, 6), cross=[control(SWAPPED)], rules=rules)
    run(model, guide, batch(model, rows, [SOURCE, SWAPPED], (8, 12)))
    target, taken = len(rows) - 1, [row.source if row.role != "source" else n for n, row in enumerate(rows)]
    for site in sites(model):
        q, k, v = seen.qkv(site.name)
        if site.kind == "self" and site.order >= LAYERS:
            k, v = k[taken], v[taken]
        maps = seen.maps(site.name, q, k)
        if site.kind == "cross":
            maps = swapped_by_hand(maps, target, taken[target])
        out = seen.calls[site.name][3]
        torch.testing.assert_close(out, seen.result(site.name, maps, v), atol=1e-12, rtol=0, msg=site.name)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "union"])
@pytest.mark.parametrize("rows", [pinned(), paired()], ids=["pinned", "paired"])
def test_the_same_prompt_gives_the_source_bit_for_bit(preset: str, rows: Rows) -> None:
    model = pixart()
    inputs = batch(model, rows, [SOURCE, SOURCE])
    rules = PRESETS[preset](STEPS, LAYERS, start=0.3, from_layer=0)
    for step in (0, 5):
        out = run(model, controller(rows, cross=[control(SOURCE)], rules=rules), inputs, step)
        assert torch.equal(out[-1], out[rows[-1].source])


def test_a_union_with_itself_is_the_source_but_for_rounding() -> None:
    model = pixart()
    out = run(model, controller(pinned(), rules=PRESETS["union"](STEPS, LAYERS)), batch(model, pinned(), [SOURCE] * 2))
    torch.testing.assert_close(out[2], out[0], atol=1e-6, rtol=0)


OFF: dict[str, dict[str, Any]] = {
    "nothing": {},
    "ratio 0": {"merging": Merging(ratio=0.0)},
    "windows of no step": {"cross": [control(SWAPPED, until=0.0)], "rules": PRESETS["rigid"](STEPS, LAYERS, start=0.0)},
    "no control of text": {"cross": [None]},
    "no kind and no weights": {"cross": [control(SWAPPED, kind="none")]},
    "layers past the last": {"rules": [Rule(0, STEPS, LAYERS, LAYERS + 3, "source", "source", "target")]},
    "the target's own": {"rules": [Rule(0, STEPS, 0, LAYERS, "target", "target", "target")]},
}


@pytest.mark.parametrize("name", OFF)
@pytest.mark.parametrize("rows", [pinned(), paired()], ids=["pinned", "paired"])
def test_what_is_off_installs_nothing_and_changes_no_bit(name: str, rows: Rows) -> None:
    model = pixart()
    guide, inputs = controller(rows, **OFF[name]), batch(model, rows, [SOURCE, SWAPPED])
    before = [model.get_submodule(site.name).processor for site in sites(model)]
    with guide.installed(model):
        assert all(
            model.get_submodule(site.name).processor is old for site, old in zip(sites(model), before, strict=True)
        )
    assert torch.equal(run(model, guide, inputs), stock(model, inputs))
    assert not guide.needs_source(0)
    assert guide.effective_ratio == 0


ON: dict[str, dict[str, Any]] = {
    "words swapped": {"cross": [control(SWAPPED)]},
    "words refined": {"cross": [control(SWAPPED, kind="refine")]},
    "weights": {"cross": [control(SWAPPED, kind="none", weights={1: 3.0})]},
    **{name: {"rules": PRESETS[name](STEPS, LAYERS, start=0.0)} for name in ("non_rigid", "unified", "union")},
    **{name: {"rules": PRESETS[name](STEPS, LAYERS, start=1.0)} for name in ("rigid", "unified", "structure")},
    "watched": {"cross": [control(SWAPPED)], "watch": [[[1]], [[1, 2]]]},
}


@pytest.mark.parametrize("name", ON)
@pytest.mark.parametrize("rows", [pinned(), paired()], ids=["pinned", "paired"])
def test_control_changes_targets_and_no_bit_of_the_source(name: str, rows: Rows) -> None:
    model = pixart()
    inputs = batch(model, rows, [SOURCE, SWAPPED])
    out, plain = run(model, controller(rows, **ON[name]), inputs), stock(model, inputs)
    own = [number for number, row in enumerate(rows) if row.role == "source"]
    assert torch.equal(out[own], plain[own])
    assert (out[-1] - plain[-1]).abs().max() > 1e-4


def test_watching_words_changes_nothing() -> None:
    model = pixart()
    inputs = batch(model, pinned(), [SOURCE, SWAPPED])
    assert torch.equal(run(model, controller(pinned(), watch=[[[1]], [[1, 2]]]), inputs), stock(model, inputs))


def test_controls_act_in_their_steps_and_layers_only() -> None:
    model = pixart()
    inputs = batch(model, pinned(), [SOURCE, SWAPPED])
    plain = stock(model, inputs)
    guide = controller(
        pinned(),
        cross=[control(SWAPPED, until=0.2)],
        rules=[Rule(4, 6, 3, LAYERS, "target", "source", "source")],
    )
    acting = [not torch.equal(run(model, guide, inputs, step), plain) for step in range(STEPS)]
    assert acting == [True] * 2 + [False] * 2 + [True] * 2 + [False] * 4
    assert [guide.needs_source(step) for step in range(STEPS)] == [True] * 6 + [False] * 4


def test_the_source_row_may_go_when_no_later_step_needs_it() -> None:
    model = pixart()
    guide = controller(pinned(), cross=[control(SWAPPED, until=0.5)], watch=[[[1]], [[1, 2]]])
    inputs = batch(model, pinned(), [SOURCE, SWAPPED])
    rest = {name: value if isinstance(value, dict) else value[1:] for name, value in inputs.items()}
    with torch.no_grad(), guide.installed(model):
        guide.begin(5, guide.without_source())
        short = model(**rest).sample
        with pytest.raises(ValueError, match="Step 4 takes features from the source"):
            guide.begin(4, guide.without_source())
    torch.testing.assert_close(short, stock(model, inputs)[1:], atol=1e-6, rtol=0)
    assert [maps.amax().item() for maps in guide.word_maps()] == [0.0, 1.0]
    assert controller(pinned(), blend=LocalBlend(source=(1,))).needs_source(STEPS - 1)


def test_each_target_has_its_own_control_and_all_share_the_source() -> None:
    model = pixart()
    rows, controls = pinned(3), [control(SWAPPED), None, control(ADDED)]
    prompts = [SOURCE, SWAPPED, "a cat", ADDED]
    rules = PRESETS["rigid"](STEPS, LAYERS)
    out = run(model, controller(rows, cross=controls, rules=rules), batch(model, rows, prompts))
    for branch, single in enumerate(controls, start=1):
        inputs = batch(model, rows, prompts)
        chosen = [0, 2 * branch - 1, 2 * branch]
        alone = {name: v if isinstance(v, dict) else v[chosen] for name, v in inputs.items()}
        expected = run(model, controller(pinned(), cross=[single], rules=rules), alone)
        torch.testing.assert_close(out[chosen], expected, atol=1e-6, rtol=0)


def test_three_rows_are_the_four_of_prompt_to_prompt_without_control() -> None:
    model = pixart()
    three, four = (batch(model, rows, [SOURCE, SWAPPED]) for rows in (pinned(), paired()))
    a, b = stock(model, three), stock(model, four)
    torch.testing.assert_close(a, b[[2, 1, 3]], atol=1e-5, rtol=0)


def test_negative_weights_stay_finite() -> None:
    model = pixart()
    weights = dict.fromkeys(range(6), -2.0)
    guide = controller(pinned(), cross=[control(SWAPPED, weights=weights, renormalise=True)])
    assert run(model, guide, batch(model, pinned(), [SOURCE, SWAPPED])).isfinite().all()


@pytest.mark.parametrize("ending", ["success", "error", "stop"])
def test_the_stock_processors_are_back_afterwards(ending: str) -> None:
    model = pixart()
    before, inputs = processors(model), batch(model, pinned(), [SOURCE, SWAPPED])
    guide = controller(
        pinned(), cross=[control(SWAPPED)], rules=PRESETS["unified"](STEPS, LAYERS), merging=Merging(ratio=0.5)
    )

    def steps() -> Iterator[int]:
        with guide.installed(model):
            assert not set(processors(model)) & set(before)
            for step in range(STEPS):
                guide.begin(step)
                stock(model, inputs if ending != "error" or step < 1 else inputs | {"hidden_states": None})
                yield step

    job = steps()
    if ending == "success":
        assert list(job) == list(range(STEPS))
    elif ending == "error":
        with pytest.raises(AttributeError):
            list(job)
    else:
        assert next(job) == 0
        job.close()
    assert processors(model) == before


def test_batches_and_models_that_do_not_fit_are_refused() -> None:
    model = pixart()
    inputs = batch(model, pinned(2), [SOURCE, SWAPPED, ADDED])
    with pytest.raises(ValueError, match="given 5 rows, the controller 3"):
        run(model, controller(pinned(), cross=[control(SWAPPED)]), inputs)
    with pytest.raises(ValueError, match="4 layers of self-attention, the controller 7"):
        run(model, Controller(pinned(), 7, (4, 4), STEPS), inputs)
    with pytest.raises(ValueError, match="2 cross controls for 1 targets"):
        controller(pinned(), cross=[None, None])
    guide = controller(pinned(2), cross=[control(SWAPPED)])
    with pytest.raises(ValueError, match="begin"), torch.no_grad(), guide.installed(model):
        model(**inputs)
