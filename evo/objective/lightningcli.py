"""A configuration as LightningCLI prints it: what evo honours, sets aside or refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evo.errors import UserError

# Subcommands of LightningCLI, whose settings stand below their name in some configurations.
_OTHER_COMMANDS = ("validate", "test", "predict")
# The argument of the Trainer for which null means something else than its default.
_NULL_IS_A_VALUE = frozenset({"check_val_every_n_epoch"})


def read_configuration(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The options in a study file that may be a configuration of LightningCLI, null meaning absent.

    Args:
        given: What the file holds.

    Returns:
        The options that evo has, and what was set aside, each with the reason.

    Raises:
        UserError: The configuration asks for what a search cannot do.
    """
    options = dict(given)
    if isinstance(options.get("fit"), Mapping):
        options = {**options.pop("fit"), **options}
    aside = []
    for name in (*_OTHER_COMMANDS, "subcommand"):
        if options.pop(name, None) is not None:
            aside.append(f"{name} (evo trains, and tests the best)")
    seed = options.pop("seed_everything", None)
    if seed is not None and not isinstance(seed, int):
        raise UserError(f"seed_everything is {seed!r}: give a whole number, true or false; or seed in its place")
    if seed is False:
        aside.append("seed_everything: false (every training has a seed of its own)")
    if seed is not None and not isinstance(seed, bool) and options.get("seed") is None:
        options["seed"] = seed
    checkpoint = options.pop("ckpt_path", None)
    if checkpoint is not None:
        raise UserError(
            f"ckpt_path is {checkpoint!r}, but every training of a search begins anew: leave it out, and let the "
            "module load weights in its constructor if it is to start from some"
        )
    if options.pop("weights_only", None) is not None:
        aside.append("weights_only (there is no ckpt_path to load)")
    return {name: value for name, value in options.items() if value is not None}, aside


def settle_trainer(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The arguments for a Trainer, without what evo sees to, null meaning absent.

    Args:
        given: The user's settings of the Trainer.

    Returns:
        The settings that remain, and those that were set aside, each with the reason. A setting that asks for what evo
        does anyway is not listed.

    Raises:
        UserError: It asks for what a search cannot do.
    """
    settings = {name: value for name, value in given.items() if value is not None or name in _NULL_IS_A_VALUE}
    aside = [
        *_set_aside_devices(settings),
        *_set_aside(settings, "default_root_dir", (), "each individual has a folder of its own"),
        *_set_aside(
            settings,
            "enable_checkpointing",
            (True,),
            "the weights of the best are kept: keep_checkpoints says how many",
        ),
    ]
    _refuse(
        settings,
        "fast_dev_run",
        "a search needs whole validations: set evaluations: 1, max_epochs: 1 and limit_train_batches for a quick try",
    )
    _refuse(settings, "barebones", "it turns off the validations and checkpoints that a search needs: leave it out")
    if settings.get("strategy") == "auto":
        del settings["strategy"]
    if settings.get("logger") is True:
        del settings["logger"]  # The default: TensorBoard's.
    if "logger" not in settings and settings.get("enable_autolog_hparams") is True:
        del settings["enable_autolog_hparams"]  # The parameters of the individual are logged, with their loss.
    return settings, aside


def _set_aside_devices(settings: dict[str, Any]) -> list[str]:
    nodes, devices = settings.pop("num_nodes", 1), settings.pop("devices", "auto")
    if nodes not in (1, "1"):
        raise UserError(
            f"trainer.num_nodes is {nodes!r}, but the launcher says where ranks run: leave it out, and set "
            "ranks_per_worker to the number of devices that one training is to have"
        )
    alone = isinstance(devices, list | tuple) and len(devices) == 1
    if devices in ("auto", 1, "1") or (isinstance(devices, bool) and devices):
        return []
    if alone or devices in (-1, "-1"):
        return [f"trainer.devices: {devices} (each rank has one device; ranks_per_worker gives a training several)"]
    raise UserError(
        f"trainer.devices is {devices!r}, but each rank has one device: leave it out, and set ranks_per_worker to the "
        "number of devices that one training is to have"
    )


def _set_aside(settings: dict[str, Any], name: str, usual: tuple[Any, ...], why: str) -> list[str]:
    if name not in settings:
        return []
    value = settings.pop(name)
    return [] if value in usual else [f"trainer.{name}: {str(value).lower() if value is False else value} ({why})"]


def _refuse(settings: dict[str, Any], name: str, why: str) -> None:
    value = settings.pop(name, False)
    if value not in (False, 0):
        raise UserError(f"trainer.{name} is {value!r}: {why}")
