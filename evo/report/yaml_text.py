"""Values as YAML that every reader of it takes for what they are."""

from __future__ import annotations

import re
import sys
from typing import Any

from evo.texts import printable

# Texts that stand without quotes: YAML 1.1 and 1.2, and jsonargparse, take them for nothing but text.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*[A-Za-z0-9_]|[A-Za-z]")
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"])


def yaml_text(value: Any, comments: tuple[str, ...] = ()) -> str:
    """A value as YAML, in blocks, without a line end at its end.

    Args:
        value: Mappings, lists, texts, numbers, true, false and null.
        comments: Lines that come first, as comments.

    Example:
        >>> print(yaml_text({"lr": 1e-05, "act": "relu", "mode": "on", "blocks": [1, 2]}))
        lr: 1.0e-05
        act: relu
        mode: "on"
        blocks:
        - 1
        - 2
    """
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Quotes every text that some reader could take for something else, and names nothing twice."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        is_clear = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_clear else '"')

    Dumper.add_representer(str, represent)
    text = yaml.dump(value, Dumper=Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=10**6)
    if not _is_shown(text):
        text = yaml.dump(value, Dumper=Dumper, sort_keys=False, default_flow_style=False, width=10**6)
    return "\n".join([*(f"# {printable(line)}" for line in comments), text.rstrip("\n")])


def _is_shown(text: str) -> bool:
    """Whether the locale has all characters of a text, and no terminal obeys one."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return printable(text, kept="\n") == text
