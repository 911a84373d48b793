"""Data kept in memory, and a GPU's memory that several trainings share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, final

import lightning as L
import pytest
import torch
from records import assigned
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from evo.errors import UserError
from evo.evaluation import EvaluationSettings, InlineEvaluator
from evo.lightning import LightningObjective
from evo.lightning.accelerators import gpu_module, knows_xpu, usual_accelerator
from evo.lightning.memory import limited_memory
from evo.lightning.stacked import Stacked, keep_stacked
from evo.lightning.state import _generator_states, _set_generators
from evo.study.config import Config
from evo.testing.trials import FakeTrial


class Squares(Dataset[Any]):
    """Counts how often an example is read."""

    def __init__(self, size: int = 50) -> None:
        self.read = 0
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        return {"x": torch.full((2, 3), float(index)), "extra": (index, float(index**2))}


class Data(L.LightningDataModule):
    def __init__(self, batch_size: int = 8, **options: Any) -> None:
        super().__init__()
        self.batch_size, self.options = batch_size, options

    def setup(self, stage: str) -> None:
        self.squares, self.others = Squares(), Squares(20)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.squares, **{"batch_size": self.batch_size, "shuffle": True, **self.options})

    def val_dataloader(self) -> list[DataLoader[Any]]:
        return [DataLoader(self.others, batch_size=7), DataLoader(self.others, batch_size=20)]


def batches(data: L.LightningDataModule, epochs: int = 2) -> list[Any]:
    torch.manual_seed(0)
    loader = data.train_dataloader()
    return [batch for _ in range(epochs) for batch in loader] + [torch.rand(1)]


def flat(batch: Any) -> list[torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        return [batch]
    return [tensor for part in (batch.values() if isinstance(batch, dict) else batch) for tensor in flat(part)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False},
        {"drop_last": True},
        {"num_workers": 2},
        {"generator": torch.Generator().manual_seed(7)},
        {"sampler": [5, 3, 3, 1], "shuffle": False},
        {"batch_sampler": [[1, 2], [30]], "batch_size": 1, "shuffle": False},
    ],
    ids=lambda options: ", ".join(options) or "shuffled",
)
def test_batches_and_their_order_are_the_same_and_each_example_is_read_once(options: dict[str, Any]) -> None:
    plain, kept = Data(**options), Data(**options)
    keep_stacked(kept, "memory")
    found = []
    for data in (plain, kept):
        data.setup("fit")
        if "generator" in options:
            options["generator"].manual_seed(7)
        found.append(batches(data))
    for one, other in zip(*found, strict=True):
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(flat(one), flat(other), strict=True))
    assert [type(batch) for batch in found[0]] == [type(batch) for batch in found[1]]
    batches(kept)
    assert kept.squares.read == (0 if options.get("num_workers") else 50)  # Workers count for themselves.


def test_another_dataset_is_read_anew() -> None:
    data = Data()
    keep_stacked(data, "memory")
    for value in (1.0, 2.0):
        data.squares = TensorDataset(torch.full((8, 1), value))  # type: ignore[assignment]
        assert next(iter(data.train_dataloader()))[0].unique().tolist() == [value]


class Opened(Squares):
    """Its workers open it."""

    files: Any = None

    def __getitem__(self, index: int) -> Any:
        return self.files[index]


def open_in_worker(worker: int) -> None:
    info = torch.utils.data.get_worker_info()
    assert info is not None
    info.dataset.files = list(range(50))


def test_workers_are_initialised_as_the_loader_says() -> None:
    data = Data(num_workers=1, worker_init_fn=open_in_worker, shuffle=False)
    keep_stacked(data, "memory")
    data.squares = Opened()
    assert next(iter(data.train_dataloader())).tolist() == list(range(8))


def test_several_loaders_are_kept_each_and_a_dataset_of_another_length_is_read_anew() -> None:
    data = Data()
    keep_stacked(data, "device")
    data.setup("fit")
    assert [len(next(iter(loader))["x"]) for loader in data.val_dataloader()] == [7, 20]
    data.others.size = 10
    assert [len(next(iter(loader))["x"]) for loader in data.val_dataloader()] == [7, 10]


def test_a_hook_that_the_data_module_does_not_have_is_left_alone() -> None:
    data = Data()
    keep_stacked(data, "memory")
    assert data.test_dataloader.__func__ is L.LightningDataModule.test_dataloader  # type: ignore[attr-defined]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([torch.zeros(1)])


class Ragged(Squares):
    def __getitem__(self, index: int) -> Any:
        return torch.zeros(1 if index < 40 else 2)


class Mixed(Squares):
    def __getitem__(self, index: int) -> Any:
        return 1 if index < 40 else 0.5


class Named(Squares):
    def __getitem__(self, index: int) -> Any:
        return torch.zeros(1), f"example {index}"


class Loader(DataLoader[Any]):
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataLoader(Stream(), batch_size=2), "a dataset without a length"),
        (lambda: DataLoader(Squares(), batch_size=2, collate_fn=lambda examples: examples), "no batches as DataLoader"),
        (lambda: DataLoader(Squares(), batch_size=None), "no batches as DataLoader"),
        (lambda: Loader(Squares(), batch_size=2), "no batches as DataLoader"),
        (lambda: DataLoader(Named(), batch_size=2), "not all tensors or numbers of equal shape and type"),
    ],
)
def test_what_cannot_be_stacked_is_refused(make: Callable[[], DataLoader[Any]], message: str) -> None:
    data = Data()
    data.train_dataloader = make  # type: ignore[method-assign]
    keep_stacked(data, "memory")
    with pytest.raises(ValueError, match=f"keep_data: train_dataloader of the data module has .*{message}"):
        data.train_dataloader()


@pytest.mark.parametrize("dataset", [Ragged, Mixed])
def test_examples_of_different_shapes_or_types_are_refused(
    dataset: type[Squares], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo.lightning.stacked._CHUNK", 40)  # Within one, torch says it.
    data = Data()
    data.train_dataloader = lambda: DataLoader(dataset(), batch_size=2)  # type: ignore[method-assign]
    keep_stacked(data, "memory")
    with pytest.raises(ValueError, match=r"keep_data: train_dataloader .* equal shape and type: leave keep_data out"):
        data.train_dataloader()


class Net(L.LightningModule):
    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.linear, self.lr = torch.nn.Linear(3, 1), lr

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.linear(batch["x"] / 50).square().mean()

    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
        self.log("val_loss", self.linear(batch["x"] / 50).square().mean(), add_dataloader_idx=False)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class OneValidation(Data):
    def val_dataloader(self) -> Any:
        return super().val_dataloader()[0]


def test_trainings_have_the_same_losses_with_data_that_is_kept_and_read_it_once(tmp_path: Path) -> None:
    losses = {}
    for place in (None, "memory", "device"):
        objective = LightningObjective(Net, OneValidation, max_epochs=3, keep_data=place)  # type: ignore[arg-type]
        trials = [FakeTrial(tmp_path / f"{place}-{number}", seed=number) for number in range(2)]
        losses[place] = [objective({"lr": 0.1}, trial) for trial in trials]
        data = objective._kept._data
        assert isinstance(data, OneValidation)
        assert (data.squares.read == 50) == (place is not None)
    assert losses[None] == losses["memory"] == losses["device"]
    assert losses[None][0] != losses[None][1]


def test_examples_go_to_the_device_only_where_they_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved: list[str] = []

    class Trainer:
        class strategy:
            root_device = torch.device("cuda:0")

    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: moved.append(str(device)) or tensor)
    rows = TensorDataset(torch.zeros(100, 10))  # 4000 bytes.
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 1000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 500)
    for free, whole, share in ((7500, 10**6, 1.0), (7499, 10**6, 1.0), (7500, 17_000, 0.5), (7500, 16_998, 0.5)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, sizes=(free, whole): sizes)
        data = Data()
        data.train_dataloader = lambda: DataLoader(rows, batch_size=10)  # type: ignore[method-assign]
        data.trainer = Trainer()  # type: ignore[assignment]
        keep_stacked(data, "device", share)
        data.train_dataloader()
    assert moved == ["cuda:0"] * 2
    assert capsys.readouterr().out.count("more than half of the 8e-06 GB that are free for it on cuda:0") == 2


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(ValueError, match="keep_data is 'gpu': it must be 'memory', 'device' or absent"):
        LightningObjective(Net, Data, max_epochs=1, keep_data="gpu")  # type: ignore[arg-type]


def test_a_stacked_dataset_gives_examples_one_by_one_too() -> None:
    examples = [{"x": torch.arange(3.0) + number} for number in range(4)]
    stacked = Stacked(default_collate(examples), 4)
    assert all(torch.equal(stacked[number]["x"], examples[number]["x"]) for number in range(4))


# The memory of a GPU.


def test_a_share_of_memory_reaches_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)

    def limited(params: Any, trial: Any) -> float:
        with limited_memory(trial):
            return 0.0

    evaluator = InlineEvaluator(limited, lambda identity: tmp_path, {}, EvaluationSettings(gpu_memory=0.25))
    evaluator.open(["x"])
    evaluator.start(assigned((0, 0), {"x": 1}), lambda *report: False)
    evaluator.close()
    assert shares == [0.25]


def test_a_share_of_memory_that_torch_cannot_keep_to_is_an_error_that_says_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("evo.lightning.memory.gpu_module", lambda: ModuleType("torch.xpu"))
    message = (
        r"gpu_memory is 0.5, but torch \S+ cannot limit the memory of GPUs of torch.xpu: install torch 2.10 or later"
    )
    with pytest.raises(UserError, match=message), limited_memory(FakeTrial(tmp_path, gpu_memory=0.5)):
        pass
    with limited_memory(FakeTrial(tmp_path)):
        pass


@final
class Generators(ModuleType):
    """The part of a module of torch for GPUs that has to do with random numbers: two GPUs, and a state of each."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.states = [torch.zeros(2), torch.ones(2)]

    def device_count(self) -> int:
        return 2

    def get_rng_state_all(self) -> list[torch.Tensor]:
        return self.states

    def set_rng_state_all(self, states: list[torch.Tensor]) -> None:
        self.states = states


