"""The tutorial with images in class folders: its files, whole and damaged, its networks, and its runs under mpirun."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import images
import lightning as L
import numpy as np
import pytest
import torch
from datafiles.folders import read_folders, write_small_folders
from helpers import Ended, Launcher, run_once
from PIL import Image
from ranks import start_ranks
from torch import nn

from evo.space.limits import describe_limits, parse_limits
from evo.study.arguments import parse_arguments
from evo.study.files import load_limits

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tutorials" / "images.py"
NO_NETWORK = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}


# Class folders.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, of three images each of 8 pixels on each side, but for one that is wider."""
    write_small_folders(tmp_path / "images", ["fjord", "dune"], count=3, size=8)
    return tmp_path / "images"


def test_images_are_read_class_by_class_in_the_order_of_the_list(folder: Path) -> None:
    pictures, labels = read_folders(folder, ["dune", "fjord"], 8).tensors
    assert (pictures.shape, pictures.dtype) == ((6, 3, 8, 8), torch.uint8)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    with Image.open(folder / "dune" / "2.jpg") as image:
        assert np.array_equal(pictures[2].permute(1, 2, 0), np.asarray(image))


def test_an_image_of_another_size_is_resized_as_a_whole(folder: Path) -> None:
    pixels = np.zeros((16, 40, 3), np.uint8)
    pixels[:, 20:] = 255  # The right half is white.
    Image.fromarray(pixels).save(folder / "dune" / "0.png")
    picture = read_folders(folder, ["dune"], 8).tensors[0][1].float()  # After 0.jpg.
    assert (picture[:, :, :3] < 30).all()
    assert (picture[:, :, 5:] > 225).all()


def test_grey_and_transparent_images_become_red_green_and_blue_and_hidden_files_are_passed_over(folder: Path) -> None:
    for file in (folder / "dune").iterdir():
        file.unlink()
    Image.new("L", (8, 8), 100).save(folder / "dune" / "grey.png")
    Image.new("RGBA", (8, 8), (1, 2, 3, 255)).save(folder / "dune" / "transparent.png")
    (folder / "dune" / ".DS_Store").write_bytes(b"x")
    pictures, _ = read_folders(folder, ["dune"], 8).tensors
    assert pictures[:, :, 0, 0].tolist() == [[100, 100, 100], [1, 2, 3]]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_truncated_image_is_named(folder: Path, kind: str, share: float) -> None:
    file = folder / "dune" / f"9.{kind}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))} is no image, or damaged: .*Remove it, or bring"):
        read_folders(folder, ["fjord", "dune"], 8)


@pytest.mark.parametrize("make", [lambda file: file.write_text("<html>not found</html>"), Path.mkdir])
def test_what_is_no_image_is_named(folder: Path, make: Callable[[Path], Any]) -> None:
    file = folder / "dune" / "sand.jpg"
    make(file)
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))} is no image, or damaged"):
        read_folders(folder, ["fjord", "dune"], 8)


def test_classes_that_are_absent_or_empty_are_named(folder: Path) -> None:
    (folder / "marsh").mkdir()
    with pytest.raises(ValueError, match=rf"{re.escape(str(folder))} has no images of the class reef, marsh\."):
        read_folders(folder, ["dune", "reef", "marsh"], 8)


# Data module.


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    for place, count in ((images.TRAIN, 10), (images.TEST, 2)):
        write_small_folders(data / place, images.CLASSES, count, size=16)
    return data


class Watcher(L.LightningModule):
    """Notes which of the images that it gets are those of the folder, and which are mirrored."""

    def __init__(self, known: torch.Tensor) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.known = {picture.numpy().tobytes() for picture in known}
        self.seen: dict[str, list[bool]] = {"train": [], "val": [], "test": []}

    def note(self, part: str, pictures: torch.Tensor) -> None:
        for picture in pictures:
            as_it_is, mirrored = (one.numpy().tobytes() in self.known for one in (picture, picture.flip(2)))
            assert as_it_is != mirrored
            self.seen[part].append(mirrored)

    def training_step(self, batch: Any, batch_index: int) -> None:
        self.note("train", batch[0])

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.note("val", batch[0])

    def test_step(self, batch: Any, batch_index: int) -> None:
        self.note("test", batch[0])

    def configure_optimizers(self) -> None:
        return None


