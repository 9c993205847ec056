"""The training loop on a linear regression: it learns, resumes exactly, and averages beside the weights."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from training.config import Config, read
from training.loop import Moment, Run
from training.pool import Pool

TRUTH = torch.tensor([[1.0, -2.0, 0.5]])


def regression(tmp_path: Path, **changes) -> Run:
    torch.manual_seed(0)
    config = Config(name="line", runs=str(tmp_path), warmup=0, schedule="constant", learning_rate=0.03, device="cpu")
    return Run(dataclasses.replace(config, **changes), nn.Linear(3, 1))


def finish(run: Run) -> list:
    def loss(moment: Moment) -> torch.Tensor:
        x = torch.randn(16, 3, generator=moment.generator)
        return nn.functional.mse_loss(run.model(x), x @ TRUTH.T)

    return list(run.ticks(loss))


def test_it_learns_and_says_when_it_is_done(tmp_path: Path) -> None:
    run = regression(tmp_path, steps=300)
    ticks = finish(run)
    assert [t.last for t in ticks] == [False] * 299 + [True]
    assert ticks[-1].loss < 0.1 < ticks[0].loss
    with run.averaged() as model:
        torch.testing.assert_close(model.weight, TRUTH, atol=0.05, rtol=0)


def test_two_runs_of_three_steps_are_one_of_six(tmp_path: Path) -> None:
    whole = regression(tmp_path / "whole", steps=6)
    finish(whole)
    finish(regression(tmp_path / "parts", steps=3))
    second = regression(tmp_path / "parts", steps=3, resume=True)
    finish(second)
    assert second.step == 6
    assert torch.equal(second.model.weight, whole.model.weight)
    assert all(torch.equal(a, b) for a, b in zip(second.average, whole.average, strict=True))


def test_the_average_is_lent_and_given_back(tmp_path: Path) -> None:
    run = regression(tmp_path, steps=5)
    finish(run)
    trained = run.model.weight.clone()
    with pytest.raises(KeyError), run.averaged() as model:
        assert torch.equal(model.weight, run.average[0])
        assert not model.training
        raise KeyError
    assert torch.equal(run.model.weight, trained)
    assert not torch.equal(run.average[0], trained)
    assert run.model.training


def test_a_broken_batch_changes_nothing(tmp_path: Path) -> None:
    run = regression(tmp_path, steps=2)
    before = run.model.weight.clone()
    list(run.ticks(lambda moment: run.model.weight.sum() * float("nan")))
    assert torch.equal(run.model.weight, before)


def test_pool_uses_a_row_about_as_often_as_told() -> None:
    drawn = iter(range(10_000))

    def draw(generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {"row": torch.tensor([next(drawn) for _ in range(8)])}

    pool, generator = Pool(draw, capacity=64, reuse=4), torch.Generator().manual_seed(0)
    used = Counter(row for _ in range(500) for row in pool.batch(16, generator)["row"].tolist())
    assert next(drawn) == 500 * 16 / 4
    assert len(pool.rows["row"]) == 64
    assert max(used.values()) < 20


def test_flags_are_the_fields() -> None:
    config = read(Config, "training.line", ["--minutes", "2.5", "--resume", "--batch", "8"])
    assert (config.minutes, config.resume, config.batch) == (2.5, True, 8)
    assert config.command == "python -m training.line --minutes 2.5 --resume --batch 8"
    with pytest.raises(SystemExit):
        read(Config, "training.line", ["--command", "x"])
