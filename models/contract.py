"""What the user interface, the command line, the tests and the methods agree on. Plain Python and numpy."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from models.fields import (
    CHANNELS as CHANNELS,
    MEMORY_MODES as MEMORY_MODES,
    PICTURES as PICTURES,
    BadRequest as BadRequest,
    Kind as Kind,
    Option as Option,
    checked,
    option as option,
    same_size,
)


class Stopped(Exception):
    """The user asked a running job to stop."""


class MissingWeights(RuntimeError):
    """Weights that a preset needs are not on this machine, or not as they were published."""


class GatedWeights(MissingWeights):
    """The hub refuses the weights until their licence is accepted and a token is set."""


class OutOfMemory(RuntimeError):
    """The device cannot hold the run; the sentence offers the next smaller memory mode."""


def options(request_type: type[Request]) -> dict[str, Option]:
    """Every field of a request type that a user can set, in order; a subclass may fix one with `init=False`."""
    return {f.name: f.metadata["option"] for f in dataclasses.fields(request_type) if f.init}


def presets_guidance() -> Any:
    """The field `guidance_scale` of a method whose presets have their own, which 0 stands for."""
    tip = "guidance_scale; 0 = the preset's own"
    return option("number", 0.0, "How strictly to follow the prompt", tip, low=0.0, high=20.0, step=0.1)


def argument_order(request_type: type[Request]) -> list[str]:
    """Field names as flags and endpoints list them: the method's own first, then those that all requests share."""
    own = [name for name in request_type.__annotations__ if name in options(request_type)]
    return own + [name for name in options(request_type) if name not in own]


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """Everything that can change a pixel. Subclasses add fields with `option(...)` and may override `check`.

    Pictures are uint8 and read-only: `rgb` HxWx3, `rgba` HxWx4 with straight alpha, `mask` HxW with
    255 = may change.
    Raises `BadRequest` on construction, so a request that exists can be run.
    """

    prompt: str = option("text", "", "Describe the result", "prompt")
    seed: int = option("integer", -1, "Seed", "Same seed, same picture; -1 draws a new one", low=-1, high=2**31 - 1)
    steps: int = option("integer", 0, "Steps", "0 = the preset's own number", low=0, high=200)
    guidance_scale: float = option(
        "number", 3.5, "How strictly to follow the prompt", "guidance_scale", low=0.0, high=30.0, step=0.1
    )
    num_images: int = option("integer", 1, "Pictures", "Picture k uses seed + k", low=1, high=4)
    preset: str = option("choice", "auto", "Models", "pocket = small, offline; full = the published weights")
    memory: str = option("choice", "auto", "Memory mode", "How the full weights share the device", choices=MEMORY_MODES)

    mask_of: ClassVar[dict[str, str]] = {}  # mask field -> the picture whose size it must have
    together: ClassVar[bool] = False  # several pictures come of one seed and one run, instead of seed + k each

    def __post_init__(self) -> None:
        for name, spec in options(type(self)).items():
            object.__setattr__(self, name, checked(spec, getattr(self, name)))
        for mask, picture in self.mask_of.items():
            same_size(mask, getattr(self, mask), picture, getattr(self, picture))
        self.check()

    def check(self) -> None:
        """Rules that involve more than one field; raise `BadRequest` with one sentence."""

    def replace(self, **changes: Any) -> Self:
        """The same request with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)

    def digest(self, *names: str) -> str:
        """sha256 over the named fields, or over every field that can change a pixel."""
        chosen = names or [n for n, o in options(type(self)).items() if not o.inert]
        sha = hashlib.sha256(type(self).__name__.encode())
        for name in chosen:
            sha.update(f"\0{name}\0".encode())
            for part in _parts(getattr(self, name)):
                sha.update(part)
        return sha.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    """The bytes of a field: of pictures all of them, also of those in layers."""
    if isinstance(value, np.ndarray):
        yield str(value.shape).encode()
        yield value.tobytes()
    elif isinstance(value, tuple):
        for item in value:
            yield b"\0"
            yield from _parts(item)
    elif dataclasses.is_dataclass(value):
        for f in dataclasses.fields(value):
            yield f"\0{f.name}\0".encode()
            yield from _parts(getattr(value, f.name))
    else:
        yield repr(value).encode()


@dataclass(frozen=True)
class Weights:
    """One component as data. Hashable: it is the cache's key; the device is state and not part of it."""

    source: str  # hub id, a folder of this repository such as "assets/pocket/vae", or any folder's absolute path
    class_name: str  # dotted path of the class that loads it, e.g. "diffusers.FluxTransformer2DModel"
    subfolder: str = ""
    revision: str = ""  # commit of the hub repository; empty = resolved at the first download and recorded
    dtype: str = "float32"
    quantisation: str = ""  # "", "fp8" or "4bit"
    licence: str = ""
    gated: bool = False
    gigabytes: float = 0.0  # size of the download
    made_by: str = ""  # how the command line writes an `own` folder: "models convert-cat FILE"

    @property
    def local(self) -> bool:
        """Whether the files ship with the repository."""
        return self.source.startswith("assets/")

    @property
    def own(self) -> bool:
        """Whether they lie in a folder of the user's own, made from a file that nobody can download."""
        return Path(self.source).is_absolute()


