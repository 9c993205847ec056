"""What the endpoints say of themselves, to people on the API page and to agents as MCP tools."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from models.contract import Option, Spec

# What a tool is for, said to somebody who sees no page and knows no paper.
DOES: Mapping[str, str] = {
    "dreamfuse": "Put a cut-out object into a scene, at a given place and size, with the scene's light and a shadow.",
    "collage": "Turn a collage of cut-outs, each with words of the prompt, into one harmonised picture.",
    "cat": "Fill the white area of a mask in a picture with what the prompt describes; the rest is kept.",
    "facediffuser": "Draw a new scene from a prompt with the people who are in the reference pictures.",
    "dit4edit": "Change a picture from what one prompt says of it to what another says, keeping what they share.",
}
RETURNS = (
    "images (PNG files that carry their recipe), recipe (JSON of all that was run), seeds (one for each image); "
    "until the images are there, recipe holds the progress"
)


def docstring(spec: Spec, told: Mapping[str, Option], parameters: Iterable[inspect.Parameter]) -> str:
    """The description of a method's endpoint: what it does, arguments with ranges, returns."""
    lead = f"{DOES.get(spec.key, '')} {spec.title}, after {spec.paper} (arXiv {spec.arxiv}).".strip()
    return page(lead, argument_lines(told, parameters), RETURNS)


def page(lead: str, arguments: Iterable[str], returns: str) -> str:
    """A description in the layout that Gradio reads."""
    return "\n".join([lead, "", "Args:", *arguments, "Returns:", f"    {returns}"])


def argument_lines(told: Mapping[str, Option], parameters: Iterable[inspect.Parameter]) -> list[str]:
    """A line for each argument."""
    return [f"    {p.name}: {described(told[p.name], p)}" for p in parameters]


def described(option: Option, parameter: inspect.Parameter) -> str:
    """Label, tip, range and default of an argument. Its own name, which a page's tip begins with, is left out."""
    tip = re.sub(rf"^{parameter.name}\b[;:,]?\s*", "", option.tip)
    parts = [option.label, tip[:1].upper() + tip[1:] if tip[:2].islower() and "=" not in tip[:24] else tip]
    text = " ".join(part.strip().rstrip(".") + "." for part in parts if part.strip())
    if option.span:
        text += f" Between {option.span}."
    default = parameter.default
    if default is inspect.Parameter.empty:
        return f"{text} Required."
    return text if default in (None, "") else f"{text} Default: {_shown(default)}."


def _shown(default: Any) -> str:
    """As JSON has it: schemas leave defaults such as 0 and false out."""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
