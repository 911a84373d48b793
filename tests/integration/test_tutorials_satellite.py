"""The tutorial on satellite images: files as GDAL writes them, whole and damaged, read once for many trainings."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datafiles.eurosat as eurosat
import lightning as L
import numpy as np
import pytest
import safetensors.torch
import satellite
import tifffile
import timm
import torch
from datafiles.eurosat import ARCHIVE, CLASSES, INSIDE, PACKED, prepare, read_image, read_packed, write_small_files
from helpers import Ended, call
from torch import nn

TUTORIALS = Path(satellite.__file__).parent
SMALL = "test_efficientnet"
NO_NETWORK = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}

# A place on the earth, as in a GeoTIFF: the size of a pixel, and where the first one is.
PLACE = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 5e6, 0.0), True)]


@pytest.fixture
def image() -> Any:
    return np.random.default_rng(0).integers(0, 65536, (64, 64, 13)).astype(np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of each class."""
    write_small_files(tmp_path / "data", 2)
    return tmp_path / "data"


# Images.


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"extratags": PLACE},
        {"rowsperstrip": 9},
        {"tile": (32, 32)},
        {"planarconfig": "separate"},
        {"byteorder": ">"},
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "deflate", "planarconfig": "separate"},
    ],
    ids=str,
)
def test_an_image_is_read_however_its_file_has_it(tmp_path: Path, image: Any, layout: dict[str, Any]) -> None:
    bands_last = layout.get("planarconfig") != "separate"
    options = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None} | layout
    tifffile.imwrite(tmp_path / "image.tif", image if bands_last else np.moveaxis(image, -1, 0), **options)
    assert np.array_equal(read_image(tmp_path / "image.tif"), image)


def test_an_image_that_was_written_has_nothing_but_its_numbers_and_a_header(tmp_path: Path, image: Any) -> None:
    eurosat.write_image(tmp_path / "image.tif", image)
    assert np.array_equal(read_image(tmp_path / "image.tif"), image)
    assert 0 < (tmp_path / "image.tif").stat().st_size - image.nbytes < 1000


@pytest.mark.parametrize("kept", [0, 1, 4, 8, 9, 100, 300, 5000, 50_000, -1])
def test_a_truncated_image_is_named(tmp_path: Path, image: Any, kept: int) -> None:
    file = tmp_path / "image.tif"
    eurosat.write_image(file, image)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"{file} is no image of EuroSAT, or damaged: .*Bring the file again"):
        read_image(file)


