"""Face reference before a browser sees it: people in memory, and their cards."""

from __future__ import annotations

import base64
import io
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from demos import face_people, facediffuser
from demos.face_cards import Card, CardsValue
from demos.face_chips import with_noun
from demos.face_people import MOST_KEPT, People, file_of, kept, person, references_of
from demos.face_side import MORE, PLAIN, Side
from demos.face_timeline import Ends
from models import pictures, recipe
from models.contract import BadRequest, options
from models.facediffuser import references
from models.facediffuser.spec import SPEC, FaceRequest
from tests.face_desk import TWO, address, brought, desk, png, with_people


@pytest.fixture
def side() -> Side:
    return desk()


def seen(uri: str) -> np.ndarray:
    """The pixels of an address on a card."""
    assert uri.startswith("data:image/jpeg;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))).astype(float)


# --- the form


def test_every_field_has_its_control_and_every_choice_a_plain_name() -> None:
    with gr.Blocks():
        facediffuser.tab(SPEC)  # the form compares controls and fields
    told = options(FaceRequest)
    assert all(tuple(names) == told[name].choices for name, names in PLAIN.items())
    listed = [name for group in MORE.values() for name in group]
    assert len(listed) == len(set(listed))  # no setting stands there twice


def test_a_request_has_the_pictures_of_the_cards_in_their_order(side: Side) -> None:
    value, people = with_people(side, 4)
    turned = CardsValue(cards=[value.cards[k] for k in (2, 0, 3, 1)])
    controls = [one.value for one in side.form.components[3:]]
    controls[list(side.controls).index("prompt")] = f"{TWO}, {TWO}"
    request = side.form.request([turned, people, Ends(scene_until=0.2, subject_from=0.5), *controls])
    assert isinstance(request, FaceRequest)
    for got, seed in zip(request.references, (2, 0, 3, 1), strict=True):
        assert np.array_equal(got, pictures.decode(png(seed), "rgb", "it"))
    assert (request.scene_until, request.subject_from) == (0.2, 0.5)
    with pytest.raises(BadRequest, match="no longer in memory"):
        side.form.request([turned, {}, Ends(), *controls])


# --- people in memory


def test_the_card_shows_what_the_encoder_sees_with_its_bars() -> None:
    data = png(3, height=160, width=320)
    card = seen(person(data, "wide.png").square)
    assert card.shape == (224, 224, 3)
    tall = Image.new("RGB", (320, 320))
    tall.paste(Image.open(io.BytesIO(data)), (0, 80))
    filtered = Image.Resampling.BILINEAR
    wanted = np.asarray(tall.resize((512, 512), filtered).resize((224, 224), filtered))
    assert np.abs(card - wanted).mean() < 4  # a JPEG's loss at sharp edges
    assert card[:50].max() < 12
    assert card[-50:].max() < 12
    assert card[112].mean() > 60


def test_a_person_is_known_by_the_pixels_that_every_other_way_in_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "find_faces", lambda picture: None)
    turned = Image.new("RGB", (40, 24), (200, 30, 30))
    turned.paste((20, 200, 60), (0, 0, 16, 8))
    exif = turned.getexif()
    exif[274] = 6  # a quarter turn
    file = io.BytesIO()
    turned.save(file, "JPEG", exif=exif)
    made = person(file.getvalue(), "phone.jpg")
    (picture,) = references.opened([file.getvalue()], lambda one: pictures.decode(one, "rgba", "it"))
    assert picture.shape == (40, 24, 3)
    assert picture[4, 20, 1] > picture[4, 20, 0]  # the corner has gone from the left to the right
    assert made.sha256 == recipe.picture_sha256(picture)
    people = {"a": made}
    assert np.array_equal(references_of(people, ["a"])[0], picture)
    assert made.said == "Under 128 pixels: hardly to be recognised."


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (None, "did not arrive"),
        ("/etc/passwd", "did not arrive"),
        ("data:image/png;base64,%%%", "damaged"),
        ("data:image/png;base64," + "A" * (face_people.MOST_BYTES * 4 // 3 + 8), "larger than 32 MB"),
    ],
)
def test_what_is_no_file_is_refused_in_words(sent: Any, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        file_of(sent, "a.png")


def test_a_file_arrives_as_it_was() -> None:
    assert file_of(address(png(5)), "a.png") == png(5)
    assert file_of("data:,", "a.png") == b""


def test_memory_holds_so_many_of_a_visitor_and_no_more() -> None:
    people: People = {}
    one = person(png(), "a.png")
    ids = [kept(people, one) for _ in range(MOST_KEPT + 3)]
    assert list(people) == ids[3:]


@pytest.mark.parametrize(
    ("faces", "crop", "says", "whole"),
    [
        ((), True, "No face was found: used whole.", True),
        ((), False, "No face was found.", True),
        (((80, 40, 120, 80),), False, "", True),
        (((80, 40, 120, 80),), True, "Cropped to the face.", False),
        (((80, 40, 120, 80), (10, 10, 40, 40)), True, "2 faces: the largest is used.", False),
        (((80, 40, 120, 80), (10, 10, 40, 40)), False, "2 faces: one a picture is best.", True),
        (None, True, "This OpenCV has no face detector: used whole.", True),
        (None, False, "", True),
    ],
)
def test_what_was_found_in_a_picture_is_said_and_the_crop_is_shown(
    faces: Any, crop: bool, says: str, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "find_faces", lambda picture: faces)
    made = person(png(4), "a.png", crop=crop)
    assert made.said == says
    picture = pictures.decode(png(4), "rgb", "it")
    part = picture if whole else picture[20:112, 60:140]  # a width to each side and above, 1.3 below the centre
    wanted = references.encoder_input([part])[0].transpose(1, 2, 0) * 255
    assert np.abs(seen(made.square) - wanted).mean() < 4


# --- cards


def test_a_picture_becomes_a_card_and_a_bad_one_a_sentence(side: Side) -> None:
    value, people = with_people(side, 1)
    assert [(card.noun, bool(card.picture)) for card in value.cards] == [("man", True)]
    told = brought(side, value, people, TWO, data=address(b"no picture", "text/plain"), file=7)
    assert told[side.cards] == CardsValue(answered=7)  # the browser waits for no answer
    assert "is not a picture" in told[side.notice]
    assert len(people) == 1


def test_a_fifth_person_is_refused(side: Side) -> None:
    value, people = with_people(side, 4)
    told = brought(side, value, people, file=5)
    assert "4 people are the most" in told[side.notice]
    assert len(people) == 4


def test_a_removed_person_leaves_the_memory(side: Side) -> None:
    value, people = with_people(side, 2)
    gone, stays = value.cards
    told = side._removed(CardsValue(cards=[stays]), people, TWO, "pocket", gr.EventData(None, {"id": gone.id}))
    assert list(people) == [stays.id]
    assert [bool(chip.picture) for chip in told[side.chips].chips] == [True, False]
    assert [card.noun for card in told[side.cards].cards] == ["man"]  # the first word of the prompt is its own now


def test_cards_from_outside_are_few_different_and_short(side: Side) -> None:
    many = [Card(id=str(k % 6), noun="n" * 500, picture="x") for k in range(50)]
    kept_cards = side.cards.preprocess(CardsValue(cards=many, fresh=True, answered=3))
    assert [card.id for card in kept_cards.cards] == ["0", "1", "2", "3"]
    assert {(len(card.noun), card.picture) for card in kept_cards.cards} == {(40, "")}
    assert side.cards.preprocess(None) == CardsValue()


def test_the_word_of_a_card_goes_into_the_prompt(side: Side) -> None:
    value, people = with_people(side, 2)
    event = gr.EventData(None, {"id": value.cards[1].id, "place": 1, "noun": "young girl"})
    told = side._renamed(value, people, TWO, "pocket", event)
    assert told[side.controls["prompt"]] == "a man <|image|> and a young girl <|image|> on a beach"
    assert [chip.noun for chip in told[side.chips].chips] == ["man", "girl"]
    assert with_noun(TWO, 2, "cat") == TWO
    assert with_noun("a tall man <|image|>", 0, "") == "a tall man <|image|>"


def test_the_switch_shows_every_card_anew(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    from demos.face_side import _seen

    value, people = with_people(side, 2)
    before = [people[card.id].square for card in value.cards]
    monkeypatch.setattr(references, "find_faces", lambda picture: ((80, 40, 120, 80),))
    told = _seen(value, people, 512, True)
    assert [card.said for card in told.cards] == ["Cropped to the face."] * 2
    assert all(card.picture not in before for card in told.cards)
    assert [card.noun for card in told.cards] == [card.noun for card in value.cards]
