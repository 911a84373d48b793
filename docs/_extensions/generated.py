"""The parts of the reference that are made from evo itself, as Markdown: options, commands, events, propagators.

A page has a comment such as `<!-- generated: options -->` where such a part belongs, and
`<!-- autodoc: evo.minimize -->` where docstrings do. Sphinx puts them there when it reads the page, so what it says is
always that of this version.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from evo.cli import COMMANDS
from evo.completion import parser_of
from evo.objective.training import Training
from evo.population.events import AnyEvent
from evo.study.config import Config
from evo.study.schema.document import build_schema
from evo.study.schema.types import Schema, first_paragraph
from evo.texts import argument_texts

PLACE = re.compile(r"^<!-- (generated|autodoc): (.+?) -->$", re.MULTILINE | re.DOTALL)


def setup(app: Any) -> dict[str, bool]:
    """Connect this extension to Sphinx."""
    app.connect("env-get-outdated", pages_to_make_anew)
    app.connect("source-read", fill_in)
    app.connect("build-finished", write_schema)
    return {"parallel_read_safe": True}


def pages_to_make_anew(app: Any, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """The pages with generated parts: evo may have changed since they were made."""
    return [name for name in env.found_docs if PLACE.search(Path(env.doc2path(name)).read_text(encoding="utf-8"))]


def fill_in(app: Any, docname: str, source: list[str]) -> None:
    """Put the generated parts into a page that Sphinx has read."""
    source[0] = with_generated_parts(source[0])


def write_schema(app: Any, error: Exception | None) -> None:
    """Write the schema of study files beside the pages of the reference."""
    if error is None and app.builder.format == "html":
        text = json.dumps(build_schema(), indent=2, ensure_ascii=False) + "\n"
        (Path(app.outdir) / "reference" / "study.schema.json").write_text(text, encoding="utf-8")


def with_generated_parts(page: str) -> str:
    """A page with what is generated in the places of its comments."""
    return PLACE.sub(lambda found: autodoc(found[2]) if found[1] == "autodoc" else PARTS[found[2]](), page)


def options() -> str:
    """All options of `evo run`, in the groups of its help."""
    parser = parser_of("run")
    lines = ["```{program} evo run", "```", ""]
    for title, actions in _groups(parser):
        lines += [f"## {title}", ""] if title else []
        for action in actions:
            lines += _option(action)
    return "\n".join(lines)


def _option(action: argparse.Action) -> list[str]:
    """One option of `evo run`: how it is written on the command line, in a study file and in Python."""
    field, text = action.dest, _plain(action.help or "")
    lines = [f":::{{option}} {_words(action)}", text, ""]
    types = _type_of(field)
    if types:
        shown = "true" if types == "bool" else "VALUE"
        lines += [f"In a study file `{field}: {shown}`, in Python `{field}=`, of type `{types}`.", ""]
    return [*lines, ":::", ""]


def commands() -> str:
    """All commands of `evo` with their options, but for `evo run`, which has a page of its own."""
    lines = []
    for name, (_, about) in COMMANDS.items():
        lines += [f"## evo {name}", ""]
        if name == "run":
            lines += [f"{_sentence(about)} [Options](options.md) has all that it takes.", ""]
            continue
        parser = parser_of(name)
        usage = " ".join(parser.format_usage().split()).removeprefix("usage: ")
        lines += [_plain(parser.description or _sentence(about)), "", "```text", usage, "```", ""]
        lines += [f"```{{program}} evo {name}", "```", ""]
        for _, actions in _groups(parser):
            for action in actions:
                lines += [f":::{{option}} {_words(action)}", _plain(action.help or ""), ":::", ""]
    return "\n".join(lines)


def events() -> str:
    """All records of a journal with their fields."""
    lines = []
    for event in typing.get_args(AnyEvent):
        texts = {"time": "The time of the event, in seconds since the epoch.", **argument_texts(event.__doc__ or "")}
        lines += [f"## {event.__name__}", "", first_paragraph(event.__doc__ or ""), ""]
        for field in msgspec.structs.fields(event):
            default = "" if field.required else f" (default `{json.dumps(_default_of(field))}`)"
            lines.append(f"- `{field.name}`{default}: {texts[field.name]}")
        lines.append("")
    return "\n".join(lines)


def propagators() -> str:
    """The ready propagators and algorithms with their options, and evo's own classes."""
    return _named("propagator")


