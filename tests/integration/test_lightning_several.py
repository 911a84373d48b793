"""A training with several objectives: what the module logs, what evo measures, and the epoch whose values count."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchmetrics
from test_lightning_metrics import LOSSES, Logs, Two, objective
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from evo.errors import UserError
from evo.evaluation.child import check_start
from evo.evaluation.messages import ChildSetup
from evo.evaluation.settings import EvaluationSettings
from evo.lightning import meters
from evo.lightning.meters import energy_meters, forget_peak, peak_bytes
from evo.lightning.replaying import TIMED, WARM_UPS, OutermostCalls
from evo.objective.objective import Interrupted
from evo.objective.ready import READY_METRICS
from evo.population.objectives import make_objectives
from evo.testing.trials import FakeTrial

READY = [name for name in READY_METRICS if name != "energy"]


class Several(Logs):
    """Its loss is best in the third epoch, its accuracy in the last."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.hits = torchmetrics.MeanMetric()

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.layer(numbers)

    def validation_step(self, batch: Any, index: int) -> None:
        self(batch[0].view(-1, 1).repeat(1, 3) + torch.rand(()))
        self.hits(torch.ones(()))
        self.log_dict({"score": self.value(), "accuracy": 0.1 * self.current_epoch})

    def on_validation_epoch_end(self) -> None:
        self.log("seen", self.hits._update_count)


class ByLayers(Several):
    """Calls its layers, as many do, and not itself."""

    def validation_step(self, batch: Any, index: int) -> None:
        self.layer(batch[0].view(-1, 1).repeat(1, 3))
        nn.MSELoss()(torch.ones(2), torch.ones(2))
        self.log_dict({"score": self.value(), "accuracy": 0.1 * self.current_epoch})


class OwnLatency(Logs):
    def validation_step(self, batch: Any, index: int) -> None:
        self.log("accuracy", 0.1 * self.current_epoch)
        self.log("latency", 7.0 - self.current_epoch)  # Which evo could not measure here.


class AccuracyInTraining(Logs):
    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.log("accuracy", 1.0)
        return super().training_step(batch, index)

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("score", self.value())


class AccuracyOnce(AccuracyInTraining):
    def on_validation_epoch_end(self) -> None:
        if self.current_epoch == 0:
            self.log("accuracy", 1.0)


class NoNumber(Several):
    def on_validation_epoch_end(self) -> None:
        self.log("accuracy", math.nan if self.current_epoch == 1 else 0.5)


class CallsNothing(Logs):
    def validation_step(self, batch: Any, index: int) -> None:
        self.log("score", self.value())


class ByElements(CallsNothing):
    def __init__(self) -> None:
        super().__init__()
        self.script = torch.jit.script(nn.Linear(1, 1))  # Which takes no hooks.

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return numbers * self.weight

    def validation_step(self, batch: Any, index: int) -> None:
        self(batch[0])
        super().validation_step(batch, index)


class FiveAtOnce(Two):
    """Batches of five examples."""

    def val_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.zeros(10)), batch_size=5)


def trial_of(folder: Path, objectives: Any, bounds: Any = None, **settings: Any) -> FakeTrial:
    return FakeTrial(folder, objectives=make_objectives(objectives, bounds), **settings)


@pytest.mark.parametrize(
    ("objectives", "monitor", "epoch"),
    [
        ({"accuracy": "max", "parameters": "min"}, "val_loss", 5),
        ({"parameters": "min", "accuracy": "max"}, "val_loss", 5),
        ({"accuracy": "max", "score": "min"}, "score", 3),
        ({"score": "min", "accuracy": "max"}, "val_loss", 3),
        ({"score": "max", "epochs": "min"}, "score", 1),  # The objective says that it is to be large.
        ({"accuracy": "min"}, "score", 3),
    ],
)
def test_the_values_are_those_of_the_epoch_that_is_best_by_the_first_logged_objective(
    objectives: dict[str, str], monitor: str, epoch: int, tmp_path: Path
) -> None:
    trial = trial_of(tmp_path, objectives)
    tuned = objective(Several, monitor=monitor)
    values = tuned({}, trial)
    known = {"accuracy": 0.1 * (epoch - 1), "score": LOSSES[epoch - 1], "parameters": 9, "epochs": 5}
    assert values == pytest.approx({name: known[name] for name in objectives})
    assert trial.metrics["best_epoch"] == epoch
    assert trial.metrics.items() >= values.items()
    assert tuned.test({}, trial) == {"test_weight": -float(epoch)}  # The weights are of the same epoch.


def test_early_stopping_watches_the_objective(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, {"parameters": "min", "score": "min"})
    objective(Several, monitor="val_loss", early_stopping={"patience": 1})({}, trial)
    assert (trial.metrics["epochs"], trial.metrics["best_epoch"]) == (4, 3)


