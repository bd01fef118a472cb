"""Stand-ins for the classes and functions whose libraries are not installed.

A stand-in raises MissingExtraError when it is used.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NoReturn

from atlassian_auth_adapter.errors import MissingExtraError

__all__ = ["stand_in"]


def stand_in(package: str, name: str, error: ImportError) -> Any:
    """A class or a function in place of the one of that name, which the error kept from loading."""
    advice = str(error)
    if isinstance(error, ModuleNotFoundError):
        advice = f"{error.name} is not installed: pip install {error.name}"
    return _stand_in(package, name, advice)


class _StandIn(type):
    """The type of stand-ins for classes: calling one and inheriting from it raises."""

    def __call__(cls, *_: object, **__: object) -> NoReturn:
        raise MissingExtraError(str(cls.__doc__))

    def __getattr__(cls, name: str) -> NoReturn:
        raise AttributeError(f"{cls.__name__}.{name}: {cls.__doc__}")


@cache
def _stand_in(package: str, name: str, advice: str) -> Any:
    """The same one each time; `advice` says what to install."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise MissingExtraError(advice)

    if name[0].isupper():
        members: dict[str, object] = {"__module__": package, "__doc__": advice}
        return _StandIn(name, (), members | {"__init_subclass__": classmethod(refuse)})
    refuse.__name__ = refuse.__qualname__ = name
    refuse.__module__, refuse.__doc__ = package, advice
    return refuse
