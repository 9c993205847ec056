"""The sheet and the page: every picture in its place, every empty cell with its reason, nothing from the network."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from models.compare import page, sheet
from models.compare.arranging import Arranged
from models.compare.outcome import Outcome

COLOURS = {"a": (200, 10, 10), "b": (10, 200, 10), "c": (10, 10, 200)}
ARRANGED = Arranged(
    ("First", "Second"), ("row one", "row two"), {(0, 0): "a", (0, 1): "b", (1, 0): "c", (1, 1): "d"}, "seed 3"
)


def outcome(key: str, **more: object) -> Outcome:
    return Outcome(key, 0, "case", "dreamfuse", "Drag & place", file=f"cells/{key}.png", **more)  # type: ignore[arg-type]


OUTCOMES = {
    **{key: outcome(key, preset="pocket", seconds=1.26, kept_error=0.5, similarity=0.31) for key in COLOURS},
    "d": Outcome("d", 0, "case", "cat", "Mask inpaint", reason="It </script> failed."),
}
SHOWN = {key: np.full((60, 120, 3), colour, np.uint8) for key, colour in COLOURS.items()}


@pytest.mark.parametrize("tile", [64, 200])
def test_every_picture_stands_in_its_own_square(tile: int) -> None:
    drawn = np.asarray(sheet.draw(ARRANGED, OUTCOMES, SHOWN, (), tile))
    made = sheet.layout(ARRANGED, 0, tile)
    for (row, column), key in ARRANGED.ids.items():
        left, top = made.place(row, column)
        middle = tuple(drawn[top + tile // 2, left + tile // 2])
        assert middle == COLOURS.get(key, sheet.EMPTY)
    for key, colour in COLOURS.items():
        same = (drawn == colour).all(axis=2)
        assert same.sum() == tile * (tile // 2), key  # 2:1 pictures fill the width of a square
    assert drawn.shape[1] >= made.size[0]


def test_squares_do_not_meet_and_the_sheet_holds_them_all() -> None:
    made = sheet.layout(ARRANGED, 3, 100)
    boxes = [(*made.place(r, c), made.tile) for r in range(2) for c in range(2)]
    for k, (left, top, side) in enumerate(boxes):
        assert left + side <= made.size[0]
        assert top + side + sheet.CAPTION_LINES * sheet.LINE <= made.size[1]
        for other_left, other_top, _ in boxes[k + 1 :]:
            assert abs(left - other_left) >= side or abs(top - other_top) >= side


def test_a_large_grid_gets_smaller_tiles() -> None:
    ids = {(r, c): f"{r}-{c}" for r in range(100) for c in range(4)}
    wide = Arranged(tuple("abcd"), tuple(f"row {k}" for k in range(100)), ids, "")
    made = sheet.layout(wide, 2)
    assert 16 <= made.tile < sheet.TILE
    assert max(made.size) <= sheet.LARGEST


def test_captions_hold_the_numbers_and_long_texts_stay_in_their_tiles() -> None:
    assert sheet.caption(OUTCOMES["a"]) == "1.3 s, kept error 0.50, CLIP 0.31"
    assert sheet.caption(outcome("p", note="Pasted as it is.")) == "Pasted as it is."
    font = sheet._font()
    for line in sheet._wrapped("a sentence of several words andoneverylongword" * 3, 90):
        assert font.getlength(line) <= 90


def test_the_page_holds_every_picture_and_reason_and_cannot_be_broken_out_of() -> None:
    html = page.html(ARRANGED, OUTCOMES, SHOWN, ["a <b>note</b>"])
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert data is not None
    told = json.loads(data[1])
    assert set(told["pictures"]) == set(COLOURS)
    assert [cell["reason"] for cell in told["cells"]] == ["", "", "", "It </script> failed."]
    assert html.count("</script>") == 2
    assert "/*STYLE*/" not in html
    assert "<b>note</b>" not in html


def test_the_page_asks_nobody_for_anything() -> None:
    html = page.html(ARRANGED, OUTCOMES, {}, [])
    assert "default-src 'none'" in html
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)|https?://|@import|url\(""", html) == []
