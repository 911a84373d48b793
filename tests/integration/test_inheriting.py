"""Segments of Lightning trainings: one goes on from the state of another, with hyperparameters of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from evo.errors import UserError
from evo.lightning import LightningObjective
from evo.objective.objective import Interrupted
from evo.testing.trials import FakeTrial

EPOCHS, EXAMPLES = 6, 16
BEGIN, UNTIL = 2, 4
DONOR = {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.8}
CHILD = {"lr": 0.02, "weight_decay": 0.01, "momentum": 0.7}


class Data(L.LightningDataModule):
    """Does not shuffle, so that trainings can be compared."""

    def __init__(self, batch_size: int = 4) -> None:
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        x = torch.randn(EXAMPLES, 3, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=self.batch_size)

    val_dataloader = train_dataloader


@dataclass
class Step:
    """What a training has before one of its steps: parameter groups, weights, and the optimizer's state by weight."""

    number: int
    groups: list[dict[str, Any]]
    weights: dict[str, Any]
    states: list[dict[str, Any]]


SEEN: list[Step] = []


def copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.clone() if torch.is_tensor(value) else value for name, value in values.items()}


class Plain(L.LightningModule):
    """A network whose optimizer is a section of the study."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self.training_step(batch, index))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.trainer.optimizers[0]
        groups = [{name: group[name] for name in group if name != "params"} for group in optimizer.param_groups]
        states = [copied(state) for state in optimizer.state.values()]
        SEEN.append(Step(self.trainer.global_step, groups, copied(self.state_dict()), states))


class Net(Plain):
    """A network with two parameter groups, the second of which learns at half the rate."""

    def __init__(self, lr: float, weight_decay: float, momentum: float, width: int = 4, kind: str = "SGD") -> None:
        super().__init__(width)
        self.save_hyperparameters()

    def configure_optimizers(self) -> Any:
        own: Any = self.hparams
        optimizer = getattr(torch.optim, own.kind.partition(" ")[0])
        values = {"momentum": own.momentum} if optimizer is torch.optim.SGD else {"betas": (own.momentum, 0.99)}
        groups = [
            {"params": self.net[0].parameters()},
            {"params": self.net[2].parameters(), "lr": own.lr / 2, "weight_decay": 0.0},
        ]
        made = optimizer(groups, lr=own.lr, weight_decay=own.weight_decay, **values)
        schedules = torch.optim.lr_scheduler
        match own.kind.partition(" ")[2]:
            case "onecycle":
                total = int(self.trainer.estimated_stepping_batches)
                schedule = schedules.OneCycleLR(made, [own.lr, own.lr / 2], total_steps=total)
                return [made], [{"scheduler": schedule, "interval": "step"}]
            case "cosine":
                return [made], [schedules.CosineAnnealingLR(made, EPOCHS)]
            case "plateau":
                plateau = schedules.ReduceLROnPlateau(made, factor=0.5, patience=0, threshold=1e6)
                return {"optimizer": made, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}
        return made


@dataclass
class Trained:
    """A training that has ended."""

    loss: float
    trial: FakeTrial
    steps: list[Step] = field(default_factory=list)

    @property
    def state(self) -> dict[str, Any]:
        return torch.load(self.trial.folder / "last.ckpt", weights_only=True)  # type: ignore[no-any-return]


Train = Callable[..., Trained]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    numbers = itertools.count()

    def run(params: Any, until: int, donor: Trained | None = None, *, model: Any = Net, **settings: Any) -> Trained:
        trial = inherits(tmp_path / str(next(numbers)), until, donor)
        SEEN.clear()
        loss = LightningObjective(model, Data, **{"max_epochs": EPOCHS} | settings)(params, trial)
        return Trained(loss, trial, SEEN.copy())

    return run


def inherits(folder: Path, until: int, donor: Trained | None, **fields: Any) -> FakeTrial:
    """A trial in a folder into which the donor's state was taken over."""
    if donor is None:
        return FakeTrial(folder, until=until, **fields)
    inherited = folder / "inherited"
    if not inherited.exists():
        inherited.mkdir(parents=True)
        os.link(donor.trial.folder / "last.ckpt", inherited / "last.ckpt")
    assert donor.trial.until is not None
    return FakeTrial(folder, begin=donor.trial.until, until=until, inherit=inherited, **fields)


