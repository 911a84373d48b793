"""What a notebook, an unguarded script or a pipe defines reaches the child, and a script with a guard is run there."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from helpers import Ended, Launcher

CELLS = '''
import dataclasses, enum, functools, os, pickle, sys, threading
import evo
import neighbour

print("top", flush=True)
SCALE = 2.0

class Colour(enum.Enum):
    red = 1

@dataclasses.dataclass
class Settings:
    centre: float = 1.0
    colour: Colour = Colour.red

class Base:
    def __call__(self, params, trial):
        return self.loss(params, trial)

class Distance(Base):
    """Sends itself on, as whatever keeps objects in files does."""

    class Inner:
        pass

    def __init__(self, settings):
        super().__init__()
        self.settings, self.inner = settings, Distance.Inner()

    def loss(self, params, trial):
        again = pickle.loads(pickle.dumps(self))
        assert type(again) is Distance and type(again.settings) is Settings, type(again)
        assert sys.modules[Settings.__module__].Settings is Settings and again.settings.colour is Colour.red
        return outside_of_rank(trial) + helper(params["x"] - again.settings.centre)

def helper(x):
    return neighbour.square(x) * SCALE

def outside_of_rank(trial):
    trial.metrics["pid"] = os.getpid()
    return 0.0

def loss(params, trial):
    return outside_of_rank(trial) + helper(params["x"])

def make(centre):
    def inner(params, trial):
        return outside_of_rank(trial) + helper(params["x"] - centre)
    return inner

def search(name, objective, **settings):
    settings = {"evaluations": 2, "evaluate": "process", **settings}
    result = evo.minimize(objective, {"x": (-5.0, 5.0)}, **settings)
    failed = [one.error for one in result.individuals if one.status != "completed"]
    assert not failed, failed
    inside = {one.metrics["pid"] for one in result.individuals}
    assert os.getpid() not in inside, name
    if result.is_first:
        print(name, len(result.individuals), len(inside), flush=True)

def refuse(name, objective):
    try:
        evo.minimize(objective, {"x": (-5.0, 5.0)}, evaluations=2, evaluate="process")
    except ValueError as error:
        print(f"refused {name}: {error}", flush=True)
'''
SEARCHES = """
search("function", loss)
search("instance", Distance(Settings()))
search("closure", make(2.0))
search("lambda", lambda params, trial: loss(params, trial))
search("partial", functools.partial(loss))
search("method", Distance(Settings()).loss)
search("neighbour", neighbour.loss)
search("kept", Distance(Settings()), run_dir="run")
search("kept", Distance(Settings()), run_dir="run", evaluations=4)
"""
# Where it does not matter what is sent.
SOME_SEARCHES = """
search("function", loss)
search("instance", Distance(Settings()))
search("kept", Distance(Settings()), run_dir="run")
search("kept", Distance(Settings()), run_dir="run", evaluations=4)
"""
REFUSALS = """
LOCK = threading.Lock()
class Locked(Base):
    def __init__(self, what):
        self.deep = {"what": [what]}
    def loss(self, params, trial):
        return 0.0
def locked(params):
    with LOCK:
        return 0.0
refuse("lock", Locked(threading.Lock()))
refuse("file", Locked(open("written", "w")))
refuse("generator", Locked(x for x in ()))
refuse("global", locked)
refuse("argument", functools.partial(loss, trial=threading.Lock()))
refuse("cell", make(threading.Lock()))
refuse("thread", Locked(threading.Thread()))
class OnGpu:
    is_cuda, device = True, "cuda:0"
refuse("tensor", Locked(OnGpu()))
"""
NEIGHBOUR = """
import os
def square(x):
    return x ** 2
def loss(params, trial):
    trial.metrics["pid"] = os.getpid()
    return square(params["x"])
