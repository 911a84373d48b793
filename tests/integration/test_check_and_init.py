"""`evo check` on objectives that misbehave, and `evo init` on modules of every manner."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import hostile
import mistakes
import msgspec
import nasty
import pytest
from helpers import Ended, Launcher, call

from evo.drafting.sections import draft_study, trial_sections
from evo.drafting.writing import FirstBatches, study_text
from evo.evaluation import InlineEvaluator
from evo.objective.facts import ClassFacts
from evo.rehearsal.account import failure_text
from evo.rehearsal.command import try_points
from evo.rehearsal.rehearsal import Rehearsal
from evo.rehearsal.trying import Patience, Tried, try_point

PATIENCE = Patience(training=60.0, call=5.0)
# These end the process, or keep it for ever: below, in a child.
DEADLY = ("is_killed", "hangs")


def tried(objective: object, params: dict[str, object], folder: Path) -> Tried:
    evaluator = InlineEvaluator(Rehearsal(objective), lambda identity: folder, {})  # type: ignore[arg-type]
    folder.mkdir(parents=True)
    return try_point(evaluator, params, folder, PATIENCE)


@pytest.mark.parametrize("behaviour", [each for each in hostile.FAILS if each not in DEADLY])
def test_a_training_that_fails_fails_in_its_first_batches_with_the_same_error(behaviour: str, tmp_path: Path) -> None:
    one = tried(hostile.objective, {"behaviour": behaviour}, tmp_path / "one")
    assert one.failed
    assert hostile.FAILS[behaviour] in failure_text(one)
    if behaviour == "raises_in_the_third_batch":
        assert "in training batch 3: IndexError" in failure_text(one)


def test_a_training_that_behaves_is_stopped_after_a_few_batches_and_tells_what_it_logs(tmp_path: Path) -> None:
    one = tried(hostile.objective, {"behaviour": "behaves"}, tmp_path / "one")
    assert not one.failed
    assert one.outcome.loss == 1.0
    assert one.stages[-1].facts == {"training": {}, "validation": {"val_loss": 1.0}}


@pytest.mark.parametrize("name", nasty.FAILS)
def test_a_loss_that_fails_is_called_once_and_its_error_named(name: str, tmp_path: Path) -> None:
    loss, error = nasty.FAILS[name]
    one = tried(loss, {"x": 0.5}, tmp_path / "one")
    assert one.failed
    assert error in one.outcome.error


def test_points_that_fail_are_no_mistake_while_another_does_not(tmp_path: Path) -> None:
    evaluator = InlineEvaluator(Rehearsal(nasty.any_of_them), lambda identity: tmp_path, {})
    points = [{"kind": "raises", "x": 1.0}, {"kind": "good", "x": 1.0}]
    for number in range(2):
        (tmp_path / str(number)).mkdir()
    assert [one.failed for one in try_points(evaluator, points, tmp_path, PATIENCE)] == [True, False]


@pytest.mark.parametrize(
    ("objective", "limits", "words"),
    [
        ("hostile:objective", '{"behaviour": ["is_killed"]}', "fails in training batch 3: ProcessDied"),
        ("hostile:objective", '{"behaviour": ["hangs"]}', "training batch 3 has taken 10 s"),
        ("nasty:crashes", '{"x": [0.0, 1.0]}', "was killed by SIGSEGV"),
        ("nasty:good", '{"y": [0.0, 1.0]}', "KeyError: 'x'"),
    ],
    ids=["killed", "hangs", "crashes", "other"],
)
def test_what_ends_or_keeps_its_process_is_named_too_and_nothing_is_written(
    objective: str, limits: str, words: str, launcher: Launcher
) -> None:
    ended = launcher.python("-m", "evo", "check", objective, "--limits", limits, timeout=150)
    assert ended.status == 2
    assert words in ended.err
    assert ended.err.startswith("evo: error: ")
    assert ended.err.count("\n") == 1
    assert not mistakes.contents(launcher.folder)
    assert not launcher.survivors()
    assert not list(Path(launcher.environment()["TMPDIR"]).iterdir())


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_a_check_and_leaves_no_temporary_folder(name: str, status: int, launcher: Launcher) -> None:
    temporary = Path(launcher.environment()["TMPDIR"])
    process = launcher.start(sys.executable, "-m", "evo", "check", "nasty:sleeps", "--limits", '{"x": [0, 1]}')
    deadline = time.monotonic() + 60.0
    while not list(temporary.glob("evo-check-*/0/stages.jsonl")):  # The loss is being called.
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(getattr(signal, name))
    ended = launcher.finish(process, timeout=60)
    assert (ended.status, ended.err) == (status, "")
    assert not list(temporary.iterdir())
    assert not launcher.survivors()


def test_a_loss_that_takes_long_is_stopped_and_that_is_said(launcher: Launcher) -> None:
    ended = launcher.python("-m", "evo", "check", "nasty:sleeps", "--limits", '{"x": [0, 1]}', timeout=90)
    assert ended.status == 0, ended.err
    assert "what it returns has not been checked" in ended.out


@pytest.mark.mpi
def test_one_rank_of_several_speaks_and_all_end_with_its_status(
    mpirun: Callable[..., Ended], launcher: Launcher
) -> None:
    ended = mpirun(2, "-m", "evo", "check", "sphere", timeout=90)
    assert ended.status == 0, ended.err
    assert ended.out.count("evo: nothing stands in the way of this search") == 1
    assert "on 2 ranks" in ended.out
    (launcher.folder / "study.yaml").touch()
    for words in (["check", "spere"], ["init", "network.Network"]):
        ended = mpirun(2, "-m", "evo", *words, timeout=60)
        assert ended.status == 2
        assert ended.err.count("evo: error: ") == 1


NETWORK = """
import enum
from dataclasses import dataclass, field
from typing import Literal, Optional

