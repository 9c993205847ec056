"""Flags from a request's options, and a request from flags: nothing is listed by hand."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from models import pictures
from models.contract import PICTURES, Option, Request, Spec, argument_order, options

FROM_FILE = "from_file"  # where a parsed file's name is kept


def flag(name: str) -> str:
    """The flag of a request field: dashes for underscores."""
    return "--" + name.replace("_", "-")


def add(parser: argparse._ActionsContainer, spec: Spec) -> None:
    """One flag per option. Values stay text: the request checks them and says what is wrong with them.

    A field that has no text is given by the method's file, whose other fields yield to flags.
    """
    defaults = {f: field.default for f, field in spec.request.__dataclass_fields__.items()}
    known = options(spec.request)
    for name in argument_order(spec.request):
        if spec.file is not None and name == spec.file.instead:
            about = f"{spec.file.label}: {spec.file.tip}"
            parser.add_argument(flag(spec.file.name), dest=FROM_FILE, metavar="FILE", required=True, help=about)
        else:
            add_option(parser, name, known[name], defaults[name])


def add_option(parser: argparse._ActionsContainer, name: str, option: Option, default: Any) -> None:
    """The flag of one option; without it the field keeps its default."""
    more: dict[str, Any] = {"dest": name, "help": description(option, default)}
    if option.kind == "flag":
        more["action"] = argparse.BooleanOptionalAction
    else:
        more["metavar"] = "FILE" if option.kind in (*PICTURES, "pictures") else _metavar(option)
        more["required"] = option.required
        if option.kind == "pictures":
            more["nargs"] = "+"
    parser.add_argument(flag(name), default=argparse.SUPPRESS, **more)


def request(arguments: argparse.Namespace, spec: Spec) -> Request:
    """The request that the given flags describe; fields without a flag keep what a file says, or their defaults."""
    given = vars(arguments)
    known = options(spec.request)
    values = {name: given[name] for name in known if name in given}
    for name, value in values.items():
        if known[name].kind in PICTURES:
            values[name] = pictures.decode(value, known[name].kind, known[name].label)
        elif (parse := known[name].parse) is not None:
            values[name] = parse(value, partial(pictures.decode, kind="rgba", name=known[name].label))
    held = spec.file.read(given[FROM_FILE]) if spec.file is not None else {}
    return spec.request(**{**held, **values})


def description(option: Option, default: Any) -> str:
    """Label, tip, range and default of an option, with argparse's percent signs doubled."""
    text = f"{option.label}: {option.tip}" if option.tip else option.label
    if option.span:
        text += f" (between {option.span})"
    if default not in (None, ""):
        text += f" [{default}]"
    return text.replace("%", "%%")


def _metavar(option: Option) -> str:
    if option.choices:
        return "{" + ",".join(option.choices) + "}"
    return {"number": "X", "integer": "N", "choice": "NAME"}.get(option.kind, "TEXT")
