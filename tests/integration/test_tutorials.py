"""The tutorials: their files, in the formats of the real ones, whole and damaged, and each of them under mpirun."""

from __future__ import annotations

import errno
import fcntl
import gzip
import importlib
import json
import os
import pickle
import pickletools
import re
import struct
import sys
import tarfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import cifar10
import mnist
import numpy as np
import pbt
import pytest
import torch
from datafiles.cifar import ARCHIVE, FOLDER, read_batches, write_archive
from datafiles.download import download
from datafiles.idx import read_idx, write_idx
from helpers import Ended, Launcher, call, wait_until
from slurm import Slurm
from torch import nn

import evo
from evo.space.limits import describe_limits, parse_limits
from evo.study.arguments import parse_arguments
from evo.study.files import load_limits

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "tutorials"
SCRIPTS = sorted(file.name for file in TUTORIALS.glob("*.py"))
README = (TUTORIALS / "README.md").read_text()
NO_NETWORK = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}

MD5 = "5d41402abc4b2a76b9719d911017c592"  # Of b"hello".


# What all have in common.


@pytest.mark.parametrize("file", sorted(TUTORIALS.rglob("*.py")), ids=lambda file: file.name)
def test_a_tutorial_is_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 160


def test_the_readme_leads_through_all_of_them_and_names_nothing_else() -> None:
    named = set(re.findall(r"\w+\.(?:py|yaml)\b", README))
    assert named == {*SCRIPTS, *(file.name for file in TUTORIALS.glob("*.yaml"))}


@pytest.mark.parametrize("settings", sorted(file.name for file in TUTORIALS.glob("*.yaml")))
def test_the_study_file_searches_what_the_script_does(settings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tutorial = importlib.import_module(settings.removesuffix(".yaml"))
    objective, config = parse_arguments([f"tutorials/{settings}"], "evo run")[:2]
    assert objective == f"tutorials/{settings.removesuffix('.yaml')}.py:objective"
    assert config.limits is not None
    assert describe_limits(parse_limits(load_limits(config.limits))) == describe_limits(parse_limits(tutorial.LIMITS))
    tutorial.objective.check(tutorial.LIMITS)


def test_the_study_files_have_the_settings_of_their_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    evolution = parse_arguments(["tutorials/mnist.yaml"], "evo run").config
    assert evolution.generations == 10
    assert evolution.propagator == {"name": "genetic", "crossover": 0.7, "mutation": 0.4, "random_init": 0.1}
    halving = parse_arguments(["tutorials/cifar10.yaml"], "evo run").config
    assert halving.pruning == {"name": "halving", "grace": 1, "reduction": 2, "maximum": cifar10.EPOCHS}
    assert (halving.evaluations, halving.checkpoint_interval) == (40, "1m")
    trained = parse_arguments(["tutorials/pbt.yaml"], "evo run").config
    assert trained.propagator == {"name": "pbt", "population": pbt.POPULATION, "interval": 1}
    assert trained.evaluations == pbt.POPULATION * pbt.EPOCHS


# MNIST's files.


def test_an_idx_file_is_read_as_its_format_says(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes.fromhex("0000 0802 0000 0002 0000 0003 01 02 03 04 05 ff"))
    assert read_idx(tmp_path / "file").tolist() == [[1, 2, 3], [4, 5, 255]]


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize("shape", [(7,), (2, 28, 28), (0, 28, 28)])
def test_an_idx_file_that_was_written_is_read_again_packed_or_not(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape)
    write_idx(tmp_path / name, array)
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")
    assert np.array_equal(read_idx(tmp_path / name), array)
    torch.from_numpy(read_idx(tmp_path / name)).add_(1)  # Without a warning that it cannot be written.


def test_a_file_that_somebody_has_unpacked_is_found(tmp_path: Path) -> None:
    write_idx(tmp_path / "labels", np.arange(3))
    assert read_idx(tmp_path / "labels.gz").tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize("kept", [0, 1, 3, 4, 9, 15, 30, 500, -9, -1])
def test_a_truncated_idx_file_is_named(tmp_path: Path, name: str, kept: int) -> None:
    file = tmp_path / name
    write_idx(file, np.random.default_rng(0).integers(0, 256, (2, 28, 28)))
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))} (is damaged|begins with).*Remove it"):
        read_idx(file)


