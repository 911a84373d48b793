"""`evo run --ranks` and `evo.minimize(ranks=…)` start their ranks themselves, and leave none behind."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from helpers import TESTS, Launcher, wait_until

pytestmark = pytest.mark.mpi

SCRIPT = """
import os, sys
import evo
from evo.population import Individual
from evo.propagators import Propagator

print("top", flush=True)
SCALE = 2.0

class Worn(Propagator):
    def breed(self, parents, space, rng):
        if len(parents) > 3:
            raise KeyError("worn out")
        return [Individual(genome=rng.random(1))]

def loss(params):
    return SCALE * params["x"] ** 2

def fail(params):
    raise ValueError("never")

def search(objective=loss, **settings):
    return evo.minimize(objective, {"x": (-5.0, 5.0)}, **{"generations": 6, "ranks": 2, **settings})

if __name__ == "__main__":
    SCALE = 3.0
    found = search(run_dir="here")
    print({one.rank for one in found.individuals} == {0, 1}, len(found.individuals) >= 12, found.is_first)
    best = found.best
    print(abs(best.loss - 3.0 * best.params["x"] ** 2) < 1e-9)
    SCALE = 2.0
    for case in ({"objective": fail}, {"propagator": Worn()}, {"objective": lambda params: os._exit(7)}):
        try:
            search(**case)
        except Exception as error:
            print(type(error).__name__, isinstance(error, evo.UserError), str(error).splitlines()[-1])
            if isinstance(error, evo.SearchFailed):
                print("those that failed", len(error.result.individuals) >= 12)
"""

SLOW = """
import os, sys, time
import evo

def loss(params):
    open(f"pid-{os.getpid()}", "w").close()
    time.sleep(0.05)
    return params["x"] ** 2

found = evo.minimize(loss, {"x": (-5.0, 5.0)}, evaluations=100000, ranks=2)
print(found.stop_reason, found.best.loss >= 0)
"""


def test_a_script_gets_the_result_of_ranks_that_it_has_started_and_the_errors_of_its_own_code(
    launcher: Launcher,
) -> None:
    (launcher.folder / "search.py").write_text(SCRIPT)
    ended = launcher.python("search.py", timeout=150)
    assert ended.status == 0, ended
    lines = ended.out.splitlines()
    assert lines[0] == "top"
    assert lines.count("top") == 1, "the script has run again"
    assert lines[1:3] == ["True True True", "True"]
    assert lines[3].startswith("SearchFailed False")
    assert "ValueError at search.py:20: never" in lines[3]
    assert lines[4] == "those that failed True"
    assert "True" in lines[5]
    assert "KeyError" in lines[5]
    assert "search.py, line 13" in lines[5]
    assert lines[6].startswith("Stuck False the ranks have ended with status 7")
    study = json.loads((launcher.folder / "here" / "study.json").read_text())
    assert study["objective"] == "search:loss"
    wait_until(lambda: not launcher.survivors())


@pytest.mark.parametrize(
    "library", [None, ".mpis/mpich/lib/libmpi.so.12", ".mpis/impi-rt/lib/libmpi.so.12"], ids=["here", "mpich", "impi"]
)
def test_ranks_end_with_the_process_that_has_started_them(launcher: Launcher, library: str | None) -> None:
    variables = {}
    if library is not None:
        if not (TESTS.parent / library).exists():
            pytest.skip(f"there is no {library}: make test installs it where the network has it")
        variables["MPI4PY_LIBMPI"] = str(TESTS.parent / library)
    (launcher.folder / "slow.py").write_text(SLOW)
    searching = launcher.start(sys.executable, "slow.py", **variables)
    wait_until(lambda: len([*launcher.folder.glob("pid-*")]) == 2)
    if library is None:
        searching.send_signal(signal.SIGTERM)
        ended = launcher.finish(searching)
        assert (ended.status, ended.out) == (0, "SIGTERM asked to stop True\n"), ended
    else:
        os.kill(searching.pid, signal.SIGKILL)
    wait_until(lambda: not launcher.survivors())


def test_a_command_line_becomes_the_mpirun_of_its_ranks(launcher: Launcher) -> None:
    search = ("-m", "evo", "run", "sphere", "--ranks", "2", "--run-dir", "here")
    ready = launcher.folder / "ready"
    searching = launcher.start(sys.executable, *search, "--evaluations", "10000000", EVO_READY_FILE=str(ready))
    wait_until(ready.exists)
    searching.send_signal(signal.SIGUSR1)
    ended = launcher.finish(searching)
    assert ended.status == 85, ended
    assert ready.read_text() == "2\n"
    assert "USR1 asked to stop" in ended.out
    wait_until(lambda: not launcher.survivors())
    summary = Path(launcher.folder / "here" / "summary.json")
    assert not summary.exists()


def test_what_a_prompt_defines_reaches_ranks_too(launcher: Launcher) -> None:
    cells = "import evo; shift = 1.5\nloss = lambda params: (params['x'] - shift) ** 2\n"
    search = "found = evo.minimize(loss, {'x': (-5.0, 5.0)}, evaluations=8, ranks=2, quiet=False)\n"
    code = f"{cells}import io, sys; said = sys.stdout = io.StringIO()\n{search}sys.stdout = sys.__stdout__\n"
    ended = launcher.python("-c", code + "print(len(found.individuals), 'evo: study' in said.getvalue())")
    assert ended.status == 0, ended
    assert ended.out.split()[-1] == "True"
    assert "evo: study" not in ended.out
