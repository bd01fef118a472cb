"""Which scopes a URL of the Cloud gateway needs, and what replaces one that is gone (410).

The gateway does not say which scope is missing; Atlassian's API documents do. `scopes.toml` holds
them in short form, with sources and dates. It is read when it is first needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Literal, NamedTuple

from atlassian_auth_adapter.errors import ConfigurationError

__all__ = ["ScopeSetName", "lacking", "scope_set", "scopes_for", "shortened", "successor_of"]

#: What a set of scopes is for: reading, reading and writing, or the audit log.
ScopeSetName = Literal["read", "write", "audit"]
#: Characters of granted scopes that an error or an event shows.
_SHOWN = 80


class _Row(NamedTuple):
    """The scopes for some methods on some paths, as `scopes.toml` explains them."""

    methods: frozenset[str]
    path: re.Pattern[str]
    alternatives: tuple[str, ...]


def scopes_for(method: str, path: str) -> tuple[str, ...]:
    """The scopes that open a path of the gateway, as far as they are known.

    Args:
        method: HTTP method.
        path: Path of the URL, without the query, such as `/ex/jira/{cloudid}/rest/api/3/myself`.

    Returns:
        The alternatives, most useful first; each is a set of scopes, separated by blanks, of which
        a token needs all. An empty set: any token will do. No alternatives: nothing is known.
    """
    method = "GET" if method.upper() in ("HEAD", "OPTIONS") else method.upper()
    for row, match in _matching(path.rstrip("/")):
        if method in row.methods:
            known = {"verb": "read" if method == "GET" else "write", **match.groupdict()}
            return tuple(alternative.format_map(known) for alternative in row.alternatives)
    return ()


def scope_set(product: str, *names: ScopeSetName) -> tuple[str, ...]:
    """The scopes of named sets, for Jira or Confluence Cloud.

    Pass them as `scopes=`, or use them to know which scopes to add to the app:
    `scopes=scope_set("jira", "read", "audit")`. `scopes.toml` has the sets and their sources.

    Args:
        product: "jira" or "confluence", in any case.
        names: "read" (issues, pages and what belongs to them), "write" (to read and write them; not
            to delete pages) or "audit" (the audit log).

    Returns:
        Each scope once; `offline_access` is among them.

    Raises:
        ConfigurationError: There is no such set; the text names those that there are.
    """
    sets = _document()["sets"]
    known = sets.get(str(product).lower(), {})
    if not names or not all(isinstance(name, str) and name in known for name in names):
        listed = " and ".join(f"{of!r} has {', '.join(map(repr, sets[of]))}" for of in sets)
        raise ConfigurationError(
            f"scope_set: give a product and the names of its sets: {listed or 'none is installed'}."
            " For other products and for Data Center name the scopes themselves."
        )
    return tuple(dict.fromkeys(scope for name in names for scope in known[name].split()))


def lacking(alternatives: Iterable[str], granted: Iterable[str]) -> str:
    """The scopes that a token lacks of the alternative that it is nearest to.

    Args:
        alternatives: As `scopes_for` returns them.
        granted: Scopes of the token.

    Returns:
        Scopes, separated by blanks; "" when they suffice, and when nothing is known.
    """
    has = set(granted)
    missing = [[scope for scope in each.split() if scope not in has] for each in alternatives]
    fewest: list[str] = min(missing, key=len, default=[])
    return " ".join(fewest)


def shortened(granted: Iterable[str]) -> str:
    """Granted scopes for a text of one line: as many as fit, and how many more there are."""
    names, shown = sorted(granted), ""
    for number, name in enumerate(names):
        longer = f"{shown} {name}".strip()
        if len(longer) > _SHOWN:
            return f"{shown} and {len(names) - number} more".strip()
        shown = longer
    return shown


def successor_of(path: str) -> str:
    """What to use in place of a path that answers 410 Gone.

    Args:
        path: Path of a URL of the gateway, without the query.

    Returns:
        A path below the product's base URL, such as `/wiki/api/v2/pages`; "" when none is known.
    """
    path = path.rstrip("/")
    return next((successor for moved, successor in _moved() if moved.fullmatch(path)), "")


def _matching(path: str) -> Iterator[tuple[_Row, re.Match[str]]]:
    """The rows whose path matches, in order, whatever the method."""
    for api, rows in _apis():
        if below := api.match(path):
            for row in rows:
                if match := row.path.fullmatch(path, below.end()):
                    yield row, match


@cache
def _document() -> dict[str, Any]:
    import tomllib
    from importlib.resources import files

    try:
        text = files("atlassian_auth_adapter.atlassian").joinpath("scopes.toml").read_text("utf-8")
    except OSError:  # a frozen program may lack the file, and a hint must not break a request
        return {"api": [], "moved": [], "sets": {}}
    return tomllib.loads(text)


@cache
def _apis() -> tuple[tuple[re.Pattern[str], tuple[_Row, ...]], ...]:
    return tuple(
        (
            _pattern(api["path"]),
            tuple(
                _Row(frozenset(methods.split()), _pattern(path), tuple(alternatives))
                for methods, path, *alternatives in api["rows"]
            ),
        )
        for api in _document()["api"]
    )


@cache
def _moved() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((_pattern(path), successor) for path, successor in _document()["moved"])


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(path.replace("/*", "/[^/]+"), re.VERBOSE)
