"""Many runs side by side: all below a folder, and what differs between two of them or two groups with several seeds."""

from __future__ import annotations

import fcntl
import json
import math
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from helpers import Ended, call, check_golden

import evo
from evo.population.events import Joined
from evo.report.compare import comparison_text, judge_all, make_sides
from evo.report.comparing import RunFacts, Side, corrected, different_settings, judge_sides
from evo.report.listing import Listed, find_runs, in_order, list_runs, list_text
from evo.report.run_settings import session_settings
from evo.report.watching import RunWatch

FORMER = Path(__file__).parents[1] / "former"
DAY = 86_400.0


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def listed(run: str, state: str, **more: object) -> Listed:
    return Listed(run=run, state=state, **{"objective": "net.Network", "seed": 1, "created": DAY, **more})  # type: ignore[arg-type]


LISTED = [
    listed(
        "runs/b",
        "complete",
        counts={"completed": 38, "failed": 2},
        loss=0.0123456,
        individual="3-1",
        written=2 * DAY,
    ),
    listed("runs/a\x1b", "running", counts={"completed": 3, "running": 4}, loss=0.5, individual="0-0", written=3 * DAY),
    listed("runs/c", "stopped", written=DAY),
    Listed(run="runs/d", state="damaged", problem="run directory runs/d: study.json cannot be read: JSON is malformed"),
    Listed(run="runs/e", state="unreadable", problem="it cannot be read: Permission denied"),
]


def test_a_list_has_a_row_for_each_run_and_names_what_is_wrong_with_it(utc: None) -> None:
    check_golden("list.txt", list_text(in_order(LISTED, "time")))


def test_runs_come_in_the_order_that_is_asked_for_and_broken_ones_last() -> None:
    order = {by: [one.run[5] for one in in_order(LISTED[::-1], by)] for by in ("time", "loss", "name")}
    assert order == {"time": list("abcde"), "loss": list("bacde"), "name": list("abcde")}


def test_run_directories_are_found_at_any_depth_once_whatever_links_lead_to(tmp_path: Path) -> None:
    for name in ("one", "deep/er/two", ".hidden/three", "one/inner"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "study.json").touch()
    (tmp_path / "deep" / "up").symlink_to(tmp_path)
    (tmp_path / "deep" / "self").symlink_to("self")
    (tmp_path / "again").symlink_to(tmp_path / "one")
    found = list(find_runs(tmp_path))
    assert [path.resolve().relative_to(tmp_path).as_posix() for path in found] == ["one", "deep/er/two"]
    assert list(find_runs(tmp_path / "one")) == [tmp_path / "one"]


def test_a_time_that_no_calendar_knows_is_damage_and_ends_no_command(tmp_path: Path) -> None:
    for name in ("study", "journal", "file"):
        shutil.copytree(FORMER / "troubled", tmp_path / name)
    study = tmp_path / "study" / "study.json"
    study.write_text(json.dumps(json.loads(study.read_text()) | {"created": 1e20}))
    journal = tmp_path / "journal" / "journal" / "0.jsonl"
    first, *others = journal.read_text().splitlines(keepends=True)
    journal.write_text(json.dumps(json.loads(first) | {"time": 1e20}) + "\n" + "".join(others))
    listed = {one.run.rpartition("/")[2]: one for one in list_runs([str(tmp_path)])}
    assert {name: one.state for name, one in listed.items()} == {
        "study": "damaged",
        "journal": "damaged",
        "file": "stopped",
    }
    assert "$.created" in listed["study"].problem
    assert "$.time" in listed["journal"].problem
    exported = call("export", str(tmp_path / "journal"), "--csv")
    assert (exported.status, exported.err.count("\n")) == (2, 1)
    shown = list_text([msgspec.structs.replace(listed["file"], written=1e20)])
    assert "100000000000000000000 s since 1970" in shown


def test_runs_of_all_kinds_are_described_and_damaged_ones_do_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    for name in ("plain", "troubled", "sections", "pruning"):
        shutil.copytree(FORMER / name, tmp_path / name)
    (tmp_path / "plain" / "study.json").write_text("garbage")
    journal = tmp_path / "troubled" / "journal" / "0.jsonl"
    stopped = {one.run.rpartition("/")[2]: one for one in list_runs([str(tmp_path)])}
    assert {name: one.state for name, one in stopped.items()} == {
        "plain": "damaged",
        "troubled": "stopped",
        "sections": "complete",
        "pruning": "complete",
    }
    assert stopped["sections"].objective == "Network"
    assert stopped["troubled"].counts == {"completed": 2, "infeasible": 1, "failed": 2, "interrupted": 1}
    for name in ("sections", "pruning"):  # What summary.json tells is what the journals tell.
        (tmp_path / name / "summary.json").unlink()
        (again,) = list_runs([str(tmp_path / name)])
        assert msgspec.structs.replace(again, state="complete", written=0.0) == msgspec.structs.replace(
            stopped[name], written=0.0
        )
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"Done"' not in line))
    for after in (0.0, 1e6):  # As evo status says it.
        now = time.time() + after
        (found,) = list_runs([str(journal.parents[1])], now=now)
        assert found.state == RunWatch(journal.parents[1]).look(now).state == ("running" if after == 0 else "silent")
    with journal.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (running,) = list_runs([str(journal.parents[1])], now=time.time() + 1000)
    assert running.state == "running"
    ended = call("list", str(tmp_path), "--json", "--by", "loss")
    assert [json.loads(line)["state"] for line in ended.out.splitlines()].count("damaged") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--jsn"], "unrecognized arguments: --jsn; did you mean --json?; see evo list --help"),
        (["replay", "a", "b\x1b"], "unrecognized arguments: b\\x1b, since it takes one RUN; see evo replay --help"),
    ],
)
def test_an_unknown_word_is_one_line_with_what_may_be_meant(arguments: list[str], message: str) -> None:
    assert call(*arguments) == Ended(2, "", f"evo: error: {message}\n")


