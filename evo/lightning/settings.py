"""Arguments of Lightning's own classes, its Trainer's and EarlyStopping's, with sections among them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, final

from evo.lightning.making import read_arguments, split_known
from evo.lightning.parts import Part, find_value, without_classes
from evo.lightning.signatures import takes
from evo.lightning.trees import Tree, check_fixed, has_section, is_plain_tree


@final
class Arguments(Part):
    """Arguments of one of Lightning's own classes, as a dictionary.

    Args:
        name: The name of the part.
        owner: The class.
        given: The fixed arguments, whose values may be `class_path` sections or lists of these.
    """

    def __init__(self, name: str, owner: Callable[..., Any], given: Mapping[str, Any]) -> None:
        self.name, self.title = name, str(getattr(owner, "__name__", owner))
        self._owner, self._given = owner, given
        self._takes = takes(owner)
        self._dropped: list[str] = []

    @property
    def named(self) -> Collection[str]:
        return self._takes.names

    @property
    def takes_any(self) -> bool:
        return False

    @property
    def dropped(self) -> Sequence[str]:
        return self._dropped

    def check(self, names: Collection[str]) -> None:
        for name in self._given:
            check_fixed(self._owner, name, self.name)
        for name in names:
            if name.partition(".")[0] not in self._takes:
                self._refuse(name)
        Tree(self.name, self._owner, self._given).put(without_classes(names))

    def make(self, params: Mapping[str, Any], *given: Any) -> dict[str, Any]:
        # Reading copies the values, so that no callback remembers the last training.
        return self._read(params, make=True)

    def read(self, params: Mapping[str, Any]) -> None:
        self._read(params, make=False)

    def value(self, params: Mapping[str, Any], place: str) -> Any:
        return find_value(self._owner, self._put(params), place)

    def make_one(self, name: str, params: Mapping[str, Any]) -> Any:
        """One of the arguments alone.

        Args:
            name: The name of the argument.
            params: Values by relative names, which all belong to it.
        """
        return self._read(params, make=True, only=name)[name]

    def _read(self, params: Mapping[str, Any], *, make: bool, only: str | None = None) -> dict[str, Any]:
        settings = self._put(params)
        known, _ = split_known(self._owner, settings if only is None else {only: settings[only]})
        read = {name: value for name, value in known.items() if is_plain_tree(value) or has_section(value)}
        skipped = set(self._takes.names) - set(read)
        made = read_arguments(self.name, self._owner, read, skipped, make=make) if read else {}
        return settings | {name: made[name] for name in read}

    def _put(self, params: Mapping[str, Any]) -> dict[str, Any]:
        tree = Tree(self.name, self._owner, self._given)
        settings = tree.put(params)
        self._dropped += [each for each in tree.dropped if each not in self._dropped]
        return settings
