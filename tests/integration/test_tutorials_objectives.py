"""The tutorial of two objectives: networks of the size that is counted, and its smoke test."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import objectives as tutorial
import pytest
import torch
from helpers import Ended

import evo
from evo.study.arguments import parse_arguments

FILE = Path(tutorial.__file__)


def test_the_networks_give_ten_logits_whatever_their_size() -> None:
    sizes = []
    for layers, channels, kernel, pooled in ((1, 1, 1, 1), (3, 32, 5, 4), (2, 16, 3, 2)):
        network = tutorial.Network(layers, channels, kernel, pooled)
        assert network.network(torch.zeros(5, 1, 8, 8)).shape == (5, 10)
        sizes.append(sum(each.numel() for each in network.parameters()))
    assert sizes == [22, 57226, 3130]


def test_its_study_file_has_the_same_objectives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FILE.parents[1])
    config = parse_arguments(["tutorials/objectives.yaml"], "evo run").config
    assert (config.objectives, config.evaluations, config.islands) == (tutorial.OBJECTIVES, 100, 2)


@pytest.mark.mpi
@pytest.mark.slow
def test_its_smoke_test_shows_the_front_on_the_test_images(mpirun: Callable[..., Ended], tmp_path: Path) -> None:
    ended = mpirun(1, FILE, "--smoke-test", "--run-dir", tmp_path / "run")
    assert ended.status == 0, f"{ended.out}\n{ended.err}"
    rows = re.findall(r"^ *(\d+)  +(\d\.\d{3})  \{'layers'", ended.out.partition("\nThe front, on the")[2], re.M)
    individuals = evo.load(tmp_path / "run").individuals
    assert len(individuals) == 8
    assert all(one.losses == (-one.metrics["val_acc"], one.metrics["parameters"]) for one in individuals)
    front = {
        one.losses
        for one in individuals
        if not any(
            other.losses != one.losses and max(map(float.__sub__, other.losses, one.losses)) <= 0
            for other in individuals
        )
    }
    assert {int(parameters) for parameters, _ in rows} == {int(parameters) for _, parameters in front}
