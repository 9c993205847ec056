"""What presets cost: one table for the command line, `/models`, the page, the cards and the README; nothing guessed."""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import papers
from cli.main import main
from demos import endpoints, models_shown, owner, weights_card
from models import catalog, costs, fetching, loading, runtime
from models.cache import Held, ModelCache
from models.compare import pace
from models.contract import Weights
from models.loading import POCKET


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which only what ships is there, and nothing was timed."""
    monkeypatch.setattr(loading, "present", lambda weights: weights.local)
    monkeypatch.setattr(pace, "file", lambda: tmp_path / "seconds.json")
    monkeypatch.delenv("SPACE_ID", raising=False)


def test_the_table_adds_up_with_the_catalogue(bare: None) -> None:
    found = {(one.method, one.preset): one for one in costs.table()}
    wanted = {(shelf.key, name): preset for shelf in catalog.shelves() for name, preset in shelf.presets.items()}
    assert found.keys() == wanted.keys()
    for key, preset in wanted.items():
        size = sum(w.gigabytes for w in preset.components.values()) + sum(f.gigabytes for f in preset.files)
        assert found[key].download_gigabytes == pytest.approx(size, abs=0.01), key
        shipped = all(w.local for w in preset.components.values())
        assert found[key].needs_gigabytes == (0 if shipped else found[key].download_gigabytes), key
        assert (found[key].state == "ready") == shipped == (not found[key].sources), key
        assert tuple(found[key].memory_gigabytes) == preset.memory_modes
    flux = found["dreamfuse", "full"]
    assert (flux.state, flux.gated) == ("gated", ("black-forest-labs/FLUX.1-dev",))
    made = {one.method: (one.own, one.made_by) for one in found.values() if one.made_by}
    assert made == {
        "cat": (True, "models convert-cat FILE"),
        "facediffuser": (False, "models convert-face SUBJECT SCENE"),  # its files are published
    }


def test_the_papers_stand_in_one_table_with_what_ships(bare: None) -> None:
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in papers.papers().splitlines()[:8]]
    found = {row[0].split("`")[1]: dict(zip(head, row, strict=True)) for row in rows}
    assert list(found) == [shelf.verb for shelf in catalog.shelves()]
    for spec in catalog.SPECS.values():
        assert spec.arxiv in found[spec.verb]["paper"]
        assert spec.base == found[spec.verb]["base model"] != ""
    shipped = ("dreamfuse", "vae", "clip", "t5")  # of `fuse`: its transformer lies beside its tags
    size = sum(path.stat().st_size for name in shipped for path in (POCKET / name).rglob("*.safetensors"))
    assert found["fuse"]["pocket, ships here"].startswith(f"{size / 1e6:.0f} MB, ")
    assert found["fuse"]["full"] == "`full`: 34 GB"
    assert found["segment"]["licence of the full weights"] == "Apache-2.0"


def test_seconds_are_those_of_the_committed_results_and_of_this_machine_only(bare: None) -> None:
    results = [json.loads(path.read_text()) for path in costs.RESULTS.glob("speed-*.json")]
    assert results
    for result in results:
        one = costs.of(result["method"], result["preset"])
        (clicked,) = [c for c in result["clicks"] if c["threads"] == 1]  # what the pocket presets run with
        assert one.timings[0].seconds == round(clicked["second_click_s"], 2)
        assert one.timings[0].machine == f"{result['machine']['cpu']}, {result['machine']['cores']} cores"
    timed = {(r["method"], r["preset"]) for r in results} | {("masks", "pocket")}
    for one in costs.table():
        assert bool(one.timings) == ((one.method, one.preset) in timed), "a guess is never shown as measured"
    assert costs.seconds(costs.of("dreamfuse", "full")) == "not measured"
    paces = [0.5, 0.25, 0.75]
    pace.file().write_text(json.dumps({"collage/full/cuda": paces}))
    (here,) = costs.of("collage", "full").timings
    assert here.seconds == statistics.median(paces) * catalog.SPECS["collage"].presets["full"].steps
    assert costs.seconds(costs.of("collage", "full")) == f"{here.seconds:.1f} s (this machine)"


def test_every_place_shows_the_same_numbers(bare: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told
        == json.loads(json.dumps(endpoints.models()))
        == json.loads(json.dumps([dataclasses.asdict(one) for one in costs.table()]))
    )
    assert main(["models", "list"]) == 0
    lines = [re.split(r"\s{2,}", line) for line in capsys.readouterr().out.splitlines()[1:]]
    readme = (loading.ROOT / "README.md").read_text()
    page = models_shown.table(costs.table(), home=False)
    for one, line in zip(costs.table(), lines, strict=True):
        assert (line[0], line[1], line[3], line[5]) == (one.method, one.preset, costs.download(one), costs.seconds(one))
        assert f">{costs.download(one)}</span>" in page
        if one.sources:
            cells = (f"`{one.verb}/{one.preset}`", costs.download(one), costs.memory(one), one.licence)
            assert " | ".join(cells) in readme


def test_the_card_of_gated_weights_has_three_steps_and_ticks_what_is_done(
    bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    flux = costs.of("dreamfuse", "full")
    monkeypatch.setattr(fetching, "has_token", lambda: False)
    card = weights_card.card(flux, "Placing works.")
    for words in ("34 GB", "full 38 GB", "FLUX.1-dev non-commercial", "not measured", "Placing works.", "HF_TOKEN"):
        assert words in card
    assert card.count("<li>") == 3
    assert 'href="https://huggingface.co/black-forest-labs/FLUX.1-dev"' in card
    (accept,) = re.findall("<li>Accept.*?</li>", card)
    assert "huggingface.co/LL3RD" not in accept, "its licence needs no accepting"
    assert "models download fuse" in card
    assert 'data-do="pocket"' in card
    monkeypatch.setattr(fetching, "has_token", lambda: True)
    assert re.findall(r'<li class="done">(\w+)', weights_card.card(flux)) == ["Set"]
    monkeypatch.setenv("SPACE_ID", "someone/easel")
    assert "EASEL_PRELOAD=fuse/full" in weights_card.card(flux)
    assert "secret of this Space" in weights_card.card(flux)
    assert "models download" not in weights_card.card(flux)


def test_a_command_that_the_card_names_is_understood(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("cli.models.fetching.to_fetch", lambda preset: asked.append(preset) or [])
    monkeypatch.setattr("cli.models.fetching.unmade", lambda preset: False)
    full = [one for one in costs.table() if one.sources]
    for one in full:
        assert main(weights_card.command(one).split()) == 0
    assert [preset.label for preset in asked] == [one.label for one in full]


def test_what_is_in_memory_is_told_with_all_who_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    spec = catalog.SPECS["collage"].presets["pocket"].components
    cache = ModelCache(lambda weights: torch.nn.Linear(16, 16, bias=False))  # 1024 bytes
    monkeypatch.setattr(runtime, "cache", cache)
    with cache.lease({"vae": spec["vae"]}) as lease:
        with cache.lease({"unet": spec["unet"]}):
            pass
        assert cache.held() == [Held(spec["unet"], "cpu", 1024, 0, False), Held(spec["vae"], "cpu", 1024, 1, False)]
        assert (cache.drop(spec["vae"]), "vae" in lease) == (0, True), "it is in use"
        shown = models_shown.memory(cache.held())
        assert shown.count("Unload</button>") == 1
        assert "host memory, in use by 1" in shown
    users = models_shown.shared()
    pocket_vae = users[models_shown.key(spec["vae"])]
    assert pocket_vae == [f"{s.title} (pocket)" for s in catalog.SPECS.values()], "all five share it"
    fp8 = runtime.in_memory_mode(catalog.SPECS["dreamfuse"].presets["full"], "fp8").components["transformer"]
    assert users[models_shown.key(fp8)] == ["Drag & place (full)"]
    assert cache.drop(spec["vae"]) == 1024
    assert cache.drop(Weights("a/b", "c.D")) == 0
    assert cache.resident()["cpu"] == 1024


def request(
    monkeypatch: pytest.MonkeyPatch, client: str = "127.0.0.1", bound: str = "127.0.0.1", **headers: str
) -> Any:
    page = SimpleNamespace(share=headers.pop("share", "") == "yes", server_name=bound)
    app = SimpleNamespace(get_blocks=lambda: page)
    named = {"host": "127.0.0.1:7860", **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = SimpleNamespace(client=SimpleNamespace(host=client), headers=named, app=app)
    return SimpleNamespace(request=raw)


def test_only_who_sits_at_the_machine_may_fill_its_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)

    def asked(**how: str) -> bool:
        return owner.at_home(request(monkeypatch, **how))

    assert asked()
    assert asked(host="localhost:7860", origin="http://localhost:7860")
    assert asked(client="::1", host="[::1]:7860", bound="::1")
    assert not asked(client="192.168.0.7")
    assert not asked(bound="0.0.0.0")
    assert not asked(host="easel.example:7860")
    assert not asked(origin="https://easel.example"), "another site's page, posting here"
    assert not asked(x_forwarded_for="10.0.0.1")
    assert not asked(share="yes")
    assert not asked(host="[")
    monkeypatch.setenv("SPACE_ID", "someone/easel")
    assert not asked()