@pytest.mark.parametrize("model", [Several, ByLayers])
def test_what_evo_measures_is_known_at_the_first_validation_so_that_also_pruned_trainings_have_it(
    model: Any, tmp_path: Path
) -> None:
    trial = trial_of(tmp_path, ["score", *READY, "epochs"], stop_after=1)
    values = objective(model, data=FiveAtOnce)({}, trial)
    assert (values["parameters"], values["flops"], values["epochs"]) == (9, 2 * 3 * 2, 1)
    assert 0 < values["latency"] < values["seconds"] < 60
    assert 1e8 < values["peak_memory"] < 1e11
    assert len(trial.reports) == 1


def test_only_what_is_named_is_measured_and_bounds_name_it_as_well(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, None, {"parameters": "<= 5"})
    assert objective(Several)({}, trial) == 1.0
    assert trial.metrics["parameters"] == 9
    assert not trial.metrics.keys() & (READY_METRICS.keys() - {"parameters"})
    plain = trial_of(tmp_path / "plain", None)
    assert objective(Several)({}, plain) == 1.0
    assert plain.metrics == {name: value for name, value in trial.metrics.items() if name != "parameters"}


def test_a_training_is_the_same_whether_it_is_measured_or_not(tmp_path: Path) -> None:
    class Random(Several):
        def on_validation_end(self) -> None:
            drawn.append(float(torch.rand(())))

    drawn: list[float] = []
    for number, names in enumerate((["score", "seen"], ["score", "seen", *READY])):
        values = objective(Random)({}, trial_of(tmp_path / str(number), names))
        assert values["seen"] == 3 * 2  # Its metric has seen each batch once, up to the best epoch.
    assert drawn[:5] == drawn[5:]


def test_a_metric_that_the_module_logs_by_the_name_of_a_ready_one_counts(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, {"accuracy": "max", "latency": "min"})
    assert objective(OwnLatency, monitor="val_loss")({}, trial) == pytest.approx({"accuracy": 0.4, "latency": 3.0})


@pytest.mark.parametrize(
    ("model", "names", "says"),
    [
        (Several, ["score", "f1"], r"'f1' is an objective, but .* It logged there: accuracy, score, seen\. .*latency"),
        (Several, ["f1", "score"], "'f1' is an objective, but the module did not log it in its first epoch"),
        (AccuracyInTraining, ["score", "accuracy"], r"'accuracy' is an objective.* It logged there: score\."),
        (ByElements, ["score", "flops"], "flops cannot be measured: torch counts none in the layers"),
        (CallsNothing, ["score", "latency"], "latency cannot be measured: validation_step calls neither self"),
    ],
)
def test_an_objective_without_a_value_is_named_in_the_first_epoch(
    model: Any, names: list[str], says: str, tmp_path: Path
) -> None:
    trial = trial_of(tmp_path, names)
    with pytest.raises(UserError, match=says):
        objective(model, monitor="val_loss")({}, trial)
    assert trial.reports == []


def test_a_bound_without_a_value_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'memory' has a bound, but the module did not log it"):
        objective(Several)({}, trial_of(tmp_path, None, {"memory": "<= 1"}))
    with pytest.raises(UserError, match="'val_loss' is monitored, but the module did not log it in its first epoch"):
        objective(Several, monitor="val_loss")({}, trial_of(tmp_path, None, {"parameters": "<= 1"}))


