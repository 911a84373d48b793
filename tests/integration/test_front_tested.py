"""With several objectives the front keeps its weights, is tested from them, and may be the target."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import Ended, Launcher, call

import evo

SETTINGS: dict[str, Any] = {"objectives": {"acc": "max", "size": "min"}, "evaluations": 40, "keep_checkpoints": 3}
SCRIPT = """
import json, sys
from evo import minimize
class Two:
    def __call__(self, params, trial):
        trial.metrics["size"] = params["n"]
        for epoch in range(1, 5):
            trial.report({"acc": (1 - params["x"] ** 2) * epoch / 4})
            if trial.should_stop:
                break
        (trial.folder / "best.ckpt").write_text(str(params["x"]))
        return {"acc": (1 - params["x"] ** 2) * epoch / 4 + params["n"] / 50}
    def test(self, params, trial):
        return {"found": float((trial.folder / "best.ckpt").read_text())}
two = Two()
if __name__ == "__main__":
    result = minimize(
        two, {"x": (-1.0, 2.0), "n": (1, 20)}, evaluations=40, objectives={"acc": "max", "size": "min"}, islands=2,
        pruning="median", keep_checkpoints=4, debug=True, run_dir=sys.argv[1] if len(sys.argv) > 1 else None,
    )
    if result.is_first:
        found = {one.name: one.params["x"] for one in result.individuals}
        told = {name: [metrics["found"], found[name]] for name, metrics in result.tests.items()}
        print(json.dumps([told, list(result.test.values()), [one.name for one in result.front]]))
"""


@pytest.fixture
def script(launcher: Launcher) -> Path:
    file = launcher.folder / "two.py"
    file.write_text(SCRIPT)
    return file


@pytest.mark.mpi
@pytest.mark.parametrize("directory", [["here"], []], ids=["kept", "temporary"])
def test_at_the_end_members_of_the_front_are_tested_from_the_weights_that_they_have_kept(
    launcher: Launcher, mpirun: Callable[..., Ended], script: Path, directory: list[str]
) -> None:
    ended = mpirun(2, script, *directory)
    assert ended.status == 0, ended.err
    told, first, front = json.loads(ended.out)
    assert len(told) == min(4, len(front)) or (not directory and told)
    assert all(found == x for found, x in told.values())
    assert [name for name in front if name in told] == list(told)
    assert first == [next(iter(told.values()))[0]]
    if directory:
        run = evo.load(launcher.folder / "here")
        assert {one.name for one in run.individuals if one.weights} == set(told) == set(run.tests)


def test_the_front_may_be_tested_again_in_a_table_or_one_of_it_alone(script: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("two", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = tmp_path / "run"
    limits = {"x": (-1.0, 2.0), "n": (1, 20)}
    first = evo.minimize(module.two, limits, run_dir=run, **SETTINGS)
    assert evo.minimize(module.two, limits, run_dir=run, **SETTINGS).tests == first.tests
    ended = call("test", str(run), "--objective", f"{script}:two")
    assert (ended.status, ended.err) == (0, "")
    recorded = json.loads((run / "test" / "test.json").read_text())
    names = ["-".join(map(str, one["individual"])) for one in recorded["front"]]
    assert names == list(first.tests)
    assert [one["test"] for one in recorded["front"]] == list(first.tests.values())
    by_name = {one.name: one for one in first.individuals}
    for name, one in zip(names, recorded["front"], strict=True):
        assert one["objectives"] == {metric: by_name[name].metrics[metric] for metric in ("acc", "size")}
        assert json.loads((run / "test" / name / "test.json").read_text())["test"] == one["test"]
    rows = [line.split() for line in ended.out.splitlines()]
    table = rows[rows.index(names) + 1 :]
    assert [row[0] for row in table[:3]] == ["acc", "size", "found"]
    alone = call("test", str(run), "--objective", f"{script}:two", "--individual", names[-1])
    assert (alone.status, alone.err) == (0, "")
    assert f"{run}/test/{names[-1]}: test.json" in alone.out


def test_a_search_stops_once_its_target_is_reached_by_one_that_keeps_all_bounds() -> None:
    def loss(params: dict[str, Any]) -> dict[str, float]:
        return {"near": abs(params["x"]), "far": 2.0 - params["x"]}

    settings: dict[str, Any] = {"objectives": ["near", "far"], "evaluations": 300, "seed": 1}
    for target, reference, bounds in (
        ({"near": 0.5, "far": 1.8}, None, None),
        ({"hypervolume": 3.0}, {"near": 2, "far": 3}, None),
        ({"near": 1.5}, None, {"far": "<= 1"}),
    ):
        found = evo.minimize(
            loss, {"x": (-2.0, 2.0)}, target=target, reference_point=reference, constraint_metrics=bounds, **settings
        )
        assert found.stop_reason.startswith("the target "), (target, found.stop_reason)
        assert len(found.individuals) < 300
        if bounds:
            assert found.best is not None
            assert found.best.violation == 0.0
            assert all(one.violation or one is found.individuals[-1] for one in found.individuals)
