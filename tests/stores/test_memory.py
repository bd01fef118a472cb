"""MemoryTokenStore: the contract, forks, and pickles."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from atlassian_auth_adapter.errors import TokenStoreError
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest
from atlassian_auth_adapter.stores.base import Record
from atlassian_auth_adapter.stores.memory import MemoryTokenStore
from atlassian_auth_adapter.testing.contracts.processes import in_forked_child
from atlassian_auth_adapter.testing.contracts.stores import (
    KEY,
    LOGIN,
    TokenStoreContract,
    assert_no_secret,
)
from atlassian_auth_adapter.tokens import TokenSet

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
from atlassian_auth_adapter.testing.contracts.stores import KEY, LOGIN

store = MemoryTokenStore()

def look():
    try:
        return "loaded" if store.load(KEY) == LOGIN else "wrong"
    except TokenStoreError:
        return "refused"
"""


def run(script, **options):
    """What a new interpreter and the children that it forks print."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    code = _SCRIPT + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=30, **options
    )
    assert not done.stderr, done.stderr.decode()
    return done.stdout.decode().split()


@needs_fork
class TestFork:
    @pytest.mark.parametrize("method", ["load", "save"])
    def test_a_child_does_not_get_its_parents_refresh_token(self, store, method):
        """Both would spend it, and the login would be lost. The error names the way out."""
        store.save(KEY, LOGIN, expected=None)

        def child():
            if method == "load":
                return store.load(KEY)
            return store.save(KEY, replace(LOGIN, generation=8), expected=7)

        with pytest.raises(TokenStoreError, match=r"FileTokenStore, or forget\(\)") as raised:
            in_forked_child(child)
        assert type(raised.value) is TokenStoreError
        assert_no_secret(raised.value)
        assert store.load(KEY) == LOGIN

    def test_a_child_can_log_in_for_itself(self, store):
        """After `delete` the child's own login lives beside the parent's."""
        store.save(KEY, LOGIN, expected=None)
        own = Record(1, TokenSet("secret-own", "secret-own-refresh"))

        def child():
            store.delete(KEY)
            assert store.load(KEY) is None
            store.save(KEY, own, expected=None)
            return store.load(KEY) == own

        assert in_forked_child(child)
        assert store.load(KEY) == LOGIN

    def test_a_child_inherits_what_may_be_used_twice(self, store):
        """Client credentials and started authorizations hold no refresh token."""
        credentials = Record(1, TokenSet("secret-access", "", 1764000000.0))
        started = Record(1, authorizations=(AuthorizationRequest("secret-state"),))
        store.save(KEY, credentials, expected=None)
        store.save(KEY.for_authorizations(), started, expected=None)

        def child():
            store.save(KEY, replace(credentials, generation=2), expected=1)
            return store.load(KEY.for_authorizations()) == started

        assert in_forked_child(child)
        assert store.load(KEY) == credentials

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
            store.save(KEY, LOGIN, expected=None)
            if os.fork():
                os.read(said, 1)
                os._exit(0)
            before = look()
            os.write(say, b".")
            os.read(ended, 1)
            print(before, look(), in_forked_child(look), look())
            """
        )
        assert seen == ["refused", "loaded", "refused", "loaded"]

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
            store.save(KEY, LOGIN, expected=None)
            if child := os.fork():
                os.waitpid(child, 0)
                os.read(said, 1)
                os._exit(0)
            if os.fork():
                os._exit(0)
            before = look()
            os.write(say, b".")
            os.read(ended, 1)
            print(before, look())
            """
        )
        assert seen == ["refused", "loaded"]


class TestPickle:
    def test_a_copy_is_the_store_itself(self, store):
        """There are no two objects on one place."""
        assert copy.copy(store) is store
        assert copy.deepcopy({"store": store})["store"] is store
        assert pickle.loads(pickle.dumps(store)) is store
        assert store != MemoryTokenStore()

    @needs_fork
    def test_a_forked_child_follows_the_pickle(self, store):
        """A pickle from before the fork leads to the child's own side of the store."""
        pickled = pickle.dumps(store)
        assert in_forked_child(lambda: pickle.loads(pickled) is store)

    def test_another_process_cannot_follow_the_pickle(self, store):
        """It gets an error that names FileTokenStore, never a silently empty store."""
        store.save(KEY, LOGIN, expected=None)
        seen = run(
            """
            import pickle, sys
            try:
                pickle.load(sys.stdin.buffer).load(None)
            except TokenStoreError as error:
                print("FileTokenStore" in str(error))
            """,
            input=pickle.dumps(store),
        )
        assert seen == ["True"]

    def test_a_pickle_does_not_keep_the_store_alive(self):
        """What is gone is gone: the same error."""
        pickled = pickle.dumps(MemoryTokenStore())
        gc.collect()
        with pytest.raises(TokenStoreError, match="FileTokenStore"):
            pickle.loads(pickled).load(KEY)


def test_locks_do_not_pile_up(store):
    """A lock exists while somebody holds it or waits for it."""
    for number in range(100):
        with store.lock(replace(KEY, account=str(number)), timeout=0):
            assert len(store._locks) == 1
    assert not store._locks