import torch
import lightning as L
from lightning.pytorch.cli import OptimizerCallable
from torch.utils.data import DataLoader, TensorDataset


class Norm(enum.Enum):
    BATCH = 1
    LAYER = 2


@dataclass
class Config:
    depth: int = 1
    name: str = "net"


class Base(L.LightningModule):
    def __init__(self, lr: float = 0.01, dropout: float = 0.1) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
        self.lr = lr

    def loss(self, batch):
        return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def training_step(self, batch, index):
        loss = self.loss(batch)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, index, dataloader_idx=0):
        self.log("val/acc", 0.5)
        self.log("val/loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Network(Base):
    def __init__(
        self,
        hidden_size: int = 16,
        activation: Literal["relu", "tanh"] = "relu",
        norm: Optional[Norm] = None,
        use_bn: bool = False,
        config: Config = Config(),
        encoder: Optional[torch.nn.Module] = None,
        loss_name: str = "ce",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)


class Needing(Network):
    def __init__(self, root: str, **kwargs) -> None:
        super().__init__(**kwargs)


class Callable_(Base):
    def __init__(self, optimizer: OptimizerCallable = torch.optim.Adam) -> None:
        super().__init__()
        self.make = optimizer

    def configure_optimizers(self):
        return self.make(self.parameters())


class Manual(Base):
    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)
        self.automatic_optimization = False

    def training_step(self, batch, index):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        optimizer.step()


class Silent(Base):
    def training_step(self, batch, index):
        return self.loss(batch)

    validation_step = None


class WithoutOptimizer(Base):
    configure_optimizers = L.LightningModule.configure_optimizers

    def __init__(self) -> None:
        super().__init__()


class Failing(Base):
    def __init__(self, lr: float = 0.01) -> None:
        raise RuntimeError("no such backbone")


class Data(L.LightningDataModule):
    def __init__(self, batch_size: int = 8, fraction: float = 0.5) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.examples = TensorDataset(torch.randn(64, 4), torch.randint(2, (64,)))

    def train_dataloader(self):
        return DataLoader(self.examples, self.batch_size)

    def val_dataloader(self):
        return DataLoader(self.examples, self.batch_size)


class TwoSets(Data):
    def val_dataloader(self):
        return [DataLoader(self.examples, 4), DataLoader(self.examples, 4)]
"""

MANNERS = """
import dataclasses
from typing import Callable, Optional

import torch
import lightning as L
from lightning.pytorch.cli import OptimizerCallable


