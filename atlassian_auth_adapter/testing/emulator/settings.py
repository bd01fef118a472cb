"""Settings that a test changes: a name or a value that does not exist raises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import ClassVar


class Strict:
    """An object whose attributes are settings: those that it has when it is complete.

    dir() has what is for authors of tests.

    Attributes:
        choices: The values of a setting, where only some exist.
        inner: Public names for other modules of the emulator only.
    """

    choices: ClassVar[Mapping[str, tuple[object, ...]]] = MappingProxyType({})
    inner: ClassVar[frozenset[str]] = frozenset()
    _is_complete = False

    def __setattr__(self, name: str, value: object) -> None:
        """Set a setting.

        Raises:
            AttributeError: No setting has that name, once the object is complete.
            ValueError: The setting has no such value.
        """
        if self._is_complete:
            kind = type(self).__name__
            if callable(getattr(type(self), name, None)):
                raise AttributeError(f"{kind}.{name} is not a setting but a method: call it")
            if not hasattr(self, name):
                hint = _hint(name, vars(self))
                raise AttributeError(f"{kind} has no setting {name!r}{hint}")
        if value not in self.choices.get(name, (value,)):
            message = f"{name} = {value!r}: there is no such value; use one of {self.choices[name]}"
            raise ValueError(message)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        hidden = {*self.inner, "choices", "inner", "complete"}
        return [name for name in super().__dir__() if name not in hidden]

    def complete(self) -> None:
        """From now on there are no other settings than those it has."""
        self._is_complete = True


def checked(what: str, value: str, known: Iterable[str]) -> None:
    """A name that a test asks for exists.

    Raises:
        ValueError: It does not; the text has the one that may have been meant.
    """
    names = sorted({*known})
    if value not in names:
        hint = _hint(value, names)
        raise ValueError(f"there is no {what} {value!r}{hint}; use one of {', '.join(names)}")


def _hint(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, [*names], 1)
    return f"; did you mean {near[0]!r}?" if near else ""