def test_a_reader_who_leaves_and_a_full_disk_are_no_bugs(tmp_path: Path) -> None:
    shutil.copytree(FORMER / "plain", tmp_path / "plain")
    evo = shlex.join([sys.executable, "-c", "import sys; from evo.cli import main; sys.exit(main())"])
    for command in ("list .", "status plain"):  # The second one prints by rich, which ends the process itself.
        script = f"({evo} {command}; echo $? >&2) | true; {evo} {command} >/dev/full"
        ended = subprocess.run(script, shell=True, cwd=tmp_path, capture_output=True, text=True)
        full = "evo: error: the output cannot be written: No space left on device\n"
        assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"0\n{full}")


@pytest.mark.parametrize(("folder", "words"), [("no", "no is no folder"), (".", "there is no run directory in .")])
def test_where_there_is_no_run_the_command_says_so(
    folder: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = call("list", folder)
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert words in ended.err


def facts(loss: float | None, seed: int, *steps: tuple[int, float], name: str = "x", finished: int = 40) -> RunFacts:
    found = steps or (() if loss is None else ((finished, loss),))
    return RunFacts(
        run=f"runs/{name}{seed}",
        seed=seed,
        is_complete=True,
        loss=loss,
        individual="0-1",
        finished=finished,
        counts={"completed": finished - 1, "failed": 1},
        seconds=100.0 * finished,
        span=50.0 * finished,
        busy=0.9,
        steps=found,
    )


def side(name: str, losses: Sequence[float | None], **settings: str) -> Side:
    runs = [facts(loss, seed, name=name.lower()) for seed, loss in enumerate(losses)]
    return Side(name=name, runs=runs, settings={"propagator": name, "seed": "several", **settings})


# Of Mann and Whitney's test: no overlap, and an example whose p is in the tables for small samples (U = 13, 5 and 8).
@pytest.mark.parametrize(
    ("first", "second", "better", "wins", "p"),
    [
        ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], "A", 16, 2 / 70),
        ([22.0, 24.0, 25.0, 37.0], [16.0, 20.0, 29.0, 1.0, 2.0, 3.0], "B", 21, 0.0667),
        ([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], "", 8, 1.0),
        ([1.0, 2.0, 3.0, None], [None, None, None, None], "A", 14, 0.0689),
    ],
)
def test_which_side_is_better_is_judged_by_ranks(
    first: list[float | None], second: list[float | None], better: str, wins: float, p: float
) -> None:
    verdict = judge_sides(side("A", first), side("B", second))
    assert (verdict.better, verdict.wins) == (better, wins)
    assert verdict.p == pytest.approx(p, rel=0.01)


@pytest.mark.parametrize(("sizes", "least"), [((3, 3), 0.1), ((1, 1), 1.0), ((6, 1), 2 / 7), ((2, 3), 0.2)])
def test_few_runs_say_nothing_about_chance_and_the_least_p_says_why(sizes: tuple[int, int], least: float) -> None:
    first, second = [1.0 + one for one in range(sizes[0])], [100.0 + one for one in range(sizes[1])]
    verdict = judge_sides(side("A", first), side("B", second))
    assert verdict.p is None
    assert verdict.least_p == pytest.approx(least)
    assert "say nothing about chance" in verdict.text or "nothing can be said about chance" in verdict.text


def test_the_same_seeds_are_counted_as_pairs() -> None:
    verdict = judge_sides(side("A", [5.0, 2.0, 3.0, 4.0]), side("B", [1.0, 6.0, 7.0, 8.0]))
    assert (verdict.better, verdict.wins, verdict.wins_of_seeds, verdict.seeds) == ("A", 12, 3, 4)


def test_runs_of_different_lengths_are_also_compared_after_as_many_evaluations_as_all_have() -> None:
    early = [facts(1.0, seed, (10, 3.0), (30, 1.0)) for seed in range(4)]
    late = [facts(0.5, seed, (5, 2.0), (80, 0.5), finished=80) for seed in range(4)]
    sides = [Side(name=name, runs=runs, settings={}) for name, runs in (("A", early), ("B", late))]
    whole, common = judge_all(sides)
    assert (whole.better, whole.evaluations, common.better, common.evaluations) == ("B", None, "A", 40)
    assert early[0].best_after(9) == math.inf
    assert (early[0].evaluations_to(2.0), early[0].evaluations_to(0.7)) == (30.0, math.inf)