def fails():
    raise RuntimeError("no data here")


@dataclasses.dataclass
class Inner:
    width: int = 8
    dropout: float = 0.1
    seen: int = dataclasses.field(init=False, default=3)
    later: list = dataclasses.field(default_factory=fails)


@dataclasses.dataclass
class Outer:
    needed: int
    inner: Optional[Inner] = None


class Off(L.LightningModule):
    def __init__(self, lr: float = 0.1, extra: Optional[Inner] = None, outer: Optional[Outer] = None) -> None:
        super().__init__()


class On(L.LightningModule):
    def __init__(self, extra: Inner = Inner(later=[])) -> None:
        super().__init__()


class Required(L.LightningModule):
    def __init__(self, extra: Inner) -> None:
        super().__init__()


class Positional(L.LightningModule):
    def __init__(self, width: int = 8, /, lr: float = 0.1) -> None:
        super().__init__()


class Child(Positional):
    def __init__(self, depth: int = 2, **kwargs) -> None:
        super().__init__(**kwargs)


class Handing(L.LightningModule):
    def __init__(self, **kwargs) -> None:
        super().__init__()
        self.net = Net(**kwargs)


class Net(torch.nn.Module):
    def __init__(self, hidden: int = 4) -> None:
        super().__init__()


class Huge(L.LightningModule):
    def __init__(self, width: int = 10**400, batch_size: int = 10**5000, lr: float = float("inf")) -> None:
        super().__init__()


class Sgd(L.LightningModule):
    def __init__(self, opt: OptimizerCallable = torch.optim.SGD) -> None:
        super().__init__()


class Own(L.LightningModule):
    def __init__(self, opt: OptimizerCallable = lambda p: torch.optim.Adam(p), other: Callable = torch.optim.Adam):
        super().__init__()


class Free(L.LightningModule):
    def __init__(self, opt: OptimizerCallable) -> None:
        super().__init__()
