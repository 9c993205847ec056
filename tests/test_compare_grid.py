"""From inputs, methods and axes to cells: who can answer, what is the same for all, what it costs, what is too much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import catalog, pixels
from models.compare import arranging, grid, inputs, pace, plan
from models.compare.cases import Case, from_png, from_request, prepared
from models.compare.grid import Cell, build
from models.compare.notes import notes
from models.contract import BadRequest, Bundle
from models.dreamfuse.spec import DreamFuseRequest
from models.recipe import write_png
from tests.test_bundles import DROPPED, MASK, OBJECT, PAINTED, PERSON, PLACED, SCENE, TOLD


@pytest.fixture(autouse=True)
def own_paces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EASEL_CACHE", str(tmp_path / "cache"))


def case(bundle: Bundle, name: str = "one") -> Case:
    return Case(name, bundle)


def test_all_are_those_that_can_answer_and_the_others_say_why() -> None:
    placed = build([case(DROPPED)])
    assert placed.methods == ("dreamfuse", "collage", "cat", "input", "paste", "poisson")
    assert set(placed.left_out) == {"dit4edit", "facediffuser", "fill"}
    assert "cannot place" in placed.left_out["dit4edit"]
    assert build([case(PAINTED)]).methods == ("cat", "dit4edit", "input", "fill")
    assert build([case(TOLD)]).methods == ("dit4edit", "input")
    face = Bundle(references=(PERSON,), prompts={"prompt": "a man <|image|> at sea"})
    assert build([case(face)]).methods == ("facediffuser",)


@pytest.mark.parametrize(
    ("methods", "axes", "says"),
    [
        ("magic", [], "no method “magic”"),
        ("edit", [], "cannot place an object"),
        ("", ["method=fuse, magic"], "no method “magic”"),
        ("fuse", ["method=cat"], "name the methods once"),
        ("fuse", ["seed=1-2", "seed=4"], "given twice"),
        ("fuse, cat", ["variant=auto"], "Mask inpaint has no field “variant”"),
        ("fuse", ["case=2"], "There is no case 2"),
        ("paste", ["seed=1-3"], "nothing to set"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(methods: str, axes: list[str], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        build([case(DROPPED)], methods, axes)


def test_nothing_to_compare_on_and_no_one_to_answer_are_said() -> None:
    with pytest.raises(BadRequest, match="nothing to compare on"):
        build([])
    with pytest.raises(BadRequest, match="No method can answer"):
        build([case(Bundle(prompts={"negative_prompt": "blur"}))])


def test_every_cell_is_there_once_and_a_baseline_once_for_each_case() -> None:
    made = build([case(DROPPED), case(DROPPED, "two")], "fuse, inpaint, paste", ["seed=1-3", "steps=2, 4"])
    cells = made.cells()
    assert len(cells) == made.size == 2 * (2 * 6 + 1)
    assert len({made.identify(cell) for cell in cells}) == made.size - 13  # equal cases are equal cells
    assert [cell.key for cell in cells if cell.baseline] == ["paste", "paste"]
    assert build([case(DROPPED), case(PAINTED)], "inpaint", ["case=2"]).cases[0].bundle is PAINTED


def test_what_is_set_for_all_is_set_where_the_field_is() -> None:
    made = build([case(PAINTED)], "inpaint, edit", ["seed=5"])
    for key in made.methods:
        request: Any = made.request(Cell(0, key, {"seed": 5}))
        assert (request.seed, request.paste_back, request.feather) == (5, True, 8)
    filled: Any = made.request(Cell(0, "cat", {"seed": 5}))
    assert (filled.region, filled.comparisons, filled.num_images) == ("whole", "off", 1)
    edited: Any = made.request(Cell(0, "dit4edit", {"seed": 5}))
    assert edited.comparisons is False


def test_a_cells_own_values_win_over_what_is_set_for_all() -> None:
    made = build([case(PAINTED)], "inpaint", ["paste_back=on, off", "region=masked"])
    request: Any = made.request(Cell(0, "cat", {"paste_back": False, "region": "masked"}))
    assert (request.paste_back, request.region) == (False, "masked")


def test_a_method_answers_its_own_request_with_its_own_settings() -> None:
    own = DreamFuseRequest(background=SCENE, foreground=OBJECT, x=0.3, text_strength=4, seed=11, steps=3)
    made = build([from_request("kept", own)], "fuse, paste")
    request: Any = made.request(Cell(0, "dreamfuse"))
    assert (request.text_strength, request.seed, request.steps, made.seed) == (4, 11, 3, 11)
    assert request.digest() == own.digest()
    cut = build([from_request("kept", own)], "fuse", crop=True)
    assert cut.cases[0].own is None  # a request of the whole picture is another input


def test_a_case_that_one_method_cannot_answer_is_an_empty_cell_with_the_reason() -> None:
    made = build([case(DROPPED), case(TOLD, "words")], "fuse, edit")
    planned = plan.make(made)
    empty = {(run.cell.case, run.cell.key): run.reason for run in planned.runs if run.reason}
    assert set(empty) == {(1, "dreamfuse"), (0, "dit4edit")}
    assert "needs an object" in empty[1, "dreamfuse"]
    assert (planned.estimate.empty, planned.estimate.pictures) == (2, 2)


def test_values_that_fail_together_are_found_before_the_run() -> None:
    made = build([case(DROPPED)], "fuse", ["x=0.5, 2", "seed=1-2"])
    planned = plan.make(made)
    assert [run.reason != "" for run in planned.runs] == [True, True, False, False]
    assert "outside the scene" in planned.runs[0].reason


def test_runs_with_the_same_models_follow_each_other_and_baselines_come_first() -> None:
    made = build([case(DROPPED), case(DROPPED, "two")], "paste, fuse, inpaint", ["seed=1-2"])
    keys = [run.cell.key for run in plan.make(made).runs]
    assert keys[:2] == ["paste", "paste"]
    assert sum(a != b for a, b in zip(keys, keys[1:], strict=False)) == 2
    assert keys.count("cat") == keys.count("dreamfuse") == 4


def test_the_estimate_counts_steps_by_measured_seconds() -> None:
    made = build([case(DROPPED)], "fuse, inpaint, input", ["steps=2, 6", "seed=1-5"])
    for seconds in (1.0, 9.0, 1.4):
        pace.add("dreamfuse", "pocket", 2, seconds)
    pace.add("cat", "pocket", 4, 1.0)
    found = plan.make(made).estimate
    assert (found.pictures, found.baselines) == (20, 1)
    assert found.seconds == pytest.approx(5 * (2 + 6) * 0.7 + 5 * (2 + 6) * 0.25)  # the median of three
    assert found.sentence().startswith("20 pictures; 1 baseline; about 38 s; ")
    shared = set(catalog.SPECS["cat"].presets["pocket"].components.values())
    assert 0 < found.loads <= len(shared) + len(catalog.SPECS["dreamfuse"].presets["pocket"].components)


def test_a_pace_that_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SHIPPED", {})
    found = plan.make(build([case(DROPPED)], "fuse")).estimate
    assert found.seconds is None
    assert "time not known yet" in found.sentence()
    pace.file().parent.mkdir(parents=True)
    pace.file().write_text("[1, 2]")
    assert pace.known() == {}


def test_ten_thousand_cells_are_refused_with_the_estimate() -> None:
    made = build([case(DROPPED)], "fuse", ["seed=1-10000", "steps=2"])
    pace.add("dreamfuse", "pocket", 2, 1.0)
    with pytest.raises(BadRequest, match=r"10,000 cells, about 2 h 47 min; the limit is 400"):
        plan.make(made)
    assert plan.make(build([case(DROPPED)], "fuse", ["seed=1-400"]), 400).estimate.pictures == 400


def test_durations_are_for_people() -> None:
    assert [plan.duration(s) for s in (0.2, 40, 100, 3600, 7300)] == ["1 s", "40 s", "2 min", "60 min", "2 h 2 min"]


def test_the_rest_is_put_back_where_there_is_a_mask() -> None:
    painted = prepared(case(PAINTED), False, None)
    other = np.full_like(SCENE, 7)
    shown = painted.shown(other)
    assert np.array_equal(shown[MASK == 0], SCENE[MASK == 0])
    assert (shown[40, 55] == 7).all()  # deeper in than the seam
    assert np.array_equal(shown, pixels.paste_back(SCENE, other, MASK, 8))
    assert np.array_equal(prepared(case(DROPPED), False, None).shown(other), other)
    assert not np.array_equal(prepared(case(DROPPED), False, True).shown(other), other)
    assert prepared(case(PAINTED), False, False).shown(other[:20, :20]).shape == SCENE.shape


def test_notes_say_what_differs_and_what_is_dropped() -> None:
    said = " ".join(notes(build([case(DROPPED)], "fuse, inpaint")))
    assert "Steps differ in meaning" in said
    assert "its picture is not used" in said
    assert "Steps differ" not in " ".join(notes(build([case(DROPPED)], "fuse")))


def test_methods_stand_side_by_side_and_baselines_in_every_row_of_their_case() -> None:
    made = build([case(DROPPED, "a"), case(DROPPED, "b")], "fuse, paste", ["seed=1-2", "steps=3"])
    found = arranging.arrange(made)
    assert found.columns == ("Drag & place", "Raw paste")
    assert found.rows == ("a, seed 1", "a, seed 2", "b, seed 1", "b, seed 2")
    assert found.ids[0, 1] == found.ids[1, 1]
    assert {found.ids[place] for place in found.ids} == {made.identify(cell) for cell in made.cells()}
    assert found.heading == "steps 3"
    alone = arranging.arrange(build([case(DROPPED)], "fuse", ["seed=1-2", "flip=on, off"]))
    assert (alone.columns, alone.rows) == (("flip on", "flip off"), ("seed 1", "seed 2"))


def test_the_case_of_a_picture_is_its_request(tmp_path: Path) -> None:
    from models import runtime
    from models.contract import Result

    own = DreamFuseRequest(background=SCENE, foreground=OBJECT, x=0.3, seed=4, steps=2, preset="pocket")
    facts = dict(zip(runtime.RESOLVED, (4, "pocket", 2, 3.5, "full"), strict=True))
    done = Result((SCENE,), {}, {**facts, "device": "cpu", "threads": 1, "seconds": 1.0})
    recipe, pictures = runtime.recorded("dreamfuse", own, done)
    write_png(tmp_path / "made.png", SCENE, recipe, pictures)
    found = from_png(tmp_path / "made.png")
    assert (found.name, found.own is not None) == ("made", True)
    assert np.array_equal(found.bundle.placed.image, OBJECT)  # type: ignore[union-attr]
    write_png(tmp_path / "plain.png", SCENE)
    with pytest.raises(BadRequest, match="no recipe"):
        from_png(tmp_path / "plain.png")


def test_inputs_become_a_case_for_each_scene() -> None:
    values = {"x": "0.4", "y": 0.6, "scale": 0.25, "angle": 20, "flip": True, "object_prompt": "a red box"}
    found = inputs.made([SCENE, SCENE], ["a", "a"], OBJECT, [], [], {**values, "prompt": "p"})
    assert [one.name for one in found] == ["a 1", "a 2"]
    placed = found[0].bundle.placed
    assert placed is not None
    assert (placed.x, placed.scale, placed.flip, placed.prompt) == (0.4, 0.25, True, PLACED.prompt)
    assert dict(found[0].bundle.prompts) == {"prompt": "p"}
    assert inputs.made([], [], None, [], [], {}) == []
    for scenes, masks, cutout, says in (
        ([SCENE], [MASK, MASK], None, "one mask for each scene"),
        ([], [], OBJECT, "needs a scene"),
        ([SCENE], [MASK[:50]], None, "the same size"),
    ):
        with pytest.raises(BadRequest, match=says):
            inputs.made(scenes, ["a"] * len(scenes), cutout, masks, [], {})
    with pytest.raises(BadRequest, match="must be a number"):
        inputs.made([SCENE], ["a"], OBJECT, [], [], {"x": "left"})
    assert grid.title("paste") == "Raw paste"
