"""Helpers for tests of `evo doctor`: reports without what differs between machines, and a doctor without torch."""

from __future__ import annotations

import os
import re
from pathlib import Path

from helpers import Ended, Launcher, check_golden

DOCTOR = ["-m", "evo.doctor", "--gpus-per-node", "0"]


def masked(text: str) -> str:
    """A report without what differs from run to run and from machine to machine."""
    text = re.sub(r"\n {24}(?!->)(?! )", " ", text)  # Where lines end depends on lengths.
    text = re.sub(r"^(ok|note)( +)(versions|torch|space) .*$", r"ok\2\3 …", text, flags=re.M)
    text = re.sub(r"^(ok|note) +cores .*(\n +->.*)?$", "ok       cores …", text, flags=re.M)
    text = re.sub(r"Open MPI v[\d.a-z]+", "Open MPI v5", text)
    text = re.sub(r"[\d.e+-]+ (us|ms)", "N us", text)
    text = re.sub(r"(slowest N us, to) \S+", r"\1 HOST", text)
    text = re.sub(r"^(ok  |note)( +messages)", r"ok  \2", text, flags=re.M)
    text = re.sub(r"\d+ threads?", "N threads", text)
    text = re.sub(r"open files +\d+", "open files     N", text)
    text = re.sub(r"in \d+ h \d+ min", "in H h M min", text)
    text = re.sub(r"(found|problems?), and \d+ notes?", r"\1, and N notes", text)
    text = re.sub(r"found$", "found, and N notes", text, flags=re.M)
    return text.replace(os.uname().nodename, "HOST")


def check_report(name: str, ended: Ended, status: int) -> None:
    """Compare a report with the stored one of this name."""
    assert ended.status == status, ended
    assert "Traceback" not in ended.out + ended.err
    check_golden(f"doctor-{name}.txt", masked(ended.out))


_WITHOUT_TORCH = """
import sys
import evo.doctor.examination
from evo.doctor.command import main
evo.doctor.examination._PROGRAM = "no_torch"
sys.exit(main())
"""
_NO_TORCH = """
print('{"version": "2.15.0", "built_for": "", "gpus": [], "identifier": "", "refusal": "", "remark": ""}')
"""


def without_torch(launcher: Launcher) -> list[str | Path]:
    """The command without its loading of torch, which takes seconds; for tests that have nothing to do with torch."""
    folder = launcher.folder / "doctor"
    folder.mkdir()
    (folder / "doctor.py").write_text(_WITHOUT_TORCH)
    (folder / "no_torch.py").write_text(_NO_TORCH)
    return [folder / "doctor.py", *DOCTOR[2:]]
