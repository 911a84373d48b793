"""The GPUs of this machine, found by the environment and the kernel's files, without a driver."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from evo.runtime.makes import MAKES, Make, entries

ROOT = Path("/")
_NO_GPU = ("", "-1", "none", "NoDevFiles")  # A variable that begins so hides all GPUs on purpose.


@final
@dataclass(frozen=True)
class Gpus:
    """The GPUs from which this process may choose.

    Args:
        make: The make of the GPUs; without any, the most likely one.
        cards: The numbers of the GPUs, as `Make.cards` returned them.
    """

    make: Make
    cards: Sequence[str] = ()

    def choices(self, environment: Mapping[str, str]) -> list[str]:
        """The GPUs to choose from, as `Make.only` takes them: those that the environment shows, or all.

        Args:
            environment: The environment variables.
        """
        visible = self.make.visible(environment, self.cards)
        return [str(number) for number in range(len(self.cards))] if visible is None else visible

    def told(self, environment: Mapping[str, str]) -> str:
        """The variables that limit the choice, with their values; empty when nothing limits it.

        Args:
            environment: The environment variables.
        """
        return " ".join(f"{name}={value}" for name, value in self.make.limits(environment).items())

    def refusal(self, environment: Mapping[str, str]) -> str:
        """The reason why none of the listed GPUs can be chosen although the machine has some; empty otherwise.

        Args:
            environment: The environment variables.
        """
        limits = self.make.limits(environment)
        is_meant = any(entries(value)[0] in _NO_GPU for value in limits.values())
        if not self.cards or not limits or is_meant or self.choices(environment):
            return ""
        numbers = f"0 to {len(self.cards) - 1}" if len(self.cards) > 1 else "0"
        return (
            f"{self.told(environment)} shows none of the GPUs that this process may open, whose numbers are {numbers}: "
            "list some of these, or unset it; gpus_per_node 0 uses the CPU"
        )

    def remark(self, environment: Mapping[str, str]) -> str:
        """A remark about GPUs that the environment hides, perhaps by mistake; empty when there is none.

        Args:
            environment: The environment variables.
        """
        limits, choices = self.make.limits(environment), self.choices(environment)
        if not self.cards or not limits:
            return ""
        if not choices:
            one = "1 GPU" if len(self.cards) == 1 else f"{len(self.cards)} GPUs"
            return f"{one} found, but {self.told(environment)} hides all"
        listed = [entry for entry in entries([*limits.values()][-1]) if entry]
        if len(listed) > len(choices):
            shown = f"{self.told(environment)} shows {', '.join(choices)} only"
            return f"{shown}: the others are no GPUs here, or follow one that is none"
        return ""

    def own_name(self, gpu: str) -> str:
        """The name of a GPU on the machine, which may differ from its name in a control group that shows it alone.

        Args:
            gpu: One of the choices.
        """
        return self.cards[int(gpu)] if gpu.isdecimal() and int(gpu) < len(self.cards) else gpu


def find_gpus(environment: Mapping[str, str], root: Path = ROOT, toolkits: Collection[str] | None = None) -> Gpus:
    """The GPUs of this machine that this process may open.

    GPUs of AMD and Intel count only where torch is built for them or one of their variables is set, because many
    processors have graphics of these makes.

    Args:
        environment: The environment variables.
        root: The folder that holds dev and sys.
        toolkits: The toolkits that torch is built for, as in `Make.toolkit`; None means those of the installed torch.
    """
    built_for = torch_toolkits() if toolkits is None else toolkits
    meant = [make for make in MAKES if make.toolkit in built_for]
    told = [make for make in MAKES if any(variable in environment for variable in make.variables)]
    likely = list(dict.fromkeys([*meant, MAKES[0], *told]))
    for make in likely:
        if cards := make.cards(environment, root):
            return Gpus(make, cards)
    return Gpus(next((make for make in likely if make in told), likely[0]))


def make_of(device: str) -> Make | None:
    """The make of a device by its name; None when it is no GPU.

    Args:
        device: The name of the device, as in maps and records.

    Example:
        >>> make_of("hip:3").name, make_of("cpu")
        ('AMD', None)
    """
    return next((make for make in MAKES if device.startswith(f"{make.device}:")), None)


@functools.cache
def torch_toolkits() -> frozenset[str]:
    """The toolkits that the installed torch is built for, read from a file of it because importing it takes seconds."""
    with contextlib.suppress(OSError, ValueError):
        found = importlib.util.find_spec("torch")
        if found and found.origin:
            text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
            return frozenset(re.findall(r"^(cuda|hip|xpu)\b[^=\n]*= *['\"]", text, re.MULTILINE))
    return frozenset()
