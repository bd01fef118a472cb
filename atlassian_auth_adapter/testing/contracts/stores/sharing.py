"""Several processes with one store: other interpreters, forked children, killed holders."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection

from atlassian_auth_adapter.errors import StaleRecordError
from atlassian_auth_adapter.stores.base import Entry, TokenStore
from atlassian_auth_adapter.testing.contracts.processes import (
    PATIENCE,
    fork,
    forking,
    in_forked_child,
    needs_fork,
    process,
)

from .base import NAME, TEXT, StoreTests, held, text_of, try_lock

__all__ = ["SharingTests"]


class SharingTests(StoreTests):
    """Entries and locks belong to the place, whichever process uses it."""

    def test_processes_lose_no_save(self, shared: TokenStore) -> None:
        """Three processes count to ten each by compare-and-swap: the sum is thirty."""
        shared.save(NAME, "0", expected=None)
        with process(_count, shared, 10) as a, process(_count, shared, 10) as b:
            _count(shared, 10)
            assert (a.recv(), b.recv()) == ("done", "done")
        assert shared.load(NAME) == Entry("30", 31)

    def test_a_pickle_is_the_same_place_in_another_process(self, shared: TokenStore) -> None:
        """A pickle of a shared store gives other processes the same entries."""
        shared.save(NAME, TEXT, expected=None)
        with process(_save, shared) as other:
            assert other.recv() == "done"
        assert shared.load(NAME) == Entry(text_of(8), 2)

    def test_one_process_at_a_time_holds_the_lock(self, shared: TokenStore) -> None:
        """While one process holds the lock, another cannot acquire it."""
        with process(_hold, shared) as holder:
            assert holder.recv() == "held"
            assert try_lock(shared) == "busy"
            holder.send("leave")
            assert holder.recv() == "left"
            with shared.lock(NAME, timeout=PATIENCE):
                pass

    def test_the_lock_of_a_killed_process_is_free(self, shared: TokenStore) -> None:
        """A lock ends with its holder, also when that was killed."""
        with process(_hold, shared, killed=True) as holder:
            assert holder.recv() == "held"
        with shared.lock(NAME, timeout=self.crash_recovery):
            pass

    # Forked children

    def test_a_forked_child_does_not_hold_its_parents_lock(self, shared: TokenStore) -> None:
        """What the parent holds excludes its child, and the exit of the child releases nothing."""
        needs_fork()
        with shared.lock(NAME, timeout=PATIENCE):
            for _ in range(2):
                assert in_forked_child(lambda: try_lock(shared)) == "busy"
        assert in_forked_child(lambda: try_lock(shared)) == "free"

    def test_a_forked_child_does_not_release_its_parents_lock(self, shared: TokenStore) -> None:
        """A child that was forked under the lock and leaves the block releases nothing."""
        needs_fork()
        read, write = os.pipe()
        with forking():
            with shared.lock(NAME, timeout=PATIENCE):
                child = fork()
                if child:
                    os.close(write)
                    os.read(read, 1)  # ends when the child has left the block and is gone
                    os.waitpid(child, 0)
                    assert in_forked_child(lambda: try_lock(shared)) == "busy"
            if not child:
                os._exit(0)
        os.close(read)

    def test_a_living_child_does_not_keep_the_lock_of_its_killed_parent(
        self, shared: TokenStore
    ) -> None:
        """The lock of a killed process is free although a child that it forked lives on."""
        needs_fork()
        with process(_hold_and_fork, shared) as child:
            assert child.recv() == "parent killed"
            with shared.lock(NAME, timeout=self.crash_recovery):
                pass
            child.send("are you there?")
            assert child.recv() == "yes"

    def test_a_forked_child_has_fresh_locks(self, store: TokenStore) -> None:
        """A child of a store that is not shared does not wait for a thread of its parent."""
        needs_fork()
        with held(store, NAME):
            expected = "busy" if self.shared_between_processes else "free"
            assert in_forked_child(lambda: try_lock(store)) == expected
            assert in_forked_child(lambda: try_lock(store, "b")) == "free"
        assert in_forked_child(lambda: try_lock(store)) == "free"

    def test_a_forked_child_shares_the_place(self, shared: TokenStore) -> None:
        """Parent and child read what the other has saved."""
        needs_fork()
        shared.save(NAME, TEXT, expected=None)

        def child() -> bool:
            seen = shared.load(NAME) == Entry(TEXT, 1)
            shared.save(NAME, text_of(8), expected=1)
            return seen

        assert in_forked_child(child) is True
        assert shared.load(NAME) == Entry(text_of(8), 2)


def _count(store: TokenStore, times: int, connection: Connection | None = None) -> None:
    while times:
        entry = store.load(NAME)
        assert entry is not None
        try:
            store.save(NAME, str(int(entry.text) + 1), expected=entry.version)
        except StaleRecordError:
            continue
        times -= 1
    if connection:
        connection.send("done")


def _save(store: TokenStore, connection: Connection) -> None:
    store.save(NAME, text_of(8), expected=1)
    connection.send("done")


def _hold(store: TokenStore, connection: Connection) -> None:
    with store.lock(NAME, timeout=PATIENCE):
        connection.send("held")
        connection.recv()
    connection.send("left")


def _hold_and_fork(store: TokenStore, connection: Connection) -> None:
    """The child stays; the parent, which holds the lock, kills itself."""
    with store.lock(NAME, timeout=PATIENCE), forking():
        parent = os.getpid()
        if fork():
            os.kill(parent, 9)
        while os.getppid() == parent:
            time.sleep(0)
        connection.send("parent killed")
        try:
            while connection.recv():
                connection.send("yes")
        except EOFError:
            os._exit(0)