def same(one: Any, other: Any) -> bool:
    if torch.is_tensor(one):
        return torch.equal(one, other)
    if isinstance(one, Step):
        return same(vars(one), vars(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("schedule", ["", "onecycle", "cosine", "plateau"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW"])
def test_a_segment_has_its_own_hyperparameters_at_its_donors_place(optimizer: str, schedule: str, train: Train) -> None:
    kind = {"kind": f"{optimizer} {schedule}"}
    donor = train(DONOR | kind, BEGIN)
    assert donor.trial.state == (BEGIN, False)
    per_epoch = EXAMPLES // 4
    same_again = train(DONOR | kind, UNTIL, donor)
    uninterrupted = train(DONOR | kind, UNTIL)
    assert same(same_again.steps, uninterrupted.steps[BEGIN * per_epoch :])
    assert same_again.loss == uninterrupted.loss
    assert [step for step, _ in same_again.trial.reports] == [2, 3]

    child, alone = train(CHILD | kind, UNTIL, donor), train(CHILD | kind, UNTIL)
    first = child.steps[0]
    assert same(first.weights, dict(donor.state["state_dict"]))
    assert same(first.states, list(donor.state["optimizer_states"][0]["state"].values()))
    # What a training with the child's hyperparameters alone has at the same place.
    expected = alone.steps[BEGIN * per_epoch :]
    assert [step.groups for step in child.steps] == [step.groups for step in expected]
    assert [step.number for step in child.steps] == [step.number for step in expected]
    assert child.trial.metrics["epochs"] == UNTIL
    assert not {"reinitialised", "new_optimizers"} & child.trial.metrics.keys()


@pytest.mark.parametrize("schedule", ["OneCycleLR", "CosineAnnealingLR", "ReduceLROnPlateau", None])
def test_sections_of_optimizer_and_scheduler_are_the_childs(schedule: str | None, train: Train) -> None:
    fixed: dict[str | None, dict[str, Any]] = {
        "OneCycleLR": {"total_steps": EPOCHS * 4},
        "CosineAnnealingLR": {"T_max": EPOCHS},
        "ReduceLROnPlateau": {"threshold": 1e6, "factor": 0.5, "patience": 0},
    }
    searched = {"OneCycleLR": "max_lr", "CosineAnnealingLR": "eta_min", "ReduceLROnPlateau": "min_lr"}
    sections: dict[str, Any] = {"model": Plain, "optimizer": {"class_path": "torch.optim.AdamW"}}
    if schedule:
        class_path = f"torch.optim.lr_scheduler.{schedule}"
        sections["lr_scheduler"] = {"class_path": class_path, "init_args": fixed[schedule]}

    def params(factor: float) -> dict[str, Any]:
        own = {f"lr_scheduler.{searched[schedule]}": 0.001 * factor} if schedule else {}
        return {"optimizer.lr": 0.05 * factor, "optimizer.weight_decay": 0.1 * factor, **own}

    child = train(params(0.5), UNTIL, train(params(1.0), BEGIN, **sections), **sections)
    alone = train(params(0.5), UNTIL, **sections)
    assert [step.groups for step in child.steps] == [step.groups for step in alone.steps[BEGIN * 4 :]]
    if schedule:
        own, expected = child.state["lr_schedulers"][0], alone.state["lr_schedulers"][0]
        assert {name: own[name] for name in own if name != "best"} == {
            name: expected[name] for name in expected if name != "best"
        }


@pytest.mark.parametrize("sizes", [(4, 2), (2, 8)])
def test_a_schedule_by_steps_follows_another_batch_size_to_its_end(sizes: tuple[int, int], train: Train) -> None:
    kind = {"kind": "SGD onecycle"}
    before, after = ({"data.batch_size": size} for size in sizes)
    donor = train({**DONOR, **kind, **before}, BEGIN)
    child = train({**DONOR, **kind, **after}, UNTIL, donor)
    last = train({**DONOR, **kind, **after}, EPOCHS, child)
    alone = train({**DONOR, **kind, **after}, EPOCHS)
    per_epoch = EXAMPLES // sizes[1]
    assert [step.groups for step in child.steps + last.steps] == [
        step.groups for step in alone.steps[BEGIN * per_epoch :]
    ]
    assert child.steps[0].number == BEGIN * EXAMPLES // sizes[0]  # The steps that were made, whatever their size.
    assert last.trial.state == (EPOCHS, True)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("optimizer", "lr of group 1 of SGD is 0.0375.*, but this individual has 0.015.*: the donor's value"),
        ("group", "weight_decay of group 1 of SGD is 0.1, but this individual has 0.01: "),
        ("scheduler", r"base_lrs of CosineAnnealingLR is \[0.05, 0.025\], but this individual has \[0.02, 0.01\]"),
    ],
)
def test_values_that_are_restored_afterwards_are_found(fault: str, message: str, train: Train) -> None:
    donor = train(DONOR | {"kind": "SGD cosine"}, BEGIN)

    class Restores(Net):
        def on_train_start(self) -> None:
            if fault == "optimizer":
                self.trainer.optimizers[0].load_state_dict(donor.state["optimizer_states"][0])
            elif fault == "group":
                self.trainer.optimizers[0].param_groups[0]["weight_decay"] = 0.1
            else:
                scheduler = self.trainer.lr_scheduler_configs[0].scheduler
                scheduler.load_state_dict(donor.state["lr_schedulers"][0])

    with pytest.raises(UserError, match=message):
        train(CHILD | {"kind": "SGD cosine"}, UNTIL, donor, model=Restores)


def test_a_module_that_loads_its_hyperparameters_has_its_own(train: Train) -> None:
    class Loads(Net):
        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            self.hparams.update(checkpoint["hyper_parameters"])

    child = train(CHILD, UNTIL, train(DONOR, BEGIN), model=Loads)
    assert child.steps[0].groups[0]["lr"] == CHILD["lr"]


def test_what_does_not_fit_begins_anew_and_is_counted(train: Train) -> None:
    donor = train(DONOR, BEGIN)
    wider = train(CHILD | {"width": 7}, UNTIL, donor)
    assert wider.trial.metrics["reinitialised"] == 3  # All but the last layer's bias.
    assert len(wider.steps[0].states) == 1  # Only that one has a momentum.
    assert wider.steps[0].number == BEGIN * 4
    other = train(CHILD | {"kind": "AdamW"}, UNTIL, donor)
    assert other.trial.metrics["new_optimizers"] == 1
    assert other.steps[0].states == []
    assert same(other.steps[0].weights, dict(donor.state["state_dict"]))


def test_a_segment_in_flight_goes_on_from_its_own_state(tmp_path: Path, train: Train) -> None:
    donor = train(DONOR | {"kind": "SGD onecycle"}, BEGIN)
    params = CHILD | {"kind": "SGD onecycle"}
    whole = train(params, UNTIL, donor)
    objective = LightningObjective(Net, Data, max_epochs=EPOCHS)
    SEEN.clear()
    with pytest.raises(Interrupted):
        objective(params, inherits(tmp_path / "parts", UNTIL, donor, interrupted_after=4))
    (tmp_path / "parts" / "inherited" / "last.ckpt").write_bytes(b"not needed any more")
    ended = inherits(tmp_path / "parts", UNTIL, donor)
    assert objective(params, ended) == whole.loss
    assert same(SEEN, whole.steps)
    assert ended.metrics == whole.trial.metrics
    # It was killed when it had ended, before its loss was recorded.
    again = inherits(tmp_path / "parts", UNTIL, donor)
    assert objective(params, again) == whole.loss
    assert (again.metrics, again.state, len(SEEN)) == (ended.metrics, (UNTIL, False), len(whole.steps))


@pytest.mark.parametrize(("patience", "state"), [(3, (4, True)), (9, (4, False)), (2, (3, True))])
def test_early_stopping_counts_along_the_lineage_when_it_is_asked_for(
    patience: int, state: tuple[int, bool], train: Train
) -> None:
    def stopping(patience: int) -> dict[str, Any]:
        return {"early_stopping": {"patience": patience, "min_delta": 1e6}}

    donor = train(DONOR, BEGIN, **stopping(9))
    assert train(CHILD, UNTIL, donor, **stopping(patience)).trial.state == state


@pytest.mark.parametrize(
    ("settings", "state"),
    [
        ({"max_epochs": -1}, (4, False)),
        ({"max_epochs": -1, "trainer": {"max_steps": 16}}, (4, True)),
        ({"trainer": {"min_epochs": 6, "num_sanity_val_steps": 1, "precision": "bf16-mixed"}}, (4, False)),
        ({"max_epochs": 4}, (4, True)),
    ],
)
def test_a_segment_says_whether_the_training_is_over(settings: Any, state: tuple[int, bool], train: Train) -> None:
    child = train(CHILD, UNTIL, train(DONOR, BEGIN, **settings), **settings)
    assert (child.trial.state, len(child.steps)) == (state, 8)


def test_a_segment_without_validation_or_epochs_is_refused(train: Train) -> None:
    with pytest.raises(UserError, match=r"epochs 1 to 2, .*check_val_every_n_epoch to 3: make the propagator's"):
        train(DONOR, BEGIN, trainer={"check_val_every_n_epoch": 3})
    donor = train(DONOR, BEGIN)
    with pytest.raises(UserError, match="has trained 2 epochs, but max_epochs is 2: nothing is left"):
        train(DONOR, UNTIL, donor, max_epochs=2)
