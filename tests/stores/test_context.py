"""ContextTokenStore: the contract, and the integrations that kept a login there before us."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest
from atlassian_auth_adapter.stores.base import Pending, Record
from atlassian_auth_adapter.stores.context import ContextTokenStore
from atlassian_auth_adapter.testing.contracts.processes import (
    forking,
    in_forked_child,
    process,
    together,
)
from atlassian_auth_adapter.testing.contracts.stores import (
    KEY,
    LOGIN,
    TokenStoreContract,
    assert_no_secret,
)
from atlassian_auth_adapter.tokens import TokenSet

OTHER = replace(KEY, account="other")

LEGACY = {
    "token": "secret-old-access",
    "refresh_token": "secret-old-refresh",
    "valid_until": 1764000000.5,
    "scopes": "read:jira-work offline_access",
}
ADOPTED = Record(
    1, TokenSet("secret-old-access", "secret-old-refresh", 1764000000.5, LEGACY["scopes"])
)


class Platform:
    """Keeps a context as text, so that nothing but JSON gets in and nothing is shared."""

    def __init__(self):
        self.text = "{}"

    def get(self):
        """As `get_integration_context`."""
        return json.loads(self.text)

    def set(self, context):
        """As `set_integration_context`."""
        self.text = json.dumps(context, allow_nan=False)


_platform = Platform()


def get_context():
    """A function that a pickle can name."""
    return _platform.get()


def set_context(context):
    """A function that a pickle can name."""
    _platform.set(context)


class TestContract(TokenStoreContract):
    shared_between_processes = False

    @pytest.fixture
    def store(self):
        """On an empty context."""
        set_context({})
        return ContextTokenStore(get_context, set_context)

    @pytest.fixture
    def reopened(self):
        """With the same two functions."""
        return ContextTokenStore(get_context, set_context)


class TestContractBesideALegacyLogin(TestContract):
    """All of it again, for a key that does not own the legacy keys."""

    @pytest.fixture
    def store(self):
        """On a context whose legacy login belongs to somebody."""
        set_context(LEGACY)
        store = ContextTokenStore(get_context, set_context)
        owner = replace(KEY, account="the owner of the legacy login")
        store.save(owner, replace(ADOPTED, generation=2), expected=1)
        return store


@dataclass(frozen=True)
class GetFile:
    """`get_context` of a platform that keeps a context in a JSON file, without a lock."""

    path: Path

    def __call__(self):
        """The context, or None."""
        return json.loads(self.path.read_text()) if self.path.exists() else None


@dataclass(frozen=True)
class SetFile:
    """Its `set_context`: rewrites the file in place, so that it is empty for a moment."""

    path: Path

    def __call__(self, context):
        """Write the context."""
        self.path.write_text(json.dumps(context, allow_nan=False))


@dataclass(frozen=True)
class SharedLock:
    """A lock of a platform's own: raises TimeoutError, knows nothing of this package."""

    path: Path

    @contextmanager
    def __call__(self, name, timeout):
        """Hold the lock of that name."""
        self.path.mkdir(exist_ok=True)
        lock = FileLock(self.path / name, timeout, thread_local=False, poll_interval=0.02)
        try:
            lock.acquire()
        except Timeout:
            raise TimeoutError(f"{name}: secret") from None
        try:
            yield
        finally:
            lock.release()


@pytest.fixture
def on_file(tmp_path, monkeypatch):
    """Makes a store on the JSON file of this test, with this lock below its directory."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # new processes find this module

    def make(lock=SharedLock):
        path = tmp_path / "context.json"
        return ContextTokenStore(GetFile(path), SetFile(path), lock(tmp_path / "locks"))

    return make


class TestContractWithADirectory(TokenStoreContract):
    """Kernel locks, for a context that has none."""

    shared_between_processes = True
    lock = str

    @pytest.fixture
    def store(self, on_file):
        """Without a context in the beginning."""
        return on_file(self.lock)

    @pytest.fixture
    def reopened(self, on_file):
        """Another object with equal callables."""
        return on_file(self.lock)


class TestContractWithALock(TestContractWithADirectory):
    """The context's own lock, which may reach other hosts."""

    lock = SharedLock


