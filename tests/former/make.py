"""Writes the run directories beside this file: one of each kind, as the evo on PYTHONPATH writes them.

    PYTHONPATH=of/that/evo python tests/former/make.py [KIND ...]

What is here was written before the packages of evo got their present layout. It is not to be written again when evo
changes, since it is there to be read by later ones: add a kind when there is something new to read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ANYWHERE = "/home/user/study"  # What stands for the folder in what is kept; tests put their own in its place.
ONE, FOUR = (), ("-n", "4")
LIMITS = "{x: [-5.0, 5.0], y: [-5.0, 5.0]}"
CONDITIONS = (
    "{layers: [1, 8], frozen: {type: int, low: 0, high: layers - 1}, batch: {type: int, low: 8, high: 256, log: true},"
    " optimizer: [sgd, adam], momentum: {type: float, low: 0.0, high: 0.9, when: {optimizer: sgd}},"
    " rate: {type: float, low: 1.0e-4, high: 0.1, log: true, default: 0.01}, constant: 3}"
)
SECTIONS = """\
model: {class_path: former_network.Network}
data: {class_path: former_network.Data}
trainer: {max_epochs: 2}
limits: {model.lr: [0.01, 0.3], data.batch_size: [4, 8, 16]}
evaluations: 2
"""

# For each kind: the commands, one after another, each as mpirun's options and evo's arguments.
KINDS = {
    "plain": [(ONE, f"former_losses.py:loss --limits '{LIMITS}' --evaluations 8 --start-from '[{{x: 1.5, y: 0.0}}]'")],
    "migration": [
        (
            FOUR,
            f"former_losses.py:loss --limits '{LIMITS}' --generations 6 --islands 2 --migration move "
            "--migration-probability 1.0 --topology ring",
        )
    ],
    "pollination": [
        (
            FOUR,
            f"former_losses.py:loss --limits '{LIMITS}' --generations 6 --islands 2 --migration copy "
            "--migration-probability 1.0",
        )
    ],
    "pruning": [(ONE, "former_losses.py:curve --limits '{x: [-5.0, 5.0]}' --evaluations 9 --pruning halving")],
    "constraints": [
        (
            ONE,
            f"former_losses.py:loss --limits '{CONDITIONS}' --evaluations 8 "
            "--constraints '[layers * batch <= 512, frozen < 4]'",
        )
    ],
    "changed": [
        (ONE, f"former_losses.py:loss --limits '{LIMITS}' --evaluations 6"),
        (
            ONE,
            "former_losses.py:loss --limits '{x: [-1.0, 5.0], z: {type: int, low: 0, high: 4, default: 1}}' "
            "--evaluations 10 --change-limits",
        ),
    ],
    "troubled": [
        (ONE, "former_losses.py:troubled --limits '{x: [-5.0, 5.0]}' --evaluations 9 --evaluate process --walltime 4s")
    ],
    "death": [
        (
            ("--with-ft", "ulfm", "-n", "2"),
            "former_losses.py:deadly --limits '{x: [-5.0, 5.0]}' --generations 5 --evaluate inline",
        )
    ],
    "lightning": [
        (
            ONE,
            "former_network.py:objective --limits '{lr: [0.01, 0.3], batch_size: [4, 8, 16]}' --evaluations 2 "
            "--keep-checkpoints 1 --baseline '{lr: 0.05}'",
        )
    ],
    "sections": [(ONE, "sections.yaml --keep-checkpoints 1")],
}


def make(kind: str) -> None:
    """Write one kind.

    Args:
        kind: Its name.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        for file in HERE.glob("former_*.py"):
            shutil.copy(file, folder)
        (folder / "sections.yaml").write_text(SECTIONS)
        for launch, arguments in KINDS[kind]:
            launcher = " ".join(["mpirun", *launch]) if launch else ""
            command = f"{launcher} '{sys.executable}' -m evo.run {arguments} --run-dir {kind} --quiet"
            variables = {"EVO_FORMER_DEATH": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
            subprocess.run(command, shell=True, cwd=folder, env=os.environ | variables)
        for file in (folder / kind).rglob("*"):
            keep(file, folder)
        shutil.rmtree(HERE / kind, ignore_errors=True)
        shutil.copytree(folder / kind, HERE / kind)


def keep(file: Path, folder: Path) -> None:
    """Take the names of this machine out of a file; TensorBoard's, which evo does not read, go.

    Args:
        file: In the run directory.
        folder: What the machine's folder is called.
    """
    if file.name.startswith("events.out.tfevents"):
        file.unlink()
    elif file.suffix in {".json", ".jsonl", ".yaml", ".log"}:
        text = file.read_text().replace(str(folder), ANYWHERE).replace(sys.prefix, f"{ANYWHERE}/.venv")
        for path in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
            text = text.replace(path, f"{ANYWHERE}/.venv/src")
        file.write_text(text)


if __name__ == "__main__":
    for kind in sys.argv[1:] or KINDS:
        make(kind)
