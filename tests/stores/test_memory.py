"""MemoryTokenStore: the contract, forks, and pickles."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import textwrap

import pytest

from atlassian_auth_adapter.errors import StaleRecordError, TokenStoreError
from atlassian_auth_adapter.stores.base import Entry
from atlassian_auth_adapter.stores.memory import MemoryTokenStore
from atlassian_auth_adapter.testing.contracts.processes import in_forked_child
from atlassian_auth_adapter.testing.contracts.stores import (
    NAME,
    TEXT,
    TokenStoreContract,
    text_of,
)

from .helpers import TRY_EVERYTHING, in_new_process, refused

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def store():
    """A new and empty store."""
    return MemoryTokenStore()


class TestContract(TokenStoreContract):
    shared_between_processes = False

    @pytest.fixture
    def store(self, store):
        """The module's."""
        return store

    @pytest.fixture
    def reopened(self, store):
        """There is one object per place: a copy is the store itself."""
        return copy.copy(store)


_SCRIPT = """
import os
from atlassian_auth_adapter.errors import TokenStoreError
from atlassian_auth_adapter.stores.memory import MemoryTokenStore
from atlassian_auth_adapter.testing.contracts.processes import in_forked_child
from atlassian_auth_adapter.testing.contracts.stores import NAME, TEXT

store = MemoryTokenStore()

def save():
    entry = store.load(NAME)
    assert entry.text == TEXT
    try:
        store.save(NAME, TEXT, expected=entry.version)
    except TokenStoreError:
        return "refused"
    return "saved"
"""


def run(script):
    """What a new interpreter and the children that it forks print."""
    return " ".join(in_new_process(_SCRIPT + textwrap.dedent(script))).split()


@needs_fork
class TestFork:
    def test_a_child_does_not_use_its_parents_refresh_token(self, store):
        """It can load the login and use its access token, but not save it, and so not refresh it.

        Both would use the refresh token, and the login would be lost. The error says what to do.
        """
        store.save(NAME, TEXT, expected=None)
        assert in_forked_child(lambda: store.load(NAME) == Entry(TEXT, 1))
        refused(
            lambda: in_forked_child(lambda: store.save(NAME, text_of(8), expected=1)),
            "FileTokenStore, or forget()",
        )
        with pytest.raises(StaleRecordError):
            in_forked_child(lambda: store.save(NAME, text_of(8), expected=None))
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_a_child_can_sign_in_for_itself(self, store):
        """After `delete` the child's own login lives beside the parent's."""
        store.save(NAME, TEXT, expected=None)

        def child():
            store.delete(NAME)
            assert store.load(NAME) is None
            store.save(NAME, text_of(1), expected=None)
            store.save(NAME, text_of(2), expected=1)
            return store.load(NAME) == Entry(text_of(2), 2)

        assert in_forked_child(child)
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_a_child_inherits_what_may_be_used_twice(self, store):
        """Client credentials, started authorizations and sites hold no refresh token."""
        names = [f"{NAME}.{kind}" for kind in ("service_account", "authorizations", "sites")]
        for name in names:
            store.save(name, TEXT, expected=None)

        def child():
            for name in names:
                store.save(name, text_of(8), expected=1)
            return [store.load(name) for name in names]

        assert in_forked_child(child) == [Entry(text_of(8), 2)] * 3
        assert [store.load(name) for name in names] == [Entry(TEXT, 1)] * 3

    def test_a_child_inherits_a_login_from_a_dead_parent(self):
        """A process that becomes a daemon by a fork keeps its login; its own children do not."""
        seen = run(
            """
            said, say = os.pipe()
            ended, end = os.pipe()
            if parent := os.fork():
                os.waitpid(parent, 0)
                os._exit(0)  # which closes `end`
            os.close(end)
            store.save(NAME, TEXT, expected=None)
            if os.fork():
                os.read(said, 1)
                os._exit(0)
            before = save()
            os.write(say, b".")
            os.read(ended, 1)
            print(before, save(), in_forked_child(save), save())
            """
        )
        assert seen == ["refused", "saved", "refused", "saved"]

    def test_a_grandchild_inherits_a_login_from_a_dead_grandparent(self):
        """A daemon that forks twice keeps its login, once the process that logged in has ended."""
        seen = run(
            """
            said, say = os.pipe()
            ended, end = os.pipe()
            if grandparent := os.fork():
                os.waitpid(grandparent, 0)
                os._exit(0)  # which closes `end`
            os.close(end)
            store.save(NAME, TEXT, expected=None)
            if child := os.fork():
                os.waitpid(child, 0)
                os.read(said, 1)
                os._exit(0)
            if os.fork():
                os._exit(0)
            before = save()
            os.write(say, b".")
            os.read(ended, 1)
            print(before, save())
            """
        )
        assert seen == ["refused", "saved"]


class TestPickle:
    def test_a_copy_is_the_store_itself(self, store):
        """There are no two objects on one place."""
        assert copy.copy(store) is store
        assert copy.deepcopy({"store": store})["store"] is store
        assert pickle.loads(pickle.dumps(store)) is store

    @needs_fork
    def test_a_forked_child_follows_the_pickle(self, store):
        """A pickle from before the fork leads to the child's own side of the store."""
        pickled = pickle.dumps(store)
        assert in_forked_child(lambda: pickle.loads(pickled) is store)

    def test_another_process_cannot_follow_the_pickle(self, store):
        """It gets an error that names FileTokenStore, never a silently empty store."""
        store.save(NAME, TEXT, expected=None)
        seen = in_new_process(TRY_EVERYTHING, store)
        assert len(seen) == 8
        assert all(line.startswith(f"{store!r}: ") and "FileTokenStore" in line for line in seen)

    def test_a_pickle_does_not_keep_the_store_alive(self):
        """What is gone is gone: the same error."""
        pickled = pickle.dumps(MemoryTokenStore())
        gc.collect()
        with pytest.raises(TokenStoreError, match="FileTokenStore"):
            pickle.loads(pickled).load(NAME)


def test_locks_do_not_pile_up(store):
    """A lock exists while a thread holds it or waits for it."""
    for number in range(100):
        with store.lock(str(number), timeout=0):
            assert len(store._locks._locks) == 1
    assert not len(store._locks._locks)
