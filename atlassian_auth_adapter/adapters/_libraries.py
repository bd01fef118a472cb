"""The HTTP libraries: which one a request is of, and errors of ours that are also errors of it."""

from __future__ import annotations

from functools import cache
from typing import Any, NoReturn

from atlassian_auth_adapter.errors import AtlassianAuthError, rebuilt

__all__ = ["bridged", "library_of", "refuse"]

_CLASS_FOR = {
    "requests": "AtlassianAuth",
    "httpx": "AtlassianHTTPXAuth",
    "httpx2": "AtlassianHTTPX2Auth",
    "aiohttp": "AtlassianAiohttpAuth",
}
#: niquests has nearly the interface of requests, but would leak the token. Source: measured
#: 2026-11-24 with 3.21.2, HTTP/2. While it multiplexes it follows redirects before a response hook
#: runs, with the token, and sends a rejected request twice more, even a POST; with AsyncSession a
#: hook cannot read the body.
_KNOWN = frozenset({*_CLASS_FOR, "niquests"})


def library_of(thing: object) -> str:
    """The HTTP library that a request or a stream comes from, also by inheritance."""
    packages = [cls.__module__.partition(".")[0] for cls in type(thing).__mro__]
    return next((package for package in packages if package in _KNOWN), packages[0])


def refuse(auth: object, request: object) -> NoReturn:
    """Raise a TypeError that names the auth object for the library of the request."""
    library = library_of(request)
    right = _CLASS_FOR.get(library)
    supported = ", ".join(f"{name}(...) for {known}" for known, name in _CLASS_FOR.items())
    advice = f"use {right}(...) for {library}" if right else f"it is not supported. Use {supported}"
    raise TypeError(f"{type(auth).__name__} does not work with {library}: {advice}")


def bridged(error: AtlassianAuthError, foreign: type[Exception]) -> AtlassianAuthError:
    """The same error, which also is an error of the HTTP library.

    It holds no request and no response: they carry the token.
    """
    return _rebuilt(type(error), foreign, error.args, dict(vars(error)))


def _rebuilt(
    ours: type[AtlassianAuthError],
    foreign: type[Exception],
    args: tuple[Any, ...],
    fields: dict[str, Any],
) -> AtlassianAuthError:
    # mypy looks for the hash of an instance (python/mypy#11470).
    return rebuilt(_bridge(ours, foreign), args, fields)  # type: ignore[arg-type]


@cache
def _bridge(ours: type[AtlassianAuthError], foreign: type[Exception]) -> type[AtlassianAuthError]:
    """A class that is both errors."""

    def reduce(error: AtlassianAuthError) -> tuple[Any, ...]:
        _, (_, args, fields) = ours.__reduce__(error)
        return _rebuilt, (ours, foreign, args, fields)

    namespace = {"__module__": ours.__module__, "__doc__": ours.__doc__, "__reduce__": reduce}
    return type(ours.__name__, (ours, foreign), namespace)
