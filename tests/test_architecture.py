"""Guards of the house: import directions, file and function sizes, weights within their budget."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "diffusers", "transformers", "peft", "accelerate")
SOURCE = [p for p in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split("\n") if p]
PYTHON = [p for p in SOURCE if p.endswith(".py") and (ROOT / p).exists()]
MEGABYTE = 1_000_000


def module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


SERVED = [p for p in PYTHON if p == "app.py" or p.startswith(("demos/", "models/", "cli/"))]
PLAIN = [module(p) for p in SERVED if p.startswith(("demos/", "cli/")) or p == "app.py" or p.endswith("/spec.py")]
NAMES = ("contract", "catalog", "runtime", "cache", "device", "loading", "pixels", "regions", "recipe", "finishing")
NAMES += ("replay", "pictures", "cutout", "fields", "inventory", "segment", "clicks")
NAMES += ("corrections", "cat.framing", "cat.location", "cat.preprocess")
NAMES += ("dit4edit.alignment", "dit4edit.rows")
NAMES += ("collage.alignment", "collage.composing", "collage.dials", "collage.editing", "collage.files")
NAMES += ("collage.layers", "collage.looks", "collage.noise_map", "collage.published", "collage.records")
NAMES += ("collage.edges", "collage.planning", "collage.presets", "collage.report", "collage.variants")
NAMES += ("facediffuser.describing", "facediffuser.location", "facediffuser.notices", "facediffuser.presets")
NAMES += ("facediffuser.markers", "facediffuser.references", "facediffuser.stages")
NAMES += ("costs", "fetching", "downloads", "download_process", "values")
NAMES += ("sizes", "word_sheet", "bundles", "baselines", "zerogpu", "history", "examples", "example_outputs")
NAMES += tuple(f"{key}.bundle" for key in ("cat", "collage", "dit4edit", "dreamfuse", "facediffuser"))
NAMES += tuple(Path(p).with_suffix("").as_posix()[7:].replace("/", ".") for p in PYTHON if "models/compare/" in p)
PLAIN += [f"models.{name}" for name in NAMES]


def test_plain_modules_import_no_model_library() -> None:
    code = f"""
import importlib, sys
for name in {sorted(set(PLAIN))!r}:
    importlib.import_module(name)
    heavy = [m for m in {HEAVY!r} if m in sys.modules]
    assert not heavy, f"{{name}} imports {{heavy}}"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_imports_run_one_way() -> None:
    wrong = []
    for path in SERVED:
        text = (ROOT / path).read_text()
        above = {"models": ("gradio", "app", "cli", "demos"), "demos": ("app", "cli")}.get(path.split("/")[0], ())
        banned = (*above, "training", "benchmarks")
        for node in ast.walk(ast.parse(text)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{path}: {n}" for n in names if n.split(".")[0] in banned]
    assert wrong == []


def test_no_paper_imports_another() -> None:
    papers = {p.split("/")[1] for p in PYTHON if p.startswith("models/") and p.count("/") == 2}
    wrong = [
        f"{path}: {other}"
        for path in PYTHON
        for other in papers
        if path.startswith("models/") and path.count("/") == 2 and other != path.split("/")[1]
        if f"models.{other}" in (ROOT / path).read_text()
    ]
    assert wrong == []


def test_no_file_is_over_300_lines_and_no_function_over_60() -> None:
    long = []
    for path in PYTHON:
        text = (ROOT / path).read_text()
        if text.count("\n") > 300:
            long.append(path)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 60:
                long.append(f"{path}:{node.name}")
    scripts = [p for p in SOURCE if p.endswith((".js", ".css", ".mjs")) and (ROOT / p).exists()]
    long += [p for p in scripts if (ROOT / p).read_text().count("\n") > 300]
    assert long == []


def test_assets_stay_within_their_budget() -> None:
    assets = [ROOT / p for p in SOURCE if p.startswith("assets/") and (ROOT / p).exists()]
    assert [p.name for p in assets if p.stat().st_size > 10 * MEGABYTE] == []
    pocket = sum(p.stat().st_size for p in assets if "pocket" in p.parts)
    assert pocket < 80 * MEGABYTE


@pytest.mark.parametrize("word", ["trust_remote_code=True", "pickle.load", "weights_only=False"])
def test_nothing_loads_code_from_weights(word: str) -> None:
    assert [p for p in PYTHON if word in (ROOT / p).read_text() and not p.startswith("tests/")] == []
