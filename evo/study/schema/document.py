"""A JSON Schema of study files: every option with its type, text and default, made from what evo itself reads.

The schema allows what `evo.study.arguments` reads and what the limits, propagators and pruners take. It does not know
the user's own classes, nor which numbers fit together: what it allows evo may still refuse, with a message that says
why.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from functools import partial
from typing import Any

from evo import __version__
from evo.checks import check_count, check_probability
from evo.islands.topology import TOPOLOGIES
from evo.objective.training import SECTIONS, Training
from evo.problems.catalogue import PROBLEMS
from evo.study.config import CHECKS, Config
from evo.study.durations import parse_duration
from evo.study.schema.breeding import breeding_definitions
from evo.study.schema.space import space_definitions
from evo.study.schema.training import training_definitions
from evo.study.schema.types import Schema, any_of, described, schema_of_type
from evo.texts import argument_texts

_NULL: Schema = {"type": "null"}
_STRING: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 1}
_NAME: Schema = {"type": "string", "pattern": r"\S"}
_BOUND: Schema = {
    "type": "string",
    "pattern": r"^\s*(<=|>=)\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$",
    "patternErrorMessage": "give a comparison with a number, such as '<= 2e9' or '>= 0.9'",
}
_DURATION: Schema = {
    "type": ["number", "string"],
    "exclusiveMinimum": 0,
    "pattern": r"^\s*((\d+-)?\d+:\d\d:\d\d|\d+(\.\d+)?|(\d+(\.\d+)?[smhd])+)\s*$",
    "patternErrorMessage": "give seconds above 0, or for example 30m, 1h30m, 02:00:00",
}


def build_schema() -> Schema:
    """A JSON Schema, draft 7, of study files, as editors use it.

    Example:
        >>> schema = build_schema()
        >>> schema["properties"]["keep_checkpoints"]["default"]
        3
    """
    properties = {
        "objective": described(
            {"type": ["string", "null"], "examples": ["file.py:function", *PROBLEMS]},
            "What is minimised: path/to/file.py:function, module:function, or a ready problem. A training needs none: "
            "its sections stand in its place.",
        )
    }
    for settings, fields in ((Config, dataclasses.fields(Config)), (Training, SECTIONS)):
        hints, texts = typing.get_type_hints(settings), argument_texts(settings.__doc__ or "")
        for field in fields:
            schema = _option(field.name, hints[field.name])
            properties[field.name] = described(schema, texts[field.name], field.default)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Study file of evo {__version__}",
        "type": "object",
        "properties": properties | _of_lightning_cli(),
        # A configuration of LightningCLI has null for what it does not use.
        "additionalProperties": {"type": "null", "errorMessage": "evo has no option of this name"},
        "allOf": _conditions(),
        "definitions": {**space_definitions(), **breeding_definitions(), **training_definitions(), "island": _island()},
    }


def _option(name: str, hint: Any) -> Schema:
    """What one option may be; null stands for its default."""
    special = _special().get(name)
    if special is not None:
        # Editors show the last of several alternatives when none fits.
        is_one_type = len(special) == 1 and "type" in special[0]
        null = (
            _NULL if is_one_type else {**_NULL, "errorMessage": f"{name} cannot be this: its text says what it may be"}
        )
        return any_of([*special, null])
    schema = schema_of_type(hint, {}, quoted=True)
    schema |= _range(name)
    return schema if "null" in schema.get("type", []) else any_of([schema, _NULL])


def _range(name: str) -> Schema:
    """The lowest and the highest number that an option may be, from the check that it has to pass."""
    check = CHECKS.get(name)
    bounds = check.keywords if isinstance(check, partial) else {}
    function = check.func if isinstance(check, partial) else check
    if function is check_count:
        most = {"maximum": bounds["most"]} if "most" in bounds else {}
        return {"minimum": bounds.get("least", 1), **most}
    if function is check_probability:
        return {"minimum": 0, "maximum": 1}
    return {"gpu_memory": {"exclusiveMinimum": 0, "maximum": 1}, "sigma": {"exclusiveMinimum": 0}}.get(name, {})


@functools.cache
def _special() -> Mapping[str, list[Schema]]:
    """The options of which the type says less than evo does: the forms that each may have."""
    callback, section = _ref("callback"), [_ref("part")]
    matrix = {"type": "array", "minItems": 1, "items": {"type": "array", "items": {"type": "integer", "minimum": 0}}}
    link = {"anyOf": [_STRING, {"type": "array", "items": _STRING}]}
    points: list[Schema] = [_STRING, {"type": "array", "items": _ref("point")}]
    start = {"weights": {"type": "string", "title": "a file of weights"}, "points": any_of([*points, _NULL])}
    return {
        **{name: [_DURATION] for name, check in CHECKS.items() if check is parse_duration},
        **{name: [_NAME] for name in ("on_improvement", "on_end")},
        **_objectives(),
        "limits": [{"type": "string", "title": "a YAML file"}, _ref("limits")],
        "constraints": [_STRING, {"type": "array", "items": _STRING}],
        "baseline": [{"type": "string", "title": "a YAML file"}, _ref("point")],
        "start_from": [*points, {"type": "object", "additionalProperties": False, "properties": start}],
        "islands": [_COUNT, {"type": "array", "minItems": 1, "items": _ref("island")}],
        "island_sizes": [{"type": "array", "minItems": 1, "items": _COUNT}],
        "topology": [{"enum": list(TOPOLOGIES)}, matrix],
        "emigration": [_ref("selection")],
        "immigration": [_ref("selection")],
        "propagator": [_ref("propagator")],
        "pruning": [_ref("pruner")],
        "callbacks": [callback, {"type": "array", "items": callback}],
        "trainer": [{"type": "object"}],
        "early_stopping": [{"type": "boolean"}, _ref("early_stopping")],
        "link_arguments": [{"type": "object", "additionalProperties": link}],
        **dict.fromkeys(("model", "data", "optimizer", "lr_scheduler"), section),
    }


def _objectives() -> dict[str, list[Schema]]:
    """What says what is minimised or maximised, by name."""

    def by_name(value: Schema) -> Schema:
        return {"type": "object", "minProperties": 1, "propertyNames": _NAME, "additionalProperties": value}

    names = {"type": "array", "minItems": 1, "uniqueItems": True, "items": _NAME}
    number: Schema = {"type": "number"}
    return {
        "objectives": [by_name({"enum": ["min", "max"]}), names, {**_NAME, "title": "one name"}],
        "constraint_metrics": [by_name(any_of([_BOUND, {"type": "array", "minItems": 1, "items": _BOUND}]))],
        "target": [schema_of_type(float, {}, quoted=True), by_name(number)],
        "reference_point": [by_name(number)],
    }


def _of_lightning_cli() -> dict[str, Schema]:
    """What a configuration of LightningCLI has beside evo's options; see `evo.objective.lightningcli`."""
    aside = "Set aside: evo trains, and tests the best."
    whole = "A whole configuration, as LightningCLI writes it for its command fit."
    return {
        "fit": described({"type": ["object", "null"]}, whole),
        **{name: described({}, aside) for name in ("validate", "test", "predict", "subcommand")},
        "seed_everything": described({"type": ["integer", "boolean", "null"], "minimum": 0}, "The same as seed."),
        "ckpt_path": described(_NULL, "Every training of a search begins anew."),
        "weights_only": {},
    }


