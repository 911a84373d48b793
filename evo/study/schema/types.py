"""Type hints, signatures and their texts as JSON Schema."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from evo.texts import argument_texts

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema, or a part of one: draft 7, which all editors know."""

ANY_CLASS = r"^[^\s\d.:][^\s.:]*(\.[^\s\d.:][^\s.:]*)+$"
"""The import path of a class, `module.Class`, as a pattern."""

_SCALARS: Mapping[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    type(None): {"type": "null"},
}
# Numbers and switches in quotes: evo reads them where an option is nothing else.
_QUOTED: Mapping[Any, Schema] = {
    bool: {
        "type": ["boolean", "integer", "string"],
        "minimum": 0,
        "maximum": 1,
        "pattern": "^([Tt]rue|TRUE|[Ff]alse|FALSE|0|1)$",
    },
    int: {"type": ["integer", "string"], "pattern": r"^-?\d+(\.0*)?$"},
    float: {"type": ["number", "string"], "pattern": r"^-?\d+(\.\d+)?([eE][-+]?\d+)?$"},
}


def schema_of_type(hint: Any, nested: Mapping[type, str], *, quoted: bool = False) -> Schema:
    """What a type hint allows; everything where JSON Schema has no counterpart.

    Args:
        hint: A type hint, resolved.
        nested: The definitions that stand for classes of evo, by class.
        quoted: Whether numbers and switches may also be texts.

    Example:
        >>> schema_of_type(int | None, {})
        {'type': ['integer', 'null']}
        >>> schema_of_type(Literal["copy", "move"], {})
        {'enum': ['copy', 'move']}
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any_of([schema_of_type(member, nested, quoted=quoted) for member in inner])
    if origin is Literal:
        return {"enum": list(inner)}
    kind = origin or hint
    if kind in (list, tuple, Sequence):
        return _with_parts({"type": "array"}, "items", inner[:1], nested)
    if kind in (dict, Mapping):
        return _with_parts({"type": "object"}, "additionalProperties", inner[1:], nested)
    scalars = {**_SCALARS, **_QUOTED} if quoted else _SCALARS
    if kind in scalars:
        return dict(scalars[kind])
    if isinstance(kind, type):
        for base, definition in nested.items():
            if issubclass(kind, base):
                return {"$ref": f"#/definitions/{definition}"}
    return {}


def any_of(several: Sequence[Schema]) -> Schema:
    """What any of several schemas allows, as short as possible.

    Example:
        >>> any_of([{"type": "string"}, {"type": "object"}, {"enum": [False]}])
        {'anyOf': [{'type': ['string', 'object']}, {'enum': [False]}]}
    """
    if {} in several:
        return {}
    bare: list[str] = []
    others: list[Schema] = []
    for one in several:
        if set(one) == {"type"}:
            bare += [each for each in _types_of(one) if each not in bare]
        elif one not in others:
            others.append(one)
    if bare == ["null"] and len(others) == 1 and set(others[0]) == {"enum"}:
        return {"enum": [*(each for each in others[0]["enum"] if each is not None), None]}
    if bare == ["null"] and len(others) == 1 and "enum" not in others[0] and "type" in others[0]:
        return {**others[0], "type": list(dict.fromkeys([*_types_of(others[0]), "null"]))}
    if bare:
        others.insert(0, {"type": bare[0] if len(bare) == 1 else bare})
    return others[0] if len(others) == 1 else {"anyOf": others}


def arguments_schema(make: Callable[..., Any], nested: Mapping[type, str], given: Collection[str] = ()) -> Schema:
    """The arguments of a class or function by name, as an object that takes no others.

    Args:
        make: The class or function.
        nested: The definitions that stand for classes of evo, by class.
        given: Arguments that need not be written though they have no default.

    Example:
        >>> from evo.pruning import MedianStopping
        >>> schema = arguments_schema(MedianStopping, {})
        >>> schema["properties"]["enough"]["default"], schema["additionalProperties"]
        (5, False)
    """
    parameters = inspect.signature(make, eval_str=True).parameters.values()
    texts = argument_texts(inspect.getdoc(make) or "")
    properties: dict[str, Schema] = {}
    for one in parameters:
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
            hint = Any if one.annotation is one.empty else one.annotation
            properties[one.name] = described(schema_of_type(hint, nested), texts.get(one.name, ""), one.default)
    required = [one.name for one in parameters if one.default is one.empty and one.name not in given]
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    schema["additionalProperties"] = any(one.kind is one.VAR_KEYWORD for one in parameters)
    return schema


def described(schema: Schema, text: str, default: Any = None) -> Schema:
    """A schema with a text for its reader, and with a default that JSON can hold."""
    described = dict(schema)
    if text:
        described["description"] = text
    if isinstance(default, bool | int | float | str | list | dict):
        described["default"] = default
    return described


def first_paragraph(doc: str) -> str:
    """What a docstring says first, in one line."""
    return " ".join(inspect.cleandoc(doc).partition("\n\n")[0].split())


def _types_of(schema: Schema) -> list[str]:
    return schema["type"] if isinstance(schema["type"], list) else [schema["type"]]


def _with_parts(schema: Schema, word: str, inner: Sequence[Any], nested: Mapping[type, str]) -> Schema:
    part = schema_of_type(inner[0], nested) if inner else {}
    return {**schema, word: part} if part else schema