@dataclass(frozen=True)
class Published:
    """A file on the hub that a conversion makes `own` components from."""

    source: str
    path: str
    gigabytes: float


@dataclass(frozen=True)
class Preset:
    """A set of weights with the settings they were made for."""

    name: str
    components: Mapping[str, Weights]  # in the order in which a run first calls them
    steps: int
    label: str  # what a person reads: "Pocket - offline, small models"
    guidance_scale: float = 0.0  # what a request's 0 stands for
    size: int = 256  # pixels on a side of the square bucket
    licence: str = ""
    memory_modes: tuple[str, ...] = ("full",)
    memory_gigabytes: Mapping[str, float] = field(default_factory=dict)  # estimate per mode
    settings: Mapping[str, Any] = field(default_factory=dict)  # what the method's `load` wants to know
    files: tuple[Published, ...] = ()  # what its `own` components are made from, where anybody publishes that
    convert: Callable[[list[Path], Callable[[str], None]], None] | None = None  # makes them; is told where `files` lie

    @property
    def download_gigabytes(self) -> float:
        """What has to be fetched when nothing is on disk."""
        return sum(w.gigabytes for w in self.components.values()) + sum(f.gigabytes for f in self.files)


@dataclass(frozen=True)
class Step:
    """Progress: `done` of `total` denoising steps; `preview` is uint8 HxWx3 or None; `note` is for people."""

    done: int
    total: int
    preview: np.ndarray | None = None
    note: str = ""


@dataclass(frozen=True)
class Result:
    """Pictures (uint8 HxWx3), named extra pictures such as the raw paste, and facts for the recipe."""

    images: tuple[np.ndarray, ...]
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


Event = Step | Result


@dataclass(frozen=True, eq=False)
class Placed:
    """A cut-out (uint8 RGBA) and where it stands: the centre of its tight alpha box and that box's unrotated
    width, as fractions of the scene's width and height; `angle` in degrees clockwise on screen."""

    image: np.ndarray
    x: float = 0.5
    y: float = 0.5
    scale: float = 0.3
    angle: float = 0.0
    flip: bool = False
    prompt: str = ""


@dataclass(frozen=True, eq=False)
class Bundle:
    """Inputs that may be sent to any method that accepts them."""

    scene: np.ndarray | None = None
    placed: Placed | None = None
    mask: np.ndarray | None = None
    layers: tuple[Placed, ...] = ()
    references: tuple[np.ndarray, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)

    def parts(self) -> frozenset[str]:
        """The names of the parts that are filled in."""
        filled = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return frozenset(n for n, v in filled.items() if v is not None and (isinstance(v, np.ndarray | Placed) or v))


Taken = tuple[Mapping[str, Any], tuple[str, ...]]  # request fields, and a sentence for each part that is left out


class Components(Protocol):
    """What `load` sees of the cache: leased components by name, on the device, and a memo for values."""

    def __getitem__(self, name: str) -> Any: ...

    def remember(self, key: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
        """`compute()` once per key, kept under the cache's byte budget; keys name component and content."""
        ...

    def recall(self, key: tuple[Any, ...]) -> Any:
        """What `remember` keeps under this key, or None: for what is computed step by step."""
        ...


class Method(Protocol):
    """What a method's module offers: the one place that knows the order of things; math lives elsewhere."""

    def load(self, components: Components, preset: Preset, device: str) -> Any:
        """Put the leased components together; cheap, called for every run."""
        ...

    def run(self, parts: Any, request: Any) -> Iterator[Event]:
        """Yield `Step`s and at last one `Result`; nothing patched may outlive the generator."""
        ...


@dataclass(frozen=True)
class FileInput:
    """A file that a caller may give in place of the field `instead`, and that holds other fields too."""

    name: str  # of the flag and of the endpoint's argument
    label: str
    tip: str
    instead: str
    read: Callable[[Path], Mapping[str, Any]]  # the fields in a file; raises `BadRequest`


@dataclass(frozen=True)
class Spec:
    """One method: its words, its request, its weights and how to reach its code."""

    key: str
    title: str
    verb: str  # command and endpoint: "fuse"
    paper: str
    arxiv: str
    request: type[Request]
    presets: Mapping[str, Preset]
    accepts: frozenset[str]  # parts of a `Bundle`
    method: Callable[[], Method]  # a local import, so that importing the catalogue costs nothing
    neutral: Callable[[Request], Request] | None = None  # a request that must equal the uncontrolled loop
    needs: Callable[[Preset, Request], tuple[str, ...]] | None = None  # components it uses; None = all
    describe: Callable[[Request], Mapping[str, Any]] | None = None  # cheap answers for the page
    file: FileInput | None = None  # a file that stands for a field which is neither a text nor a picture
    take: Callable[[Bundle], Taken] | None = None  # its fields out of a bundle; raises `BadRequest`
    give: Callable[[Any], Bundle] | None = None  # what other methods may take of a request
    base: str = ""  # the published model that the paper builds on

    def needed(self, preset: Preset, request: Request) -> dict[str, Weights]:
        """The components that this request really uses."""
        names = self.needs(preset, request) if self.needs else tuple(preset.components)
        return {name: preset.components[name] for name in names}