def _conditions() -> list[Schema]:
    """What options must not say together."""
    of_training = {field.name: {"enum": [field.default, None]} for field in SECTIONS if field.default is not None}
    of_training |= {field.name: _NULL for field in SECTIONS if field.default is None}
    del of_training["compile"]  # A switch has too many ways to say off.
    inline: Schema = {"properties": {"evaluate": {"enum": ["inline"]}}, "required": ["evaluate"]}
    listed: Schema = {"properties": {"islands": {"type": "array"}}, "required": ["islands"]}
    named: Schema = {"properties": {"objective": _STRING}, "required": ["objective"]}
    own_trainer: Schema = {"properties": {"trainer_class": _STRING}, "required": ["trainer_class"]}
    trainer = any_of([_ref("trainer"), _NULL])
    return [
        {"if": named, "then": {"properties": of_training}},
        {"if": inline, "then": {"properties": {"time_limit": _NULL}}},
        {"if": listed, "then": {"properties": {"island_sizes": _NULL}}},
        {"if": own_trainer, "else": {"properties": {"trainer": trainer}}},
    ]


def _island() -> Schema:
    return {
        "type": "object",
        "properties": {
            "workers": {**_COUNT, "description": "The number of workers that live on this island."},
            "propagator": {"anyOf": [_ref("propagator"), _NULL]},
        },
        "required": ["workers"],
        "additionalProperties": False,
    }


def _ref(definition: str) -> Schema:
    return {"$ref": f"#/definitions/{definition}"}
