"""Names of a package that are loaded on first use (PEP 562).

Importing the package imports this module, which therefore imports nothing.
"""

import sys

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["loading"]


def loading(
    package: str, homes: "Mapping[str, str]"
) -> "tuple[Callable[[str], Any], Callable[[], list[str]]]":
    """The package's `__getattr__` and `__dir__`: `homes` has the module of it for each name.

    Its dir() has the names that are for users, `__all__`, and no import of the package.

    A name whose library is not installed cannot be imported. `import *`, and what looks at all
    names of a package, such as help() and inspect.getmembers(), get a stand-in for it.
    """

    def load(name: str) -> "Any":
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        try:
            value = getattr(import_module(f"{package}.{homes[name]}"), name)
        except ImportError as error:
            if _is_imported_by_name():
                raise
            from atlassian_auth_adapter.stand_ins import stand_in

            return stand_in(package, name, error)
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