def test_an_image_with_damaged_bytes_is_named_or_has_other_numbers_and_nothing_else_happens(
    tmp_path: Path, image: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file, rng, named = tmp_path / "image.tif", np.random.default_rng(0), 0
    eurosat.write_image(file, image)
    content = file.read_bytes()
    for _ in range(30):
        damaged = bytearray(content)
        for place in rng.integers(0, 300, 3):
            damaged[place] = rng.integers(256)
        file.write_bytes(damaged)
        try:
            assert read_image(file).shape == (64, 64, 13)
        except ValueError as error:
            assert str(error).startswith(f"{file} is no image of EuroSAT, or damaged: ")  # noqa: PT017
            named += 1
    assert named > 5
    assert not caplog.records


@pytest.mark.parametrize(
    "array",
    [np.zeros((64, 64, 3), np.uint16), np.zeros((32, 32, 13), np.uint16), np.zeros((64, 64, 13), np.uint8)],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_another_image_is_named_with_what_it_has(tmp_path: Path, array: Any) -> None:
    eurosat.write_image(tmp_path / "image.tif", array)
    with pytest.raises(ValueError, match=rf"image.tif is no image.*{array.dtype}, not \(64, 64, 13\) of uint16"):
        read_image(tmp_path / "image.tif")


# All of them in one file.


def test_packed_images_have_red_green_and_blue_and_their_label(folder: Path) -> None:
    prepare(folder)
    images, labels = read_packed(folder)
    assert labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert (images.shape, images.dtype) == ((20, 64, 64, 3), torch.int16)
    first = read_image(folder / "Forest" / "Forest_1.tif")
    assert np.array_equal(images[2].numpy(), np.stack([first[:, :, 3], first[:, :, 2], first[:, :, 1]], -1))


def test_the_archive_and_what_it_unpacks_to_are_read_like_the_class_folders(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / ARCHIVE, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*.tif"):
            archive.write(file, f"{INSIDE}/{file.relative_to(folder)}")
    shutil.copytree(folder, tmp_path / "unpacked" / INSIDE)
    read = []
    for each in (folder, tmp_path, tmp_path / "unpacked"):
        prepare(each)
        read.append(read_packed(each))
    for images, labels in read[1:]:
        assert torch.equal(images, read[0][0])
        assert torch.equal(labels, read[0][1])


def test_what_the_network_sees_is_a_4000th_clipped_to_one(folder: Path) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (64, 64, 13)).astype(np.uint16)
    image[0, :4, 1:4] = [[0] * 3, [1, 3999, 4000], [4001, 32767, 32768], [65535] * 3]
    eurosat.write_image(folder / "AnnualCrop" / "AnnualCrop_1.tif", image)
    prepare(folder)
    network = satellite.Network(0.0, 0.0, 0.0, backbone=SMALL)
    network.network = nn.Identity()
    seen = network(read_packed(folder)[0][:1])[0]
    expected = np.clip(image[:, :, [3, 2, 1]].astype(np.float32) / np.float32(4000), 0, 1)
    assert np.array_equal(seen.permute(1, 2, 0).numpy(), expected)


def test_images_are_read_once_however_many_ask_at_the_same_time_and_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, real = [], eurosat.read_image
    monkeypatch.setattr(eurosat, "read_image", lambda file: (read.append(file), real(file))[1])
    threads = [threading.Thread(target=satellite.Images(8, folder).prepare_data) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(read) == len(set(read)) == 20
    for name in CLASSES:
        shutil.rmtree(folder / name)  # A training does without them.
    satellite.Images(8, folder).prepare_data()
    assert len(read) == 20
    assert {file.name for file in folder.iterdir()} == {PACKED, f"{PACKED}.lock"}


def test_a_class_without_images_is_named_and_nothing_is_packed(folder: Path) -> None:
    shutil.rmtree(folder / "River")
    with pytest.raises(ValueError, match=r"River has no images \(\*\.tif\)"):
        prepare(folder)
    assert not [file for file in folder.iterdir() if file.suffix in (".part", ".pt")]


def test_a_damaged_image_in_the_archive_is_named(tmp_path: Path, folder: Path) -> None:
    with zipfile.ZipFile(tmp_path / ARCHIVE, "w") as archive:
        for file in folder.rglob("*.tif"):
            archive.write(file, f"{INSIDE}/{file.relative_to(folder)}")
    content = bytearray((tmp_path / ARCHIVE).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / ARCHIVE).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{ARCHIVE}/{INSIDE}/\w+/\w+.tif is no image.*: Bad CRC-32"):
        prepare(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("name", [ARCHIVE, PACKED])
def test_a_truncated_archive_or_packed_file_is_named(tmp_path: Path, folder: Path, name: str, share: float) -> None:
    prepare(folder)
    shutil.make_archive(str(tmp_path / Path(ARCHIVE).stem), "zip", folder)
    shutil.copy(folder / PACKED, tmp_path)
    (tmp_path / (PACKED if name == ARCHIVE else ARCHIVE)).unlink()
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"{tmp_path / name} is damaged: .*\. Remove it, and it is"):
        prepare(tmp_path)


# Training.


def test_images_are_split_once_and_for_all_with_nothing_in_two_parts(folder: Path) -> None:
    seen = []
    for batch_size in (4, 16):
        data = satellite.Images(batch_size, folder)
        data.prepare_data()
        data.setup("fit")
        seen.append([list(part.indices) for part in (data.train, data.val, data.test)])
    assert seen[0] == seen[1]
    assert list(map(len, seen[0])) == [16, 2, 2]
    assert sorted(place for part in seen[0] for place in part) == list(range(20))
    images, labels = next(iter(data.train_dataloader()))
    assert (images.shape, labels.shape) == ((16, 64, 64, 3), (16,))


def test_the_network_gives_a_logit_for_each_class() -> None:
    network = satellite.Network(1e-3, 1e-2, 0.25).eval()
    assert network(torch.zeros(2, 64, 64, 3, dtype=torch.int16)).shape == (2, 10)
    assert type(network.network) is timm.models.efficientnet.EfficientNet
    assert network.network.drop_rate == 0.25


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_network_begins_with_given_weights_but_for_its_last_layer(tmp_path: Path, name: str) -> None:
    given = timm.create_model(SMALL, num_classes=1000).state_dict()
    save = safetensors.torch.save_file if name.endswith("safetensors") else torch.save
    save(given, tmp_path / name)
    found = satellite.Network(0.0, 0.0, 0.0, SMALL, str(tmp_path / name)).network.state_dict()
    assert [key for key in given if not torch.equal(given[key], found[key])] == ["classifier.weight", "classifier.bias"]


def test_a_network_learns_to_tell_the_classes_in_16_bits(tmp_path: Path) -> None:
    write_small_files(tmp_path, 20)
    data, quiet = satellite.Images(16, tmp_path), {"enable_progress_bar": False, "enable_model_summary": False}
    L.seed_everything(0, verbose=False)
    network = satellite.Network(3e-3, 1e-2, 0.0, SMALL)
    trainer = L.Trainer(max_epochs=6, default_root_dir=tmp_path, logger=False, **quiet, **satellite.TRAINER)
    trainer.fit(network, data)
    assert trainer.test(network, data, verbose=False)[0]["test_acc"] > 0.7


# As a user starts it.


@pytest.mark.parametrize(
    ("options", "damage", "problem"),
    [
        (
            [],
            "Forest/Forest_2.tif",
            r"data/Forest/Forest_2\.tif is no image of EuroSAT, or damaged: .*\. Bring the file again\.",
        ),
        (["--weights", "absent.pt"], None, "absent.pt has no weights of efficientnet_b0: FileNotFoundError"),
    ],
)
def test_what_is_wrong_is_one_message_before_anything_is_searched(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    damage: str | None,
    problem: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if damage:
        (folder / damage).write_bytes(b"<html>not found</html>")
    monkeypatch.setattr(sys, "argv", ["satellite.py", "--data", "data", *options])
    with pytest.raises(SystemExit) as ended:
        satellite.main()
    assert ended.value.code == 2
    told = capsys.readouterr().err.partition("satellite.py: error: ")[2]
    assert re.fullmatch(problem, told.strip())
    assert not (tmp_path / "runs").exists()


def test_without_timm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    spec = importlib.util.spec_from_file_location("without_timm", TUTORIALS / "satellite.py")
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(SystemExit, match=r"timm.*pip install 'evo-mpi\[tutorials\]'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.mpi
@pytest.mark.slow
def test_two_ranks_train_together_and_each_training_has_its_profile(
    mpirun: Callable[..., Ended], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [TUTORIALS / "satellite.py", "--smoke-test", "--ranks-per-worker", "2", "--profile", "--run-dir", run]
    ended = mpirun(2, *command, timeout=180, **NO_NETWORK)
    assert ended.status == 0, f"{ended.out}\n{ended.err}"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["completed"] == summary["evaluations"] == 4
    assert summary["best"]["loss"] == summary["best"]["metrics"]["val_loss"]
    assert set(summary["test"]) == {"test_loss", "test_acc"}
    assert {"loading", "forward", "backward", "optimizer", "validation", "checkpoints"} <= set(summary["times"])
    assert "where the time went: loading " in ended.out
    assert re.search(r"^ individual +\d-\d", ended.out, re.M)
    assert ended.out.count("\nthe best candidate, ") == 1  # One rank tells.
    assert {file.name for file in tmp_path.iterdir()} == {"run"}
    assert f"test set, from its saved weights: test_loss {summary['test']['test_loss']:.4g}" in ended.out
    profiles = [file.read_text() for file in run.glob("individuals/*/fit-profile*.txt")]
    assert len(profiles) >= 4
    assert all("DDPStrategy.training_step" in profile for profile in profiles)


def test_the_study_file_works_with_the_data_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tutorials").symlink_to(TUTORIALS)
    write_small_files(tmp_path / "data" / "eurosat", 3)
    (tmp_path / "tiny.py").write_text(
        "import sys; sys.path.insert(0, 'tutorials')\n"
        "from dataclasses import replace\nfrom functools import partial\n\nimport evo\nimport satellite\n\n"
        f"model = partial(satellite.Network, backbone={SMALL!r})\n"
        "objective = replace(satellite.objective, model=model, max_epochs=1)\n"
    )
    # In this process, which has loaded torch already. That children train it: above.
    search = ["--objective", "tiny.py:objective", "--evaluations", "1", "--evaluate", "inline"]
    ended = call("run", "tutorials/satellite.yaml", *search)
    assert ended.status == 0, f"{ended.out}\n{ended.err}"
    assert "on the test set, from its saved weights: " in ended.out
    assert (tmp_path / "runs" / "satellite-study" / "summary.json").is_file()
