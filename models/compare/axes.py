"""What is varied: an axis is a name and its values, written as a list, "a, b, c", or a range, "1-3", "0..1 step 0.25".

Texts that have commas of their own are separated by "||". Values are typed by the field that they are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from models import runtime
from models.contract import PICTURES, BadRequest, Option, Spec, options
from models.fields import checked

METHOD, CASE = "method", "case"
CASES = Option("integer", "Case", low=1)
MOST_VALUES = 100_000  # of one range; a grid has fewer cells anyway
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
DOTS = re.compile(rf"({NUMBER})\s*\.\.\s*({NUMBER})(?:\s*step\s*({NUMBER}))?")
DASH = re.compile(r"([-+]?\d+)\s*-\s*([-+]?\d+)")
WORDS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


@dataclass(frozen=True)
class Axis:
    """One thing that is varied: "method", "case" (numbers from 1) or a request field, and its values in order."""

    name: str
    values: tuple[Any, ...]


def split(text: str) -> tuple[str, str]:
    """Name and values of "seed=1-3"; raises `BadRequest`."""
    name, equals, values = text.partition("=")
    name = name.strip().lower().replace("-", "_")
    if not equals or not name:
        raise BadRequest(f"An axis is written as “seed=1-3” or “steps=10, 20”; it was “{text.strip()[:60]}”.")
    return name, values.strip()


def parse(text: str, methods: Sequence[Spec]) -> Axis:
    """An axis for these methods; raises `BadRequest` for a field that one of them does not have, a range without
    values, and values of the wrong type or out of range."""
    name, values = split(text)
    if name == METHOD:
        return Axis(name, listed(name, values))
    if name == CASE:
        return Axis(name, _typed(CASES, name, values))
    known = [(spec, _field(name, spec)) for spec in methods]
    if not known:
        raise BadRequest(f"There is no method with a field “{name[:40]}” here; baselines have nothing to set.")
    found = _typed(known[0][1], name, values)
    for spec, option in known:
        for value in found:
            _allowed(spec, name, option, value)
    return Axis(name, found)


def listed(name: str, text: str) -> tuple[str, ...]:
    """The texts of a list, each once; raises `BadRequest` where there is none."""
    parts = [part.strip() for part in text.split("||" if "||" in text else ",")]
    found = tuple(dict.fromkeys(part for part in parts if part))
    if not found:
        raise BadRequest(f"The axis “{name[:40]}” has no values; write them as “{name[:40]}=a, b, c”.")
    return found


def span(text: str) -> Iterator[Decimal] | None:
    """The values of a range, or None for what is none; raises `BadRequest` for a range that has no values."""
    match = DOTS.fullmatch(text) or DASH.fullmatch(text)
    if match is None:
        return None
    low, high = Decimal(match[1]), Decimal(match[2])
    step = Decimal(match[3]) if match.re is DOTS and match[3] else Decimal(1)
    if step <= 0 or high < low:
        raise BadRequest(f"The range “{text[:40]}” is empty; it must rise, by a step above 0.")
    count = int((high - low) / step) + 1
    if count > MOST_VALUES:
        raise BadRequest(f"The range “{text[:40]}” has {count:,} values; one axis takes {MOST_VALUES:,} at most.")
    return (low + step * k for k in range(count))


def _field(name: str, spec: Spec) -> Option:
    """The option of a request field that can be an axis."""
    known = options(spec.request)
    if name not in known:
        raise BadRequest(f"{spec.title} has no field “{name[:40]}”; leave that method out, or choose another axis.")
    option = known[name]
    if option.kind in (*PICTURES, "layers", "pictures"):
        raise BadRequest(f"“{name}” is no setting but an input; give several cases to compare inputs.")
    if name == "num_images":
        raise BadRequest("A cell holds one picture; use an axis over “seed” for several.")
    return option


def _typed(option: Option, name: str, text: str) -> tuple[Any, ...]:
    parts = listed(name, text)
    if option.kind == "flag":
        strange = [part for part in parts if part.lower() not in WORDS]
        if strange:
            raise BadRequest(f"“{name}” is on or off; it was “{strange[0][:40]}”.")
        return tuple(dict.fromkeys(WORDS[part.lower()] for part in parts))
    if option.kind not in ("number", "integer"):
        return parts
    found: dict[Any, None] = {}
    for part in parts:
        values = span(part)
        for value in (part,) if values is None else values:
            found[checked(option, value)] = None
    return tuple(found)


def _allowed(spec: Spec, name: str, option: Option, value: Any) -> None:
    try:
        checked(option, value)
        if name == "preset":
            runtime.choose_preset(spec, str(value))
    except BadRequest as error:
        raise BadRequest(f"{spec.title}: {error}") from None
