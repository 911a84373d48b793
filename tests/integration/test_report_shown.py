"""evo report as people meet it: in a browser, and served while a run grows."""

from __future__ import annotations

import gzip
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from helpers import Launcher
from reported import BEGIN, HOSTILE, HOSTILE_LIMITS, LIMITS, eventful, write_run

from evo.population.events import Finished, Started, encode

pytest.importorskip("optuna")
pytest.importorskip("plotly")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--window-size=1280,20000",
    "--virtual-time-budget=20000",
    "--enable-logging=stderr",
    "--dump-dom",
]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_browser_draws_every_picture_and_runs_nothing_of_a_journal(launcher: Launcher, tmp_path: Path) -> None:
    events = eventful(24, HOSTILE_LIMITS, 4, HOSTILE)
    run = write_run(tmp_path / "run", events, HOSTILE_LIMITS, objective=HOSTILE, versions={HOSTILE: HOSTILE})
    page = tmp_path / "page.html"
    assert launcher.python("-m", "evo", "report", run, "--out", page, timeout=200).status == 0
    assert BROWSER is not None
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    ended = launcher.run(BROWSER, *_SWITCHES, profile, page.as_uri(), timeout=250)
    html = re.sub(r'<script type="application/json">.*?</script>', "", ended.out, flags=re.DOTALL)
    assert html.count('class="picture') > 10
    assert len(re.findall(r'class="picture[^"]* js-plotly-plot"', html)) == html.count('class="picture')
    assert not re.search(r"<html[^>]*data-owned", html)
    assert 'class="picture failed' not in html
    assert [line for line in ended.err.splitlines() if "CONSOLE" in line] == []


def test_a_served_page_follows_a_growing_run_and_ctrl_c_ends_it(launcher: Launcher, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", eventful(2, LIMITS, 0), LIMITS)
    server = launcher.start(sys.executable, "-m", "evo", "report", run, "--serve", stdout=subprocess.PIPE)
    assert server.stdout is not None
    address = re.match(r"(http://127\.0\.0\.1:\d+/) shows", server.stdout.readline())
    assert address is not None

    def ask(path: str = "") -> str:
        with urllib.request.urlopen(address[1] + path, timeout=120) as answer:
            return gzip.decompress(answer.read()).decode()

    assert "2 evaluations (" in ask()
    shown = ask("version")
    new = {"time": BEGIN + 9, "individual": (0, 9)}
    params = {"lr": 0.1, "width": 3, "optimizer": "adam"}
    records = [
        Started(**new, island=0, params=params),
        Finished(**new, status="completed", loss=-7.25, seconds=1.0, rank=0),
    ]
    with (run / "journal" / "0.jsonl").open("ab") as journal:
        journal.write(b"".join(encode(record) + b"\n" for record in records) + b'{"type":"Fin')
    began = time.monotonic()
    while ask("version") == shown:  # For four times as long as the page took to make.
        assert time.monotonic() - began < 200
        time.sleep(0.05)
    renewed = ask()
    assert "3 evaluations (" in renewed
    assert "<b>-7.25</b>" in renewed
    server.send_signal(signal.SIGINT)
    assert launcher.finish(server).status == 0
