"""Flags from a request's options, and a request from flags: nothing is listed by hand."""

from __future__ import annotations

import argparse
from typing import Any

from models import pictures
from models.contract import PICTURES, Option, Request, argument_order, options


def flag(name: str) -> str:
    """The flag of a request field: dashes for underscores."""
    return "--" + name.replace("_", "-")


def add(parser: argparse._ActionsContainer, request_type: type[Request]) -> None:
    """One flag per option. Values stay text: the request checks them and says what is wrong with them."""
    defaults = {f: field.default for f, field in request_type.__dataclass_fields__.items()}
    known = options(request_type)
    for name in argument_order(request_type):
        add_option(parser, name, known[name], defaults[name])


def add_option(parser: argparse._ActionsContainer, name: str, option: Option, default: Any) -> None:
    """The flag of one option; without it the field keeps its default."""
    more: dict[str, Any] = {"dest": name, "help": description(option, default)}
    if option.kind == "flag":
        more["action"] = argparse.BooleanOptionalAction
    else:
        more["metavar"] = "FILE" if option.kind in PICTURES else _metavar(option)
        more["required"] = option.required
    parser.add_argument(flag(name), default=argparse.SUPPRESS, **more)


def request(arguments: argparse.Namespace, request_type: type[Request]) -> Request:
    """The request that the given flags describe; fields without a flag keep their defaults."""
    given = vars(arguments)
    known = options(request_type)
    values = {name: given[name] for name in known if name in given}
    for name, value in values.items():
        if known[name].kind in PICTURES:
            values[name] = pictures.decode(value, known[name].kind, known[name].label)
    return request_type(**values)


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
