"""Face reference from two pictures to a scene with both, the faces swapped, with the models that ship."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from gradio.utils import get_upload_folder
from PIL import Image
from playwright.sync_api import Browser, expect

from models import recipe
from tests.browser.pilot import Pilot, let_fall
from tests.browser.sitter import CARDS, CHIPS, NOTE, PROMPT, TIMELINE, Sitter

TWO = "a man <|image|> and a woman <|image|> on a beach"
STEPS = 6  # PNDM: 7 iterations, of which the scene has 3 at 0.3, both 2 until 0.6, the people 2
FIRST, SWAPPED = 2 * (3 + 2) + 2 * (2 + 2), 2 * 2 + 2 * (2 + 2)


@pytest.fixture
def sitter(pilot: Pilot) -> Sitter:
    return Sitter(pilot)


def test_two_people_come_into_a_scene_and_swapping_them_goes_on_from_it(
    sitter: Sitter, people: list[Path], tmp_path: Path
) -> None:
    sitter.add(*people[:2])
    sitter.say("a man and a woman on a beach")
    assert [chip.endswith("not in the prompt") for chip in sitter.chips] == [True, True]
    assert sitter.page.input_value(PROMPT) == "a man and a woman on a beach"  # nothing is put in unasked
    sitter.page.locator(f"{CHIPS} .offer").get_by_text("a man [1] and a woman [2] on a beach").click()
    expect(sitter.page.locator(PROMPT)).to_have_value(TWO)
    expect(sitter.page.locator(f"{CHIPS} .offer")).to_be_hidden()
    assert sitter.chips == ["1 man token 2", "2 woman token 5"]
    assert sitter.nouns == ["man", "woman"]
    sitter.set_more(seed=5, steps=STEPS)
    expect(sitter.page.locator("#facediffuser-readout")).to_contain_text(
        f"3 scene / 2 fused / 2 subject steps · {FIRST} network calls"
    )
    sitter.run()
    assert f"Network calls {FIRST} (" in sitter.facts()
    assert "from the last run" not in sitter.facts()
    assert re.search(r"Likeness man \d\.\d\d, woman \d\.\d\d", sitter.facts())
    first = sitter.result(tmp_path / "first.png")
    told, inputs = recipe.read_png(tmp_path / "first.png")
    hashes = [recipe.picture_sha256(np.asarray(Image.open(path).convert("RGB"))) for path in people[:2]]
    assert [entry["sha256"] for entry in told.request["references"]] == hashes
    assert inputs == {}

    before = sitter.faces
    sitter.page.get_by_role("button", name="Move Person 1, man back").click()
    assert sitter.faces == before[::-1]
    assert sitter.nouns == ["man", "woman"]  # the words stay with the prompt; the faces have changed places
    sitter.run()
    assert f"Network calls {SWAPPED} (" in sitter.facts()
    assert "scene stage taken from the last run" in sitter.facts()
    assert (sitter.result(tmp_path / "swapped.png") != first).any()
    told, _ = recipe.read_png(tmp_path / "swapped.png")
    assert [entry["sha256"] for entry in told.request["references"]] == hashes[::-1]

    maps = sitter.page.locator("#facediffuser-maps")
    maps.locator("summary").click()
    expect(maps.locator("output")).to_contain_text("5: the people's model draws")
    posts = len(sitter.pilot.posts)
    tile = maps.locator(".tiles div").nth(2)
    last = tile.evaluate("node => getComputedStyle(node).backgroundPosition")
    maps.locator("input").press("Home")
    expect(maps.locator("output")).to_contain_text("4: the people's model draws")
    assert tile.evaluate("node => getComputedStyle(node).backgroundPosition") != last
    assert len(sitter.pilot.posts) == posts


def test_each_model_alone_stands_beside_both(sitter: Sitter, people: list[Path]) -> None:
    sitter.add(people[0])
    sitter.say("a man <|image|> in snow")
    sitter.set_more(seed=2, steps=4)
    sitter.page.get_by_label("Compare the models").check()
    sitter.run()
    beside = sitter.page.locator("#facediffuser-beside")
    left = sitter.page.locator("#facediffuser-slider img").first
    shown = []
    for name in ("The scene model alone", "The people's model alone"):
        beside.get_by_label(name).check()
        sitter.pilot.settle()
        shown.append(left.get_attribute("src"))
    assert len(set(shown)) == 2
    expect(sitter.page.locator("#facediffuser-slider [data-testid=slider]")).to_be_visible()
    sitter.page.get_by_label("Compare the models").uncheck()
    sitter.run()
    expect(beside).to_be_hidden()
    expect(sitter.page.locator("#facediffuser-slider [data-testid=slider]")).to_be_hidden()


def test_cards_are_removed_and_put_in_order_by_mouse_and_keys(sitter: Sitter, people: list[Path]) -> None:
    sitter.add(*people[:4])
    expect(sitter.page.locator(f"{CARDS} .add")).to_be_hidden()
    a, b, c, d = sitter.faces
    cards = [card.bounding_box() for card in sitter.page.locator(f"{CARDS} .face").all()]
    assert all(cards)
    middle = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in cards if box]
    sitter.pilot.drag(middle[0], (middle[2][0] + 30, middle[2][1]))
    assert sitter.faces == [b, c, a, d]
    face = sitter.page.locator(f"{CARDS} .face").nth(1)
    face.press("ArrowRight")
    assert sitter.faces == [b, a, c, d]
    expect(sitter.page.locator(f"{CARDS} .face").nth(2)).to_be_focused()  # the card took the focus along
    sitter.page.keyboard.press("Delete")
    assert sitter.faces == [b, a, d]
    sitter.page.get_by_role("button", name="Remove Person 1, person").click()
    assert sitter.faces == [a, d]
    expect(sitter.page.locator(f"{CARDS} .add")).to_be_visible()


def test_an_end_of_the_timeline_goes_by_mouse_and_keys(sitter: Sitter) -> None:
    readout = sitter.page.locator("#facediffuser-readout")
    expect(readout).to_contain_text("7 scene / 6 fused / 8 subject steps · 54 network calls")
    box = sitter.page.locator(f"{TIMELINE} .bar").bounding_box()
    assert box is not None
    at = lambda part: (box["x"] + part * box["width"], box["y"] + box["height"] / 2)  # noqa: E731
    sitter.pilot.drag(at(0.3), at(0.5))
    assert sitter.ends == [50, 60]
    expect(readout).to_contain_text("11 scene / 2 fused / 8 subject")
    sitter.pilot.drag(at(0.5), at(0.8))  # it pushes the other end along
    assert sitter.ends == [80, 80]
    first, last = sitter.end_handles.all()
    first.press("PageDown")
    assert sitter.ends == [70, 80]
    last.press("Home")
    assert sitter.ends == [70, 70]
    last.press("ArrowRight")
    last.press("Shift+ArrowRight")
    assert sitter.ends == [70, 76]
    first.press("Home")
    assert (sitter.ends, first.get_attribute("aria-valuetext")) == ([0, 76], "never")
    last.press("End")
    expect(readout).to_contain_text("0 scene / 21 fused / 0 subject")
    sitter.page.get_by_role("button", name="Scene first").click()
    assert sitter.ends == [40, 80]
    expect(sitter.page.get_by_role("button", name="Scene first")).to_have_attribute("aria-pressed", "true")
    sitter.set_more(steps=10)
    expect(readout).to_contain_text("5 scene / 4 fused / 2 subject")


def test_the_marker_is_written_after_the_word_at_the_caret(sitter: Sitter, people: list[Path]) -> None:
    sitter.add(people[0])
    sitter.say("a man reads a book")
    sitter.page.locator(PROMPT).evaluate("box => { box.focus(); box.setSelectionRange(3, 3); }")  # inside "man"
    sitter.page.get_by_role("button", name="Insert marker").click()
    expect(sitter.page.locator(PROMPT)).to_have_value("a man <|image|> reads a book")
    assert sitter.chips == ["1 man token 2"]
    sitter.page.keyboard.press("Control+z")
    expect(sitter.page.locator(PROMPT)).to_have_value("a man reads a book")
    sitter.page.get_by_role("button", name="Insert marker").click()
    noun = sitter.page.locator(f"{CARDS} .noun")
    expect(noun).to_have_value("man")
    noun.fill("sailor")
    noun.press("Enter")
    expect(sitter.page.locator(PROMPT)).to_have_value("a sailor <|image|> reads a book")


def test_what_is_wrong_is_said_in_its_place_and_nothing_is_lost(
    sitter: Sitter, people: list[Path], files: dict[str, Path]
) -> None:
    sitter.add(people[0])
    sitter.page.set_input_files(f"{CARDS} .add input", files["text"])
    expect(sitter.page.locator(f"{NOTE} [role=alert]")).to_contain_text("is not a picture")
    sitter.add(people[1])  # the next one is heard all the same
    said = sitter.page.locator(f"{CHIPS} .said")
    for prompt, sentence in (
        ("a beach", "marks nobody"),
        ("a man <|image|> on a beach", "marks 1 person, but there are 2 pictures"),
        ("a man <|image|> <|image|>", "follow the same word"),
        ("a man <|IMAGE|>", "small letters"),
    ):
        sitter.say(prompt)
        expect(said).to_contain_text(sentence)
    sitter.page.click("#facediffuser-run")
    expect(sitter.page.locator(f"{NOTE} [role=alert]")).to_contain_text("small letters")
    assert sitter.cards.count() == 2
    sitter.page.set_input_files(f"{CARDS} .add input", people[2:5])
    expect(sitter.page.locator(f"{CARDS} .busy.bad")).to_contain_text("4 people are the most")
    assert sitter.cards.count() == 4


def test_a_picture_of_a_person_is_in_no_folder(sitter: Sitter, people: list[Path]) -> None:
    folder = Path(get_upload_folder())  # the server's too
    there = {path for path in folder.rglob("*") if path.is_file()}
    let_fall(sitter.page, CARDS, people[0])
    expect(sitter.cards).to_have_count(1, timeout=30_000)
    data = people[1].read_bytes()
    sitter.page.evaluate(
        """(bytes) => {
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([Uint8Array.from(bytes)], 'pasted.png', { type: 'image/png' }));
          document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }));
        }""",
        list(data),
    )
    expect(sitter.cards).to_have_count(2, timeout=30_000)
    sitter.say(TWO)
    sitter.set_more(seed=1, steps=2)
    sitter.run()
    made = {path for path in folder.rglob("*") if path.is_file()} - there
    assert made  # the result is there
    known = {recipe.picture_sha256(np.asarray(Image.open(path).convert("RGB"))) for path in people[:2]}
    for path in made:
        assert path.read_bytes() not in (people[0].read_bytes(), data)
        if path.suffix in (".png", ".webp", ".jpg"):
            assert recipe.picture_sha256(np.asarray(Image.open(path).convert("RGB"))) not in known
    assert sitter.page.evaluate("JSON.stringify(localStorage).includes('base64')") is False


def test_a_result_dropped_on_the_tab_restores_all_but_the_pictures(
    sitter: Sitter, browser: Browser, address: str, people: list[Path], tmp_path: Path
) -> None:
    sitter.add(*people[:2])
    sitter.say(TWO)
    sitter.set_more(seed=8, steps=3)
    sitter.run()
    first = sitter.result(tmp_path / "made.png")
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    other = Sitter(Pilot(context.new_page(), address))
    let_fall(other.page, "#facediffuser-result", tmp_path / "made.png")
    expect(other.page.locator(NOTE)).to_contain_text("add the same 2 pictures", timeout=30_000)
    expect(other.page.locator(PROMPT)).to_have_value(TWO)
    other.add(*people[:2])
    other.run()
    assert (other.result(tmp_path / "again.png") == first).all()
    assert other.pilot.complaints == []
    context.close()