@pytest.mark.parametrize(
    "content", [b"<html>not found</html>", gzip.compress(b"<html>", mtime=0), b"\0\0\x0d\x01\0\0\0\0", b"x"]
)
@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_something_else_in_place_of_an_idx_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / name))):
        read_idx(tmp_path / name)


def test_mnist_is_split_into_parts_of_the_right_shapes(tmp_path: Path) -> None:
    mnist.write_small_files(tmp_path, 120)
    parts = mnist.read_parts(tmp_path)
    assert {name: len(part) for name, part in parts.items()} == {"train": 100, "val": 20, "test": 60}
    data = mnist.Images(tmp_path)
    images, labels = next(iter(data.train_dataloader()))
    assert (images.shape, images.dtype, labels.shape, labels.dtype) == ((8, 1, 28, 28), torch.uint8, (8,), torch.int64)
    seen = [index for name in ("train", "val") for index in parts[name].indices]
    assert sorted(seen) == list(range(120))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("conv_layers", [2, 10])
def test_the_network_for_mnist_has_so_many_convolutions_of_ten_channels(conv_layers: int, activation: str) -> None:
    network = mnist.Network(conv_layers, activation, 0.01)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [10] * conv_layers
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    assert sum(isinstance(layer, mnist.ACTIVATIONS[activation]) for layer in network.modules()) == conv_layers
    assert network.network(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


# CIFAR-10's archive.


class Python2Pickler(pickle._Pickler):  # type: ignore[misc]
    """Writes a pickle as Python 2 and its numpy did, with which the real archive was made."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)

    def save_text(self, text: bytes | str) -> None:
        content = text.encode() if isinstance(text, str) else text
        short = len(content) < 256
        self.write((b"U" + bytes([len(content)]) if short else b"T" + struct.pack("<i", len(content))) + content)
        self.memoize(text)

    def save_global(self, thing: Any, name: str | None = None) -> None:
        module = "numpy.core.multiarray" if thing.__name__ == "_reconstruct" else "numpy"
        self.write(f"c{module}\n{thing.__name__}\n".encode())
        self.memoize(thing)

    def save_type(self, thing: Any) -> None:
        self.save_global(thing)

    dispatch[bytes] = dispatch[str] = save_text
    dispatch[type] = save_type


def small_batches() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    names = [*cifar10.TRAINING, "test_batch"]
    return {name: (rng.integers(0, 256, (4, 3, 32, 32)).astype(np.uint8), np.arange(4) + 3) for name in names}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write_archive(tmp_path / ARCHIVE, small_batches())
    return tmp_path / ARCHIVE


@pytest.fixture
def unpacked(archive: Path) -> Path:
    with tarfile.open(archive) as packed:
        packed.extractall(archive.parent, filter="data")
    archive.unlink()
    return archive.parent / FOLDER


def check_batches(folder: Path) -> None:
    images, labels = read_batches(folder, cifar10.TRAINING)
    written = small_batches()
    assert np.array_equal(images, np.concatenate([written[name][0] for name in cifar10.TRAINING]))
    assert labels.tolist() == [3, 4, 5, 6] * 5
    assert len(read_batches(folder, ["test_batch"])[1]) == 4


def test_an_archive_of_cifar10_is_read(archive: Path) -> None:
    check_batches(archive.parent)


def test_a_folder_to_which_it_was_unpacked_is_read(unpacked: Path) -> None:
    check_batches(unpacked.parent)


def test_a_batch_that_python_2_has_pickled_is_read(unpacked: Path) -> None:
    for name, (images, labels) in small_batches().items():
        batch = {b"batch_label": b"one of 5", b"labels": labels.tolist(), b"data": images.reshape(-1, 3072)}
        batch[b"filenames"] = [b"cat_s_%d.png" % number for number in range(4)]
        with (unpacked / name).open("wb") as stream:
            Python2Pickler(stream, protocol=2).dump(batch)
    codes = {code.name for code, _, _ in pickletools.genops((unpacked / "test_batch").read_bytes())}
    assert {"SHORT_BINSTRING", "BINSTRING"} <= codes
    assert not codes & {"BINUNICODE", "SHORT_BINBYTES"}
    assert b"numpy.core.multiarray\n_reconstruct" in (unpacked / "test_batch").read_bytes()
    check_batches(unpacked.parent)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_archive_is_named(archive: Path, share: float) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"{re.escape(str(archive))} is damaged.*Remove it"):
        read_batches(archive.parent, [*cifar10.TRAINING, "test_batch"])


def test_an_archive_without_a_batch_is_named_with_that(archive: Path) -> None:
    write_archive(archive, {"data_batch_1": small_batches()["data_batch_1"]})
    with pytest.raises(
        ValueError, match=rf"{re.escape(str(archive))} is damaged: it has no data_batch_2, data_batch_3"
    ):
        read_batches(archive.parent, cifar10.TRAINING[:3])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.99])
def test_a_truncated_batch_is_named(unpacked: Path, share: float) -> None:
    file = unpacked / "data_batch_2"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))} is no batch of CIFAR-10, or damaged"):
        read_batches(unpacked.parent, cifar10.TRAINING)


@pytest.mark.parametrize(
    "content",
    [
        {},
        5,
        {b"labels": [1, 2]},
        {b"labels": [1, 2], b"data": np.zeros((1, 3072), np.uint8)},
        {b"labels": 1, b"data": 1},
    ],
    ids=repr,
)
def test_another_pickle_in_place_of_a_batch_is_named(unpacked: Path, content: Any) -> None:
    (unpacked / "data_batch_1").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match=re.escape(str(unpacked / "data_batch_1"))):
        read_batches(unpacked.parent, cifar10.TRAINING)


class Program:
    """Would run when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("it-ran",)


def test_a_batch_that_would_run_something_is_refused(
    unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (unpacked / "data_batch_1").write_bytes(pickle.dumps({b"data": Program(), b"labels": []}, protocol=2))
    with pytest.raises(ValueError, match=r"data_batch_1 is no batch.*it asks for \w+\.mkdir"):
        read_batches(unpacked.parent, cifar10.TRAINING)
    assert not (tmp_path / "it-ran").exists()


def test_cifar10_is_split_into_parts_of_the_right_shapes(tmp_path: Path) -> None:
    cifar10.write_small_files(tmp_path, 20)
    assert {name: len(part) for name, part in cifar10.read_parts(tmp_path).items()} == {
        "train": 80,
        "val": 20,
        "test": 20,
    }
    images, labels = next(iter(cifar10.Images(16, tmp_path).train_dataloader()))
    assert (images.shape, images.dtype, labels.shape) == ((16, 3, 32, 32), torch.uint8, (16,))


def test_the_widths_are_powers_of_two_from_4_to_256_and_each_network_gives_ten_logits() -> None:
    assert cifar10.LIMITS["l1"] == cifar10.LIMITS["l2"] == tuple(2**power for power in range(2, 9))
    for l1, l2 in ((4, 256), (256, 4)):
        network = cifar10.Network(l1, l2).network
        assert [layer.out_features for layer in network if isinstance(layer, nn.Linear)] == [l1, l2, 10]
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


# Downloads, from files of this machine.


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "source").write_bytes(b"hello")
    return (tmp_path / "source").as_uri()


def test_a_download_makes_its_folder_and_nothing_but_the_file_and_its_lock(tmp_path: Path, source: str) -> None:
    download(tmp_path / "data" / "file", source, MD5)
    assert (tmp_path / "data" / "file").read_bytes() == b"hello"
    assert {file.name for file in (tmp_path / "data").iterdir()} == {"file", "file.lock"}


def test_a_file_that_is_there_is_not_downloaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    download(tmp_path / "file", "file:///no/file", MD5)
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize(("url", "problem"), [("file:///no/file", "No such file"), (None, "its MD5 checksum is 5d4")])
def test_what_cannot_be_downloaded_is_named_and_nothing_of_it_stays(
    tmp_path: Path, source: str, url: str | None, problem: str
) -> None:
    file = tmp_path / "data" / "file"
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))} cannot be downloaded from file:.*{problem}.*--data"):
        download(file, url or source, "0" * 32)
    assert {each.name for each in file.parent.iterdir()} == {"file.lock"}