def test_images_are_mirrored_in_training_only(data_folder: Path) -> None:
    data = images.Images(data_folder, 16)
    known = [read_folders(data_folder / place, images.CLASSES, 16).tensors[0] for place in (images.TRAIN, images.TEST)]
    watcher = Watcher(torch.cat(known))
    trainer = L.Trainer(max_epochs=2, accelerator="cpu", logger=False, barebones=True, num_sanity_val_steps=0)
    torch.manual_seed(0)
    trainer.fit(watcher, data)
    trainer.test(watcher, data, verbose=False)
    assert {part: len(seen) for part, seen in watcher.seen.items()} == {"train": 96, "val": 24, "test": 12}
    assert 0.3 < np.mean(watcher.seen["train"]) < 0.7
    assert not any(watcher.seen["val"] + watcher.seen["test"])


def test_four_fifths_are_trained_on_always_the_same_and_the_test_images_stay_untouched(
    data_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(data_folder / images.TRAIN, tmp_path / images.TRAIN)  # There are no test images.
    first, second = images.Images(tmp_path, 16), images.Images(tmp_path, 16)
    for data in (first, second):
        data.setup("fit")
    assert (len(first.train), len(first.val)) == (48, 12)
    assert sorted([*first.train.indices, *first.val.indices]) == list(range(60))
    assert first.train.indices == second.train.indices
    with pytest.raises(ValueError, match="seg_test has no images"):
        first.setup("test")


# Networks.


def extreme(last: bool) -> dict[str, Any]:
    """All parameters at one end of their limits."""
    limits = parse_limits(images.LIMITS)
    return {
        name: limit.values[-1 if last else 0] if hasattr(limit, "values") else (limit.high if last else limit.low)
        for name, limit in limits.items()
    }


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("stages", [2, 3, 4])
def test_networks_at_the_ends_of_the_limits_have_their_stages_and_score_each_class(stages: int, last: bool) -> None:
    network = images.Network(**extreme(last) | {"stages": stages})
    blocks = [layer for layer in network.network if isinstance(layer, images.Block)]
    assert len(blocks) == stages
    channels, kernel, activation = (128, 7, nn.SiLU) if last else (32, 3, nn.ReLU)
    for block in blocks:
        first, second = (layer for layer in block.convolutions if isinstance(layer, nn.Conv2d))
        assert (first.out_channels, second.out_channels) == (channels, channels)
        assert first.kernel_size == second.kernel_size == (kernel, kernel)
        assert isinstance(block.activation, activation)
        assert sum(isinstance(layer, nn.BatchNorm2d) for layer in block.modules()) == 2 * last
        assert (block.shortcut is not None) == last
    pooling = nn.AvgPool2d if last else nn.MaxPool2d
    assert sum(isinstance(layer, pooling) for layer in network.network) == stages
    assert network.network(torch.zeros(2, 3, 16, 16)).shape == (2, 6, 16 // 2**stages, 16 // 2**stages)


def test_each_stage_has_choices_of_its_own() -> None:
    network = images.Network(stages=2, channels1=64, channels2=128, kernel2=5, block2="residual", pooling1="AvgPool2d")
    first, halved, second, also_halved, scores = network.network
    assert [first.convolutions[0].out_channels, second.convolutions[0].in_channels, scores.in_channels] == [64, 64, 128]
    assert (first.shortcut, second.shortcut.out_channels, second.convolutions[0].kernel_size) == (None, 128, (5, 5))
    assert (type(halved), type(also_halved)) == (nn.AvgPool2d, nn.MaxPool2d)


def test_a_residual_block_adds_what_came_in() -> None:
    block = images.Block(3, "residual", 32, 3, "ReLU", norm=False)
    for layer in block.convolutions:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    pictures = torch.rand(2, 3, 8, 8)
    assert torch.equal(block(pictures), block.shortcut(pictures).relu())


def test_the_baseline_is_plain_and_fully_convolutional_and_takes_images_of_150_pixels() -> None:
    network = images.Network(**images.BASELINE)
    kinds = {type(layer) for layer in network.network.modules() if not list(layer.children())}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.Identity, nn.MaxPool2d}
    assert network.network(torch.zeros(1, 3, 150, 150)).shape == (1, 6, 18, 18)
    assert (images.objective.max_epochs, network.lr) == (20, 1e-4)


def test_stages_that_a_network_does_not_have_are_not_searched() -> None:
    described = describe_limits(parse_limits(images.LIMITS))
    assert {name: each.get("when") for name, each in described.items() if name.startswith("block")} == {
        "block1": None,
        "block2": None,
        "block3": {"stages": [3, 4]},
        "block4": {"stages": [4]},
    }


def test_the_study_file_searches_what_the_script_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    objective, config, *_ = parse_arguments(["tutorials/images.yaml"], "evo run")
    assert objective == "tutorials/images.py:objective"
    assert config.limits is not None
    assert describe_limits(parse_limits(load_limits(config.limits))) == describe_limits(parse_limits(images.LIMITS))
    assert (config.evaluations, config.pruning) == (60, "median")
    images.objective.check(images.LIMITS)


# As a user starts it.


def test_missing_data_is_one_message_before_anything_is_searched(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(data_folder, tmp_path / "own")
    shutil.rmtree(tmp_path / "own" / images.TEST / "glacier")
    monkeypatch.setattr(sys, "argv", ["images.py", "--data", "own"])
    with pytest.raises(SystemExit) as ended:
        images.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"images.py: error: own/{images.TEST} has no images of the class glacier. kaggle.com has" in said
    assert "unpack it in data/images, or name its folder with --data." in said
    assert {file.name for file in tmp_path.iterdir()} == {"own"}


@pytest.fixture(scope="module")
def smoke_test(tmp_path_factory: pytest.TempPathFactory, mpirun_command: str) -> SimpleNamespace:
    """The smoke test on one rank: `out`, what it printed, and `run`, its run directory."""

    def run(launcher: Launcher) -> Ended:
        options = ["--smoke-test", "--run-dir", "run"]
        return launcher.finish(start_ranks(launcher, mpirun_command, 1, SCRIPT, *options, **NO_NETWORK), 200)

    once = run_once(tmp_path_factory, "images", run)
    ended, folder = once.ended, once.folder
    assert ended.status == 0, f"{ended.out}\n{ended.err}"
    assert {file.name for file in folder.iterdir()} == {"run"}
    return SimpleNamespace(out=ended.out, run=folder / "run")


@pytest.mark.mpi
@pytest.mark.slow
def test_the_smoke_test_ends_with_its_table_and_the_baseline_beside_the_best(smoke_test: SimpleNamespace) -> None:
    summary = json.loads((smoke_test.run / "summary.json").read_text())
    tested = json.loads((smoke_test.run / "test" / "test.json").read_text())
    assert summary["completed"] == summary["evaluations"] == 2
    assert re.search(r"^ stages +\d", smoke_test.out, re.M)
    table, _, comparison = smoke_test.out.partition("training the baseline in run/baseline\n")
    assert "The best candidates" in table
    assert len(re.findall("^the best candidate, .* on the test set, from its saved weights: ", table, re.M)) == 1
    name = "{}-{}".format(*summary["best"]["individual"])
    assert re.search(rf"^ +baseline  best, {name}$", comparison, re.M)
    baseline, best = tested["baseline"]["test"]["test_acc"], tested["test"]["test_acc"]
    assert re.search(rf"^test_acc +{baseline:.4g} +{best:.4g}$", comparison, re.M)
    assert best == summary["test"]["test_acc"]
    assert tested["baseline"]["params"] == images.BASELINE
    assert (smoke_test.run / "individuals" / name / "best.ckpt").is_file()
    assert (smoke_test.run / "baseline" / "best.ckpt").is_file()


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.parametrize("place", ["test", "baseline"])
def test_both_have_a_confusion_matrix_with_the_names_of_the_classes(smoke_test: SimpleNamespace, place: str) -> None:
    assert (smoke_test.run / place / "confusion.png").read_bytes().startswith(b"\x89PNG")
    with (smoke_test.run / place / "confusion.csv").open() as file:
        header, *rows = list(csv.reader(file))
    assert header[1:] == [row[0] for row in rows] == list(images.CLASSES)
    counts = np.array([row[1:] for row in rows], int)
    assert counts.sum(axis=1).tolist() == [8] * 6
    tested = json.loads((smoke_test.run / "test" / "test.json").read_text())
    metrics = (tested if place == "test" else tested["baseline"])["test"]
    assert counts.trace() / 48 == pytest.approx(metrics["test_acc"])


def test_a_smoke_test_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(objective: Any, limits: Any, run_dir: str, **settings: Any) -> SimpleNamespace:
        (tmp_path / run_dir / "individuals").mkdir(parents=True)
        return SimpleNamespace(is_first=True, best=object(), interrupted=False)

    def compare(run_dir: str, *others: Any, **settings: Any) -> None:
        (tmp_path / run_dir / "test").mkdir()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(images.evo, "minimize", search)
    monkeypatch.setattr(images.evo, "test", compare)
    monkeypatch.setattr(sys, "argv", ["images.py", "--smoke-test"])
    assert images.main() == 0
    assert not list(tmp_path.iterdir())