def test_all_values_of_a_validation_count_together(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'accuracy' is an objective.* It logged there: score\."):
        objective(AccuracyOnce)({}, trial_of(tmp_path, ["score", "accuracy"]))
    with pytest.raises(FloatingPointError, match="accuracy is nan in epoch 2"):
        objective(NoNumber)({}, trial_of(tmp_path, ["score", "accuracy"]))


def test_without_validations_the_network_cannot_be_timed_and_its_parameters_are_known(tmp_path: Path) -> None:
    given: dict[str, Any] = {"trainer": {"limit_val_batches": 0}, "monitor": "accuracy", "mode": "max"}
    trial = trial_of(tmp_path, {"accuracy": "max", "parameters": "min"})
    assert objective(AccuracyInTraining, **given)({}, trial) == {"accuracy": 1.0, "parameters": 1}
    with pytest.raises(UserError, match="'latency' is an objective, but the module did not log it"):
        objective(AccuracyInTraining, **given)({}, trial_of(tmp_path / "other", ["accuracy", "latency"]))


def test_a_training_that_goes_on_has_what_was_measured_before(tmp_path: Path) -> None:
    names = ["score", "latency", "seconds", "peak_memory"]
    with pytest.raises(Interrupted):
        objective(Several)({}, trial_of(tmp_path, names, interrupted_after=4))
    (state,) = [
        kept["measured"]
        for kept in torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"].values()
        if "measured" in kept
    ]
    values = objective(Several)({}, trial_of(tmp_path, names))
    assert values["latency"] == state["fixed"]["latency"]
    assert values["seconds"] > state["spent"]["seconds"] > 0
    assert values["peak_memory"] >= state["spent"]["peak_memory"]


def test_latency_is_the_median_of_calls_that_follow_the_first() -> None:
    layer = nn.Linear(2, 2)
    calls = OutermostCalls(layer)
    layer(torch.zeros(1, 2))
    calls.end()
    layer(torch.zeros(1, 2))
    times = [100.0, 90.0, *(3.0, 1.0, 2.0, 50.0, 2.5)]
    assert len(times) == WARM_UPS + TIMED
    clock = iter([number for seconds in times for number in (0.0, seconds)])
    assert calls.seconds(lambda: next(clock)) == 2.5
    assert calls.flops() == 8


@pytest.mark.parametrize(
    ("layer", "inputs", "flops"),
    [
        (nn.Conv2d(3, 4, 3, padding=1), [(2, 3, 8, 8)], 2 * 2 * 64 * 4 * 27),
        (nn.Conv2d(4, 4, 3, padding=1, groups=4), [(2, 4, 8, 8)], 2 * 2 * 64 * 4 * 9),
        (nn.LSTM(3, 2, batch_first=True), [(4, 5, 3)], 4 * 5 * 2 * 4 * 2 * (3 + 2)),
        (nn.GRU(3, 2, batch_first=True), [(4, 5, 3)], 4 * 5 * 2 * 3 * 2 * (3 + 2)),
        (nn.MultiheadAttention(8, 2, batch_first=True), [(4, 5, 8)] * 3, 4 * 5 * 2 * 4 * 8 * 8 + 2 * 2 * 4 * 5 * 5 * 8),
        (
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            [(4, 5, 8)],
            4 * 5 * 2 * (4 * 8 * 8 + 2 * 8 * 16) + 2 * 2 * 4 * 5 * 5 * 8,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_operations_are_those_that_can_be_worked_out_by_hand(
    layer: nn.Module, inputs: list[tuple[int, ...]], flops: int
) -> None:
    layer.eval()  # In which attention and recurrent layers take ways of their own.
    calls = OutermostCalls(layer)
    with torch.inference_mode():
        layer(*map(torch.ones, inputs))
        calls.end()
        assert calls.flops() == flops
    assert torch.backends.mha.get_fastpath_enabled()


# Meters.


def zone(folder: Path, name: str, joules: float, most: float = 100.0) -> Path:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{int(joules * 1e6)}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{int(most * 1e6)}\n")
    return folder / name


def test_energy_is_that_of_all_processors_of_the_machine_also_when_a_counter_turns_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spends(Several):
        def on_train_epoch_end(self) -> None:
            now = 90.0 + 4 * (self.current_epoch + 1)
            zone(tmp_path / "power", "intel-rapl:0", now % 100)
            zone(tmp_path / "power", "intel-rapl:1", now - 89)

    for name, joules in {"intel-rapl:0": 90.0, "intel-rapl:1": 1.0, "intel-rapl:0:0": 5.0}.items():
        zone(tmp_path / "power", name, joules)
    monkeypatch.setattr(meters, "POWERCAP", tmp_path / "power")
    values = objective(Spends)({}, trial_of(tmp_path / "trial", ["score", "energy"]))
    assert values["energy"] == pytest.approx(2 * 5 * 4)


def test_energy_that_nothing_measures_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "POWERCAP", tmp_path)
    settings = EvaluationSettings(objectives=make_objectives({"score": "min", "energy": "min"}))
    with pytest.raises(UserError, match=r"energy cannot be measured here.*has no counter.*Leave energy out"):
        check_start(objective(Several), ChildSetup(names=[], examples=[], settings=settings, output=""))
    (zone(tmp_path, "intel-rapl:0", 1.0) / "energy_uj").write_text("?")
    with pytest.raises(UserError, match="energy_uj cannot be read: invalid literal"):
        energy_meters()


def test_energy_of_a_gpu_is_read_by_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="ab-1"))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(UserError, match="pip install nvidia-ml-py"):
        energy_meters()
    refusal = type("NVMLError", (Exception,), {})
    counted = iter([1000, 3500])
    nvml = SimpleNamespace(
        NVMLError=refusal,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(counted),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    (meter,) = energy_meters()
    assert (meter.name, meter.read()) == ("GPU-ab-1", 3.5)

    def refuse(handle: str) -> int:
        raise refusal("Not Supported")

    nvml.nvmlDeviceGetTotalEnergyConsumption = refuse
    with pytest.raises(UserError, match="NVML says 'Not Supported' of GPU-ab-1"):
        energy_meters()


def test_the_peak_of_memory_begins_anew(tmp_path: Path) -> None:
    forget_peak()
    before = peak_bytes()
    array = bytearray(b"x") * 200_000_000
    assert peak_bytes() > before + 150_000_000
    del array
    forget_peak()
    assert peak_bytes() < before + 100_000_000
    assert peak_bytes(tmp_path) > 1e8  # Where Linux does not tell, it is the peak of the process.