def test_while_one_downloads_the_others_wait(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, real = [], urllib.request.urlopen

    def slow(url: str, **options: Any) -> Any:
        opened.append(url)
        time.sleep(0.3)
        return real(url, **options)

    monkeypatch.setattr(urllib.request, "urlopen", slow)
    threads = [threading.Thread(target=download, args=(tmp_path / "file", source, MD5)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert opened == [source]
    assert (tmp_path / "file").read_bytes() == b"hello"


def test_where_files_cannot_be_locked_each_downloads_for_itself(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    download(tmp_path / "file", source, MD5)
    assert (tmp_path / "file").read_bytes() == b"hello"


def test_who_dies_while_downloading_holds_nobody_up(tmp_path: Path, source: str, launcher: Launcher) -> None:
    hanging = (
        "import sys, time, urllib.request; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from datafiles.download import download\n"
        "urllib.request.urlopen = lambda *a, **k: (Path('hangs').touch(), time.sleep(60))\n"
        "download(Path('file'), 'file:///x', '')"
    )
    process = launcher.start("python", "-c", hanging, TUTORIALS)
    wait_until((tmp_path / "hangs").exists)
    waiting = threading.Thread(target=download, args=(tmp_path / "file", source, MD5))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    process.kill()
    waiting.join(10)
    assert (tmp_path / "file").read_bytes() == b"hello"


# Each of them as a user starts it.


def check_ended(ended: Ended) -> str:
    assert ended.status == 0, f"{ended.out}\n{ended.err}"
    return ended.out


def row(out: str, name: str) -> list[str]:
    """What the table of the best candidates shows in one line."""
    (found,) = re.findall(rf"^ {name} +(.*)$", out, re.M)
    return re.split(r"\s{2,}", found.strip())


def check_end(script: str, ranks: int, out: str) -> None:
    """A tutorial shows the ranks together, its table, and what became of the best candidate."""
    assert re.search(rf"ranks 0 on .*, {ranks - 1} on " if ranks > 1 else r"rank 0 on ", out), out
    assert row(out, "individual")
    told = "of " if script == "from_propulate.py" else "candidate, .* on the test set, from its saved weights: "
    assert len(re.findall(f"^the best {told}", out, re.M)) == 1, out  # One rank tells.


@pytest.mark.mpi
@pytest.mark.slow
def test_mnist_prints_its_table_and_the_test_of_the_best(mpirun: Callable[..., Ended], tmp_path: Path) -> None:
    run = tmp_path / "run"
    out = check_ended(mpirun(1, TUTORIALS / "mnist.py", "--smoke-test", "--run-dir", run, **NO_NETWORK))
    check_end("mnist.py", 1, out)
    assert len(row(out, "individual")) == len(row(out, "conv_layers")) == len(row(out, "activation")) == 2
    summary = json.loads((run / "summary.json").read_text())
    assert summary["completed"] == summary["evaluations"] == 2
    assert summary["best"]["loss"] == -summary["best"]["metrics"]["val_acc"]
    assert set(summary["test"]) == {"test_loss", "test_acc"}
    assert f"on the test set, from its saved weights: test_loss {summary['test']['test_loss']:.4g}" in out
    assert len(list((run / "individuals").glob("*/events.out.tfevents*"))) == 2
    assert {file.name for file in tmp_path.iterdir()} == {"run"}


@pytest.mark.mpi
@pytest.mark.slow
def test_cifar10_prints_all_candidates_and_the_test_of_the_best(mpirun: Callable[..., Ended], tmp_path: Path) -> None:
    run = tmp_path / "run"
    out = check_ended(mpirun(2, TUTORIALS / "cifar10.py", "--smoke-test", "--run-dir", run, **NO_NETWORK))
    check_end("cifar10.py", 2, out)
    lines = out.partition("\nAll candidates\n\n")[2].partition("\n\n")[0].splitlines()
    heads = ["name", "status", "place", "l1", "l2", "lr", "batch_size", "loss", "accuracy", "epochs"]
    assert re.split(r"\s{2,}", lines[0]) == heads
    candidates = [dict(zip(heads, re.split(r"\s{2,}", line), strict=True)) for line in lines[1:]]
    summary = json.loads((run / "summary.json").read_text())
    assert len(candidates) == summary["evaluations"] >= 6
    assert sum(candidate["status"] == "pruned" for candidate in candidates) == summary["pruned"] > 0
    assert {candidate["epochs"] for candidate in candidates if candidate["status"] == "pruned"} == {"1"}
    best = min((one for one in candidates if one["status"] == "completed"), key=lambda one: float(one["loss"]))
    assert best["name"] == "{}-{}".format(*summary["best"]["individual"])
    assert float(best["loss"]) == pytest.approx(summary["best"]["loss"], rel=1e-3)
    assert re.search(r"^best configuration: \{'l1': \d+, 'l2': \d+, 'lr': [\d.e-]+, 'batch_size': \d+\}$", out, re.M)
    assert f"accuracy on the test set, from its saved weights: {summary['test']['test_acc']}" in out
    assert (run / "individuals" / best["name"] / "best.ckpt").is_file()
    assert {file.name for file in tmp_path.iterdir()} == {"run"}


@pytest.mark.mpi
@pytest.mark.slow
def test_population_based_training_draws_the_schedule_of_the_best(mpirun: Callable[..., Ended], tmp_path: Path) -> None:
    run = tmp_path / "run"
    out = check_ended(mpirun(2, TUTORIALS / "pbt.py", "--smoke-test", "--run-dir", run, **NO_NETWORK))
    check_end("pbt.py", 2, out)
    study = evo.load(run)
    assert len(study.individuals) == 12
    assert {one.status for one in study.individuals} == {"completed"}
    lineage = study.lineage()
    assert [(segment.begin, segment.until) for segment in lineage] == [(n, n + 1) for n in range(len(lineage))]
    assert len({one.params["lr"] for one in study.individuals}) >= 4
    assert (run / "schedule.png").read_bytes().startswith(b"\x89PNG")
    assert set(study.test) == {"test_loss", "test_acc"}
    assert {file.name for file in tmp_path.iterdir()} == {"run"}


@pytest.mark.mpi
@pytest.mark.parametrize("islands", [[], ["--islands"]], ids=["one", "two"])
def test_the_script_from_propulate_prints_its_table_and_the_best(
    mpirun: Callable[..., Ended], launcher: Launcher, islands: list[str]
) -> None:
    out = check_ended(mpirun(2, TUTORIALS / "from_propulate.py", "--smoke-test", *islands))
    check_end("from_propulate.py", 2, out)
    losses = [float(loss) for loss in row(out, "loss")]
    assert len(losses) == 5
    assert losses == sorted(losses)
    (said,) = re.findall(r"^the best of 40: loss (\S+) at \{'x': ", out, re.M)  # One rank, for both.
    assert float(said) == pytest.approx(losses[0], rel=0.01)
    assert ("copies travel" in out) == bool(islands)
    assert not list(launcher.folder.iterdir())


@pytest.mark.parametrize(("name", "data"), [("mnist", mnist), ("cifar10", cifar10), ("pbt", mnist)])
def test_a_study_file_works_as_it_is_with_the_data_in_its_place(
    name: str, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tutorials").symlink_to(TUTORIALS)
    (tmp_path / data.FOLDER).mkdir(parents=True)
    data.write_small_files(tmp_path / data.FOLDER)
    # In this process, which has loaded torch already. That children train them: above.
    out = check_ended(call("run", f"tutorials/{name}.yaml", "--evaluations", "1", "--evaluate", "inline"))
    assert "on the test set, from its saved weights: " in out
    assert (tmp_path / "runs" / f"{name}-study" / "summary.json").is_file()


def test_damaged_data_is_one_message_before_anything_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mnist.write_small_files(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:5000])
    monkeypatch.setattr(sys, "argv", ["mnist.py", "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        mnist.main()
    assert ended.value.code == 2
    assert f"mnist.py: error: {file} is damaged: " in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def job_ending(slurm: Slurm) -> Iterator[None]:
    yield
    slurm.end_jobs()


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.root
@pytest.mark.usefixtures("job_ending")
def test_a_tutorial_runs_in_a_slurm_job(slurm: Slurm, launcher: Launcher, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    command = f"srun --mpi=pmix --cpus-per-task=1 {sys.executable} {TUTORIALS}/from_propulate.py --smoke-test"
    script.write_text(f"#!/bin/bash\n{command} 2>&1\n")
    job = slurm.submit(launcher, "--ntasks=2", "--nodes=1", "--output=out", script, **NO_NETWORK)
    status = slurm.wait(job, 200)
    out = (tmp_path / "out").read_text()
    assert status == 0, out
    check_end("from_propulate.py", 2, out)