@pytest.fixture
def platform():
    """An empty platform of its own."""
    return Platform()


@pytest.fixture
def store(platform):
    """A store on it."""
    return ContextTokenStore(platform.get, platform.set)


def raised_by(work):
    """The error of `work()`: ours, and without a secret."""
    with pytest.raises(TokenStoreError) as raised:
        work()
    assert type(raised.value) is TokenStoreError
    assert_no_secret(raised.value)
    return str(raised.value)


class TestAdoption:
    def test_the_login_of_an_old_integration_is_ours(self, platform, store):
        """Nobody has to log in again: the first generation is what was there."""
        platform.set(LEGACY)
        assert store.load(KEY) == ADOPTED
        assert store.load(KEY) == ADOPTED
        assert platform.get() == LEGACY

    @pytest.mark.parametrize(
        ("stored", "expires_at"),
        [
            (1764000000, 1764000000.0),
            (1764000000.25, 1764000000.25),
            ("1764000000", 1764000000.0),
            (" 1764000000.25\n", 1764000000.25),
            ("", 0.0),
            (None, 0.0),
            ("tomorrow", 0.0),
            ("nan", 0.0),
            ("inf", 0.0),
            ([], 0.0),
            ([1], 0.0),
            (10**400, 0.0),
        ],
    )
    def test_valid_until_is_a_number_or_its_text(self, platform, store, stored, expires_at):
        """An end that is not known is in the past, so the token is refreshed before its use."""
        platform.set(LEGACY | {"valid_until": stored})
        assert store.load(KEY).token_set.expires_at == expires_at

    @pytest.mark.parametrize(
        ("stored", "scope"),
        [("a b", "a b"), (["a", "b"], "a b"), ([], ""), ("", ""), (None, ""), (5, "")],
    )
    def test_scopes_are_a_text_or_a_list(self, platform, store, stored, scope):
        """Both spellings were in use; anything else says nothing."""
        platform.set(LEGACY | {"scopes": stored})
        assert store.load(KEY).token_set.scope == scope

    def test_a_refresh_token_is_a_login(self, platform, store):
        """Without access token it is expired; without any token there is no login."""
        platform.set({"refresh_token": "secret"})
        assert store.load(KEY) == Record(1, TokenSet("", "secret", 0.0))
        platform.set({"token": "", "refresh_token": None, "valid_until": 1764000000})
        assert store.load(KEY) is None

    def test_the_old_integration_can_read_what_we_save(self, platform, store):
        """The four keys hold the new login as the old one would have written it."""
        platform.set(LEGACY | {"mine": {"unrelated": [1]}})
        store.save(KEY, replace(LOGIN, generation=2), expected=1)
        context = platform.get()
        ours = json.dumps(context.pop("atlassian_auth_adapter"))
        assert context == {
            "token": "secret-access",
            "refresh_token": "secret-refresh",
            "valid_until": 1764003600.25,
            "scopes": "read:jira-work offline_access",
            "mine": {"unrelated": [1]},
        }
        assert "secret" not in ours

    def test_a_token_without_end_has_a_number_for_the_old_integration(self, platform, store):
        """JSON knows no infinity; we still read it as one."""
        store.save(KEY, Record(1, TokenSet("secret")), expected=None)
        assert platform.get()["valid_until"] == 253402300799  # 9999-12-31
        assert store.load(KEY).token_set.expires_at == math.inf

    def test_the_first_who_saves_owns_the_old_login(self, platform, store):
        """Every other login is a stranger to it from then on, whoever asked first."""
        platform.set(LEGACY)
        assert store.load(OTHER) == ADOPTED
        store.save(KEY, replace(ADOPTED, pending=Pending("hash", 1.5)), expected=1)
        assert store.load(OTHER) is None
        with pytest.raises(StaleRecordError):
            store.save(OTHER, replace(LOGIN, generation=2), expected=1)
        store.save(OTHER, LOGIN, expected=None)
        assert store.load(OTHER) == LOGIN
        store.delete(OTHER)
        assert store.load(KEY) == replace(ADOPTED, pending=Pending("hash", 1.5))
        assert platform.get()["token"] == "secret-old-access"

    def test_a_forgotten_login_still_owns_its_keys(self, platform, store):
        """Logging out does not hand the four keys to another account."""
        store.save(KEY, LOGIN, expected=None)
        store.save(OTHER, LOGIN, expected=None)
        store.delete(KEY)
        store.save(OTHER, replace(LOGIN, generation=8), expected=7)
        assert "token" not in platform.get()
        platform.set(platform.get() | LEGACY)
        assert store.load(KEY) == ADOPTED
        assert store.load(OTHER) == replace(LOGIN, generation=8)

    def test_an_unclaimed_login_can_be_forgotten(self, platform, store):
        """What `load` shows, `delete` removes; other keys stay."""
        platform.set(LEGACY | {"mine": 1})
        store.delete(KEY)
        assert platform.get() == {"mine": 1}

    def test_authorizations_leave_the_old_login_alone(self, platform, store):
        """They neither read, claim, change nor remove it."""
        platform.set(LEGACY)
        key = KEY.for_authorizations()
        assert store.load(key) is None
        record = Record(1, authorizations=(AuthorizationRequest("secret-state"),))
        store.save(key, record, expected=None)
        assert store.load(key) == record
        assert {name: platform.get()[name] for name in LEGACY} == LEGACY
        assert store.load(OTHER) == ADOPTED
        store.delete(key)
        assert store.load(key) is None
        assert platform.get() == LEGACY


