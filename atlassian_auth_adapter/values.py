"""Value: a base class of frozen values, which are what frozen dataclasses are.

Importing `dataclasses`, which imports `inspect`, and making the methods of eight classes takes
nearly half as long as `import click`: `atlassian-auth token` and the auth objects start without it.
What they need is a NamedTuple, or a Value if it checks or hides its fields: a tuple of secrets
would be printed by whatever writes JSON.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, Self, dataclass_transform

__all__ = ["Value"]


@dataclass_transform(frozen_default=True)
class Value:
    """A frozen value. Its fields are the arguments of its `__init__`, which sets them.

    It is equal to a value of the same class whose fields are equal. As a NamedTuple it has
    `_fields`, `_field_defaults` and `_replace`.
    """

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]]
    _field_defaults: ClassVar[dict[str, Any]]
    #: Fields that are not in the repr.
    _hidden: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        init: Any = getattr(cls.__init__, "__wrapped__", cls.__init__)
        names = init.__code__.co_varnames[1 : init.__code__.co_argcount]
        defaults = init.__defaults__ or ()
        cls._fields = names
        setattr(cls, "__match_args__", names)  # noqa: B010 - for `match`, as type checkers know it
        cls._field_defaults = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))

    def _set(self, **fields: object) -> None:
        """Set fields that are not to be changed from now on."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _replace(self, **changes: Any) -> Self:
        """A value with these fields in the place of its own; it is checked as any other."""
        return type(self)(**dict(zip(self._fields, self._values(), strict=True)) | changes)

    __replace__ = _replace  # for copy.replace() of Python 3.13

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self._fields])

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        shown = [name for name in self._fields if name not in self._hidden]
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise AttributeError(f"{name} cannot be changed: a {type(self).__name__} is a frozen value")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name} cannot be deleted: a {type(self).__name__} is a frozen value")
