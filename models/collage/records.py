"""Values out of JSON that somebody else wrote: the right kind, or one sentence. Plain."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from models.contract import BadRequest

MOST_CHARACTERS = 4_000_000  # of a JSON text, polygons and all
MOST_TEXT = 4000


def parsed(text: bytes, name: str) -> dict[str, Any]:
    """The JSON object in UTF-8 bytes; raises `BadRequest` for anything else."""
    if len(text) > MOST_CHARACTERS:
        raise BadRequest(f"{name} holds more than {MOST_CHARACTERS // 1_000_000} million characters.")
    try:
        record = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise BadRequest(f"{name} is not valid JSON; please choose a collage that was saved.") from None
    if not isinstance(record, dict):
        raise BadRequest(f"{name} holds no collage.")
    return record


def number(record: Mapping[str, Any], key: str, default: float, low: float = -1e6, high: float = 1e6) -> float:
    """A number of a record, `default` where it is absent or null; texts that are numbers will do."""
    value = record.get(key)
    if value is None:
        return default
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadRequest(f"“{key}” must be a number; it was “{str(value)[:40]}”.") from None
    if not (math.isfinite(found) and low <= found <= high):
        raise BadRequest(f"“{key}” must lie between {low:g} and {high:g}; it was {found:g}.")
    return found


def text(record: Mapping[str, Any], key: str, default: str = "", most: int = MOST_TEXT) -> str:
    """A text of a record of at most so many characters, `default` where it is absent or null."""
    value = record.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or len(value) > most:
        raise BadRequest(f"“{key}” must be a text of at most {most} characters.")
    return value


def truth(record: Mapping[str, Any], key: str, default: bool) -> bool:
    """True or false; 0 and 1 will do."""
    value = record.get(key)
    if value is None:
        return default
    if value not in (True, False, 0, 1):
        raise BadRequest(f"“{key}” must be true or false; it was “{str(value)[:40]}”.")
    return bool(value)


def records(value: Any, name: str) -> list[dict[str, Any]]:
    """A list of objects, or the values of an object of objects."""
    found = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadRequest(f"“{name}” must be a list of objects.")
    return found