"""
NAMES = ["function", "instance", "closure", "lambda", "partial", "method", "neighbour", "kept"]
TOLD = ["top", *(f"{name} 2 1" for name in NAMES), "kept 4 2"]
SOME_TOLD = ["top", "function 2 1", "instance 2 1", "kept 2 1", "kept 4 2"]
# Where the way in which the code got there is all that differs from a script.
FEW_SEARCHES = """
search("instance", Distance(Settings()))
"""
FEW_TOLD = ["top", "instance 2 1"]
NOTEBOOK = """
import sys, types
main = sys.modules["__main__"] = types.ModuleType("__main__")
exec(compile(open("cells.py").read(), "<ipython-input-1>", "exec"), main.__dict__)
"""


@pytest.fixture
def cells(launcher: Launcher) -> Launcher:
    (launcher.folder / "neighbour.py").write_text(NEIGHBOUR)
    (launcher.folder / "cells.py").write_text(CELLS + SEARCHES)
    (launcher.folder / "notebook.py").write_text(NOTEBOOK)
    return launcher


@pytest.mark.parametrize("way", ["notebook", "script", "pipe", "command", "module", "import", "path"])
def test_what_has_no_guard_is_sent_by_value_and_run_once(cells: Launcher, way: str) -> None:
    searches, told = (SEARCHES, TOLD) if way in ("notebook", "script") else (FEW_SEARCHES, FEW_TOLD)
    if way == "path":
        searches, told = SOME_SEARCHES, SOME_TOLD
    (cells.folder / "cells.py").write_text(CELLS + searches)
    command = {
        "notebook": [sys.executable, "notebook.py"],
        "script": [sys.executable, "cells.py"],
        "pipe": ["sh", "-c", f"{sys.executable} < cells.py"],
        "command": [sys.executable, "-c", (cells.folder / "cells.py").read_text()],
        "module": [sys.executable, "-m", "cells"],
        "import": [sys.executable, "-c", "import cells"],
        "path": [sys.executable, "-c", "import runpy; runpy.run_path('cells.py')"],
    }[way]
    assert cells.run(*command) == Ended(0, "".join(f"{line}\n" for line in told), "")


def test_a_child_that_imports_what_searches_whenever_it_is_imported_has_no_children(cells: Launcher) -> None:
    (cells.folder / "endless.py").write_text(
        "import evo\n"
        "def loss(params):\n    import endless\n"
        "evo.minimize(loss, {'x': (0.0, 1.0)}, evaluations=1, evaluate='process')\n"
    )
    ended = cells.run(sys.executable, "endless.py")
    assert ended.status == 1
    assert "minimize was called while endless was imported: put the call under `if __name__ ==" in ended.err


@pytest.mark.mpi
def test_ranks_that_mpirun_starts_send_by_value_as_well(cells: Launcher, mpirun: Callable[..., Ended]) -> None:
    (cells.folder / "cells.py").write_text(CELLS + SOME_SEARCHES)
    ended = mpirun(2, "cells.py")
    assert (ended.status, ended.err) == (0, "")
    told = ended.out.splitlines()
    assert told.count("top") == 2
    # Two ranks may evaluate one more than asked for.
    assert [line.split(" ")[0] for line in told if line != "top"] == [line.split(" ")[0] for line in SOME_TOLD[1:]]


GUARDED = """
import neighbour, os, sys
neighbour.square = lambda x: -1.0  # What a script does when it is run counts in the child too.
OPEN = open(os.devnull)

def loss_of_script(params, trial):
    assert not OPEN.closed
    return outside_of_rank(trial) + neighbour.square(0)

if __name__ == "__main__":
    SCALE = 3.0
    def loss_below(params, trial):
        return outside_of_rank(trial) + helper(2.0 * SCALE)
    search("above", loss_of_script, target=-1.0)
    search("below", loss_below)
