"""The place of a store cannot be reached for a while."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest

from atlassian_auth_adapter.errors import TokenStoreError, TokenStoreUnavailableError
from atlassian_auth_adapter.stores.base import Entry, TokenStore
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE

from .base import NAME, TEXT, Outage, StoreTests, assert_no_secret, text_of

__all__ = ["OutageTests"]


class OutageTests(StoreTests):
    """Nothing is lost, no error is hidden, and afterwards the store works as before."""

    def test_an_unreachable_place_is_reported_at_once(
        self, store: TokenStore, unreachable: Outage
    ) -> None:
        """As TokenStoreUnavailableError, not as a lock that another process holds."""
        store.save(NAME, TEXT, expected=None)
        attempts: list[Callable[[], object]] = [
            lambda: store.load(NAME),
            lambda: store.save(NAME, text_of(8), expected=1),
            lambda: store.delete(NAME),
            lambda: store.lock(NAME, timeout=10 * PATIENCE).__enter__(),
        ]
        with unreachable():
            for attempt in attempts:
                with pytest.raises(TokenStoreUnavailableError) as raised:
                    attempt()
                assert_no_secret(raised.value)
        assert store.load(NAME) == Entry(TEXT, 1)
        with store.lock(NAME, timeout=self.crash_recovery):
            store.save(NAME, text_of(8), expected=1)
        assert store.load(NAME) == Entry(text_of(8), 2)

    def test_an_outage_does_not_interrupt_the_holder_of_a_lock(
        self, store: TokenStore, unreachable: Outage
    ) -> None:
        """The holder finishes what it does without the place; then the lock is free again."""
        finished = False
        with suppress(TokenStoreError), store.lock(NAME, timeout=PATIENCE), unreachable():
            finished = True
        assert finished
        with store.lock(NAME, timeout=self.crash_recovery):
            store.save(NAME, TEXT, expected=None)
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_an_outage_hides_no_error(self, store: TokenStore, unreachable: Outage) -> None:
        """What is raised under the lock leaves as it is, though the lock cannot be released."""
        with ExitStack() as stack:

            def fail_in_an_outage() -> None:
                with store.lock(NAME, timeout=PATIENCE):
                    stack.enter_context(unreachable())
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                fail_in_an_outage()
