"""The documentation site: `make docs` builds it, strictly and from local files only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.errors import SphinxError

import atlassian_auth_adapter

project = "atlassian_auth_adapter"
copyright = "its founders, MIT license"  # noqa: A001 - Sphinx's name
version = release = atlassian_auth_adapter.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4  # links to headings, as on the code host
copybutton_prompt_text = "$ "
default_role = "code"  # what docstrings have between single backticks

#: Examples in docstrings
linkcheck_ignore = [r"https://(acme\.atlassian\.net|api\.atlassian\.com|SITE|.*example\.com)"]

html_theme = "furo"
pygments_dark_style = "github-dark"  # Furo's own underlines names of modules as if they were links
html_title = f"atlassian-auth-adapter {version}"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 60
_FOREIGN = "abc|collections|contextlib|uuid|os|ssl|httpx2?|jira|keyring|redis|requests|sqlalchemy"
#: Types that this site does not describe: those of other libraries (nothing is fetched to link to
#: them), and inner ones of the package.
nitpick_ignore_regex = [
    ("py:.*", rf"({_FOREIGN})\..*"),
    ("py:.*", r"atlassian_auth_adapter\.\w+\..*|Clock|EventName|Flow|Known|Located|Location"),
    ("py:.*", "OnEvent|Paste|Proxy|Route|Secret"),
]


def setup(app: Any) -> None:
    """Connect what follows."""
    app.connect("autodoc-process-docstring", _prepared, priority=400)
    app.connect("autodoc-skip-member", _skipped)
    app.connect("missing-reference", _public)
    app.connect("build-finished", _nothing_remote)


def _skipped(_app: Any, _what: str, _name: str, member: Any, _skip: bool, _: Any) -> bool | None:
    """A field of a named tuple: the docstring of its class says more than "Alias for field"."""
    return True if (member.__doc__ or "").startswith("Alias for field number") else None


def _prepared(_app: Any, what: str, _name: str, _obj: object, _options: Any, lines: Any) -> None:
    """What napoleon and docutils, which come next, would read otherwise than it is meant."""
    for number, line in enumerate(lines):
        if line.endswith(":") and line.removesuffix(":").isalpha():
            break  # the first section, such as "Args:"
        if line.startswith("    ") and not lines[number - 1]:  # code
            lines[number:number] = ["::", ""]
            break
    if what in ("attribute", "data", "property"):
        lines.insert(0, "\\")  # nothing; else a sentence with a colon is read as "type: text"


def _public(app: Any, env: Any, node: Any, content: Any) -> Any:
    """A type is described under its public name, wherever its module is."""
    name = node.get("reftarget", "").rpartition(".")[2]
    if node.get("refdomain") == "py" and name in atlassian_auth_adapter.__all__:
        public = f"{project}.{name}"
        place = node["refdoc"], app.builder, "obj", public, node, content
        return env.get_domain("py").resolve_xref(env, *place)
    return None


#: What a browser fetches by itself, from another host.
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b[^>]*\bhref=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import"""
)


def _nothing_remote(app: Any, error: Exception | None) -> None:
    """A page that fetches anything from another host is an error."""
    if error is None and app.builder.format == "html":
        for file in sorted(Path(app.outdir).rglob("*")):
            if file.suffix in (".html", ".css", ".svg"):
                found = _FETCHED.search(file.read_text("utf-8"))
                if found:
                    raise SphinxError(f"{file.name} fetches from another host: {found[0]}")
