"""What every token store must do, as tests that its own test class inherits."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, ClassVar

import pytest

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.records import Journal, Login, TokenKey, write
from atlassian_auth_adapter.stores.base import Entry, TokenStore
from atlassian_auth_adapter.tokens import TokenSet

from .processes import PATIENCE, forking, in_forked_child, needs_fork, process, together

__all__ = ["KEY", "LOGIN", "NAME", "TEXT", "TokenStoreContract", "assert_no_secret", "text_of"]

#: Seconds for what must not happen.
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
    taken_over="1f0e",
    authorized_at=1763999999.25,
)

#: The name and the text of that login; what a store is handed.
NAME, TEXT = KEY.name, write(KEY, LOGIN)

#: Names that differ from each other in as little as names can.
_LOOKALIKES = (
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

_NO_NAMES = (
    *("", " ", ".", "..", "../../../etc/passwd", "/etc/passwd", ".hidden", "a/b", "a\\b", "A"),
    *("nul\0", "line\n", "\u2603", "\udcff", "%2e", "*", "a" * 64, None, 7, b"a"),
)


def text_of(number: int) -> str:
    """The text of another state of that login, with other tokens."""
    token_set = TokenSet(f"secret-access-{number}", f"secret-refresh-{number}", 1764000000.0)
    return write(KEY, Login(number, "5a1f", token_set))


class TokenStoreContract:
    """Inherit, say `shared_between_processes`, and override the two fixtures.

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
    def outage(self) -> Callable[[], AbstractContextManager[object]] | None:
        """Makes the place unreachable within a context, or None when that cannot be done."""
        return None

    @pytest.fixture
    def unreachable(
        self, outage: Callable[[], AbstractContextManager[object]] | None
    ) -> Callable[[], AbstractContextManager[object]]:
        """`outage`, which the test needs; not for overriding."""
        if outage is None:
            pytest.skip("this store cannot be cut off from its place")
        return outage

    @pytest.fixture
    def second(self, store: TokenStore, reopened: TokenStore | None) -> TokenStore:
        """`reopened`, which the test needs; not for overriding."""
        if reopened is None:
            pytest.skip("this store has one object per place")
        return reopened

    @pytest.fixture
    def shared(self, store: TokenStore) -> TokenStore:
        """`store`, for tests with several processes; not for overriding."""
        if not self.shared_between_processes:
            pytest.skip("this store is not shared between processes")
        return store

    # What is kept

    def test_it_is_a_token_store(self, store: TokenStore) -> None:
        """No method is missing."""
        assert isinstance(store, TokenStore)

    def test_there_is_nothing_in_the_beginning(self, store: TokenStore) -> None:
        """A name without an entry loads as None."""
        for name in _LOOKALIKES:
            assert store.load(name) is None

    def test_a_text_comes_back_to_the_letter(self, store: TokenStore) -> None:
        """Whatever it says: a store knows nothing of it."""
        big = replace(LOGIN, token_set=TokenSet("a" * 100_000, "r" * 100_000, scope="s" * 200_000))
        everything = "".join(map(chr, range(32, 127)))
        nested = '{"token_set": {"access_token": 7}, "text": "{\\"text\\": null}"}'
        texts = (TEXT, write(KEY, big), write(KEY, Login()), everything, nested, "[]", "null", "x")
        for version, text in enumerate(texts, 1):
            store.save(NAME, text, expected=version - 1 or None)
            assert store.load(NAME) == Entry(text, version)

    def test_names_that_look_alike_never_touch_each_other(self, store: TokenStore) -> None:
        """An entry belongs to exactly one name, to the character."""
        entries = {name: Entry(text_of(n), 1) for n, name in enumerate(_LOOKALIKES)}
        for name, entry in entries.items():
            assert store.load(name) is None
            store.save(name, entry.text, expected=None)
        assert {name: store.load(name) for name in entries} == entries
        while entries:
            name, _ = entries.popitem()
            store.delete(name)
            assert store.load(name) is None
            assert {other: store.load(other) for other in entries} == entries

    def test_what_is_not_a_name_is_refused(self, store: TokenStore) -> None:
        """No text becomes a path, a statement or a pattern: ConfigurationError, by each method."""
        for name in _NO_NAMES:
            wrong: Any = name
            for attempt in (
                partial(store.load, wrong),
                partial(store.save, wrong, TEXT, expected=None),
                partial(store.delete, wrong),
                lambda name=wrong: store.lock(name, timeout=0.0).__enter__(),
            ):
                with pytest.raises(ConfigurationError):
                    attempt()

    def test_another_object_sees_what_was_saved(
        self, store: TokenStore, second: TokenStore
    ) -> None:
        """The place is what counts, not the object; in both directions."""
        store.save(NAME, TEXT, expected=None)
        assert second.load(NAME) == Entry(TEXT, 1)
        second.save(NAME, text_of(8), expected=1)
        assert store.load(NAME) == Entry(text_of(8), 2)
        second.delete(NAME)
        assert store.load(NAME) is None

    # Compare-and-swap

    def test_the_first_entry_needs_an_empty_place(self, store: TokenStore) -> None:
        """`expected=None` saves when there is no entry, and is stale when there is one."""
        store.save(NAME, TEXT, expected=None)
        with pytest.raises(StaleRecordError) as raised:
            store.save(NAME, text_of(1), expected=None)
        assert_no_secret(raised.value)
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_a_wrong_version_is_stale(self, store: TokenStore) -> None:
        """Nothing is written unless the stored version is the expected one."""
        store.save(NAME, text_of(1), expected=None)
        store.save(NAME, TEXT, expected=1)
        for expected in (-1, 0, 1, 3):
            with pytest.raises(StaleRecordError) as raised:
                store.save(NAME, text_of(9), expected=expected)
            assert_no_secret(raised.value)
        assert store.load(NAME) == Entry(TEXT, 2)

    def test_a_version_cannot_be_expected_of_nothing(self, store: TokenStore) -> None:
        """Version 0 is not "no entry", also after an entry was deleted."""
        for _ in range(2):
            for expected in (0, 1):
                with pytest.raises(StaleRecordError):
                    store.save(NAME, TEXT, expected=expected)
            assert store.load(NAME) is None
            store.save(NAME, TEXT, expected=None)
            store.delete(NAME)

    def test_every_save_counts(self, store: TokenStore) -> None:
        """The same text again is another version: whoever has seen the one before is stale."""
        store.save(NAME, TEXT, expected=None)
        store.save(NAME, TEXT, expected=1)
        assert store.load(NAME) == Entry(TEXT, 2)
        with pytest.raises(StaleRecordError):
            store.save(NAME, TEXT, expected=1)

    def test_of_many_threads_one_wins_each_version(self, store: TokenStore) -> None:
        """Sixteen threads save the next version at once: one succeeds, fifteen are stale."""
        store.save(NAME, TEXT, expected=None)
        for version in range(1, 4):

            def attempt(number: int, version: int = version) -> str | None:
                try:
                    store.save(NAME, text_of(number), expected=version)
                except StaleRecordError:
                    return None
                return text_of(number)

            (winner,) = filter(None, together(16, attempt))
            assert store.load(NAME) == Entry(winner, version + 1)

    def test_of_many_processes_one_wins_each_version(self, shared: TokenStore) -> None:
        """Three processes count ten versions each by compare-and-swap; none is lost."""
        shared.save(NAME, "0", expected=None)
        with process(_count, shared, 10) as a, process(_count, shared, 10) as b:
            _count(shared, 10)
            assert (a.recv(), b.recv()) == ("done", "done")
        assert shared.load(NAME) == Entry("30", 31)

    def test_the_holder_of_the_lock_can_save(self, store: TokenStore) -> None:
        """All methods work under the lock of the same name."""
        with store.lock(NAME, timeout=PATIENCE):
            store.save(NAME, TEXT, expected=None)
            store.save(NAME, text_of(8), expected=1)
            assert store.load(NAME) == Entry(text_of(8), 2)
            store.delete(NAME)
            assert store.load(NAME) is None

    def test_a_save_does_not_need_the_lock(self, store: TokenStore) -> None:
        """Who does not hold the lock may save while another thread does: the version decides."""
        store.save(NAME, TEXT, expected=None)
        with _held(store, NAME):
            store.save(NAME, text_of(8), expected=1)
            with pytest.raises(StaleRecordError):
                store.save(NAME, TEXT, expected=1)
        assert store.load(NAME) == Entry(text_of(8), 2)

    # Deleting

    def test_a_deleted_entry_is_gone(self, store: TokenStore) -> None:
        """After `delete` the name is as new: the first entry is expected to be None again."""
        store.save(NAME, TEXT, expected=None)
        store.delete(NAME)
        assert store.load(NAME) is None
        store.save(NAME, text_of(1), expected=None)
        assert store.load(NAME) == Entry(text_of(1), 1)

    def test_what_is_not_there_can_be_deleted(self, store: TokenStore) -> None:
        """`delete` is no error when there is no entry, however often."""
        store.delete(NAME)
        store.delete(NAME)
        assert store.load(NAME) is None

    def test_deleting_does_not_end_a_lock(self, store: TokenStore) -> None:
        """A lock that is held while the entry is deleted goes on excluding others."""
        store.save(NAME, TEXT, expected=None)
        with _held(store, NAME):
            store.delete(NAME)
            with pytest.raises(TokenStoreTimeoutError), store.lock(NAME, timeout=MOMENT):
                pass

    # The lock

    def test_a_free_lock_is_had_at_once(self, store: TokenStore) -> None:
        """Also with a timeout of zero, and as often as one likes."""
        for _ in range(3):
            with store.lock(NAME, timeout=0.0):
                pass

    @pytest.mark.parametrize("timeout", [0.0, MOMENT, -1.0])
    def test_a_held_lock_times_out(self, store: TokenStore, timeout: float) -> None:
        """Who waits in vain gets a TokenStoreTimeoutError, which is a TimeoutError."""
        with _held(store, NAME):
            with (
                pytest.raises(TokenStoreTimeoutError) as raised,
                store.lock(NAME, timeout=timeout),
            ):
                pytest.fail("two holders at a time")
            assert_no_secret(raised.value)

    def test_a_lock_is_not_reentrant(self, store: TokenStore) -> None:
        """A thread that holds the lock does not get it a second time."""
        with (
            store.lock(NAME, timeout=PATIENCE),
            pytest.raises(TokenStoreTimeoutError),
            store.lock(NAME, timeout=MOMENT),
        ):
            pytest.fail("two holders at a time")

    def test_two_objects_share_the_lock(self, store: TokenStore, second: TokenStore) -> None:
        """The lock belongs to the key in the place, not to the object."""
        with (
            _held(second, NAME),
            pytest.raises(TokenStoreTimeoutError),
            store.lock(NAME, timeout=MOMENT),
        ):
            pytest.fail("two holders at a time")

    def test_threads_exclude_each_other(self, store: TokenStore) -> None:
        """Eight threads want the lock at once; each has it alone."""
        inside: list[int] = []

        def enter(number: int) -> list[int]:
            with store.lock(NAME, timeout=PATIENCE):
                inside.append(number)
                seen = list(inside)
                inside.remove(number)
            return seen

        assert together(8, enter) == [[number] for number in range(8)]

    def test_a_waiting_thread_gets_the_lock_next(self, store: TokenStore) -> None:
        """Who waits is let in when the holder leaves."""
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
        """One login's refresh never holds up another's, nor its own started authorizations."""
        with _held(store, NAME):
            for name in _LOOKALIKES[1:]:
                with store.lock(name, timeout=0.0):
                    pass

    @pytest.mark.parametrize(
        "error", [ValueError("x"), OSError(5, "x"), TimeoutError("x"), TokenStoreError("x")]
    )
    def test_an_error_frees_the_lock_and_stays_itself(
        self, store: TokenStore, error: Exception
    ) -> None:
        """What is raised under the lock leaves as it is, and the lock is free."""
        with pytest.raises(type(error)) as raised, store.lock(NAME, timeout=PATIENCE):
            raise error
        assert raised.value is error
        with store.lock(NAME, timeout=0.0):
            pass

    def test_processes_exclude_each_other(self, shared: TokenStore) -> None:
        """While one process holds the lock, another does not get it."""
        with process(_hold, shared) as holder:
            assert holder.recv() == "held"
            with (
                pytest.raises(TokenStoreTimeoutError),
                shared.lock(NAME, timeout=MOMENT),
            ):
                pytest.fail("two holders at a time")
            holder.send("leave")
            assert holder.recv() == "left"
            with shared.lock(NAME, timeout=PATIENCE):
                pass

    def test_the_lock_of_a_killed_process_is_free(self, shared: TokenStore) -> None:
        """A lock ends with its holder, also with one that was killed."""
        with process(_hold, shared, killed=True) as holder:
            assert holder.recv() == "held"
        with shared.lock(NAME, timeout=self.crash_recovery):
            pass

    # Outages

    def test_an_unreachable_place_is_no_busy_lock(
        self, store: TokenStore, unreachable: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """Whoever cannot reach the place learns just that, at once; afterwards all is as before."""
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

    def test_a_lock_outlives_an_outage(
        self, store: TokenStore, unreachable: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """The holder finishes what it does without the place; then the lock is free again."""
        finished = False
        with suppress(TokenStoreError), store.lock(NAME, timeout=PATIENCE), unreachable():
            finished = True
        assert finished
        with store.lock(NAME, timeout=self.crash_recovery):
            store.save(NAME, TEXT, expected=None)
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_an_outage_hides_no_error(
        self, store: TokenStore, unreachable: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """What is raised under the lock leaves as it is, though the lock cannot be released."""
        with ExitStack() as stack:

            def fail_in_an_outage() -> None:
                with store.lock(NAME, timeout=PATIENCE):
                    stack.enter_context(unreachable())
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                fail_in_an_outage()

    # Fork

    def test_a_forked_child_does_not_hold_its_parents_lock(self, shared: TokenStore) -> None:
        """What the parent holds excludes its child, and the child's leaving frees nothing."""
        needs_fork()
        with shared.lock(NAME, timeout=PATIENCE):
            assert in_forked_child(lambda: _try_lock(shared)) == "busy"
            assert in_forked_child(lambda: _try_lock(shared)) == "busy"
        assert in_forked_child(lambda: _try_lock(shared)) == "free"

    def test_leaving_the_lock_in_a_forked_child_does_not_free_it(self, shared: TokenStore) -> None:
        """A child that was forked under the lock and leaves the block frees nothing."""
        needs_fork()
        read, write = os.pipe()
        with forking():
            with shared.lock(NAME, timeout=PATIENCE):
                child = os.fork()
                if child:
                    os.close(write)
                    os.read(read, 1)  # ends when the child has left the block and is gone
                    os.waitpid(child, 0)
                    assert in_forked_child(lambda: _try_lock(shared)) == "busy"
            if not child:
                os._exit(0)
        os.close(read)

    def test_an_orphan_does_not_keep_the_lock_of_its_killed_parent(
        self, shared: TokenStore
    ) -> None:
        """The lock of a killed process is free although a child that it forked lives on."""
        needs_fork()
        with process(_hold_and_fork, shared) as orphan:
            assert orphan.recv() == "parent killed"
            with shared.lock(NAME, timeout=self.crash_recovery):
                pass
            orphan.send("are you there?")
            assert orphan.recv() == "yes"

    def test_a_forked_child_has_fresh_locks(self, store: TokenStore) -> None:
        """A lock that a thread of the parent happened to hold does not hang an unshared child."""
        needs_fork()
        with _held(store, NAME):
            expected = "busy" if self.shared_between_processes else "free"
            assert in_forked_child(lambda: _try_lock(store)) == expected
            assert in_forked_child(lambda: _try_lock(store, "b")) == "free"
        assert in_forked_child(lambda: _try_lock(store)) == "free"

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

    # Identity, copies, secrets

    @pytest.mark.parametrize("make", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
    def test_a_copy_is_the_same_place(
        self, store: TokenStore, make: Callable[[TokenStore], TokenStore]
    ) -> None:
        """A copy of a store copies no record: both see the same ones and share the lock."""
        store.save(NAME, TEXT, expected=None)
        copied = make(store)
        store.save(NAME, text_of(8), expected=1)
        assert copied.load(NAME) == Entry(text_of(8), 2)
        with _held(copied, NAME), pytest.raises(TokenStoreTimeoutError):
            store.lock(NAME, timeout=MOMENT).__enter__()

    def test_a_pickle_is_the_same_place(self, store: TokenStore) -> None:
        """A pickle that comes back to its process is the same place, and carries no token."""
        store.save(NAME, TEXT, expected=None)
        pickled = pickle.dumps(store)
        assert b"secret" not in pickled
        assert pickle.loads(pickled).load(NAME) == Entry(TEXT, 1)

    def test_a_pickle_is_the_same_place_in_another_process(self, shared: TokenStore) -> None:
        """A pickle of a shared store gives other processes the same records."""
        shared.save(NAME, TEXT, expected=None)
        with process(_bump, shared) as other:
            assert other.recv() == "done"
        assert shared.load(NAME) == Entry(text_of(8), 2)

    def test_a_store_never_prints_a_secret(self, store: TokenStore) -> None:
        """Neither `repr` nor `str` of a store show what is in it."""
        store.save(NAME, TEXT, expected=None)
        assert "secret" not in f"{store!r} {store} {store.load(NAME)!r}"


def assert_no_secret(error: BaseException) -> None:
    """Fail when "secret" is in the text or the fields of an error, its causes or its contexts."""
    found: list[BaseException] = [error]
    for one in found:  # grows on the way
        fields = {name: getattr(one, name, None) for name in ("doc", "object")} | vars(one)
        assert "secret" not in f"{one} {one!r} {one.args!r} {fields!r}"
        found += [e for e in (one.__cause__, one.__context__) if e and e not in found]


@contextmanager
def _held(store: TokenStore, name: str) -> Iterator[None]:
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


def _try_lock(store: TokenStore, name: str = NAME) -> str:
    try:
        with store.lock(name, timeout=MOMENT):
            return "free"
    except TokenStoreTimeoutError:
        return "busy"


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


def _bump(store: TokenStore, connection: Connection) -> None:
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
        if os.fork():
            os.kill(parent, 9)
        while os.getppid() == parent:
            os.sched_yield()
        connection.send("parent killed")
        try:
            while connection.recv():
                connection.send("yes")
        except EOFError:
            os._exit(0)
