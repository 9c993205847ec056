"""`/compare` over HTTP: pictures as uploads, methods and axes as texts, a sheet and its cells as files."""

from __future__ import annotations

import contextlib
import inspect
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import FileData
from gradio.utils import get_upload_folder

from demos import endpoints, tool_words
from demos.bind import AT_ONCE, PAUSE
from models import catalog, pictures
from models.compare import cases, grid, inputs, plan, report
from models.compare.cases import Case
from models.compare.running import Update, compare
from models.contract import BadRequest, Option, Spec
from models.facediffuser.references import opened

LIMIT = 60  # cells of one call: others wait for the device meanwhile
Reply = tuple[FileData | None, list[FileData], FileData | None, dict[str, Any]]  # sheet, items, page, report

FILES: Mapping[str, Option] = {
    "scene": Option("pictures", "Scenes", "Pictures that are to be changed; a case each"),
    "object": Option("rgba", "Object", "A cut-out, with transparency"),
    "mask": Option("pictures", "Masks", "One for each scene; white = may change"),
    "references": Option("pictures", "References", "Pictures of people, which are never stored"),
    "collage": Option("layers", "Collage", "A saved collage as a case"),
    "source": Option("pictures", "Easel pictures", "PNG files with a recipe, whose inputs are a case each"),
}
CHOICES: Mapping[str, Option] = {
    "methods": Option("text", "Methods", "Keys or verbs with commas between, or “all” that can answer the input"),
    "axes": Option("text", "Axes", "A text each: “seed=1-3”, “steps=10, 20”, “guidance_scale=1..4 step 0.5”"),
    "crop": Option("flag", "Crop", "Give all methods the surroundings of the change only"),
    "paste_back": Option(
        "choice",
        "Put the rest back",
        "In what is shown; auto = where there is a mask",
        choices=("auto", "on", "off"),
    ),
}
OPTIONS: Mapping[str, Option] = {
    **FILES,
    **{name: option for name, (option, _) in inputs.PLACE.items()},
    **inputs.WORDS,
    **CHOICES,
}
DEFAULTS: Mapping[str, Any] = {
    **dict.fromkeys(FILES),
    **{name: default for name, (_, default) in inputs.PLACE.items()},
    **dict.fromkeys(inputs.WORDS, ""),
    "methods": grid.ALL,
    "axes": None,
    "crop": False,
    "paste_back": "auto",
}


def add() -> None:
    """Put the endpoint into the `gr.Blocks` that is being built."""
    function = endpoint()
    made = gr.api(function, api_name="compare", concurrency_id="device", concurrency_limit=AT_ONCE)
    endpoints.label(made["id"], OPTIONS, inspect.signature(function).parameters)


def endpoint() -> Callable[..., Iterator[Reply]]:
    """A generator function of plain arguments; while it runs, the report is the progress."""
    parameters = [_parameter(name) for name in OPTIONS]

    def call(*values: Any) -> Iterator[Reply]:
        given = dict(zip(OPTIONS, values, strict=True))
        with endpoints.in_words():
            planned = _planned({name: DEFAULTS[name] if v is None else v for name, v in given.items()})
            endpoints.remove(given["references"] or [], OPTIONS["references"].label)
            folder = Path(get_upload_folder()) / uuid.uuid4().hex
            items: list[FileData] = []
            with contextlib.closing(compare(planned, folder, patience=PAUSE)) as news:
                for update in news:
                    if update.outcome is not None and update.outcome.file:
                        items.append(_file(folder / update.outcome.file, "image/png"))
                    yield None, items, None, _progress(planned, update)
            found = json.loads((folder / report.REPORT).read_text(encoding="utf-8"))
            yield _file(folder / report.SHEET, "image/png"), items, _file(folder / report.PAGE, "text/html"), found

    endpoints.dress(call, "compare", parameters, Reply)
    lead = f"Put one input through many methods ({', '.join(grid.available())}), onto one labelled sheet."
    returns = "sheet (PNG), items (a PNG for each cell, with its recipe), page (HTML), report; meanwhile the progress"
    call.__doc__ = tool_words.page(lead, tool_words.argument_lines(OPTIONS, parameters), returns)
    return call


def _parameter(name: str) -> inspect.Parameter:
    option = OPTIONS[name]
    kinds = {"pictures": list[FileData], "rgba": FileData, "layers": FileData}
    kind = list[str] if name == "axes" else kinds.get(option.kind, endpoints.TYPES.get(option.kind, str))
    default = DEFAULTS[name]
    annotation = kind | None if default is None else kind
    return inspect.Parameter(name, endpoints.POSITION, annotation=annotation, default=default)


def _planned(given: Mapping[str, Any]) -> plan.Plan:
    """The plan of the arguments; raises `BadRequest`."""
    if given["paste_back"] not in ("auto", "on", "off"):
        raise BadRequest(f"“paste_back” must be auto, on or off; it was “{str(given['paste_back'])[:40]}”.")
    axes = given["axes"] or []
    if not (isinstance(axes, list) and all(isinstance(axis, str) for axis in axes)):
        raise BadRequest("“axes” must be a list of texts such as “seed=1-3”.")
    keeps = {"auto": None, "on": True, "off": False}[given["paste_back"]]
    asked = grid.build(_cases(given), str(given["methods"]), axes, bool(given["crop"]), keeps)
    return plan.make(asked, LIMIT)


def _cases(given: Mapping[str, Any]) -> list[Case]:
    references = opened(_list(given, "references"), lambda file: _picture(file, "references"))
    known = cases.by_sha256(references)
    found = [cases.from_png(endpoints.uploaded(one, "source"), known) for one in _list(given, "source")]
    if given["collage"] is not None:
        spec = _with_file()
        assert spec.file is not None
        path = endpoints.uploaded(given["collage"], "collage")
        found.append(cases.from_request("collage", spec.request(**spec.file.read(path))))
    scenes = [_picture(one, "scene") for one in _list(given, "scene")]
    cutout = None if given["object"] is None else _picture(given["object"], "object")
    masks = [_picture(one, "mask") for one in _list(given, "mask")]
    if found and not (scenes or masks or cutout is not None):
        return found
    names = [f"scene {k}" for k in range(1, len(scenes) + 1)]
    return found + inputs.made(scenes, names, cutout, masks, references, given)


def _picture(value: Any, name: str) -> np.ndarray:
    kind: Any = {"object": "rgba", "references": "rgba", "mask": "mask"}.get(name, "rgb")
    return pictures.decode(endpoints.uploaded(value, OPTIONS[name].label), kind, OPTIONS[name].label)


def _list(given: Mapping[str, Any], name: str) -> list[Any]:
    value = given[name] or []
    if not isinstance(value, list):
        raise BadRequest(f"“{name}” must be a list of uploaded files.")
    return value


def _with_file() -> Spec:
    return next(spec for spec in catalog.SPECS.values() if spec.file is not None and spec.file.name == "collage")


def _file(path: Path, kind: str) -> FileData:
    return FileData(path=str(path), orig_name=path.name, mime_type=kind).model_dump()


def _progress(planned: plan.Plan, update: Update) -> dict[str, Any]:
    step = update.step
    told = {"cell": update.run.id, "method": update.run.cell.key, "step": step.done if step else 0}
    told |= {"of_steps": step.total if step else 0, "note": step.note if step else ""}
    failed = update.outcome.reason if update.outcome else ""
    progress = {"done": update.done, "total": update.total, "seconds_left": update.seconds_left, "reason": failed}
    return {"progress": {**progress, **told}, "estimate": planned.estimate.sentence()}
