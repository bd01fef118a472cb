"""The lock of a name, among the threads of one process. Among processes: `sharing.py`."""

from __future__ import annotations

import threading

import pytest

from atlassian_auth_adapter.errors import TokenStoreError, TokenStoreTimeoutError
from atlassian_auth_adapter.stores.base import TokenStore
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE, together

from .base import (
    MOMENT,
    NAME,
    SIMILAR_NAMES,
    TEXT,
    StoreTests,
    assert_no_secret,
    held,
    try_lock,
)

__all__ = ["LockTests"]


class LockTests(StoreTests):
    """One holder at a time; the others wait, at most for their timeout."""

    def test_a_free_lock_is_acquired_at_once(self, store: TokenStore) -> None:
        """Also with a timeout of zero, and again after it was released."""
        for _ in range(3):
            with store.lock(NAME, timeout=0.0):
                pass

    def test_a_held_lock_times_out(self, store: TokenStore) -> None:
        """With a TokenStoreTimeoutError, which is a TimeoutError."""
        with held(store, NAME):
            for timeout in (0.0, MOMENT, -1.0):
                with (
                    pytest.raises(TokenStoreTimeoutError) as raised,
                    store.lock(NAME, timeout=timeout),
                ):
                    pytest.fail("two holders at a time")
                assert_no_secret(raised.value)

    def test_a_lock_is_not_reentrant(self, store: TokenStore) -> None:
        """A thread that holds the lock cannot acquire it a second time."""
        with store.lock(NAME, timeout=PATIENCE):
            assert try_lock(store) == "busy"

    def test_two_objects_share_the_lock(self, store: TokenStore, second: TokenStore) -> None:
        """The lock belongs to the name and the place, not to the object."""
        with held(second, NAME):
            assert try_lock(store) == "busy"

    def test_one_thread_at_a_time_holds_the_lock(self, store: TokenStore) -> None:
        """Eight threads want the lock at once; each holds it alone."""
        inside: list[int] = []

        def enter(number: int) -> list[int]:
            with store.lock(NAME, timeout=PATIENCE):
                inside.append(number)
                seen = list(inside)
                inside.remove(number)
            return seen

        assert together(8, enter) == [[number] for number in range(8)]

    def test_a_waiting_thread_acquires_the_lock_next(self, store: TokenStore) -> None:
        """As soon as the holder releases it."""
        order: list[str] = []

        def wait() -> None:
            with store.lock(NAME, timeout=PATIENCE):
                order.append("waiter")

        waiter = threading.Thread(target=wait)
        with store.lock(NAME, timeout=PATIENCE):
            waiter.start()
            order.append("holder")
        waiter.join(PATIENCE)
        assert order == ["holder", "waiter"]

    def test_different_names_do_not_wait_for_each_other(self, store: TokenStore) -> None:
        """A refresh of one login delays no other login, and none of its own authorizations."""
        with held(store, NAME):
            for name in SIMILAR_NAMES[1:]:
                with store.lock(name, timeout=0.0):
                    pass

    def test_an_error_under_the_lock_releases_it(self, store: TokenStore) -> None:
        """The error leaves as it is, whatever its class."""
        for error in (ValueError("x"), OSError(5, "x"), TimeoutError("x"), TokenStoreError("x")):
            with pytest.raises(type(error)) as raised, store.lock(NAME, timeout=PATIENCE):
                raise error
            assert raised.value is error
            with store.lock(NAME, timeout=0.0):
                pass

    def test_deleting_an_entry_does_not_release_its_lock(self, store: TokenStore) -> None:
        """A lock that is held while the entry is deleted goes on excluding others."""
        store.save(NAME, TEXT, expected=None)
        with held(store, NAME):
            store.delete(NAME)
            assert try_lock(store) == "busy"