class TestTheOldIntegrationStillRuns:
    @pytest.fixture
    def saved(self, platform, store):
        """A login of ours, with every note; then the old integration refreshed."""
        store.save(KEY, LOGIN, expected=None)
        platform.set(platform.get() | LEGACY)

    def test_its_login_wins(self, saved, store):
        """One generation higher, the same at every look, without notes on the former tokens."""
        expected = replace(ADOPTED, generation=8, throttled_until=LOGIN.throttled_until)
        assert store.load(KEY) == expected
        assert store.load(KEY) == expected

    def test_we_save_on_top_of_it(self, saved, platform, store):
        """Compare-and-swap goes by the generation that `load` showed."""
        with pytest.raises(StaleRecordError):
            store.save(KEY, LOGIN, expected=7)
        store.save(KEY, replace(LOGIN, generation=9), expected=8)
        assert store.load(KEY) == replace(LOGIN, generation=9)
        assert platform.get()["token"] == "secret-access"

    @pytest.mark.parametrize("name", ["token", "refresh_token"])
    def test_either_token_makes_another_login(self, platform, store, name):
        """A rotation that kept the other one is one, too."""
        store.save(KEY, LOGIN, expected=None)
        platform.set(platform.get() | {name: "secret-new"})
        assert store.load(KEY).generation == 8

    def test_what_it_erased_is_gone(self, platform, store):
        """Its logout is ours."""
        store.save(KEY, LOGIN, expected=None)
        context = platform.get()
        del context["token"], context["refresh_token"]
        platform.set(context)
        assert store.load(KEY) == Record(8, throttled_until=LOGIN.throttled_until)

    def test_what_it_overwrote_as_a_whole_begins_anew(self, platform, store):
        """An integration that drops foreign keys leaves its own login, at generation 1."""
        store.save(KEY, LOGIN, expected=None)
        platform.set(LEGACY)
        assert store.load(KEY) == ADOPTED


