"""Pickling of objects that must exist once in a process, and of callables that return secrets.

Two objects for one login would use one refresh token twice; and a pickle must hold no secret.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, Self
from weakref import WeakValueDictionary

__all__ = ["PickledByName", "PickledByReference", "is_named"]

#: The objects that were pickled, by the random names in their pickles. A forked child keeps them,
#: so that it finds what its parent has pickled. No lock: each access is one atomic call.
_pickled: WeakValueDictionary[str, PickledByReference] = WeakValueDictionary()


class PickledByReference:
    """Its copies are the object itself, and its pickle holds a random name and no secret.

    In the same process and its forked children, unpickling finds the object by that name. In any
    other process it calls what `_reduce_for_other_process` returns.
    """

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        from secrets import token_hex

        name = self.__dict__.setdefault("_name", token_hex(16))
        _pickled[name] = self
        return _found, (name, *self._reduce_for_other_process())

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        """A callable and its arguments, for unpickling in another process."""
        raise NotImplementedError


def _found(name: str, make: Callable[..., object], *arguments: Any) -> object:
    return _pickled.get(name) or make(*arguments)


class PickledByName:
    """A callable whose pickle says where a secret is, and does not hold it."""

    __slots__ = ()


def is_named(thing: object) -> bool:
    """Whether it is a function or class of a module, or a `PickledByName`.

    Their pickle is a name. The pickle of a bound method or of a partial may hold a secret.
    """
    if not isinstance(thing, FunctionType | type | PickledByName):
        return False
    import pickle

    try:
        pickle.dumps(thing)
    except (AttributeError, pickle.PicklingError):
        return False
    return True