@pytest.mark.parametrize("name", ["torch.cuda", "torch.xpu"])
def test_the_generators_of_the_gpus_at_hand_are_saved_and_restored(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus, before = Generators(name), [torch.zeros(2), torch.ones(2)]
    monkeypatch.setattr("evo.lightning.state.gpu_module", lambda: gpus)
    saved = _generator_states()
    gpus.states = []
    _set_generators(saved)
    assert [state.tolist() for state in gpus.states] == [state.tolist() for state in before]
    gpus.states = []
    _set_generators({**saved, name.removeprefix("torch."): before[:1]})  # Of a machine with another number of GPUs.
    assert gpus.states == []


@pytest.mark.parametrize("kept", [{"cuda": []}, {"cuda": [], "xpu": [torch.zeros(2)]}])
def test_generators_of_gpus_that_are_not_here_are_left_out(
    kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo.lightning.state.gpu_module", lambda: None)
    saved = _generator_states()
    assert saved["cuda"] == []
    expected = torch.rand(1)
    _set_generators({**saved, **kept})
    assert torch.rand(1) == expected


@pytest.mark.parametrize(
    ("seen", "module", "accelerator"),
    [((), None, "auto"), (("cuda",), "torch.cuda", "auto"), (("xpu",), "torch.xpu", "xpu")],
)
def test_gpus_of_any_make_are_known_and_intels_need_an_accelerator_that_somebody_adds(
    seen: Sequence[str], module: str | None, accelerator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    for name in ("cuda", "xpu"):
        monkeypatch.setattr(f"torch.{name}.is_available", lambda name=name: name in seen)
        monkeypatch.setattr(f"torch.{name}.set_per_process_memory_fraction", shares.append)
    found = gpu_module()
    assert (found.__name__ if found else None) == module
    with limited_memory(FakeTrial(tmp_path, gpu_memory=0.5)):
        assert shares == [0.5] * len(seen)
    assert usual_accelerator() == "auto"
    assert not knows_xpu()
    monkeypatch.setattr(
        "lightning.pytorch.accelerators.AcceleratorRegistry.available_accelerators", lambda: {"cpu", "xpu"}
    )
    assert usual_accelerator() == accelerator


OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.1 GiB of which 1.00 GiB is free."
)


@pytest.mark.parametrize(("share", "words"), [(0.25, r" \(0.25 of it: gpu_memory\) ran out"), (1.0, " ran out")])
def test_memory_that_ran_out_is_said_with_the_share_and_what_to_change(
    share: float, words: str, tmp_path: Path
) -> None:
    with (
        pytest.raises(torch.cuda.OutOfMemoryError, match=rf"may use{words}; .* Tried to allocate 2.00 GiB\.$"),
        limited_memory(FakeTrial(tmp_path, gpu_memory=share)),
    ):
        raise torch.cuda.OutOfMemoryError(OUT_OF_MEMORY)


@pytest.mark.parametrize("share", [0, -0.1, 1.5, "half"])
def test_a_share_that_is_none_is_refused(share: Any) -> None:
    with pytest.raises(ValueError, match=r"gpu_memory is .*: give a share above 0, at most 1"):
        Config(gpu_memory=share)
