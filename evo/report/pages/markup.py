"""HTML in which texts from journals can be nothing but text."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from evo.report.pages.picture import Drawing
from evo.report.tables import number_text
from evo.texts import printable

_LONGEST_TEXT = 20_000
_LONGEST_CELL = 80


def escaped(value: object, most: int = _LONGEST_TEXT) -> str:
    """A value as text of a page, whatever it holds.

    Args:
        value: The value.
        most: The number of characters after which the middle is left out.

    Example:
        >>> escaped("</script><b onclick='x'>")
        '&lt;/script&gt;&lt;b onclick=&#x27;x&#x27;&gt;'
    """
    text = str(value)
    if len(text) > most:
        text = f"{text[: most // 2]}\n[… {len(text) - most} characters …]\n{text[-most // 2 :]}"
    return html.escape(printable(text, kept="\n\t"))


def script_json(value: Any) -> str:
    r"""JSON that may stand inside of a script element.

    Example:
        >>> script_json("</script><!--")
        '"\\u003c/script>\\u003c!--"'
    """
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table that scrolls within its own box; columns of numbers stand to the right.

    Args:
        head: The titles of the columns.
        rows: The cells of each row: numbers, texts, None for an empty one.
    """
    cells = [list(row) for row in rows]
    kinds = [' class="number"' if all(map(_is_number, column)) else "" for column in zip(*cells, strict=True)]
    kinds = kinds or [""] * len(head)
    titles = [
        f'<th scope="col"{kind}>{escaped(title, _LONGEST_CELL)}</th>' for title, kind in zip(head, kinds, strict=True)
    ]
    lines = [
        f"<td{kind}>{escaped(number_text(cell), _LONGEST_CELL)}</td>" + ("</tr><tr>" if place == len(head) - 1 else "")
        for row in cells
        for place, (cell, kind) in enumerate(zip(row, kinds, strict=True))
    ]
    body = "".join(lines).removesuffix("<tr>")
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{"".join(titles)}</tr></thead>'
        f"<tbody>{'<tr>' if body else ''}{body}</tbody></table></div>"
    )


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def facts(found: Mapping[str, Any]) -> str:
    """Names and values, one beside the other; what is None or empty is left out."""
    rows = "".join(
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(value, 2000)}</dd></div>"
        for name, value in found.items()
        if value not in (None, "")
    )
    return f'<dl class="facts">{rows}</dl>'


def details(summary: str, text: str, is_open: bool = False) -> str:
    """A text in full, below a line that opens it."""
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{escaped(summary, 2000)}</summary><pre>{escaped(text)}</pre></details>"


def paragraph(text: str) -> str:
    """A paragraph."""
    return f"<p>{escaped(text)}</p>"


def figure_box(drawing: Drawing, prefix: str) -> str:
    """A place on the page in which a picture is drawn once it comes into sight.

    Args:
        drawing: The picture.
        prefix: What makes its name unique on the page.
    """
    name, title = escaped(f"{prefix}-{drawing.name}"), escaped(drawing.title, 200)
    level = "h4" if drawing.is_small else "h3"
    hint = f"<figcaption>{escaped(drawing.hint)}</figcaption>" if drawing.hint else ""
    kind = "picture white" if drawing.is_on_white else "picture"
    box = f'<div class="{kind}" style="height:{drawing.height}px" role="img" aria-label="{title}"></div>'
    data = f'<script type="application/json">{script_json(drawing.figure)}</script>'
    return f'<figure id="{name}"><{level}>{title}</{level}>{box}{data}{hint}</figure>'


def section(anchor: str, title: str, parts: Sequence[str]) -> str:
    """A section of the page; nothing when it has no parts."""
    body = "".join(filter(None, parts))
    return f'<section id="{escaped(anchor)}"><h2>{escaped(title, 200)}</h2>{body}</section>' if body else ""


def grid(parts: Sequence[str]) -> str:
    """Small pictures beside each other, where there is room."""
    return f'<div class="grid">{"".join(parts)}</div>' if parts else ""


def page_part(name: str) -> str:
    """A file that belongs to the page.

    Args:
        name: Its name, beside this module.
    """
    return files("evo.report.pages").joinpath(name).read_text(encoding="utf-8")


def renewal(version: str) -> str:
    """The box by which a page that is served is renewed; page.js looks for it.

    Args:
        version: What the server calls this state of the runs.
    """
    return f'<label id="renew" data-version="{escaped(version)}"><input type="checkbox"> renew while it runs</label>'
