"""Limits, and points within them, as JSON Schema."""

from __future__ import annotations

from evo.space.parameters import Choice, Float, Int
from evo.study.schema.types import Schema, first_paragraph
from evo.texts import argument_texts

# Text of a number is no expression: evo refuses it as a bound.
_EXPRESSION: Schema = {"type": "string", "pattern": r"^(?!\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$)\s*\S"}

_FORMS = (
    "One parameter: two numbers are a range, [2, 10] of integers and [0.01, 0.1] of real numbers; several numbers, "
    "texts, switches or lists are choices; anything else is a constant. Or a mapping with type: float, int or choice."
)


def space_definitions() -> dict[str, Schema]:
    """The definitions of limits, and of points.

    Returns:
        By name: `limits`, a mapping of parameters to what they may be; `limit`, what one parameter may be; `point`, a
        mapping of parameters to values.
    """
    return {
        "limits": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"minLength": 1},
            "additionalProperties": {"$ref": "#/definitions/limit"},
        },
        "limit": {"description": _FORMS, "anyOf": [*_short_forms(), _float(), _int(), _choice()]},
        "point": {"type": "object", "propertyNames": {"minLength": 1}},
    }


def _short_forms() -> list[Schema]:
    return [
        {"type": ["string", "number", "boolean", "null"], "title": "a constant"},
        {
            "type": "array",
            "minItems": 1,
            "title": "a range of two numbers, or choices",
            "anyOf": [
                {"items": {"type": "number"}},
                {"items": {"type": "string"}, "uniqueItems": True},
                {"items": {"type": "boolean"}, "uniqueItems": True},
                {"items": {"type": "array"}},
                {"maxItems": 1},
            ],
        },
    ]


def _when() -> Schema:
    return {"type": ["object", "null"], "minProperties": 1}


def _mapping(kind: type, fields: dict[str, Schema], required: list[str]) -> Schema:
    """A parameter that is written as a mapping with its type."""
    texts = argument_texts(kind.__doc__ or "") | {"type": first_paragraph(kind.__doc__ or "")}
    name = kind.__name__.lower()
    texts |= {
        "when": "The parameter exists only when each parameter named here has (one of) the given values.",
        "default": "A value within; where all parameters have one, the first individual has them all.",
        "mutable": "Whether it may change while a network trains, where individuals inherit states of trainings. "
        "Left out, what is in the sections optimizer, lr_scheduler, data and trainer may, but no class and no length.",
    }
    properties = {"type": {"enum": [name]}, **fields, "mutable": {"type": ["boolean", "null"]}}
    return {
        "type": "object",
        "title": name,
        "description": texts["type"],
        "properties": {each: {**schema, "description": texts[each]} for each, schema in properties.items()},
        "required": ["type", *required],
        "additionalProperties": False,
    }


def _float() -> Schema:
    bound = {"anyOf": [{"type": "number"}, _EXPRESSION]}
    fields: dict[str, Schema] = {
        "low": bound,
        "high": bound,
        "log": {"type": "boolean", "default": False},
        "step": {"type": ["number", "null"], "exclusiveMinimum": 0},
        "when": _when(),
        "default": {"type": ["number", "null"]},
    }
    return _mapping(Float, fields, ["low", "high"])


def _int() -> Schema:
    bound = {"anyOf": [{"type": "integer"}, _EXPRESSION]}
    fields: dict[str, Schema] = {
        "low": bound,
        "high": bound,
        "log": {"type": "boolean", "default": False},
        "step": {"type": "integer", "minimum": 1, "default": 1},
        "when": _when(),
        "default": {"type": ["integer", "null"]},
    }
    return _mapping(Int, fields, ["low", "high"])


def _choice() -> Schema:
    return _mapping(Choice, {"values": {"type": "array", "minItems": 1}, "when": _when(), "default": {}}, ["values"])
