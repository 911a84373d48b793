"""How Sphinx makes the site of the pages in this folder: `make docs`, into build/docs.

The pages are Markdown that GitHub shows as well: links are relative paths to files, within docs/ or out of it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

import evo  # noqa: E402

project = "evo"
author = "the evo authors"
copyright = author
version = release = evo.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 4  # as many as GitHub's, whose names they have

napoleon_google_docstring = True
napoleon_numpy_docstring = False
autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"evo {release}"
html_static_path = ["_static"]
html_css_files = ["evo.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False

copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = False

# Pages of the site that stand beside what they are about, where GitHub shows them.
ELSEWHERE = {"index": ROOT / "README.md", "tutorials": ROOT / "tutorials/README.md", "jobs": ROOT / "jobs/README.md"}


def with_links_of_the_site(text: str, written: Path, page: Path) -> str:
    """A page whose relative links lead to the same files from another folder, and to pages where a file is one.

    Args:
        text: The page, as it is written.
        written: The file that it is written in.
        page: The file in docs/ that Sphinx makes it of.
    """
    pages = {file: DOCS / f"{name}.md" for name, file in ELSEWHERE.items()}

    def moved(match: re.Match[str]) -> str:
        path, hash_sign, heading = match[1].partition("#")
        if not path or "://" in path:
            return match[0]
        target = Path(os.path.normpath(written.parent / path))
        return f"]({os.path.relpath(pages.get(target, target), page.parent)}{hash_sign}{heading})"

    return re.sub(r"\]\(([^()\s]+)\)", moved, text)


def read_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Give Sphinx a page with the links of the site."""
    page = DOCS / f"{docname}.md"
    written = page if docname == "index" else ELSEWHERE.get(docname, page)
    if written != page:
        app.env.note_dependency(str(written))
        source[0] = written.read_text(encoding="utf-8")
    if page.exists():
        source[0] = with_links_of_the_site(source[0], written, page)


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("source-read", read_page)