def test_p_of_several_comparisons_is_corrected() -> None:
    sides = [side(name, [start + seed for seed in range(6)]) for name, start in (("A", 0.0), ("B", 3.5), ("C", 20.5))]
    pairs = [
        judge_sides(one, other) for one, other in ((sides[0], sides[1]), (sides[0], sides[2]), (sides[1], sides[2]))
    ]
    alone, together = [one.p or 0.0 for one in pairs], [one.p or 0.0 for one in corrected(pairs)]
    assert together == pytest.approx([max(alone[0], 3 * alone[1]), 3 * alone[1], 3 * alone[1]])
    assert "corrected for 3 comparisons by Holm" in corrected(pairs)[0].text


LONG = "Compose(propagators=[SelectMin(count=2), SelectUniform(count=2), Mutation(sigma={})])"


def test_a_comparison_shows_what_differs_what_was_found_and_whether_it_may_be_chance() -> None:
    one = side("A", [0.11, 0.12, 0.13, 0.14], pruning="none", **{"limits.lr.high": "0.1", "rule": LONG.format(0.1)})
    other = side("B", [0.15, 0.16, None, 0.125], pruning="none", rule=LONG.format(0.25))
    check_golden("compare.txt", comparison_text([one, other], judge_all([one, other])))


def test_two_runs_and_groups_of_runs_are_compared_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, high in (("a", 1.0), ("b", 2.0)):
        for seed in range(2):
            limits = {"x": (0.0, high)}
            evo.minimize(abs_x, limits, evaluations=3, seed=seed, run_dir=f"{name}{seed}", propagator="random")
    found = json.loads(call("compare", "a0", "b0", "--json").out)
    assert [one["run"] for each in found["sides"] for one in each["runs"]] == ["a0", "b0"]
    assert found["differences"] == {"limits.x.high": {"A": "1.0", "B": "2.0"}}
    for words in (["a0", "a1", "--", "b0", "b1"], ["a0", "b0", "a1", "b1"]):  # Groups are found by their settings.
        sides = json.loads(call("compare", *words, "--json").out)["sides"]
        assert [[one["run"] for one in each["runs"]] for each in sides] == [["a0", "a1"], ["b0", "b1"]]
    assert "is the best; single runs" not in call("compare", "a0", "a1").out
    assert len(make_sides([["a0", "a1"]])) == 2
    for words, message in (
        (["a0"], "needs two runs"),
        (["a0", "--"], "needs two runs"),
        (["a0", "a0"], "a0 is given twice"),
        (["a0", "no"], "no is no run directory"),
    ):
        ended = call("compare", *words)
        assert (ended.status, ended.err.count("\n")) == (2, 1)
        assert message in ended.err


def abs_x(params: dict[str, float]) -> float:
    return abs(params["x"])


def joined(time: float, settings: dict[str, object], rank: int = 0, **more: object) -> Joined:
    recorded = {"islands": [1], "breeding": [{"setting": "random"}], **settings}
    return Joined(time=time, rank=rank, ranks=1, host="", device="cpu", settings={} if rank else recorded, **more)  # type: ignore[arg-type]


def test_settings_that_only_the_journal_of_the_first_worker_has_are_compared_too() -> None:
    migration = {"mode": "copy", "probability": 0.9}
    first = joined(1.0, {"migration": migration}, evaluations=40, deadline=3600.97)
    later = joined(9.0, {"pruning": "median", "allow_duplicates": True}, evaluations=40)
    found = session_settings([first, joined(2.0, {}, rank=1, evaluations=7), later])
    assert {name: found[name] for name in ("evaluations", "migration.probability", "allow_duplicates", "pruning")} == {
        "evaluations": "40",
        "migration.probability": "0.9, then null",
        "allow_duplicates": "false, then true",
        "pruning": "none, then median",
    }
    assert found["seconds of a session"] == "3600.0, then null"
    assert not {"islands", "breeding"} & set(found)  # study.json has those of the first session.
    assert session_settings([joined(1.0, {}, rank=1)]) == {}


def test_runs_that_differ_in_what_study_json_lacks_are_no_side_of_the_same_runs(tmp_path: Path) -> None:
    runs = []
    for seed in range(2):
        for duplicates in (False, True):
            runs.append(str(tmp_path / f"{duplicates}{seed}"))
            evo.minimize(
                abs_x,
                {"x": (0.0, 1.0)},
                evaluations=3,
                seed=seed,
                run_dir=runs[-1],
                propagator="random",
                allow_duplicates=duplicates,
            )
    assert [[one.seed for one in each.runs] for each in make_sides([runs])] == [[0, 1], [0, 1]]
    assert different_settings(make_sides([runs[:2]])) == {"allow_duplicates": ["false", "true"]}