class TestCallables:
    def test_no_context_is_an_empty_one(self):
        """`get_context` may return None as long as nothing was set."""
        contexts = [None]
        store = ContextTokenStore(lambda: contexts[-1], contexts.append)
        assert store.load(KEY) is None
        store.delete(KEY)
        assert contexts == [None]
        store.save(KEY, LOGIN, expected=None)
        assert store.load(KEY) == LOGIN

    def test_what_get_context_returned_is_not_changed(self):
        """It may be the platform's own object: only `set_context` changes something."""
        contexts = [LEGACY | {"mine": {}}]
        store = ContextTokenStore(lambda: contexts[-1], contexts.append)
        before = copy.deepcopy(contexts[0])
        store.save(KEY, LOGIN, expected=1)
        middle = copy.deepcopy(contexts[1])
        store.save(OTHER, LOGIN, expected=None)
        store.delete(KEY)
        assert contexts[:2] == [before, middle]

    @pytest.mark.parametrize("context", [[], "secret", 5, False])
    def test_what_is_no_dictionary_is_refused(self, context):
        """With its type, not its text."""
        store = ContextTokenStore(lambda: context, lambda _: None)
        assert type(context).__name__ in raised_by(lambda: store.load(KEY))

    def test_what_a_callable_raises_is_not_shown(self, platform):
        """Its text may quote the context; the error names the type and the line."""

        def fail(context=None):
            raise ValueError(f"cannot serialise {context} {LEGACY}")

        broken = ContextTokenStore(fail, fail)
        text = raised_by(lambda: broken.load(KEY))
        assert "get_context raised ValueError" in text
        assert "test_context.py, line" in text
        broken = ContextTokenStore(platform.get, fail)
        text = raised_by(lambda: broken.save(KEY, LOGIN, expected=None))
        assert "set_context raised ValueError" in text
        assert platform.text == "{}"

    def test_an_exit_is_an_exit(self):
        """A callable that ends the program, as `return_error` does, ends the program."""

        def leave():
            raise SystemExit(0)

        with pytest.raises(SystemExit):
            ContextTokenStore(leave, leave).load(KEY)

    def test_equal_callables_make_equal_stores(self, platform, store):
        """Bound methods of one object are equal, and share the lock; of another they are not."""
        same = ContextTokenStore(platform.get, platform.set)
        assert (same, hash(same)) == (store, hash(store))
        assert store != ContextTokenStore(Platform().get, platform.set)
        with (
            same.lock(KEY, timeout=0),
            pytest.raises(TokenStoreTimeoutError),
            store.lock(KEY, timeout=0),
        ):
            pytest.fail("two holders at a time")

    def test_a_deep_copy_is_the_store_itself(self, store):
        """A copy of a bound method's object would be another place with the same refresh token."""
        assert copy.deepcopy(store) is store

    def test_what_cannot_be_pickled_says_so(self, platform):
        """Functions without a name in a module have no pickle."""
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(ContextTokenStore(lambda: None, platform.set))

    def test_two_callables_are_needed(self):
        """A dictionary is none; what has no hash cannot name a place."""

        class Unhashable(Platform):
            __hash__ = None
            __call__ = Platform.get

        with pytest.raises(ConfigurationError, match="two callables"):
            ContextTokenStore({}, {})
        with pytest.raises(ConfigurationError, match="hash"):
            ContextTokenStore(Unhashable(), Unhashable())


class TestDamage:
    @pytest.mark.parametrize(
        "ours",
        [
            "secret",
            ["secret"],
            None,
            {},
            {"version": 1},
            {"version": 1, "records": ["secret"]},
            {"version": 2, "records": {}},
            {"version": "secret", "records": {}},
        ],
    )
    def test_our_key_is_kept_when_we_cannot_read_it(self, platform, store, ours):
        """No method touches it, and the error names it."""
        platform.set(LEGACY | {"atlassian_auth_adapter": ours})
        before = platform.text
        for work in (
            lambda: store.load(KEY),
            lambda: store.save(KEY, LOGIN, expected=None),
            lambda: store.delete(KEY),
        ):
            assert "atlassian" in raised_by(work)
        assert platform.text == before

    @pytest.mark.parametrize(
        "record", ["secret", {}, {"generation": "secret"}, {"generation": 1e999}, {"version": 2}]
    )
    def test_a_damaged_record_is_kept_until_it_is_forgotten(self, platform, store, record):
        """Other records are not affected; `delete` makes room."""
        store.save(KEY, LOGIN, expected=None)
        store.save(OTHER, LOGIN, expected=None)
        context = platform.get()
        context["atlassian_auth_adapter"]["records"][OTHER.digest] = record
        platform.text = before = json.dumps(context)
        assert "'other'" in raised_by(lambda: store.load(OTHER))
        raised_by(lambda: store.save(OTHER, LOGIN, expected=7))
        assert platform.text == before
        assert store.load(KEY) == LOGIN
        store.delete(OTHER)
        assert store.load(OTHER) is None
        assert store.load(KEY) == LOGIN


def count(store, key, connection=None):
    """Save twenty generations, one after the other."""
    for generation in range(20):
        store.save(key, Record(generation + 1), expected=generation or None)
    if connection:
        connection.send("done")


