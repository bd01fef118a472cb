"""How a store is described to the tests, and what all of them share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

import pytest

from atlassian_auth_adapter.errors import TokenStoreTimeoutError
from atlassian_auth_adapter.records import Journal, Login, TokenKey, write
from atlassian_auth_adapter.stores.base import TokenStore
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE
from atlassian_auth_adapter.tokens import TokenSet

__all__ = [
    "KEY",
    "LOGIN",
    "MOMENT",
    "NAME",
    "SIMILAR_NAMES",
    "TEXT",
    "Outage",
    "StoreTests",
    "assert_no_secret",
    "held",
    "text_of",
    "try_lock",
]

Outage = Callable[[], AbstractContextManager[object]]

#: Seconds to wait for a lock that must not become free.
MOMENT = 0.05

KEY = TokenKey("https://auth.example.com:8443/oauth", "client", "default")

#: A login in which every field has a value of its own.
LOGIN = Login(
    generation=7,
    login_id="5a1f",
    token_set=TokenSet(
        access_token="secret-access",
        refresh_token="secret-refresh",
        expires_at=1764003600.25,
        scope="read:jira-work offline_access",
        token_type="bearer",
        obtained_at=1764000000.5,
    ),
    journal=Journal("salted$hash", 1764000001.5, "host:123"),
    takeover=Journal("salted$other", 1764000002.5, "host:124"),
    throttled_until=1764000009.5,
    dead="salted$dead",
    dead_reason="answer_lost",
    forced_until=1764000000.75,
    taken_over=("1f0e",),
    authorized_at=1763999999.25,
)

#: The name and the text of that login; what a store is handed.
NAME, TEXT = KEY.name, write(KEY, LOGIN)

#: NAME, and names that are hard to tell from it or from each other.
SIMILAR_NAMES = (
    NAME,
    NAME[:-1],
    f"{NAME}0",
    f"{NAME}.authorizations",
    f"{NAME}.sites",
    f"{NAME}_sites",
    f"{NAME}-sites",
    "0",
    "a" * 63,
    "con",
    "a.b.c",
)


def text_of(number: int) -> str:
    """The text of another state of that login, with other tokens."""
    token_set = TokenSet(f"secret-access-{number}", f"secret-refresh-{number}", 1764000000.0)
    return write(KEY, Login(number, "5a1f", token_set))


class StoreTests:
    """What a test class says about its store; `store` must be overridden, the rest may be.

    Attributes:
        shared_between_processes: Whether an unpickled or reopened store in another process is the
            same place, with the same lock.
        crash_recovery: Seconds after which the lock of a killed process is free again. A kernel
            lock: at once. A lease: its time-to-live.
    """

    shared_between_processes: ClassVar[bool]
    crash_recovery: ClassVar[float] = PATIENCE

    @pytest.fixture
    def store(self) -> TokenStore:
        """A new and empty store."""
        raise NotImplementedError("override the fixture: return a new and empty store")

    @pytest.fixture
    def reopened(self) -> TokenStore | None:
        """Another object on the same place as `store`, or None when there cannot be one."""
        return None

    @pytest.fixture
    def outage(self) -> Outage | None:
        """Makes the place unreachable within a context, or None when that cannot be done."""
        return None

    @pytest.fixture
    def second(self, store: TokenStore, reopened: TokenStore | None) -> TokenStore:
        """`reopened`, which the test needs; not for overriding."""
        if reopened is None:
            pytest.skip("this store has one object per place")
        return reopened

    @pytest.fixture
    def unreachable(self, outage: Outage | None) -> Outage:
        """`outage`, which the test needs; not for overriding."""
        if outage is None:
            pytest.skip("this store cannot be cut off from its place")
        return outage

    @pytest.fixture
    def shared(self, store: TokenStore) -> TokenStore:
        """`store`, for tests with several processes; not for overriding."""
        if not self.shared_between_processes:
            pytest.skip("this store is not shared between processes")
        return store


def assert_no_secret(error: BaseException) -> None:
    """Fail when "secret" is in the text or the fields of an error, its causes or its contexts."""
    found: list[BaseException] = [error]
    for one in found:  # grows on the way
        fields = {name: getattr(one, name, None) for name in ("doc", "object")} | vars(one)
        assert "secret" not in f"{one} {one!r} {one.args!r} {fields!r}"
        found += [e for e in (one.__cause__, one.__context__) if e and e not in found]


@contextmanager
def held(store: TokenStore, name: str) -> Iterator[None]:
    """Another thread holds the lock."""
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with store.lock(name, timeout=PATIENCE):
            inside.set()
            leave.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold)
        try:
            assert inside.wait(PATIENCE)
            yield
        finally:
            leave.set()
            holder.result(PATIENCE)


def try_lock(store: TokenStore, name: str = NAME) -> str:
    """Whether the lock is "free" or "busy" now."""
    try:
        with store.lock(name, timeout=MOMENT):
            return "free"
    except TokenStoreTimeoutError:
        return "busy"
