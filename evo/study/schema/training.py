"""The sections of a training as JSON Schema; what Lightning's own classes take is read from their files."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from evo.objective.imports import find_module
from evo.study.schema.types import Schema, any_of, described, schema_of_type
from evo.texts import argument_texts

_TRAINER = ("lightning.pytorch.trainer.trainer", "Trainer")
_EARLY_STOPPING = ("lightning.pytorch.callbacks.early_stopping", "EarlyStopping")
_SECTION: Schema = {"$ref": "#/definitions/section"}
_SIMPLE: Mapping[str, type] = {"bool": bool, "int": int, "float": float, "str": str, "None": type(None)}
# What evo takes otherwise than the Trainer does; see `evo.objective.lightningcli`.
_SETTLED: Mapping[str, Schema] = {
    "num_nodes": {"enum": [1, "1", None]},
    "devices": {
        "anyOf": [
            {"enum": ["auto", 1, "1", -1, "-1", True, None]},
            {"type": "array", "minItems": 1, "maxItems": 1},
        ]
    },
    "fast_dev_run": {"enum": [False, 0, None]},
    "barebones": {"enum": [False, 0, None]},
    "callbacks": {"anyOf": [{"type": "array", "items": _SECTION}, _SECTION, {"type": "null"}]},
    "logger": {"anyOf": [{"type": ["boolean", "null"]}, _SECTION, {"type": "array", "items": _SECTION}]},
}


def training_definitions() -> dict[str, Schema]:
    """The definitions of sections.

    Returns:
        By name: `section`, a class with its arguments; `part`, a section or its arguments alone; `trainer` and
        `early_stopping`, the arguments of Lightning's Trainer and EarlyStopping, whichever of them are installed.
    """
    path: Schema = {"type": "string", "description": "The import path of the class."}
    arguments: Schema = {"type": ["object", "null"], "description": "The arguments of its constructor by name."}
    settings = {"class_path": path, "init_args": arguments, "dict_kwargs": arguments}
    section: Schema = {
        "type": "object",
        "title": "a class with its arguments",
        "properties": settings,
        "required": ["class_path"],
        "additionalProperties": False,
    }
    return {
        "section": {"anyOf": [{"type": "string", "title": "an import path"}, section]},
        "part": {
            "anyOf": [
                {"type": "string", "title": "an import path"},
                section,
                {"type": "object", "title": "its arguments alone", "not": {"required": ["class_path"]}},
            ]
        },
        "trainer": _taken_by(*_TRAINER, better=_SETTLED),
        "early_stopping": _taken_by(*_EARLY_STOPPING),
    }


def _taken_by(module: str, name: str, better: Mapping[str, Schema] | None = None) -> Schema:
    """The arguments of a class, seen in its file; any, where there is no such file."""
    file = find_module(module)
    if file is None:
        return {"type": "object"}
    classes = [
        node for node in ast.parse(file.read_bytes()).body if isinstance(node, ast.ClassDef) and node.name == name
    ]
    starts = [node for node in classes[0].body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    start = starts[0]
    texts = argument_texts(ast.get_docstring(classes[0]) or "") | argument_texts(ast.get_docstring(start) or "")
    by_position = start.args.args[1:]
    defaults = [None] * (len(by_position) - len(start.args.defaults)) + list(start.args.defaults)
    pairs = [*zip(by_position, defaults, strict=True), *zip(start.args.kwonlyargs, start.args.kw_defaults, strict=True)]
    properties = {}
    for one, default in pairs:
        schema = (better or {}).get(one.arg) or any_of([_of_hint(one.annotation), {"type": "null"}])
        text = texts.get(one.arg, "").replace("``", "").replace(":class:", "").replace(":paramref:", "")
        properties[one.arg] = described(schema, text, _constant(default))
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _of_hint(hint: ast.expr | None) -> Schema:
    """What a type hint allows, where it is made of plain types; everything otherwise."""
    if isinstance(hint, ast.Constant) and hint.value is None:
        return {"type": "null"}
    if isinstance(hint, ast.Name) and hint.id in _SIMPLE:
        return schema_of_type(_SIMPLE[hint.id], {}, quoted=True)
    if isinstance(hint, ast.BinOp) and isinstance(hint.op, ast.BitOr):
        return any_of([_of_hint(hint.left), _of_hint(hint.right)])
    if isinstance(hint, ast.Subscript) and isinstance(hint.value, ast.Name):
        inner = hint.slice.elts if isinstance(hint.slice, ast.Tuple) else [hint.slice]
        if hint.value.id == "Optional":
            return any_of([*map(_of_hint, inner), {"type": "null"}])
        if hint.value.id == "Union":
            return any_of([*map(_of_hint, inner)])
        if hint.value.id == "Literal":
            return {"enum": [_constant(each) for each in inner]}
    return {}


def _constant(node: ast.expr | None) -> Any:
    return node.value if isinstance(node, ast.Constant) else None
