"""What endpoints say of themselves, as Gradio's own parser hands it to agents."""

from __future__ import annotations

import inspect

import pytest
from gradio.utils import get_function_description

from demos import compare_endpoint, endpoints
from demos.tool_words import DOES, described
from models import catalog
from models.contract import Option

FUNCTIONS = {spec.verb: endpoints.endpoint(spec) for spec in catalog.SPECS.values()}
FUNCTIONS |= {"segment": endpoints.segment_endpoint(), "compare": compare_endpoint.endpoint()}


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_every_tool_says_what_it_does_and_what_each_argument_is(verb: str) -> None:
    lead, arguments, returns = get_function_description(FUNCTIONS[verb])
    assert lead.split()[0] in ("Put", "Turn", "Fill", "Draw", "Change", "Find")
    assert list(arguments) == list(inspect.signature(FUNCTIONS[verb]).parameters)
    assert all(text.endswith(".") and not text.endswith("..") for text in arguments.values())
    assert returns


def test_every_method_has_its_sentence() -> None:
    assert DOES.keys() == catalog.SPECS.keys()


def said(option: Option, name: str, default: object = inspect.Parameter.empty) -> str:
    return described(option, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default))


def test_an_argument_is_not_named_twice_and_its_default_is_as_json_has_it() -> None:
    told = Option("number", "How strictly", "guidance_scale; 0 = the preset's own", low=0, high=20)
    assert said(told, "guidance_scale", 0.0) == "How strictly. 0 = the preset's own. Between 0 and 20. Default: 0."
    assert said(Option("text", "Prompt", "prompt, empty is allowed"), "prompt", "") == "Prompt. Empty is allowed."
    assert said(Option("flag", "Mirror", "Left and right"), "flip", False) == "Mirror. Left and right. Default: false."
    assert said(Option("choice", "Way", "paper = as there"), "way", "paper") == "Way. paper = as there. Default: paper."
    assert said(Option("rgb", "Picture"), "image") == "Picture. Required."
