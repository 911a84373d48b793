"""evo report: what its pictures show, and a page in which nothing of a journal can be anything but text."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from matplotlib.figure import Figure
from reported import BEGIN, HOSTILE, HOSTILE_LIMITS, LIMITS, eventful, write_run

from evo.cli import main
from evo.errors import UserError
from evo.population.events import AnyEvent, Done, Finished, Joined, Judged, Migrated, Pollinated, Started
from evo.report.pages.command import write_pictures
from evo.report.pages.curve_pictures import learning_curves, rung_rows
from evo.report.pages.lineage_pictures import ancestry, journeys, migrants
from evo.report.pages.markup import escaped
from evo.report.pages.optuna_drawing import draw_by_optuna, tidy_axes
from evo.report.pages.optuna_pictures import ParameterPictures
from evo.report.pages.page import Report
from evo.report.pages.plotly_drawing import plotly_figure, plotly_text, plotly_values
from evo.report.pages.progress_pictures import loss_scale, over_evaluations
from evo.report.pages.sampling import sample_evaluations
from evo.report.pages.scales import RunningTime, scale_of
from evo.report.pages.serving import LivePage, make_server, version_of
from evo.report.pages.story import Busy, Story, use_of_workers
from evo.report.pages.worker_pictures import spans_of
from evo.report.reading import load
from evo.report.records import Evaluation
from evo.report.tables import telling_metrics

optuna = pytest.importorskip("optuna")
pytest.importorskip("plotly")


def evaluated(losses: list[float | None]) -> list[Evaluation]:
    return [
        Evaluation(
            individual=(0, number), params={"x": number}, started=float(number), ended=number + 0.5, seconds=0.5,
            loss=loss, bred_by="tpe",
            status="failed" if loss is None else "completed",
        )
        for number, loss in enumerate(losses)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [0.5],
        [0.5, 0.5],
        [0.0],
        [1e308, -1e308, 3.0],
        [1e308] * 3,
        [-1e308],
        [1e-320, 1e308],
        [0.0, 1e308],
        [5e-324] * 2,
    ],
)
def test_an_axis_has_two_finite_ends_that_hold_every_place(losses: list[float]) -> None:
    scale = scale_of(losses)
    low, high = scale.ends
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low < high
    assert all(low <= scale.place(loss) <= high for loss in losses)
    drawn = plotly_figure(over_evaluations(evaluated([*losses, None]), evaluated([*losses, None]), scale))
    assert all(math.isfinite(end) for end in drawn["layout"]["yaxis"]["range"])


def test_a_few_huge_losses_do_not_hide_the_others() -> None:
    scale = loss_scale(evaluated([*map(float, range(1, 31)), 1e300, None]))
    assert scale.high < 10_000
    assert scale.beyond == 1


def test_a_log_scale_shows_the_small_losses_that_a_few_larger_ones_would_crowd() -> None:
    assert scale_of([0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.4, 2.4]).log
    assert not scale_of([1.0, 2.0, 3.0, 4.0, 30.0]).log


def test_a_metric_is_shown_when_it_is_a_number_somewhere_and_tells_more_than_the_loss() -> None:
    metrics: list[dict[str, Any]] = [{}, {"val_loss": 0.5, "accuracy": 0.9, "note": "a"}, {"accuracy": "none"}]
    shown = [
        msgspec.structs.replace(one, metrics=each)
        for one, each in zip(evaluated([0.1, 0.5, 0.7]), metrics, strict=True)
    ]
    assert telling_metrics(shown) == ["accuracy"]


def test_files_show_numbers_on_log_scales_and_names_without_quotes() -> None:
    axes = Figure().subplots()
    axes.plot(["'adam'", "'it is'"], [0.02, 3.0])
    axes.set_yscale("log")
    tidy_axes(axes, "")
    y = [text.get_text() for text in axes.get_yticklabels()]
    assert {"0.1", "0.5", "1"} <= set(y)
    assert not any("$" in text for text in y)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["adam", "it is"]


def test_a_sample_holds_what_matters_and_is_the_same_every_time() -> None:
    made = evaluated([1000.0 - number % 977 for number in range(2000)])
    kept = sample_evaluations(made, 300)
    lowest = sorted(made, key=lambda one: (one.loss, one.individual))[:100]
    assert {one.name for one in lowest} <= {one.name for one in kept}
    assert kept == sample_evaluations(made, 300)
    assert [one.individual for one in kept] == sorted(one.individual for one in kept)
    assert sample_evaluations(made, 2000) == made


def interrupted_search() -> list[AnyEvent]:
    """Worker 0 is killed in its second evaluation, and takes it up in another session a thousand seconds later."""

    def at(worker: int, session: float) -> Joined:
        return Joined(time=session, rank=worker, ranks=2, host="a", device="cpu")

    def start(worker: int, generation: int, time: float) -> Started:
        return Started(time=time, individual=(worker, generation), island=0, params={"x": 1})

    def end(worker: int, generation: int, time: float, seconds: float) -> Finished:
        return Finished(
            time=time, individual=(worker, generation), status="completed", loss=1.0, seconds=seconds, rank=worker
        )

    return [
        *(at(0, 0.0), at(1, 0.0), start(0, 0, 0.0), end(0, 0, 4.0, 4.0), start(0, 1, 4.0), start(1, 0, 0.0)),
        *(end(1, 0, 10.0, 10.0), at(0, 1000.0), at(1, 1000.0), start(0, 1, 1000.0), end(0, 1, 1005.0, 5.0)),
        *(Done(time=1005.0, rank=0, reason="over"), Done(time=1010.0, rank=1, reason="over")),
    ]


def test_the_story_tells_who_was_busy_when_also_where_a_search_was_killed() -> None:
    known = {"time": 999.0, "individual": (0, 2)}  # Recorded before the second session began, by nobody's work.
    elsewhere = [
        Started(**known, island=0, params={"x": 2}, origin="elsewhere"),  # type: ignore[arg-type]
        Finished(**known, status="completed", loss=2.0, rank=0),  # type: ignore[arg-type]
    ]
    story = Story(reversed([*elsewhere, *interrupted_search()]))
    parts = story.attendances()
    assert [(part.worker, part.begin, part.end) for part in parts] == [
        *((0, 0.0, 10.0), (0, 1000.0, 1005.0)),
        *((1, 0.0, 10.0), (1, 1000.0, 1010.0)),
    ]
    busy = story.busy(parts)
    assert [(each.worker, each.begin, each.end, each.status) for each in busy] == [
        *((0, 0.0, 4.0, "completed"), (1, 0.0, 10.0, "completed")),
        *((0, 4.0, 10.0, "lost"), (0, 1000.0, 1005.0, "completed")),
    ]
    assert use_of_workers(parts, busy).share == pytest.approx(25 / 35)
    assert RunningTime([(each.begin, each.end) for each in parts]).at(1003.0) == 13.0


def test_what_is_in_flight_lasts_until_the_latest_record() -> None:
    story = Story(interrupted_search()[:7])
    busy = story.busy(story.attendances())
    assert [(each.individual, each.end, each.status) for each in busy][-1] == ((0, 1), 10.0, "running")


def test_many_short_evaluations_become_moments_and_few_stay_as_they_are() -> None:
    many = [Busy(0, float(n), n + 0.9, (0, n), "failed" if n > 8000 else "completed") for n in range(10_000)]
    spans = spans_of(many, RunningTime([(0.0, 10_000.0)]))
    assert [span.status for span in spans] == ["completed", "failed"]
    assert spans[0].end == spans[1].begin == pytest.approx(8001, abs=5)
    assert len(spans_of(many[:100], RunningTime([(0.0, 100.0)]))) == 100


def test_ancestors_are_found_once_each_and_counted_up_to_a_limit() -> None:
    parents = {(0, n): ((0, n - 1), (0, max(0, n - 2))) for n in range(1, 50)}
    assert ancestry((0, 49), parents, 100).members[-1] == (0, 0)
    assert ancestry((0, 49), parents, 10)[2] is False
    assert len(ancestry((0, 49), parents, 10).members) == 10
    assert ancestry((0, 1), {(0, 1): ((0, 1),)}, 10).members == [(0, 1)]


def test_travels_begin_where_the_last_one_ended() -> None:
    travels = [
        Migrated(time=1.0, individual=(0, 0), island=1, move=1),
        Migrated(time=2.0, individual=(0, 0), island=2, move=2),
        Pollinated(time=3.0, individual=(0, 0), island=0),
        Pollinated(time=4.0, individual=(7, 7), island=0),
    ]
    assert journeys(travels, {(0, 0): 0}) == {(0, 1): 1, (1, 2): 1, (2, 0): 1}


def test_of_many_islands_those_with_the_most_travel_are_drawn() -> None:
    islands = {*range(300), 1 << 40}
    picture = migrants({(7, 1 << 40): 5, (250, 3): 2}, islands)
    assert picture is not None
    names = picture.x.categories
    assert len(names) == 32
    assert {"island 3", "island 7", "island 250", f"island {1 << 40}"} <= {*names}
    assert max(map(max, picture.series[0].cells)) == 5.0
    assert plotly_figure(picture)["data"][0]["texttemplate"] == ""
    assert migrants({}, {3}) is None


def test_rungs_are_counted_and_curves_say_who_was_stopped() -> None:
    judged = [
        Judged(time=t, individual=(0, n), rung=3, stop=n == 1, value=2.0, threshold=limit, among=n)
        for t, n, limit in ((1.0, 0, None), (2.0, 1, 1.5))
    ]
    assert rung_rows(judged) == [(3, 2, 1, 1.5)]
    shown = evaluated([1.0, 2.0])
    picture = learning_curves(shown, shown[0], {(0, 0): {0: 3.0, 1: 1.0}, (0, 1): {0: 2.0}}, judged)
    assert picture is not None
    assert [series.name for series in picture.series] == ["completed", "stopped here", "the best, 0-0"]
    assert picture.marks == [(2, "rung 3")]
    assert learning_curves(shown, None, {}, []) is None


def test_curves_are_thinned_so_that_a_page_stays_small() -> None:
    shown = evaluated([1.0] * 300)
    curve = {step: 1 / (1 + step) + (step % 7) / 10 - (step == 777) for step in range(2000)}
    judged = [Judged(time=1.0, individual=(0, 1), rung=5, stop=False, value=1.0, threshold=2.0, among=3)]
    picture = learning_curves(shown, shown[0], {one.individual: curve for one in shown}, judged)
    assert picture is not None
    assert len(json.dumps(plotly_figure(picture))) < 1.2e6
    best = dict(zip(picture.series[-1].x, picture.series[-1].y, strict=True))
    assert len(best) <= 203
    assert {0, 4, 777, 1999} <= best.keys()


def test_plotly_gets_short_numbers_and_no_markup() -> None:
    assert plotly_values({"a": [math.inf, 1 / 3, True, "<a>"]}) == {"a": [None, 0.333333, True, "&lt;a&gt;"]}
    assert plotly_text("<B>\n\x1b$x$") == "&lt;B&gt;<br>\\x1b&#36;x&#36;"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "<b>hostile"
    events = eventful(60, HOSTILE_LIMITS, 5, HOSTILE)
    return write_run(path, events, HOSTILE_LIMITS, objective=HOSTILE, propagator=HOSTILE, versions={HOSTILE: HOSTILE})


@pytest.fixture(scope="module")
def hostile_report(hostile: Path) -> Report:
    return Report([load(hostile)])


def test_nothing_of_a_journal_is_markup_on_the_page(hostile_report: Report) -> None:
    page = hostile_report.html("<script>plotly</script>")
    data = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert len(data) == len(hostile_report.pictures()) > 10
    assert all(json.loads(each)["data"] is not None for each in data)
    assert page.count("<script") == len(data) + 2  # Plotly, and the page's own.
    for tag in ("<b>", "<img", "<i>", "dataset.owned=1</script>"):
        assert tag not in re.sub(r"<b>[^<]*</b><span>", "", page)
    assert not re.search(r"(src|href)=[\"']?(http|//)", page.replace(escaped(HOSTILE), ""))
    assert "&lt;/script&gt;&lt;script&gt;document" in page


def test_a_page_has_a_section_for_each_thing_that_is_known(hostile_report: Report, tmp_path: Path) -> None:
    full = hostile_report.runs[0].sections
    assert [name for name, text in full.items() if not text] == ["schedules"]  # Which is for segments of trainings.
    names = set(hostile_report.pictures())
    assert {"best-over-evaluations", "best-over-time", "timeline", "curves", "lineage", "migrants"} <= names
    assert {"proposers", "importance", "parallel", "slice-1", "contour-1", "times"} <= names
    empty = Report([load(write_run(tmp_path / "empty", {}, LIMITS))])
    page = empty.html("")
    assert empty.pictures() == {}
    assert "Nothing has completed yet." in page
    assert 'id="run1-curves"' not in page
    assert 'id="run1-workers"' not in page


def test_what_optuna_cannot_draw_costs_only_that_section(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("<b>no")

    monkeypatch.setattr("evo.report.pages.optuna_pictures.optuna_study", fails)
    report = Report([load(hostile)])
    assert (
        "could not draw the parameters of this study: RuntimeError: &lt;b&gt;no"
        in report.runs[0].sections["parameters"]
    )
    assert "timeline" in report.pictures()


def test_a_single_picture_that_cannot_be_drawn_costs_no_other_one(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("<b>no")

    def draws(function: str, *arguments: Any, **settings: Any) -> Any:
        return fails() if function in ("plot_contour", "plot_edf") else draw_by_optuna(function, *arguments, **settings)

    monkeypatch.setattr("evo.report.pages.optuna_pictures.draw_by_optuna", draws)
    monkeypatch.setattr(ParameterPictures, "_measure", fails)
    report = Report([load(hostile), load(hostile)])
    page = report.html("")
    assert {"run1-parallel", "run2-slice-1", "all-comparison"} <= report.pictures().keys()
    assert not {"run1-contour-1", "run1-importance", "all-distribution"} & report.pictures().keys()
    for what in ("the importance of the parameters", "how many individuals reach a loss"):
        assert f"Optuna could not draw {what}: RuntimeError: &lt;b&gt;no" in page
    drawing = report.pictures()["all-comparison"]
    found = write_pictures({"a": replace(drawing, save=fails), "b": drawing}, tmp_path)
    assert found == ["a.png cannot be drawn: RuntimeError: <b>no"]
    assert (tmp_path / "b.png").exists()


def test_a_thousand_individuals_with_curves_make_less_than_six_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", eventful(1000, LIMITS, 30), LIMITS)
    before = sorted(tmp_path.joinpath("run").rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert main(["report", "run"]) == 0
    file = tmp_path / "report-run.html"
    assert 4e6 < file.stat().st_size < 6e6
    assert capsys.readouterr().out == (
        f"report-run.html: 1,000 individuals, {file.stat().st_size / 1e6:.1f} MB; with --png DIR, its pictures are "
        "written as PNG files as well\n"
    )
    assert sorted(run.rglob("*")) == before


def test_several_runs_stand_side_by_side_with_pictures_as_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, count in (("a", 12), ("b", 4)):
        write_run(tmp_path / name, eventful(count, {"x": (0.0, 1.0)}, 0), {"x": (0.0, 1.0)})
    monkeypatch.chdir(tmp_path)
    assert main(["report", "a", "b", "--png", "pictures", "--out", "both.html"]) == 0
    page = (tmp_path / "both.html").read_text()
    assert page.index('id="comparison"') < page.index('id="run1-progress"') < page.index('id="run2-progress"')
    drawn = {file.name for file in (tmp_path / "pictures").iterdir()}
    assert {"all-comparison.png", "all-distribution.png", "run1-timeline.png", "run2-timeline.png"} <= drawn
    assert all((tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG") for name in drawn)
    assert capsys.readouterr().out.splitlines()[1] == f"pictures: {len(drawn)} pictures"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent"], "absent is no run directory"),
        (["{run}", "--out", "{run}/no/such/page.html"], "cannot be written: No such file or directory; name another"),
        (["{run}", "--png", "{run}/study.json"], "cannot be written into"),
        (["{run}", "--serve", "70000"], "--serve 70000: "),
        (["{run}", "--serve", "--png", "x"], "--serve writes no files"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", {}, LIMITS)
    monkeypatch.chdir(tmp_path)
    given = [each.replace("{run}", str(run)) for each in arguments]
    try:
        status = main(["report", *given])
    except SystemExit as ended:
        status = int(ended.code or 0)
    error = capsys.readouterr().err
    assert status == 2
    assert error.count("\n") == 1
    assert said in error


@pytest.fixture
def served() -> Iterator[tuple[int, list[str]]]:
    """A server of a page whose version is the last text in a list; its port, and the list."""
    versions = ["1"]
    made: list[str] = []

    def make(version: str) -> str:
        made.append(version)
        return f"page {version}, made {len(made)} times"

    server = make_server(LivePage(make, lambda: versions[-1], lambda: 0.0), "script", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1], versions
        with pytest.raises(UserError, match="choose another port"):
            make_server(LivePage(make, lambda: ""), "", server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port: int, path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, gzip.decompress(answer.read()).decode()
    except urllib.error.HTTPError as error:
        return error.code, gzip.decompress(error.read()).decode()


def test_a_served_page_is_made_anew_only_when_something_has_changed(served: tuple[int, list[str]]) -> None:
    port, versions = served
    assert [ask(port, "/") for _ in range(2)] == [(200, "page 1, made 1 times")] * 2
    versions.append("2")
    assert ask(port, "/version") == (200, "2")
    assert ask(port, "/") == (200, "page 2, made 2 times")
    assert ask(port, "/plotly.js") == (200, "script")
    assert ask(port, "/../etc/passwd")[0] == 404
    assert ask(port, "/", Host=f"evil.example:{port}")[0] == 403


def test_a_page_that_took_long_is_kept_for_long_also_where_it_only_says_what_is_wrong() -> None:
    now, takes, wrong, versions = [0.0], 10.0, [False], itertools.count()

    def make(version: str) -> str:
        now[0] += takes
        if wrong[0]:
            raise UserError("line 5 is <damaged>")
        return version

    page = LivePage(make, lambda: str(next(versions)), lambda: now[0])
    first = page.get()
    now[0] += 3.9 * takes
    assert page.get() is first
    assert page.version() == first.version
    now[0] += 0.2 * takes
    assert page.version() != first.version
    wrong[0] = True
    failed = page.get()
    text = gzip.decompress(failed.body).decode()
    assert (failed.status, page.version()) == (500, failed.version)
    assert "line 5 is &lt;damaged&gt;" in text
    assert f'data-version="{failed.version}"' in text
    assert "location.reload()" in text
    now[0] += 4.1 * takes
    wrong[0] = False
    assert page.version() != failed.version
    assert page.get().status == 200


def test_the_version_of_a_run_follows_its_journals(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {0: [Joined(time=BEGIN, rank=0, ranks=1, host="a", device="cpu")]}, LIMITS)
    before = version_of([str(run)])
    assert version_of([str(run)]) == before
    with (run / "journal" / "0.jsonl").open("ab") as journal:
        journal.write(b"{")
    assert version_of([str(run)]) != before
