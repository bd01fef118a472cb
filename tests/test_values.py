"""A Value is what a frozen dataclass is: equal by its fields, and never changed."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import ClassVar

import pytest

from atlassian_auth_adapter import CloudEnvironment, ConfigurationError, Entry, Profile, TokenSet
from atlassian_auth_adapter.values import Value


class Pair(Value):
    """Refuses a negative right side; shows the left one only."""

    left: str
    right: int
    __slots__ = ("left", "right")
    _hidden: ClassVar[frozenset[str]] = frozenset({"right"})

    def __init__(self, left: str, right: int = 7) -> None:
        if right < 0:
            raise ValueError("negative")
        self._set(left=left, right=right)


class Other(Pair):
    """A subclass that changes nothing."""


ONE = Pair("a", 1)


def test_it_is_equal_by_its_fields_to_values_of_its_class() -> None:
    """Also as a key; a tuple or a subclass with the same fields is another thing."""
    assert Pair("a") == Pair("a", 7) == Pair(right=7, left="a") != ONE
    assert {Pair("a"): 1}[Pair("a", 7)] == 1
    assert Pair("a", 1) != ("a", 1)
    assert Pair("a", 1) != Other("a", 1)


def test_it_cannot_be_changed() -> None:
    """No field, no new attribute, and nothing is deleted."""
    for name in ("left", "new"):
        with pytest.raises(AttributeError, match=name):
            setattr(ONE, name, "b")
    with pytest.raises(AttributeError, match="left"):
        del ONE.left  # type: ignore[misc]
    assert Pair("a", 1) == ONE


def test_a_changed_one_is_checked_again() -> None:
    """A subclass stays one; an unknown field is refused."""
    assert ONE._replace(right=2) == Pair("a", 2)
    assert ONE.__replace__(left="b") == Pair("b", 1)
    assert type(Other("a")._replace(right=2)) is Other
    with pytest.raises(ValueError, match="negative"):
        ONE._replace(right=-1)
    with pytest.raises(TypeError, match="middle"):
        ONE._replace(middle=1)


def test_its_repr_hides_what_it_says() -> None:
    """Also that of a subclass."""
    assert (repr(ONE), repr(Other("a"))) == ("Pair(left='a')", "Other(left='a')")


def test_copies_pickles_and_patterns() -> None:
    """They work as with a dataclass."""
    assert copy.copy(ONE) == copy.deepcopy(ONE) == pickle.loads(pickle.dumps(ONE)) == ONE
    match ONE:
        case Pair(left, right):
            assert (left, right) == ("a", 1)


def test_the_public_values() -> None:
    """Each shows the arguments of its constructor, is compared, copied and pickled by them."""
    assert TokenSet._fields[:2] == tuple(inspect.signature(TokenSet).parameters)[:2]
    assert "s3cr3t" not in repr((Entry("s3cr3t", 1), TokenSet("s3cr3t"), Profile(proxy="s3cr3t")))
    hosts = CloudEnvironment(auth_url="https://a.test", api_url="https://b.test", audience="")
    assert eval(repr(hosts)) == hosts  # nothing of it is secret
    for value in (Entry("text", 3), Profile("work", cloud=hosts, scopes=("READ",)), hosts):
        twin = pickle.loads(pickle.dumps(value))
        assert (twin, hash(twin)) == (value, hash(value))
    assert type(pickle.loads(pickle.dumps(Entry("text", 3))).text) is type(Entry("", 1).text)
    with pytest.raises(ConfigurationError, match="product"):
        Profile("work")._replace(product="statuspage")
