"""Names of a package that are loaded on first use (PEP 562); stand-ins for what is not installed.

A name whose library is not installed cannot be imported. `import *`, and what looks at all names of
a package, such as help() and inspect.getmembers(), get a stand-in for it, which raises
MissingExtraError when it is used.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

__all__ = ["loading"]


def loading(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The package's `__getattr__` and `__dir__`: `homes` has the module of it for each name.

    Its dir() has the names that are for users, `__all__`, and no import of the package.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        except ImportError as error:
            if _is_imported_by_name():
                raise
            advice = str(error)
            if isinstance(error, ModuleNotFoundError):
                advice = f"{error.name} is not installed: pip install {error.name}"
            return _stand_in(package, name, advice)
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        names = vars(sys.modules[package])
        return sorted({*homes, *(name for name in names if name.startswith("__"))})

    return load, listed


def _is_imported_by_name() -> bool:
    """Whether `load` was called for `from PACKAGE import NAME`.

    PEP 562 does not tell. The import system asks a package for each such name in this function,
    and for `import *` with `recursive`. Should another Python do it elsewhere, the stand-in is
    imported, and raises when it is used.
    """
    frame = sys._getframe(2)  # noqa: SLF001 - there is no other way
    is_import = frame.f_code.co_name == "_handle_fromlist"
    return is_import and not frame.f_locals.get("recursive")


class _StandIn(type):
    """The type of stand-ins for classes: calling one and inheriting from it raises."""

    def __call__(cls, *_: object, **__: object) -> NoReturn:
        _refuse(cls.__doc__)

    def __getattr__(cls, name: str) -> NoReturn:
        raise AttributeError(f"{cls.__name__}.{name}: {cls.__doc__}")


def _refuse(advice: object) -> NoReturn:
    from atlassian_auth_adapter.errors import MissingExtraError

    raise MissingExtraError(str(advice))


@functools.cache
def _stand_in(package: str, name: str, advice: str) -> Any:
    """A class or a function in place of the one of that name; `advice` says what to install."""

    def refuse(*_: object, **__: object) -> NoReturn:
        _refuse(advice)

    if name[0].isupper():
        members: dict[str, object] = {"__module__": package, "__doc__": advice}
        return _StandIn(name, (), members | {"__init_subclass__": classmethod(refuse)})
    refuse.__name__ = refuse.__qualname__ = name
    refuse.__module__, refuse.__doc__ = package, advice
    return refuse
