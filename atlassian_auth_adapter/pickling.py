"""Objects that must not be doubled: there is one owner of a refresh token per process."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, Self
from weakref import WeakValueDictionary

__all__ = ["Named", "Unique", "is_named"]

_by_name: WeakValueDictionary[str, Unique] = WeakValueDictionary()


class Unique:
    """Its copies are the object itself, and its pickle holds a name and no secret.

    The same process and its forked children find the object by its name; any other process gets
    what `_elsewhere` says.
    """

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        from secrets import token_hex

        name = self.__dict__.setdefault("_name", token_hex(16))
        _by_name[name] = self
        return _found, (name, *self._elsewhere())

    def _elsewhere(self) -> tuple[Any, ...]:
        """A picklable callable with its arguments that makes a stand-in in another process."""
        raise NotImplementedError


def _found(name: str, make: Callable[..., Unique], *arguments: Any) -> Unique:
    return _by_name.get(name) or make(*arguments)


class Named:
    """A callable whose pickle says where a secret is, and does not hold it."""

    __slots__ = ()


def is_named(thing: object) -> bool:
    """Whether it is a function or class of a module, whose pickle is its name, or a `Named`.

    The pickle of a bound method or of a partial may hold a secret.
    """
    if not isinstance(thing, FunctionType | type | Named):
        return False
    import pickle

    try:
        pickle.dumps(thing)
    except (AttributeError, pickle.PicklingError):
        return False
    return True