"""


def test_a_script_with_a_guard_is_run_in_the_child_if_that_is_where_things_are_defined(cells: Launcher) -> None:
    (cells.folder / "guarded.py").write_text(CELLS + GUARDED)
    ended = cells.run(sys.executable, "guarded.py")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == ["top", "top", "above 1 1", "below 2 1"]


def test_what_cannot_be_sent_is_named(cells: Launcher) -> None:
    (cells.folder / "cells.py").write_text(CELLS + REFUSALS)
    ended = cells.run(sys.executable, "cells.py")
    assert (ended.status, ended.err) == (0, "")
    told = dict(line.removeprefix("refused ").split(": ", 1) for line in ended.out.splitlines()[1:])
    for name, part, kind in (
        ("lock", "its attribute 'deep', the entry 'what', the entry 0", "_thread.lock"),
        ("file", "its attribute 'deep', the entry 'what', the entry 0", "_io.TextIOWrapper"),
        ("generator", "its attribute 'deep', the entry 'what', the entry 0", "builtins.generator"),
        ("global", "the global name 'LOCK'", "_thread.lock"),
        ("tensor", "its attribute 'deep', the entry 'what', the entry 0", "__main__.OnGpu"),
        ("argument", "its argument 'trial'", "_thread.lock"),
        ("cell", "'centre' of make.<locals>.inner", "_thread.lock"),
    ):
        beginning = f"the objective cannot be sent to a child process: {part} is a {kind} ("
        assert told[name].startswith(beginning), told[name]
        assert told[name].endswith('or set evaluate="inline"')
    assert "cannot be sent to a child process" in told["thread"]


def test_a_script_without_a_guard_that_is_named_says_what_it_needs(cells: Launcher) -> None:
    for where in ("inline", "process"):
        ended = cells.evo("cells.py:loss", "--limits", "{x: [0.0, 1.0]}", "--evaluate", where, "--run-dir", where)
        assert ended.status == 2
        assert "minimize was called while cells.py:loss was imported: put the call under `if __na" in ended.err
        assert not (cells.folder / where).exists()


TRAINING = """
import dataclasses, enum
import lightning as L
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, Dataset
import evo

class Kind(enum.Enum):
    plain = 1

@dataclasses.dataclass
class Width:
    value: int = 4

class Net(L.LightningModule):
    def __init__(self, lr=1e-1, width=Width(), kind=Kind.plain):
        super().__init__()
        self.save_hyperparameters("lr")
        torch.save([width, kind], "kept.pt")  # As checkpoints keep what a class of the notebook makes.
        assert torch.load("kept.pt", weights_only=False) == [width, kind]
        self.lr, self.net = lr, nn.Linear(width.value, 1)

    def training_step(self, batch, i):
        return mse_loss(self.net(batch[0]), batch[1])

    def validation_step(self, batch, i):
        self.log("val_loss", mse_loss(self.net(batch[0]), batch[1]))

    def test_step(self, batch, i):
        self.log("test_loss", mse_loss(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)

class Rows(Dataset):
    def __init__(self):
        self.x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, place):
        return self.x[place], self.x[place].sum().reshape(1)

class Data(L.LightningDataModule):
    def setup(self, stage):
        self.rows = Rows()

    def train_dataloader(self):
        return DataLoader(self.rows, batch_size=16, num_workers=1)

    def val_dataloader(self):
        return DataLoader(self.rows, batch_size=32)

    test_dataloader = val_dataloader

objective = evo.LightningObjective(Net, Data, max_epochs=1, trainer={"callbacks": [L.Callback()]})
for evaluations in (1, 2):
    result = evo.minimize(objective, {"lr": (0.01, 0.1)}, evaluations=evaluations, run_dir="run")
tested = evo.test("run", objective)
assert tested["test"]["test_loss"] == result.test["test_loss"]
assert abs(result.best.loss - result.test["test_loss"]) < 1e-6
print("tested", [one.status for one in result.individuals])
"""


@pytest.mark.slow
def test_a_training_of_a_notebook_is_searched_resumed_and_tested(cells: Launcher) -> None:
    (cells.folder / "cells.py").write_text(TRAINING)
    ended = cells.run(sys.executable, "notebook.py", timeout=240.0)
    assert ended.status == 0, ended.err
    assert ended.out.splitlines()[-1] == "tested ['completed', 'completed']"
