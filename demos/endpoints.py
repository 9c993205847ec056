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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import gradio as gr
from gradio.context import get_blocks_context
from gradio.data_classes import FileData
from gradio.utils import get_upload_folder

from demos.bind import AT_ONCE, PAUSE
from demos.output import save
from models import catalog, inventory, pictures, runtime
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

log = logging.getLogger(__name__)
Reply = tuple[list[FileData], dict[str, Any], list[int]]  # images, recipe of the first, seeds
TYPES: Mapping[str, Any] = {"text": str, "number": float, "integer": int, "flag": bool, "choice": str}


def add() -> None:
    """Put every endpoint into the `gr.Blocks` that is being built."""
    for spec in catalog.SPECS.values():
        function = endpoint(spec)
        made = gr.api(function, api_name=spec.verb, concurrency_id="device", concurrency_limit=AT_ONCE)
        _label(made["id"], options(spec.request), inspect.signature(function).parameters)
    gr.api(models, api_name="models", queue=False)  # answers while the queue is full
    gr.api(health, api_name="health", queue=False)


def _label(index: int, told: Mapping[str, Option], parameters: Mapping[str, inspect.Parameter]) -> None:
    """Labels and ranges for the API page: `gr.api` itself calls its arguments "1st", "2nd" and so on."""
    inputs = get_blocks_context().fns[index].inputs
    for component, (name, parameter) in zip(inputs, parameters.items(), strict=True):
        component.label = told[name].label
        component._api_info["additional_description"] = _described(told[name], parameter)


def models() -> list[dict[str, Any]]:
    """Every preset of every method: ready, missing or gated, sizes in GB, licence."""
    return [dataclasses.asdict(entry) for entry in inventory.survey()]


def health() -> dict[str, Any]:
    """Whether the app answers, which methods it has, whether a run is going on, and bytes of loaded weights."""
    return {
        "status": "ok",
        "methods": [spec.verb for spec in catalog.SPECS.values()],
        "busy": runtime.lock.busy,
        "loaded_bytes": runtime.cache.resident(),
        "model_libraries": "torch" in sys.modules,
    }


# --- a method as a function of plain arguments


def endpoint(spec: Spec) -> Callable[..., Iterator[Reply]]:
    """A generator function whose signature and docstring say what the request's options say."""
    order = argument_order(spec.request)

    def call(*values: Any) -> Iterator[Reply]:
        try:
            request = spec.request(**_decoded(spec.request, dict(zip(order, values, strict=True))))
            with contextlib.closing(runtime.run(spec.key, request, patience=PAUSE)) as events:
                for event in events:
                    yield _reply(spec, request, event)
        except (BadRequest, MissingWeights, OutOfMemory, Stopped) as error:
            raise gr.Error(str(error) or "Stopped.", print_exception=False) from error
        except Exception as error:
            log.exception("A run failed")
            raise gr.Error("Something failed inside the app; its log says what.", print_exception=False) from error

    fields = {f.name: f for f in dataclasses.fields(spec.request)}
    parameters = [_parameter(spec, fields[name]) for name in order]
    call.__name__ = call.__qualname__ = spec.verb
    call.__doc__ = docstring(spec, parameters)
    call.__signature__ = inspect.Signature(parameters, return_annotation=Reply)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": Reply}
    return call


def docstring(spec: Spec, parameters: list[inspect.Parameter]) -> str:
    """A description in the layout that Gradio reads: summary, arguments with ranges, returns."""
    told = options(spec.request)
    lines = [f"{spec.title}. {spec.paper}, arXiv {spec.arxiv}.", "", "Args:"]
    lines += [f"    {p.name}: {_described(told[p.name], p)}" for p in parameters]
    returns = "images (PNG files that carry their recipe), recipe, seeds; while it runs, the recipe is the progress"
    return "\n".join([*lines, "Returns:", f"    {returns}"])


def _described(option: Option, parameter: inspect.Parameter) -> str:
    text = f"{option.label}. {option.tip}".strip().rstrip(".") + "."
    if option.span:
        text += f" Between {option.span}."
    return text if parameter.default is inspect.Parameter.empty else f"{text} Default {parameter.default!r}."


def _parameter(spec: Spec, field: dataclasses.Field[Any]) -> inspect.Parameter:
    option: Option = field.metadata["option"]
    choices = ("auto", *spec.presets) if field.name == "preset" else option.choices
    kind = FileData if option.kind in PICTURES else Literal[choices] if choices else TYPES[option.kind]
    if option.required:
        return inspect.Parameter(field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)
    annotation = kind | None if field.default is None else kind
    return inspect.Parameter(
        field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation, default=field.default
    )


# --- files in, files out


def _decoded(request_type: type[Request], values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the request; null is the default, as if the argument had not been given."""
    known = options(request_type)
    return {name: _value(known[name], value) for name, value in values.items() if value is not None}


def _value(option: Option, value: Any) -> Any:
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
    made = save(spec.key, request, event).pictures
    images = [FileData(path=p.signed, orig_name=Path(p.signed).name, mime_type="image/png").model_dump() for p in made]
    return images, json.loads(made[0].recipe.to_json()), [p.recipe.seed for p in made]
