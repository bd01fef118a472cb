"""What every token store must do, as tests that its own test class inherits."""

from __future__ import annotations

import copy
import math
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import ClassVar

import pytest

from atlassian_auth_adapter.errors import (
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest
from atlassian_auth_adapter.stores.base import Pending, Record, TokenKey, TokenStore
from atlassian_auth_adapter.tokens import TokenSet

from .processes import PATIENCE, forking, in_forked_child, needs_fork, process, together

__all__ = ["KEY", "LOGIN", "TokenStoreContract", "assert_no_secret"]

#: Seconds for what must not happen.
MOMENT = 0.05

KEY = TokenKey("https://auth.example.com:8443/oauth", "client", "default")

#: A record in which every field has a value of its own.
LOGIN = Record(
    generation=7,
    token_set=TokenSet(
        access_token="secret-access",
        refresh_token="secret-refresh",
        expires_at=1764003600.25,
        scope="read:jira-work offline_access",
        token_type="bearer",
        obtained_at=1764000000.5,
    ),
    pending=Pending("salted$hash", 1764000001.5, "host:123"),
    throttled_until=1764000009.5,
    dead="salted$dead",
    dead_reason="answer_lost",
    forced_at=1764000000.75,
    taken_over="1f0e",
    login="5a1f",
    authorized_at=1763999999.25,
)

_TEXTS = {
    "empty": "",
    "blank": " ",
    "unicode": "Zoë ☃ \U0001f511 \u202e",
    "quotes": "\"double\" 'single' \\ ` ; -- $(x)",
    "controls": "line\nbreak\r\n\ttab \x1b",
    "nul": "before\0after",
    "surrogate": "not utf-8: \udcff",
    "dots": "..",
    "parent": "../../../etc/passwd",
    "absolute": "/etc/passwd",
    "device": "CON",
    "percent": "%2e%2e%2f",
    "glob": "*?[a-z]{b,c}:",
    "long": "a" * 5000,
}

_LOOKALIKES = (
    KEY,
    replace(KEY, issuer=KEY.issuer + "/"),
    replace(KEY, issuer=KEY.issuer.replace("8443", "8444")),
    replace(KEY, issuer=""),
    replace(KEY, client_id="client2"),
    replace(KEY, client_id="clientd", account="efault"),
    replace(KEY, account="Default"),
    replace(KEY, account="default "),
    replace(KEY, account="default\0"),
    replace(KEY, account="é"),
    replace(KEY, account="e\u0301"),
    replace(KEY, account=""),
    KEY.for_authorizations(),
)


def _tokens(name: str) -> TokenSet:
    return TokenSet(f"secret-access-{name}", f"secret-refresh-{name}", 1764000000.0)


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
        """A key without record loads as None, for each kind of key."""
        assert store.load(KEY) is None
        assert store.load(KEY.for_authorizations()) is None

    @pytest.mark.parametrize(
        "record",
        [
            pytest.param(LOGIN, id="every field"),
            pytest.param(Record(), id="no field"),
            pytest.param(Record(0, TokenSet("secret")), id="no refresh token, no end"),
            pytest.param(Record(2, TokenSet("", "", 0.0)), id="empty tokens"),
            pytest.param(Record(3, _tokens("x"), throttled_until=1.5), id="throttled"),
            pytest.param(Record(2**53, replace(_tokens("x"), expires_at=1e300)), id="large"),
            pytest.param(Record(1, replace(_tokens("x"), scope="s" * 200_000)), id="huge scope"),
            pytest.param(Record(1, TokenSet("a" * 100_000, "r" * 100_000)), id="huge tokens"),
        ],
    )
    def test_a_record_comes_back_as_it_was(self, store: TokenStore, record: Record) -> None:
        """Every field survives, whatever its value."""
        store.save(KEY, record, expected=None)
        assert store.load(KEY) == record

    @pytest.mark.parametrize("text", _TEXTS.values(), ids=_TEXTS)
    def test_any_text_is_only_a_text(self, store: TokenStore, text: str) -> None:
        """Names and tokens may hold every character; none has a meaning."""
        key = TokenKey(text, text, text)
        token_set = TokenSet(text, text, math.inf, text, text)
        store.save(key, Record(1, token_set, Pending(text, 1.0, text), dead=text), expected=None)
        assert store.load(key) == Record(1, token_set, Pending(text, 1.0, text), dead=text)
        store.delete(key)
        assert store.load(key) is None

    def test_authorizations_come_back_as_they_were(self, store: TokenStore) -> None:
        """Started authorizations are kept beside the login, several at a time, in their order."""
        requests = tuple(
            AuthorizationRequest(f"secret-state-{n}", "secret-verifier" * n, 1764000000.5, "a b")
            for n in range(3)
        )
        key = KEY.for_authorizations()
        store.save(key, Record(1, authorizations=requests), expected=None)
        store.save(KEY, LOGIN, expected=None)
        assert store.load(key) == Record(1, authorizations=requests)
        assert store.load(KEY) == LOGIN

    def test_keys_that_look_alike_never_touch_each_other(self, store: TokenStore) -> None:
        """A record belongs to exactly one issuer, client, account and kind, to the character."""
        records = {
            key: Record(number, _tokens(str(number))) for number, key in enumerate(_LOOKALIKES)
        }
        for key, record in records.items():
            assert store.load(key) is None
            store.save(key, record, expected=None)
        assert {key: store.load(key) for key in records} == records
        while records:
            key, _ = records.popitem()
            store.delete(key)
            assert store.load(key) is None
            assert {other: store.load(other) for other in records} == records

    def test_another_object_sees_what_was_saved(
        self, store: TokenStore, second: TokenStore
    ) -> None:
        """The place is what counts, not the object; in both directions."""
        store.save(KEY, LOGIN, expected=None)
        assert second.load(KEY) == LOGIN
        second.save(KEY, replace(LOGIN, generation=8), expected=7)
        assert store.load(KEY) == replace(LOGIN, generation=8)
        second.delete(KEY)
        assert store.load(KEY) is None

    # Compare-and-swap

    def test_the_first_record_needs_an_empty_place(self, store: TokenStore) -> None:
        """`expected=None` saves when there is no record, and is stale when there is one."""
        store.save(KEY, LOGIN, expected=None)
        with pytest.raises(StaleRecordError) as raised:
            store.save(KEY, Record(1, _tokens("other")), expected=None)
        assert_no_secret(raised.value)
        assert store.load(KEY) == LOGIN

    @pytest.mark.parametrize("expected", [-1, 0, 6, 8])
    def test_a_wrong_generation_is_stale(self, store: TokenStore, expected: int) -> None:
        """Nothing is written unless the stored generation is the expected one."""
        store.save(KEY, LOGIN, expected=None)
        with pytest.raises(StaleRecordError) as raised:
            store.save(KEY, Record(9, _tokens("other")), expected=expected)
        assert_no_secret(raised.value)
        assert store.load(KEY) == LOGIN

    def test_a_generation_cannot_be_expected_of_nothing(self, store: TokenStore) -> None:
        """Generation 0 is not "no record", also after a record was deleted."""
        for _ in range(2):
            with pytest.raises(StaleRecordError):
                store.save(KEY, LOGIN, expected=0)
            assert store.load(KEY) is None
            store.save(KEY, Record(0), expected=None)
            store.save(KEY, LOGIN, expected=0)
            store.delete(KEY)

    def test_a_record_may_keep_its_generation(self, store: TokenStore) -> None:
        """Notes such as `pending` are saved without a rotation."""
        store.save(KEY, LOGIN, expected=None)
        store.save(KEY, replace(LOGIN, pending=None), expected=7)
        assert store.load(KEY) == replace(LOGIN, pending=None)

    def test_of_many_threads_one_wins_each_generation(self, store: TokenStore) -> None:
        """Sixteen threads save the next generation at once: one succeeds, fifteen are stale."""
        store.save(KEY, Record(0), expected=None)
        for generation in range(3):

            def attempt(number: int, generation: int = generation) -> Record | None:
                record = Record(generation + 1, _tokens(str(number)))
                try:
                    store.save(KEY, record, expected=generation)
                except StaleRecordError:
                    return None
                return record

            (winner,) = filter(None, together(16, attempt))
            assert store.load(KEY) == winner

    def test_of_many_processes_one_wins_each_generation(self, shared: TokenStore) -> None:
        """Three processes count ten generations each by compare-and-swap; none is lost."""
        shared.save(KEY, Record(0), expected=None)
        with process(_count, shared, 10) as a, process(_count, shared, 10) as b:
            _count(shared, 10)
            assert (a.recv(), b.recv()) == ("done", "done")
        assert shared.load(KEY) == Record(30, _tokens("30"))

    def test_the_holder_of_the_lock_can_save(self, store: TokenStore) -> None:
        """All methods work under the lock of the same key."""
        with store.lock(KEY, timeout=PATIENCE):
            store.save(KEY, LOGIN, expected=None)
            store.save(KEY, replace(LOGIN, generation=8), expected=7)
            assert store.load(KEY) == replace(LOGIN, generation=8)
            store.delete(KEY)
            assert store.load(KEY) is None

    def test_a_save_does_not_need_the_lock(self, store: TokenStore) -> None:
        """Who does not hold the lock may save while somebody holds it: the generation decides."""
        store.save(KEY, LOGIN, expected=None)
        with _held(store, KEY):
            store.save(KEY, replace(LOGIN, generation=8), expected=7)
            with pytest.raises(StaleRecordError):
                store.save(KEY, LOGIN, expected=7)
        assert store.load(KEY) == replace(LOGIN, generation=8)

    # Deleting

    def test_a_deleted_record_is_gone(self, store: TokenStore) -> None:
        """After `delete` the key is as new: the first record is expected to be None again."""
        store.save(KEY, LOGIN, expected=None)
        store.delete(KEY)
        assert store.load(KEY) is None
        store.save(KEY, Record(1, _tokens("new")), expected=None)
        assert store.load(KEY) == Record(1, _tokens("new"))

    def test_what_is_not_there_can_be_deleted(self, store: TokenStore) -> None:
        """`delete` is no error when there is no record, however often."""
        store.delete(KEY)
        store.delete(KEY)
        assert store.load(KEY) is None

    def test_deleting_does_not_end_a_lock(self, store: TokenStore) -> None:
        """A lock that is held while the record is deleted goes on excluding others."""
        store.save(KEY, LOGIN, expected=None)
        with _held(store, KEY):
            store.delete(KEY)
            with pytest.raises(TokenStoreTimeoutError), store.lock(KEY, timeout=MOMENT):
                pass

    # The lock

    def test_a_free_lock_is_had_at_once(self, store: TokenStore) -> None:
        """Also with a timeout of zero, and as often as one likes."""
        for _ in range(3):
            with store.lock(KEY, timeout=0.0):
                pass

    @pytest.mark.parametrize("timeout", [0.0, MOMENT, -1.0])
    def test_a_held_lock_times_out(self, store: TokenStore, timeout: float) -> None:
        """Who waits in vain gets a TokenStoreTimeoutError, which is a TimeoutError."""
        with _held(store, KEY):
            with (
                pytest.raises(TokenStoreTimeoutError) as raised,
                store.lock(KEY, timeout=timeout),
            ):
                pytest.fail("two holders at a time")
            assert_no_secret(raised.value)

    def test_a_lock_is_not_reentrant(self, store: TokenStore) -> None:
        """A thread that holds the lock does not get it a second time."""
        with (
            store.lock(KEY, timeout=PATIENCE),
            pytest.raises(TokenStoreTimeoutError),
            store.lock(KEY, timeout=MOMENT),
        ):
            pytest.fail("two holders at a time")

    def test_two_objects_share_the_lock(self, store: TokenStore, second: TokenStore) -> None:
        """The lock belongs to the key in the place, not to the object."""
        with (
            _held(second, KEY),
            pytest.raises(TokenStoreTimeoutError),
            store.lock(KEY, timeout=MOMENT),
        ):
            pytest.fail("two holders at a time")

    def test_threads_exclude_each_other(self, store: TokenStore) -> None:
        """Eight threads want the lock at once; each has it alone."""
        inside: list[int] = []

        def enter(number: int) -> list[int]:
            with store.lock(KEY, timeout=PATIENCE):
                inside.append(number)
                seen = list(inside)
                inside.remove(number)
            return seen

        assert together(8, enter) == [[number] for number in range(8)]

    def test_a_waiting_thread_gets_the_lock_next(self, store: TokenStore) -> None:
        """Who waits is let in when the holder leaves."""
        order: list[str] = []

        def wait() -> None:
            with store.lock(KEY, timeout=PATIENCE):
                order.append("waiter")

        waiter = threading.Thread(target=wait)
        with store.lock(KEY, timeout=PATIENCE):
            waiter.start()
            order.append("holder")
        waiter.join(PATIENCE)
        assert order == ["holder", "waiter"]

    def test_different_keys_do_not_wait_for_each_other(self, store: TokenStore) -> None:
        """One login's refresh never holds up another's, nor its own started authorizations."""
        with _held(store, KEY):
            for key in _LOOKALIKES[1:]:
                with store.lock(key, timeout=0.0):
                    pass

    @pytest.mark.parametrize(
        "error", [ValueError("x"), OSError(5, "x"), TimeoutError("x"), TokenStoreError("x")]
    )
    def test_an_error_frees_the_lock_and_stays_itself(
        self, store: TokenStore, error: Exception
    ) -> None:
        """What is raised under the lock leaves as it is, and the lock is free."""
        with pytest.raises(type(error)) as raised, store.lock(KEY, timeout=PATIENCE):
            raise error
        assert raised.value is error
        with store.lock(KEY, timeout=0.0):
            pass

    def test_processes_exclude_each_other(self, shared: TokenStore) -> None:
        """While one process holds the lock, another does not get it."""
        with process(_hold, shared) as holder:
            assert holder.recv() == "held"
            with (
                pytest.raises(TokenStoreTimeoutError),
                shared.lock(KEY, timeout=MOMENT),
            ):
                pytest.fail("two holders at a time")
            holder.send("leave")
            assert holder.recv() == "left"
            with shared.lock(KEY, timeout=PATIENCE):
                pass

    def test_the_lock_of_a_killed_process_is_free(self, shared: TokenStore) -> None:
        """A lock ends with its holder, also with one that was killed."""
        with process(_hold, shared, killed=True) as holder:
            assert holder.recv() == "held"
        with shared.lock(KEY, timeout=self.crash_recovery):
            pass

    # Outages

    def test_an_unreachable_place_is_no_busy_lock(
        self, store: TokenStore, unreachable: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """Whoever cannot reach the place learns just that, at once; afterwards all is as before."""
        store.save(KEY, LOGIN, expected=None)
        attempts: list[Callable[[], object]] = [
            lambda: store.load(KEY),
            lambda: store.save(KEY, replace(LOGIN, generation=8), expected=7),
            lambda: store.delete(KEY),
            lambda: store.lock(KEY, timeout=10 * PATIENCE).__enter__(),
        ]
        with unreachable():
            for attempt in attempts:
                with pytest.raises(TokenStoreUnavailableError) as raised:
                    attempt()
                assert_no_secret(raised.value)
        assert store.load(KEY) == LOGIN
        with store.lock(KEY, timeout=self.crash_recovery):
            store.save(KEY, replace(LOGIN, generation=8), expected=7)
        assert store.load(KEY) == replace(LOGIN, generation=8)

    def test_a_lock_outlives_an_outage(
        self, store: TokenStore, unreachable: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """The holder finishes what it does without the place; then the lock is free again."""
        finished = False
        with suppress(TokenStoreError), store.lock(KEY, timeout=PATIENCE), unreachable():
            finished = True
        assert finished
        with store.lock(KEY, timeout=self.crash_recovery):
            store.save(KEY, LOGIN, expected=None)
        assert store.load(KEY) == LOGIN

    def test_an_outage_hides_no_error(
        self, store: TokenStore, unreachable: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """What is raised under the lock leaves as it is, though the lock cannot be released."""
        with ExitStack() as stack:

            def fail_in_an_outage() -> None:
                with store.lock(KEY, timeout=PATIENCE):
                    stack.enter_context(unreachable())
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                fail_in_an_outage()

    # Fork

    def test_a_forked_child_does_not_hold_its_parents_lock(self, shared: TokenStore) -> None:
        """What the parent holds excludes its child, and the child's leaving frees nothing."""
        needs_fork()
        with shared.lock(KEY, timeout=PATIENCE):
            assert in_forked_child(lambda: _try_lock(shared)) == "busy"
            assert in_forked_child(lambda: _try_lock(shared)) == "busy"
        assert in_forked_child(lambda: _try_lock(shared)) == "free"

    def test_leaving_the_lock_in_a_forked_child_does_not_free_it(self, shared: TokenStore) -> None:
        """A child that was forked under the lock and leaves the block frees nothing."""
        needs_fork()
        read, write = os.pipe()
        with forking():
            with shared.lock(KEY, timeout=PATIENCE):
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
            with shared.lock(KEY, timeout=self.crash_recovery):
                pass
            orphan.send("are you there?")
            assert orphan.recv() == "yes"

    def test_a_forked_child_has_fresh_locks(self, store: TokenStore) -> None:
        """A lock that a thread of the parent happened to hold does not hang an unshared child."""
        needs_fork()
        with _held(store, KEY):
            expected = "busy" if self.shared_between_processes else "free"
            assert in_forked_child(lambda: _try_lock(store)) == expected
            assert in_forked_child(lambda: _try_lock(store, replace(KEY, account="b"))) == "free"
        assert in_forked_child(lambda: _try_lock(store)) == "free"

    def test_a_forked_child_shares_the_place(self, shared: TokenStore) -> None:
        """Parent and child read what the other has saved."""
        needs_fork()
        shared.save(KEY, LOGIN, expected=None)

        def child() -> bool:
            seen = shared.load(KEY) == LOGIN
            shared.save(KEY, replace(LOGIN, generation=8), expected=7)
            return seen

        assert in_forked_child(child) is True
        assert shared.load(KEY) == replace(LOGIN, generation=8)

    # Identity, copies, secrets

    def test_the_same_place_is_the_same_store(self, store: TokenStore, second: TokenStore) -> None:
        """Two objects on one place are equal and have the same hash."""
        assert store == second
        assert hash(store) == hash(second)
        assert store != object()

    @pytest.mark.parametrize("make", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
    def test_a_copy_is_the_same_place(
        self, store: TokenStore, make: Callable[[TokenStore], TokenStore]
    ) -> None:
        """A copy of a store copies no record: both see the same ones and share the lock."""
        store.save(KEY, LOGIN, expected=None)
        copied = make(store)
        assert copied == store
        store.save(KEY, replace(LOGIN, generation=8), expected=7)
        assert copied.load(KEY) == replace(LOGIN, generation=8)
        with _held(copied, KEY), pytest.raises(TokenStoreTimeoutError):
            store.lock(KEY, timeout=MOMENT).__enter__()

    def test_a_pickle_is_the_same_place(self, store: TokenStore) -> None:
        """A pickle that comes back to its process is the same place, and carries no token."""
        store.save(KEY, LOGIN, expected=None)
        pickled = pickle.dumps(store)
        assert b"secret" not in pickled
        assert pickle.loads(pickled) == store
        assert pickle.loads(pickled).load(KEY) == LOGIN

    def test_a_pickle_is_the_same_place_in_another_process(self, shared: TokenStore) -> None:
        """A pickle of a shared store gives other processes the same records."""
        shared.save(KEY, LOGIN, expected=None)
        with process(_bump, shared) as other:
            assert other.recv() == "done"
        assert shared.load(KEY) == replace(LOGIN, generation=8)

    def test_a_store_never_prints_a_secret(self, store: TokenStore) -> None:
        """Neither `repr` nor `str` of a store show what is in it."""
        store.save(KEY, LOGIN, expected=None)
        store.save(
            KEY.for_authorizations(),
            Record(1, authorizations=(AuthorizationRequest("secret-state", "secret-verifier"),)),
            expected=None,
        )
        assert "secret" not in f"{store!r} {store}"


def assert_no_secret(error: BaseException) -> None:
    """Fail when "secret" is in the text or the fields of an error, its causes or its contexts."""
    found: list[BaseException] = [error]
    for one in found:  # grows on the way
        fields = {name: getattr(one, name, None) for name in ("doc", "object")} | vars(one)
        assert "secret" not in f"{one} {one!r} {one.args!r} {fields!r}"
        found += [e for e in (one.__cause__, one.__context__) if e and e not in found]


@contextmanager
def _held(store: TokenStore, key: TokenKey) -> Iterator[None]:
    """Another thread holds the lock."""
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with store.lock(key, timeout=PATIENCE):
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


def _try_lock(store: TokenStore, key: TokenKey = KEY) -> str:
    try:
        with store.lock(key, timeout=MOMENT):
            return "free"
    except TokenStoreTimeoutError:
        return "busy"


def _count(store: TokenStore, times: int, connection: Connection | None = None) -> None:
    while times:
        record = store.load(KEY)
        assert record is not None
        counted = record.generation + 1
        try:
            store.save(KEY, Record(counted, _tokens(str(counted))), expected=record.generation)
        except StaleRecordError:
            continue
        times -= 1
    if connection:
        connection.send("done")


def _bump(store: TokenStore, connection: Connection) -> None:
    store.save(KEY, replace(LOGIN, generation=8), expected=7)
    connection.send("done")


def _hold(store: TokenStore, connection: Connection) -> None:
    with store.lock(KEY, timeout=PATIENCE):
        connection.send("held")
        connection.recv()
    connection.send("left")


def _hold_and_fork(store: TokenStore, connection: Connection) -> None:
    """The child stays; the parent, which holds the lock, kills itself."""
    with store.lock(KEY, timeout=PATIENCE), forking():
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
