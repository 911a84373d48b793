"""Weights from a file with which trainings begin: found in what such files hold, and matched to a network by name."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from evo.errors import UserError
from evo.lightning.checkpoints import what_was_refused
from evo.lightning.fitting import fit_weights

# Where checkpoints of Lightning, torchvision, timm and most training scripts have the weights.
_PLACES = ("state_dict", "model_state_dict", "model", "module")
# What data parallelism and torch.compile put before the names.
_PREFIXES = ("module.", "_orig_mod.")


def load_weights(file: Path, trust: bool) -> dict[str, Any]:
    """The weights in a file: a checkpoint of Lightning, a plain state_dict, or a mapping that has one; or a module.

    Args:
        file: The file.
        trust: Whether it is loaded with any code in it. Otherwise it may hold only tensors and plain values.

    Raises:
        UserError: It cannot be read, or holds no weights.
    """
    what = f"start_from.weights {file}"
    try:
        content = torch.load(file, map_location="cpu", weights_only=not trust)
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error):
            raise UserError(f"{what} is no file of weights: give what torch.save has written") from error
        raise UserError(
            f"{what} was not loaded, because it holds {what_was_refused(error)}: only tensors and plain values are "
            "loaded. The setting trust (--trust) loads it in full, which runs any code in it"
        ) from error
    except Exception as error:  # Torch raises what its reader of archives does.
        raise UserError(f"{what} is no file of weights: give what torch.save has written") from error
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    for place in _PLACES:
        if isinstance(content, Mapping) and isinstance(content.get(place), Mapping):
            content = content[place]
            break
    named = isinstance(content, Mapping) and any(isinstance(value, Tensor) for value in content.values())
    if not named or not all(isinstance(name, str) for name in content):
        raise UserError(f"{what} holds no weights: give a checkpoint of Lightning, or a state_dict by torch.save")
    return {_without_prefix(name): value for name, value in content.items()}


def match_weights(own: Mapping[str, Any], loaded: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Match weights from elsewhere to those of a network.

    The names may be those of the network, or of a part of it, such as `backbone`; or the file may be of a network that
    has this one as a part. Of these the one counts by which most weights fit.

    Args:
        own: The weights and buffers of the network, by name.
        loaded: Those of the file.

    Returns:
        Weights that the network can load, and the names of those among them that are its own, because the file has none
        for them or one of another shape.
    """
    prefixes = dict.fromkeys(["", *(f"{name.partition('.')[0]}." for name in own if "." in name)])
    tried = [{f"{prefix}{name}": value for name, value in loaded.items()} for prefix in prefixes]
    starts = dict.fromkeys(f"{name.partition('.')[0]}." for name in loaded if "." in name)
    tried += [
        {name.removeprefix(start): value for name, value in loaded.items() if name.startswith(start)}
        for start in starts
    ]
    fitted = [(names, fit_weights(own, names)) for names in tried]
    return min(fitted, key=lambda one: len(one[1]))


def begin_from_weights(module: L.LightningModule, file: Path, trust: bool) -> int:
    """Load weights from a file into a module that is to be trained.

    Args:
        module: The module, with all of its layers.
        file: The file.
        trust: Whether it is loaded with any code in it.

    Returns:
        How many weights and buffers of the module stay as they were initialised.

    Raises:
        UserError: It cannot be loaded, or nothing of it fits.
    """
    own = module.state_dict()
    weights, anew = match_weights(own, load_weights(file, trust))
    if own and len(anew) == len(own):
        raise UserError(
            f"no weight of start_from.weights {file} fits {type(module).__name__}, whose first is {next(iter(own))}: "
            "names and shapes must be the same; give a checkpoint of such a network"
        )
    module.load_state_dict(weights)
    return len(anew)


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
