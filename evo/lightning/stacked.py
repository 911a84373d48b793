"""A data module's examples, stacked into tensors that stay in memory or on the device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn, TypeAlias, final

import lightning as L
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from evo.errors import UserError
from evo.lightning.data import same_random_numbers

MemoryKind: TypeAlias = Literal["memory", "device"]

_HOOKS = ("train_dataloader", "val_dataloader", "test_dataloader")
_CHUNK = 256  # Examples that are read at a time.
_MOST_OF_THE_DEVICE = 0.5  # The share of free memory that the examples of one loader may take.


@final
class Stacked(Dataset[Any]):
    """All examples of a dataset, from which batches are taken by indexing.

    Args:
        batch: All examples as one batch: a structure of tensors of shape (examples, ...).
        size: The number of examples.

    Example:
        >>> stacked = Stacked([torch.arange(10, 14), torch.tensor([0, 1, 0, 1])], 4)
        >>> stacked.__getitems__([3, 0])
        [tensor([13, 10]), tensor([1, 0])]
    """

    def __init__(self, batch: Any, size: int) -> None:
        self.batch, self.size = batch, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        return apply_to_collection(self.batch, Tensor, lambda tensor: tensor[index])

    def __getitems__(self, indices: Sequence[int]) -> Any:
        """A batch; a DataLoader calls this rather than asking for one example after another."""
        wanted = torch.as_tensor(indices)
        return apply_to_collection(self.batch, Tensor, lambda tensor: tensor[wanted.to(tensor.device)])


def keep_stacked(data: L.LightningDataModule, place: MemoryKind, gpu_memory: float = 1.0) -> None:
    """Let a data module's loaders take their batches from memory, or from the device where they fit.

    Each example is read once, when a loader first has its dataset, with that loader's own workers. Random augmentation
    in the dataset is done only then. A dataset that is another object each time is read each time. Batches, their order
    and the state of the random number generators are the same as without this, except that persistent workers draw
    fewer random numbers.

    Args:
        data: The data module, which is changed. Its loaders' datasets need a length, and examples of equal shape and
            type.
        place: Where the examples stay. "device" holds if they take less than half of the memory that is free there.
        gpu_memory: The share of the device's memory that this process may use.
    """
    for hook in _HOOKS:
        if is_overridden(hook, data, L.LightningDataModule):
            setattr(data, hook, _keeping(data, hook, place, gpu_memory))


def _keeping(data: L.LightningDataModule, hook: str, place: MemoryKind, gpu_memory: float) -> Callable[[], Any]:
    make = getattr(data, hook)
    kept: dict[int, tuple[Dataset[Any], Stacked]] = {}

    @functools.wraps(make)
    def make_stacked() -> Any:
        count = 0

        def replace(loader: DataLoader[Any]) -> DataLoader[Any]:
            nonlocal count
            count += 1
            dataset, stacked = kept.pop(count, (None, None))
            if stacked is None or dataset is not loader.dataset or len(stacked) != len(loader.dataset):  # type: ignore[arg-type]
                stacked = None  # Freed before another one takes its place in memory.
                stacked = _stack(loader, hook)
                if place == "device":
                    _move(stacked, data, gpu_memory)
            kept[count] = loader.dataset, stacked
            return _like(loader, stacked)

        return apply_to_collection(make(), DataLoader, replace)

    return make_stacked


def _stack(loader: DataLoader[Any], hook: str) -> Stacked:
    where = f"keep_data: {hook} of the data module"
    if type(loader) is not DataLoader or loader.batch_sampler is None or loader.collate_fn is not default_collate:
        raise UserError(f"{where} has no batches as DataLoader makes them by default: leave keep_data out")
    try:
        size = len(loader.dataset)  # type: ignore[arg-type]
    except TypeError:
        raise UserError(f"{where} has a dataset without a length: leave keep_data out") from None
    stacked = Stacked(None, size)
    with same_random_numbers():
        reader = DataLoader(
            loader.dataset,
            _CHUNK,
            num_workers=loader.num_workers,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
        )
        for number, chunk in enumerate(reader):
            if not number:
                stacked.batch = apply_to_collection(chunk, Tensor, lambda part: part.new_empty((size, *part.shape[1:])))
            _fill(stacked.batch, chunk, number * _CHUNK, where)
    return stacked


def _fill(whole: Any, chunk: Any, start: int, where: str) -> None:
    """Copy a chunk of examples to its place in the structure of all."""
    if isinstance(whole, Tensor) and isinstance(chunk, Tensor):
        if whole.shape[1:] != chunk.shape[1:] or whole.dtype != chunk.dtype:
            _refuse(where)
        whole[start : start + len(chunk)] = chunk
    elif isinstance(whole, dict) and isinstance(chunk, dict) and whole.keys() == chunk.keys():
        for name in whole:
            _fill(whole[name], chunk[name], start, where)
    elif isinstance(whole, list | tuple) and isinstance(chunk, list | tuple) and len(whole) == len(chunk):
        for part, other in zip(whole, chunk, strict=True):
            _fill(part, other, start, where)
    else:
        _refuse(where)


def _refuse(where: str) -> NoReturn:
    raise UserError(
        f"{where} has examples that are not all tensors or numbers of equal shape and type: leave keep_data out"
    )


def _move(stacked: Stacked, data: L.LightningDataModule, gpu_memory: float) -> None:
    device = data.trainer.strategy.root_device if data.trainer else torch.device("cpu")
    if device.type != "cuda":
        return
    sizes: list[int] = []
    apply_to_collection(stacked.batch, Tensor, lambda tensor: sizes.append(tensor.nbytes))
    free, whole = torch.cuda.mem_get_info(device)
    taken = torch.cuda.memory_allocated(device)
    # Memory that torch holds without using it is free for this process.
    free = min(free + torch.cuda.memory_reserved(device) - taken, int(gpu_memory * whole) - taken)
    if sum(sizes) > _MOST_OF_THE_DEVICE * free:
        print(
            f"keep_data: the examples take {sum(sizes) / 1e9:.3g} GB, more than half of the {free / 1e9:.3g} GB that "
            f"are free for it on {device}: they stay in memory"
        )
        return
    stacked.batch = apply_to_collection(stacked.batch, Tensor, lambda tensor: tensor.to(device))


def _like(loader: DataLoader[Any], stacked: Stacked) -> DataLoader[Any]:
    """A loader of the same batches in the same order."""
    batches: dict[str, Any] = {"batch_sampler": loader.batch_sampler}
    if loader.batch_size is not None:  # The batch sampler is not the user's own.
        # Given apart, so that Lightning can take another sampler when several processes share the examples.
        batches = {"batch_size": loader.batch_size, "sampler": loader.sampler, "drop_last": loader.drop_last}
    return DataLoader(stacked, collate_fn=_as_it_is, generator=loader.generator, **batches)


def _as_it_is(batch: Any) -> Any:
    return batch
