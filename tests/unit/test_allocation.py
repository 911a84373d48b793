"""When the batch job ends that a search runs in."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from evo.runtime.batch import allocation_end


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a squeue that stands in for Slurm's prints, and beside it the arguments that it got."""
    command = tmp_path / "squeue"
    command.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/answers\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "answers"


def test_outside_of_a_job_there_is_no_end(answers: Path) -> None:
    answers.write_text("2026-01-31T12:00:00\n")
    assert allocation_end({}) is None
    assert not answers.with_name("asked").exists()


def test_a_job_is_told_its_end(answers: Path) -> None:
    assert allocation_end({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "1795227438"}) == 1795227438.0
    assert not answers.with_name("asked").exists()


def test_or_else_it_asks_for_it(answers: Path) -> None:
    answers.write_text("7 2026-01-31T12:00:00\n")
    end = time.mktime((2026, 1, 31, 12, 0, 0, 0, 0, -1))  # In local time, as Slurm says it.
    assert allocation_end({"SLURM_JOB_ID": "7"}) == end
    assert answers.with_name("asked").read_text().split() == ["--noheader", "--job", "7", "--format", "%A", "%e"]


def test_a_task_that_has_the_number_of_its_array_takes_its_own_line(answers: Path) -> None:
    answers.write_text("8 2026-01-31T13:00:00\n7 2026-01-31T12:00:00\n9 N/A\n")
    assert allocation_end({"SLURM_JOB_ID": "7"}) == time.mktime((2026, 1, 31, 12, 0, 0, 0, 0, -1))
    assert allocation_end({"SLURM_JOB_ID": "9"}) is None


@pytest.mark.parametrize("answer", ["7 N/A\n", "N/A\n", "", "slurm_load_jobs error: Invalid job id specified\n"])
def test_a_job_without_an_end_has_none(answers: Path, answer: str) -> None:
    answers.write_text(answer)
    assert allocation_end({"SLURM_JOB_ID": "7"}) is None


def test_without_slurm_commands_there_is_no_end_to_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert allocation_end({"SLURM_JOB_ID": "7"}) is None
