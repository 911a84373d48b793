"""`evo repair`: what is sound in damaged journals is salvaged, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import NOW, finished, started
from strategies import events

from evo.cli import main
from evo.population.events import AnyEvent, Skipped, Started, decode, encode
from evo.population.population import Population
from evo.space.space import Space
from evo.storage.repair import examine_journal
from evo.storage.rundir import RunDirectory, StudyRecord

LIMITS = {"x": {"type": "float", "low": 0.0, "high": 1.0}}
STUDY = StudyRecord(name="n", objective="m:f", limits=LIMITS, seed=3)
EVENTS: list[AnyEvent] = [
    started((0, 0), {"x": 0.125}),
    finished((0, 0), 0.5),
    started((0, 1), {"x": 0.25}),
    finished((0, 1), 0.25),
]
LINES = [encode(event) for event in EVENTS]


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path / "run")
    directory.create(STUDY)
    (directory.path / "journal" / "0.jsonl").write_bytes(b"".join(line + b"\n" for line in LINES))
    (directory.path / "journal" / "1.jsonl").write_bytes(encode(started((1, 0), {"x": 0.75})) + b"\n")
    return directory


def damage(directory: RunDirectory, *lines: bytes, rank: int = 0) -> Path:
    file = directory.path / "journal" / f"{rank}.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return file


def contents(directory: RunDirectory) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.path.rglob("*") if path.is_file()}


def run(*arguments: str | Path) -> int:
    return main(["repair", *map(str, arguments)])


def population_of(directory: RunDirectory) -> Population:
    population = Population(Space(LIMITS))
    for event in directory.events():
        population.apply(event)
    return population


def test_where_nothing_is_damaged_nothing_is_done(directory: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(directory)
    assert run(directory.path) == 0
    assert capsys.readouterr().out == f"the 2 journal(s) of {directory.path} are sound: nothing to repair\n"
    assert contents(directory) == before


@pytest.mark.parametrize("torn", [LINES[3][:-1], LINES[3]])
def test_a_last_line_without_its_end_is_no_damage(directory: RunDirectory, torn: bytes) -> None:
    file = directory.path / "journal" / "0.jsonl"
    file.write_bytes(b"\n".join([*LINES[:3], torn]))
    before = contents(directory)
    assert run(directory.path) == 0
    assert contents(directory) == before


def test_a_damaged_journal_is_written_anew_and_kept_beside(
    directory: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    file = damage(directory, LINES[0], b"\0\0garbage\xff", *LINES[2:])
    before = file.read_bytes()
    other = (directory.path / "journal" / "1.jsonl").read_bytes()
    with pytest.raises(ValueError, match=f"line 2 is damaged: .*; evo repair {directory.path} salvages what is sound"):
        list(directory.events())
    assert run(directory.path) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{file}: 1 damaged line(s), 3 sound record(s)",
        r"  line 2: '\x00\x00garbage\\xff': JSON is malformed: invalid character (byte 0)",
        f"{file} is repaired; what it was is in 0.jsonl.damaged, beside it",
        "the same command as before goes on from what is left",
    ]
    assert file.read_bytes().splitlines() == [LINES[0], *LINES[2:]]
    assert Path(f"{file}.damaged").read_bytes() == before
    assert (directory.path / "journal" / "1.jsonl").read_bytes() == other
    assert [encode(event) for event in directory.events()][:3] == [LINES[0], *LINES[2:]]
    assert run(directory.path) == 0
    assert "nothing to repair" in capsys.readouterr().out


def test_a_dry_run_tells_the_same_and_changes_nothing(
    directory: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(directory, *LINES[:2], b"{}")
    before = contents(directory)
    assert run(directory.path, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "line 3: '{}': " in told
    assert told.endswith("nothing was changed: leave out --dry-run to repair\n")
    assert contents(directory) == before


def test_a_second_repair_overwrites_nothing_that_the_first_one_has_kept(directory: RunDirectory) -> None:
    kept = []
    for number, name in enumerate(["0.jsonl.damaged", "0.jsonl.damaged-2", "0.jsonl.damaged-3"]):
        file = damage(directory, b"%d" % number, *LINES)
        kept.append(file.read_bytes())
        assert run(directory.path) == 0
        assert file.with_name(name).read_bytes() == kept[-1]
    assert [file.with_name(name).read_bytes() for name in ("0.jsonl.damaged", "0.jsonl.damaged-2")] == kept[:2]


@pytest.mark.parametrize(
    ("line", "salvaged"),
    [
        (LINES[0] + LINES[1], LINES[:2]),
        (b"\0" * 512 + LINES[1], LINES[1:2]),
        (LINES[0][:30] + LINES[1], LINES[1:2]),
        (LINES[0] + b"\0" * 9, LINES[:1]),
        (LINES[0] + LINES[1][:-5], LINES[:1]),
    ],
)
def test_whole_records_in_a_damaged_line_are_salvaged(
    directory: RunDirectory, line: bytes, salvaged: list[bytes]
) -> None:
    file = damage(directory, line, LINES[2])
    assert [encode(event) for event in examine_journal(file, None).sound] == [*salvaged, LINES[2]]


def test_a_start_outside_of_the_limits_is_damage_too(
    directory: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(directory, encode(started((0, 0), {"x": 7.0})), *LINES)
    assert run(directory.path) == 0
    assert "parameter 'x' = 7.0 is not within its limits" in capsys.readouterr().out
    assert population_of(directory).started == 3


def test_journals_are_not_fitted_to_a_study_record_that_is_another_ones(
    directory: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(directory, b"{}", *[encode(started((0, number), {"x": number + 2.0})) for number in range(3)])
    before = contents(directory)
    assert run(directory.path) == 2
    assert "3 of 4 starts in the journals" in capsys.readouterr().err
    assert contents(directory) == before


def test_a_result_whose_start_was_lost_takes_no_part_and_its_identity_is_not_given_again(
    directory: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(directory, *LINES[:2], b"garbage", LINES[3])
    assert run(directory.path) == 0
    assert "individuals whose parameters are lost, which take no part any more: 0-1\n" in capsys.readouterr().out
    population = population_of(directory)
    assert (population.started, population.finished, len(population.ranking)) == (2, 1, 1)
    assert population.next_generation(0) == 2


def test_an_identity_that_only_a_damaged_line_tells_of_is_not_given_again(directory: RunDirectory) -> None:
    damage(directory, *LINES, encode(started((0, 2), {"x": 0.5}))[:-9])
    assert run(directory.path) == 0
    assert population_of(directory).next_generation(0) == 3


def test_an_identity_that_only_a_folder_tells_of_is_not_given_again(directory: RunDirectory) -> None:
    for name in ("0-4", "2-0", "notes", "0-x"):
        (directory.path / "individuals" / name).mkdir()
    damage(directory, *LINES, b"\0" * 99)
    assert run(directory.path) == 0
    population = population_of(directory)
    assert [population.next_generation(rank) for rank in range(4)] == [5, 1, 1, 0]
    assert population.started == 3


def test_a_run_that_goes_on_is_not_repaired(directory: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    damage(directory, b"{}", *LINES)
    before = contents(directory)
    journal = directory.open_journal(1)
    assert run(directory.path) == 2
    assert "1.jsonl is being written by another run in this directory" in capsys.readouterr().err
    journal.close()
    assert contents(directory) == before


@pytest.mark.parametrize("damaged", [b"", b'{"name":', b"[" * 100_000, b'{"name": "\xff"}', None])
def test_for_a_damaged_study_it_says_what_can_be_done_and_repairs_the_journals(
    directory: RunDirectory, capsys: pytest.CaptureFixture[str], damaged: bytes | None
) -> None:
    file = damage(directory, b"{}", *LINES)
    study = directory.path / "study.json"
    study.unlink() if damaged is None else study.write_bytes(damaged)
    assert run(directory.path) == 2
    told = capsys.readouterr()
    assert "study.json" in told.err
    assert told.err.endswith("in another directory, stop it, and copy its study.json here\n")
    assert file.read_bytes().splitlines() == LINES


def test_what_is_no_run_directory_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 2
    assert capsys.readouterr().err.endswith(
        "is no run directory: it has no journals and no study.json; evo list FOLDER finds some\n"
    )


@given(before=st.lists(events, max_size=4), junk=st.binary(max_size=80), after=st.lists(events, max_size=4))
def test_every_line_beside_a_damaged_one_is_salvaged(
    tmp_path_factory: pytest.TempPathFactory, before: list[AnyEvent], junk: bytes, after: list[AnyEvent]
) -> None:
    file = tmp_path_factory.getbasetemp() / "salvaged.jsonl"
    lines = [*map(encode, before), junk, *map(encode, after)]
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    found = [encode(event) for event in examine_journal(file, None).sound]
    assert found[: len(before)] == lines[: len(before)]
    assert found[len(found) - len(after) :] == lines[len(lines) - len(after) :]


def test_a_skipped_identity_is_a_record_like_any_other() -> None:
    event = Skipped(time=NOW, individual=(3, 4))
    assert decode(encode(event)) == event
    population = Population(Space(LIMITS))
    for _ in range(2):
        population.apply(event)
    assert population.next_generation(3) == 5
    start = started((3, 4), {"x": 0.5})
    assert isinstance(start, Started)
    population.apply(start)  # It was only said to be lost.
    assert population.started == 1
