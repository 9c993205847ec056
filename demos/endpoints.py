"""The public HTTP endpoints, generated from the request dataclasses: gradio_client, curl and MCP.

Pictures come in as uploaded files only. A path that a caller merely names is refused, because an endpoint
without components gets whatever JSON was posted and Gradio checks only what looks like one of its files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import gradio as gr
import numpy as np
from gradio.context import get_blocks_context
from gradio.data_classes import FileData
from gradio.utils import get_upload_folder

from demos.bind import AT_ONCE, PAUSE
from demos.canvas.parts import stored
from demos.output import QUICK, save
from demos.tool_words import argument_lines, described, docstring, page
from models import catalog, clicks, costs, cutout, pictures, runtime
from models.contract import (
    PICTURES,
    BadRequest,
    MissingWeights,
    Option,
    OutOfMemory,
    Request,
    Result,
    Spec,
    Step,
    Stopped,
    argument_order,
    options,
)
from models.fields import checked
from models.segment import OPTIONS, PROMPTS, SegmentRequest

log = logging.getLogger(__name__)
Reply = tuple[list[FileData], dict[str, Any], list[int]]  # images, then a ladder's rungs or baselines; recipe; seeds
Mask = tuple[FileData, float | None, FileData | None]  # mask, score, cut-out
LIFT = Option("flag", "Also return the cut-out", "What the mask covers, with transparency")
SEGMENT: Mapping[str, Option] = {"image": OPTIONS["image"], **PROMPTS, **OPTIONS, "cutout": LIFT}
PROMPT_TYPES: Mapping[str, Any] = {"points": list[list[float]], "labels": list[int], "box": list[float]}
POSITION = inspect.Parameter.POSITIONAL_OR_KEYWORD
TYPES: Mapping[str, Any] = {
    "text": str,
    "number": float,
    "integer": int,
    "flag": bool,
    "choice": str,
    "pictures": list[FileData],
}


def add() -> None:
    """Put every endpoint into the `gr.Blocks` that is being built."""
    for spec in catalog.SPECS.values():
        function = endpoint(spec)
        made = gr.api(function, api_name=spec.verb, concurrency_id="device", concurrency_limit=AT_ONCE)
        label(made["id"], _told(spec), inspect.signature(function).parameters)
    clicked = gr.api(segment_endpoint(), api_name="segment", concurrency_id="clicks", concurrency_limit=AT_ONCE)
    label(clicked["id"], SEGMENT, inspect.signature(segment_endpoint()).parameters)
    gr.api(models, api_name="models", queue=False)  # answers while the queue is full
    gr.api(health, api_name="health", queue=False)


def label(index: int, told: Mapping[str, Option], parameters: Mapping[str, inspect.Parameter]) -> None:
    """Labels and ranges for the API page: `gr.api` itself calls its arguments "1st", "2nd" and so on."""
    inputs = get_blocks_context().fns[index].inputs
    for component, (name, parameter) in zip(inputs, parameters.items(), strict=True):
        component.label = told[name].label
        component._api_info["additional_description"] = described(told[name], parameter)


def models() -> list[dict[str, Any]]:
    """List every preset: whether it is ready, missing or gated, its sizes in GB, its licence, measured seconds."""
    return [dataclasses.asdict(one) for one in costs.table()]


def health() -> dict[str, Any]:
    """Say that the app answers, which methods it has, whether a run is going on, and how many bytes are loaded."""
    return {
        "status": "ok",
        "methods": [spec.verb for spec in catalog.SPECS.values()],
        "masks": clicks.choose("auto"),
        "busy": runtime.lock.busy,
        "loaded_bytes": runtime.cache.resident(),
        "model_libraries": "torch" in sys.modules,
    }


# --- a method as a function of plain arguments


def endpoint(spec: Spec) -> Callable[..., Iterator[Reply]]:
    """A generator function whose signature and docstring say what the request's options say."""
    parameters = _parameters(spec)
    order = [parameter.name for parameter in parameters]

    def call(*values: Any) -> Iterator[Reply]:
        with in_words():
            given = dict(zip(order, values, strict=True))
            request = _request(spec, given)
            _forget(spec, given)
            with contextlib.closing(runtime.run(spec.key, request, patience=PAUSE)) as events:
                for event in events:
                    yield _reply(spec, request, event)

    dress(call, spec.verb, parameters, Reply)
    call.__doc__ = docstring(spec, _told(spec), parameters)
    return call


def _request(spec: Spec, values: dict[str, Any]) -> Request:
    """The request of an endpoint's arguments; of a file's fields an argument that is not at its default wins.

    Raises `BadRequest`.
    """
    known = options(spec.request)
    if spec.file is None:
        return spec.request(**decoded(known, values))
    file = values.pop(spec.file.name)
    if (file is None) == (values[spec.file.instead] is None):
        raise BadRequest(f"Please give either “{spec.file.instead}” or “{spec.file.name}”.")
    held = {} if file is None else spec.file.read(uploaded(file, spec.file.label))
    fields = spec.request.__dataclass_fields__
    usual = {name for name, value in values.items() if name in held and value == fields[name].default}
    return spec.request(**{**held, **decoded(known, {n: v for n, v in values.items() if n not in usual})})


def _forget(spec: Spec, values: Mapping[str, Any]) -> None:
    """Remove the uploads of private pictures, which the request has read; a refused request keeps them."""
    for name, known in options(spec.request).items():
        if known.private:
            remove(values[name], known.label)


def remove(files: Sequence[Any], name: str) -> None:
    """Delete uploads that have been read and shall not lie on the disk."""
    for file in files:
        uploaded(file, name).unlink(missing_ok=True)