"""
FOUND: dict[str, tuple[str, dict[str, object]]] = {
    "Off": ("model.lr", {}),
    "On": ("model.extra.width model.extra.dropout", {"extra": {"width": 8, "dropout": 0.1}}),
    "Required": ("model.extra.width model.extra.dropout", {"extra": {"width": 8, "dropout": 0.1}}),
    "Positional": ("model.lr", {}),
    "Child": ("model.depth model.lr", {}),
    "Handing": ("model.hidden", {}),
    "Huge": ("", {}),
    "Sgd": ("model.opt.lr model.opt.weight_decay", {"opt": {"class_path": "torch.optim.SGD"}}),
    "Own": ("", {}),
    "Free": ("model.opt.lr model.opt.weight_decay", {"opt": {"class_path": "torch.optim.AdamW"}}),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_a_file_searches_is_what_a_check_takes_and_what_is_tried_first(name: str, tmp_path: Path) -> None:
    from evo.lightning.describing import describe_class
    from evo.lightning.signatures import find_any, takes

    file = tmp_path / f"manners_{name.lower()}.py"
    file.write_text(MANNERS)
    facts = describe_class(f"{file}:{name}", "model")
    facts = msgspec.json.decode(msgspec.json.encode(facts), type=ClassFacts)
    draft = draft_study(ClassFacts(path="n.N", arguments=facts.arguments), None, may_replace=False)
    searched, arguments = FOUND[name]
    assert [one.name for one in draft.active] == searched.split()
    assert trial_sections(draft)["model"].get("init_args", {}) == arguments
    assert not draft.needed
    known = takes(find_any(f"{file}:{name}", "model")).names
    assert all(each.name.partition(".")[0] in known for each in facts.arguments)
    text = study_text(draft, FirstBatches(), "evo init", "s.yaml")
    assert "seen" not in text
    assert ("    #   width: 8" in text) == (name == "Off")
    assert ("betas" in text) == (name == "Free")


DRAFTS = {
    "Network": ("Data", "model.hidden_size model.activation model.use_bn model.config.depth model.lr model.dropout "
                "model.norm data.batch_size", "val/loss min", ""),
    "Needing": ("Data", "model.hidden_size model.lr", "val_loss min", "model.root without default: fill in"),
    "Callable_": ("Data", "model.optimizer.lr model.optimizer.weight_decay data.batch_size", "val/loss min", ""),
    "Manual": ("Data", "model.lr data.batch_size", "val/loss min", ""),
    "Silent": ("Data", "model.lr", "train_loss min", ""),
    "WithoutOptimizer": ("Data", "optimizer.lr optimizer.weight_decay", "val/loss min", ""),
    "Failing": ("Data", "model.lr", "val_loss min", "RuntimeError: no such backbone"),
    "Base": ("TwoSets", "model.lr", "val/loss/dataloader_idx_0 min", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAFTS)
def test_a_study_file_is_drafted_for_modules_of_every_manner(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("evo.drafting.command.rehearsal_process", _in_this_process)
    file = tmp_path / f"network_{name.lower()}.py"
    file.write_text(NETWORK)
    data, searched, monitor, problem = DRAFTS[name]
    ended = call("init", f"{file}:{name}", "--data", f"{file}:{data}")
    assert ended.status == 0, ended.err
    text = (tmp_path / "study.yaml").read_text()
    shown = ended.out.splitlines()[0]
    assert all(f"{each}" in shown for each in searched.split()), shown
    metric, mode = monitor.split()
    assert f"\nmonitor: {metric} " in text
    assert f"\nmode: {mode} " in text
    assert problem in ended.out
    assert (problem != "") == ("to choose: monitor" in ended.out)
    left = {each.name for each in tmp_path.iterdir()} - {"__pycache__"}
    assert left == {file.name, "study.yaml"}


def _in_this_process(objective: object, config: object, place: object, folder: Path, longest: float) -> object:
    @contextlib.contextmanager
    def made():  # type: ignore[no-untyped-def]
        for each in ("facts", "first", "second", "first-returned", "second-returned", "0", "1", "2", "3", "4", "5"):
            (folder / each).mkdir()
        yield InlineEvaluator(objective, lambda identity: folder, {})  # type: ignore[arg-type]

    return made()


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        ("no/such.py:X", None, "evo: error: model no/such.py:X: there is no file"),
        ("network.Network", None, "evo: error: model network.Network: there is no module 'network'"),
        ("{file}:Netwrok", None, "has no 'Netwrok'"),
        ("{file}:Data", None, "is a LightningDataModule: --data names it"),
        ("{file}:Network", "{file}:Base", "is a LightningModule: it comes first"),
        ("{file}:Config", None, "is no LightningModule"),
        ("Network", None, "neither module.Class nor"),
    ],
)
def test_a_class_that_is_none_is_refused_by_name_and_no_file_is_written(
    model: str, data: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("evo.drafting.command.rehearsal_process", _in_this_process)
    file = tmp_path / "refused_network.py"
    file.write_text(NETWORK)
    given = ["--data", data.format(file=file)] if data else []
    ended = call("init", model.format(file=file), *given)
    assert ended.status == 2
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "study.yaml").exists()


def test_a_drafted_file_passes_its_check_in_a_process_of_its_own(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    (launcher.folder / "own_network.py").write_text(NETWORK)
    ended = launcher.python("-m", "evo", "init", "own_network.Network", "--data", "own_network.Data", timeout=150)
    assert ended.status == 0, ended.err
    assert "monitor val/loss (min), which the module logs in validation" in ended.out
    before = mistakes.contents(launcher.folder)
    ended = launcher.python("-m", "evo", "check", "study.yaml", timeout=150)
    assert ended.status == 0, ended.err
    assert "evo: nothing stands in the way of this search\n" in ended.out
    assert mistakes.contents(launcher.folder) == before
    study = (launcher.folder / "study.yaml").read_text().replace("monitor: val/loss", "monitor: val_loss")
    (launcher.folder / "other.yaml").write_text(study)
    monkeypatch.chdir(launcher.folder)
    monkeypatch.syspath_prepend(str(launcher.folder))
    monkeypatch.setattr("evo.rehearsal.command.rehearsal_process", _in_this_process)
    ended = call("check", "other.yaml")
    assert ended.status == 2
    assert "Here: monitor: val/loss, with mode: min." in ended.err
    assert ended.err.count("\n") == 1
