"""A GPU's memory, when several trainings share it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from evo.errors import UserError
from evo.lightning.accelerators import gpu_module
from evo.objective.objective import Trial


@contextmanager
def limited_memory(trial: Trial) -> Iterator[None]:
    """Keep a training within its share of its GPU's memory, so that it fails by itself rather than its neighbours.

    Args:
        trial: The trial, which says how large the share is. What the GPU's library needs in each process, some hundred
            megabytes, comes on top of it.

    Raises:
        UserError: This torch cannot limit the memory of these GPUs.
        torch.cuda.OutOfMemoryError: The memory ran out; the message says what to change.
    """
    # The function fails where there is no GPU.
    if trial.gpu_memory < 1 and (gpus := gpu_module()):
        limit = getattr(gpus, "set_per_process_memory_fraction", None)
        if limit is None:  # `torch.xpu` has it since torch 2.10.
            raise UserError(
                f"gpu_memory is {trial.gpu_memory:.3g}, but torch {torch.__version__} cannot limit the memory of "
                f"GPUs of {gpus.__name__}: install torch 2.10 or later, or leave gpu_memory at 1, with a rank per GPU"
            )
        limit(trial.gpu_memory)
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        share = f" ({trial.gpu_memory:.3g} of it: gpu_memory)" if trial.gpu_memory < 1 else ""
        # Only the first two sentences are shown, because the rest is advice on torch's settings.
        said = " ".join(re.split(r"(?<=\.) ", str(error))[:2])
        raise torch.cuda.OutOfMemoryError(
            f"the memory of the GPU that this training may use{share} ran out; limit what makes the network or its "
            f"batches large, or let fewer ranks share a GPU. {said}"
        ) from error