def dress(call: Callable[..., Any], name: str, parameters: list[inspect.Parameter], reply: Any) -> None:
    """Name, signature and annotations, which Gradio makes the endpoint's arguments of."""
    call.__name__ = call.__qualname__ = name
    call.__signature__ = inspect.Signature(parameters, return_annotation=reply)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": reply}


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """What goes wrong as one sentence for the caller; what is not the caller's fault is logged."""
    try:
        yield
    except (BadRequest, MissingWeights, OutOfMemory, Stopped) as error:
        raise gr.Error(str(error) or "Stopped.", print_exception=False) from error
    except Exception as error:
        log.exception("A run failed")
        raise gr.Error("Something failed inside the app; its log says what.", print_exception=False) from error


def _told(spec: Spec) -> Mapping[str, Option]:
    """What is said of each argument of an endpoint."""
    told = options(spec.request)
    if spec.file is None:
        return told
    return {
        **told,
        spec.file.name: Option("layers", spec.file.label, f"{spec.file.tip}; in place of {spec.file.instead}"),
    }


def _parameters(spec: Spec) -> list[inspect.Parameter]:
    """The arguments of an endpoint in order; the file that stands for a field comes right after it."""
    fields = {f.name: f for f in dataclasses.fields(spec.request)}
    found = []
    for name in argument_order(spec.request):
        if spec.file is None or name != spec.file.instead:
            found.append(_parameter(spec, fields[name]))
            continue
        for one, kind in ((name, list[dict[str, Any]]), (spec.file.name, FileData)):
            found.append(inspect.Parameter(one, POSITION, annotation=kind | None, default=None))
    return found


def _parameter(spec: Spec, field: dataclasses.Field[Any]) -> inspect.Parameter:
    option: Option = field.metadata["option"]
    choices = ("auto", *spec.presets) if field.name == "preset" else option.choices
    kind = FileData if option.kind in PICTURES else Literal[choices] if choices else TYPES[option.kind]
    if option.required:
        return inspect.Parameter(field.name, POSITION, annotation=kind)
    annotation = kind | None if field.default is None else kind
    return inspect.Parameter(field.name, POSITION, annotation=annotation, default=field.default)


# --- masks


def segment_endpoint() -> Callable[..., Mask]:
    """A function of plain arguments that answers clicks, a box and brush strokes."""
    parameters = [_click_parameter(name, option) for name, option in SEGMENT.items()]

    def call(*values: Any) -> Mask:
        given = dict(zip(SEGMENT, values, strict=True))
        with in_words():
            lift = checked(SEGMENT["cutout"], given.pop("cutout"))
            request = SegmentRequest(**decoded(SEGMENT, given))
            found = runtime.segment(request)
            cut = _png(cutout.lifted(request.image, found.mask)) if lift else None
            return _png(found.mask), found.score, cut

    dress(call, "segment", parameters, Mask)
    lead = "Find the mask of an object in a picture from clicks, a box or strokes. SAM 2 (arXiv 2408.00714) or GrabCut."
    returns = "mask (PNG, white = the object), score (expected IoU, 0 to 1), cutout (PNG with transparency, or null)"
    call.__doc__ = page(lead, argument_lines(SEGMENT, parameters), returns)
    return call


def _click_parameter(name: str, option: Option) -> inspect.Parameter:
    field = SegmentRequest.__dataclass_fields__.get(name)
    kind = FileData if option.kind in PICTURES else Literal[option.choices] if option.choices else TYPES[option.kind]
    kind = PROMPT_TYPES.get(name, kind)
    if option.required:
        return inspect.Parameter(name, POSITION, annotation=kind)
    default = None if name in PROMPTS else field.default if field else False
    return inspect.Parameter(name, POSITION, annotation=kind | None if default is None else kind, default=default)


def _png(picture: np.ndarray) -> dict[str, Any]:
    return dict(stored(pictures.encode(picture, QUICK), "png").model_dump())


# --- files in, files out


def decoded(known: Mapping[str, Option], values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the request; null is the default, as if the argument had not been given."""
    return {name: _value(known[name], value) for name, value in values.items() if value is not None}


def _value(option: Option, value: Any) -> Any:
    if option.parse is not None:
        return option.parse(value, lambda file: pictures.decode(uploaded(file, option.label), "rgba", option.label))
    if option.kind not in PICTURES:
        return value
    return pictures.decode(uploaded(value, option.label), option.kind, option.label)


def uploaded(value: Any, name: str) -> Path:
    """The file of an upload; raises `BadRequest` for anything that does not lie in the upload folder."""
    path = value.get("path") if isinstance(value, dict) else None
    if not isinstance(path, str):
        raise BadRequest(f"“{name}” must be an uploaded file, as the path that /gradio_api/upload gives out.")
    with contextlib.suppress(OSError, ValueError):  # names too long, names with a zero byte
        resolved = Path(path).resolve()
        if resolved.is_relative_to(Path(get_upload_folder()).resolve()):
            return resolved
    raise BadRequest(f"“{name}” was not uploaded here; please post the file to /gradio_api/upload first.")


def _reply(spec: Spec, request: Request, event: Step | Result) -> Reply:
    """Progress as the recipe of no pictures, or the pictures as files that carry their recipes."""
    if isinstance(event, Step):
        return [], {"progress": {"done": event.done, "total": event.total, "note": event.note}}, []
    shown = save(spec.key, request, event, (*event.facts.get("ladder", ()), *event.facts.get("baselines", ())))
    made = shown.pictures
    files = [*(p.signed for p in made), *shown.extras.values()]
    images = [FileData(path=file, orig_name=Path(file).name, mime_type="image/png").model_dump() for file in files]
    return images, json.loads(made[0].recipe.to_json()), [p.recipe.seed for p in made]
