"""What is drawn, before any pixel: plain frozen values that captions and pictures are both made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "held_out", "combos"]
Shadow = Literal["ground", "wall", "none"]
Size = tuple[int, int]  # (height, width) in pixels, multiples of 8


@dataclass(frozen=True)
class Light:
    """One light per scene.

    ``side`` in -1..1 is where it comes from (-1 left), ``depth`` the slope of cast shadows up (> 0) or down
    the picture, ``strength`` in 0..1 scales shading and shadows, ``tint`` multiplies every colour.
    """

    side: float = -0.5
    depth: float = 0.25
    strength: float = 0.8
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Occluder:
    """Something of the scene that stands in front of the objects; fractions of the picture."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    colour: str | None = None


@dataclass(frozen=True)
class Scene:
    """The empty place. ``horizon`` is the height where the ground ends, as a fraction from the top."""

    kind: str
    ground: str
    back: str
    ground_texture: str = "plain"
    back_texture: str = "plain"
    horizon: float = 0.55
    light: Light = Light()
    style: str = "day"
    occluder: Occluder | None = None
    offsets: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # phases of the textures, in 0..1


@dataclass(frozen=True)
class Look:
    """A person as drawn: who it is, and what may change from picture to picture."""

    identity: int
    clothes: str
    clothes_colour: str
    expression: str


@dataclass(frozen=True)
class Thing:
    """An object or a person in a scene.

    ``x``, ``y``: centre of the tight alpha box as fractions of the picture's width and height; ``width``: that
    box's width over the picture's width, after flip and rotation (``angle``: whole even degrees, clockwise).
    ``in_plate`` things belong to the clean plate; ``printed`` ones are marks on whatever lies below.
    """

    sprite: int = -1
    look: Look | None = None
    colour: str | None = None
    x: float = 0.5
    y: float = 0.5
    width: float = 0.3
    angle: int = 0
    flip: bool = False
    shadow: Shadow = "ground"
    printed: bool = False
    in_plate: bool = False


@dataclass(frozen=True)
class Plan:
    """One picture: a scene and its things, back to front."""

    scene: Scene
    things: tuple[Thing, ...]
    caption: str = ""
    texts: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
