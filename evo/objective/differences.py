"""How two trees of plain values differ, and how one of them is kept short."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

_LONGEST_TREE = 6_000  # Characters of JSON.
_NAMES = ("class", "function", "method", "partial", "type")  # Entries that name something in a module.
CODE = "code"
"""The name of the entry that holds the digest of the code of a thing without a name of its own."""


def shortened(tree: Any, longest: int = _LONGEST_TREE) -> Any:
    """A tree with at most this many readable characters; digests tell whether the rest is the same."""
    text = json_of(tree)
    if len(text) <= longest:
        return tree
    if not isinstance(tree, dict | list) or longest < 100:
        return f"{text[: max(20, longest - 80)]}… ({len(text)} characters, digest {digest(text.encode())})"
    # Short entries come first, because they leave more characters to the others.
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    done, left = {}, longest
    ordered = sorted(entries, key=lambda entry: (len(json_of(entry[1])), str(entry[0])))
    for number, (key, value) in enumerate(ordered):
        done[key] = shortened(value, max(0, left // (len(ordered) - number) - len(str(key)) - 6))
        left -= len(json_of(done[key])) + len(str(key)) + 6
    if left < -longest:
        return f"({len(text)} characters, digest {digest(text.encode())})"
    return {key: done[key] for key in tree} if isinstance(tree, dict) else [done[place] for place in range(len(tree))]


def differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two trees differ: the place, what it was, what it is."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            old, new = before.get(key), now.get(key)
            if key in _NAMES and isinstance(old, str) and isinstance(new, str) and same_name(old, new):
                continue
            if key == CODE and str(old).partition(":")[0] != str(new).partition(":")[0]:
                continue  # Digests of two versions of Python cannot be compared, nor can an unknown one.
            yield from differences(old, new, f"{path}.{key}" if path else str(key))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for place, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from differences(old, new, f"{path}[{place}]")
    elif before != now:
        yield path, before, now


def same_name(one: str, other: str) -> bool:
    """Whether two dotted names may mean the same, since one may lack its module or the first packages of it."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def brief(value: Any) -> str:
    """A described value in few characters."""
    if isinstance(value, dict):
        named = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None)
        if named is not None:
            return str(named)
    text = json_of(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def digest(content: Any) -> str:
    """The digest of bytes, or of an object like bytes."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def json_of(tree: Any) -> str:
    """The text of a tree: the same for equal trees."""
    return json.dumps(tree, ensure_ascii=False, sort_keys=True)