def pruners() -> str:
    """The ready pruners with their parameters, and evo's own classes."""
    return _named("pruner")


def _named(definition: str) -> str:
    lines = []
    forms = build_schema()["definitions"][definition]["anyOf"]
    for form in forms:
        name = form.get("properties", {}).get("name", {})
        if "enum" in name:
            lines += [f"### {name['enum'][0]}", "", form["description"], "", *_properties(form, without=["name"]), ""]
    lines += ["## Classes", "", "By `class_path`, with their arguments in `init_args`.", ""]
    for form in forms:
        path = form.get("properties", {}).get("class_path", {})
        if "enum" in path:
            arguments = form["properties"]["init_args"]
            lines += [f"### {path['enum'][0]}", "", form["description"], "", *_properties(arguments), ""]
    return "\n".join(lines)


def limit_kinds() -> str:
    """The kinds of parameters that are written as a mapping, with their fields."""
    lines = []
    for form in build_schema()["definitions"]["limit"]["anyOf"]:
        if "type" in form.get("properties", {}):
            lines += [
                f"### type: {form['title']}",
                "",
                form["description"],
                "",
                *_properties(form, without=["type"]),
                "",
            ]
    return "\n".join(lines)


def trainer() -> str:
    """The arguments of Lightning's Trainer that a study file may have."""
    return "\n".join(_properties(build_schema()["definitions"]["trainer"]))


def _properties(form: Schema, without: Sequence[str] = ()) -> list[str]:
    """A list of the properties of an object."""
    items = []
    for name, schema in form["properties"].items():
        if name not in without:
            default = f", default `{json.dumps(schema['default'])}`" if "default" in schema else ""
            default = ", needed" if name in form.get("required", []) else default
            items.append(f"- `{name}` ({_types(schema)}{default}): {schema.get('description', '')}".rstrip(": "))
    return items or ["It takes no arguments."]


def _types(schema: Schema) -> str:
    """What a property may be, in few words."""
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(filter(None, map(_types, schema["anyOf"])))
    kinds = schema.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null" or len(kinds) == 1]
    if kinds == ["array"] and schema.get("items"):
        return f"list of {_types(schema['items'])}"
    if kinds == ["object"] and isinstance(schema.get("additionalProperties"), dict):
        return f"mapping to {_types(schema['additionalProperties'])}"
    return " or ".join(kinds)


def autodoc(which: str) -> str:
    """Directives that document some names from their docstrings.

    Args:
        which: The full names, divided by spaces.
    """
    lines = ["```{eval-rst}"]
    for path in which.split():
        module, _, name = path.rpartition(".")
        found = getattr(importlib.import_module(module), name)
        if inspect.isclass(found):
            lines += [f".. autoclass:: {path}", "   :members:", ""]
        elif callable(found):
            lines += [f".. autofunction:: {path}", ""]
        else:
            lines += [f".. autodata:: {path}", "   :no-value:", ""]
    return "\n".join([*lines, "```"])


def _groups(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[argparse.Action]]]:
    """The groups of a parser with the options in each, without its help."""
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        if actions:
            yield ((group.title or "").capitalize(), actions)


def _words(action: argparse.Action) -> str:
    """How an option is written, with its value; or an argument without a name."""
    shown = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    value = "" if action.nargs == 0 else re.sub(r"\[.*?\]", "", shown) + "…" * (action.nargs in ("+", "*"))
    return ", ".join(f"{option} {value}".strip() for option in action.option_strings) or value


def _type_of(field: str) -> str:
    """The type of an option, as Python writes it; empty for one that study files do not have."""
    for owner in (Config, Training):
        if field in owner.__annotations__:
            return str(owner.__annotations__[field])
    return ""


def _plain(text: str) -> str:
    """The text of a help in Markdown: nothing in it is meant as markup."""
    text = " ".join(text.replace("%%", "%").split())
    return re.sub(r"([*_<>\[\]`{}#|~])", r"\\\1", text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


PARTS: Mapping[str, Any] = {
    "options": options,
    "commands": commands,
    "events": events,
    "propagators": propagators,
    "pruners": pruners,
    "limits": limit_kinds,
    "trainer": trainer,
}