class Recorder:
    """A lock that notes down what happens, and raises what it is told to."""

    def __init__(self):
        self.seen, self.failures = [], {}

    def note(self, what):
        """Remember it."""
        self.seen.append(what)
        if error := self.failures.get(what[0]):
            raise error

    def __call__(self, name, timeout):
        """As a lock."""
        self.note(("call", name, timeout))
        return self

    def __enter__(self):
        self.note(("enter",))

    def __exit__(self, *what):
        self.note(("exit", *what))
        return True  # would swallow an error


class TestLock:
    @pytest.fixture
    def recorder(self):
        """A lock that notes down what happens."""
        return Recorder()

    @pytest.fixture
    def recorded(self, platform, recorder):
        """A store with it, and a login."""
        store = ContextTokenStore(platform.get, platform.set, recorder)
        store.save(KEY, LOGIN, expected=None)
        recorder.seen.clear()
        return store

    @pytest.mark.parametrize("lock", [str, Path, SharedLock])
    def test_two_logins_do_not_lose_each_others_updates(self, on_file, lock):
        """Processes and threads write one dictionary, each a record of its own."""
        store = on_file(lock)
        keys = [replace(KEY, account=str(number)) for number in range(4)]
        with process(count, store, keys[0]) as a, process(count, store, keys[1]) as b:
            together(2, lambda number: count(store, keys[2 + number]))
            assert (a.recv(), b.recv()) == ("done", "done")
        assert [store.load(key) for key in keys] == [Record(20)] * 4

    def test_the_callables_are_never_called_by_two_threads_at_a_time(self):
        """A thread in the middle of reading keeps the other ones out, without any `lock`."""
        context: list[dict] = [{}]
        inside, most = [], []

        def get():
            inside.append(None)
            most.append(len(inside))
            os.sched_yield()  # whoever could come in comes in here
            seen = dict(context[0])
            inside.pop()
            return seen

        def put(changed):
            context[0] = changed

        store = ContextTokenStore(get, put)
        keys = [replace(KEY, account=str(number)) for number in range(4)]

        def save(number):
            for generation in range(25):
                expected = generation - 1 if generation else None
                store.save(keys[number], Record(generation), expected=expected)

        together(4, save)
        assert set(most) == {1}
        assert [store.load(key) for key in keys] == [Record(24)] * 4

    @pytest.mark.parametrize("lock", [str, SharedLock])
    def test_a_killed_save_leaves_the_old_record_and_no_lock(self, on_file, lock, monkeypatch):
        """Killed after it has read the context, before it writes it."""
        store = on_file(lock)
        store.save(KEY, LOGIN, expected=None)
        with forking():
            child = os.fork()
        if not child:
            monkeypatch.setattr(store, "_set", lambda _: os.kill(os.getpid(), signal.SIGKILL))
            store.save(KEY, replace(LOGIN, generation=8), expected=7)
            os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        assert store.load(KEY) == LOGIN
        store.save(KEY, replace(LOGIN, generation=8), expected=7)
        assert store.load(KEY) == replace(LOGIN, generation=8)

    @pytest.mark.parametrize("lock", [str, SharedLock])
    def test_a_reader_never_sees_half_a_context(self, on_file, lock):
        """The platform rewrites its file in place; nobody reads it meanwhile."""
        store = on_file(lock)
        store.save(OTHER, LOGIN, expected=None)
        with process(count, store, KEY) as other:
            while not other.poll():
                assert store.load(OTHER) == LOGIN
            assert other.recv() == "done"

    def test_names_are_ours(self, recorded, recorder):
        """One for the whole context, one for each login; with seconds, and left with None."""
        recorded.load(KEY)
        with recorded.lock(KEY, timeout=0):
            pass
        entered = [("enter",), ("exit", None, None, None)]
        assert recorder.seen == [
            ("call", "atlassian_auth_adapter.context", 30.0),
            *entered,
            ("call", f"atlassian_auth_adapter.{KEY.digest}", 0.0),
            *entered,
        ]

    def test_every_look_at_the_context_is_locked(self, recorded, recorder):
        """Loading, saving and deleting, each once."""
        recorded.load(KEY)
        recorded.save(KEY, replace(LOGIN, generation=8), expected=7)
        recorded.delete(KEY)
        assert [what[0] for what in recorder.seen] == ["call", "enter", "exit"] * 3

    @pytest.mark.parametrize("where", ["call", "enter"])
    def test_a_lock_that_somebody_holds_times_out(self, recorded, recorder, where):
        """The TimeoutError may come from the call or from entering; its text is not shown."""
        recorder.failures[where] = TimeoutError("secret")
        for work in (
            lambda: recorded.load(KEY),
            lambda: recorded.save(KEY, LOGIN, expected=7),
            lambda: recorded.lock(KEY, timeout=1.0).__enter__(),
        ):
            with pytest.raises(TokenStoreTimeoutError, match="somebody has held") as raised:
                work()
            assert_no_secret(raised.value)

    @pytest.mark.parametrize("where", ["call", "enter", "exit"])
    def test_what_a_lock_raises_is_not_shown(self, recorded, recorder, where):
        """With its type and line; a lock that cannot be left is an error as well."""
        recorder.failures[where] = ValueError("secret")
        text = raised_by(lambda: recorded.load(KEY))
        assert "lock raised ValueError" in text
        assert "test_context.py, line" in text

    def test_what_is_raised_under_the_lock_stays_itself(self, recorded, recorder):
        """Neither a lock that swallows errors nor one that cannot be left hides it."""
        for _ in range(2):
            with pytest.raises(ZeroDivisionError), recorded.lock(KEY, timeout=1.0):
                raise ZeroDivisionError
            assert recorder.seen[-1] == ("exit", None, None, None)
            recorder.failures["exit"] = ValueError("secret")
        recorder.failures.clear()
        with recorded.lock(KEY, timeout=0):
            pass

    @pytest.mark.parametrize("error", [None, ZeroDivisionError()])
    def test_a_forked_child_leaves_nothing(self, recorded, recorder, error):
        """A child that leaves the block must not free its parent's lock somewhere else."""

        def child():
            with suppress(ZeroDivisionError):
                held.__exit__(error and type(error), error, None)
            return [what[0] for what in recorder.seen]

        held = recorded.lock(KEY, timeout=0)
        held.__enter__()
        assert in_forked_child(child) == ["call", "enter"]
        held.__exit__(None, None, None)
        assert recorder.seen[-1] == ("exit", None, None, None)

    def test_what_is_no_lock_says_so(self, platform):
        """A callable that returns something else."""
        store = ContextTokenStore(platform.get, platform.set, lambda name, timeout: None)
        assert "lock raised" in raised_by(lambda: store.load(KEY))

    def test_somebody_who_holds_the_context_is_reported(self, on_file, tmp_path, monkeypatch):
        """With the file to look at."""
        monkeypatch.setattr("atlassian_auth_adapter.stores.context._CONTEXT_TIMEOUT", 0.05)
        store = on_file(str)
        store.save(KEY, LOGIN, expected=None)
        with (
            FileLock(tmp_path / "locks" / "atlassian_auth_adapter.context.lock"),
            pytest.raises(TokenStoreTimeoutError, match=r"context\.lock"),
        ):
            store.load(KEY)
        assert store.load(KEY) == LOGIN

    def test_the_directory_is_only_ours(self, on_file, tmp_path):
        """As FileTokenStore's, it is refused when others have access."""
        store = on_file(str)
        store.save(KEY, LOGIN, expected=None)
        (tmp_path / "locks").chmod(0o755)
        assert "chmod 700" in raised_by(lambda: store.load(KEY))

    @pytest.mark.parametrize("lock", [5, b"locks", __file__, ["locks"]])
    def test_a_wrong_lock_is_a_mistake_of_the_program(self, platform, lock):
        """It is refused when the store is made."""
        with pytest.raises(ConfigurationError):
            ContextTokenStore(platform.get, platform.set, lock)

    @pytest.mark.parametrize("lock", [str, SharedLock])
    def test_the_context_is_the_place(self, on_file, lock):
        """Not the lock; which the pickle holds."""
        store = on_file(lock)
        assert store == on_file(Path)
        assert hash(store) == hash(on_file(Path))
        assert pickle.loads(pickle.dumps(store))._shared_lock == store._shared_lock is not None
