"""ContextTokenStore: the contract, and the integrations that kept a login there before us."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from atlassian_auth_adapter import records
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest
from atlassian_auth_adapter.records import Journal, Login, TokenKey, write
from atlassian_auth_adapter.records.authorizations import Authorizations
from atlassian_auth_adapter.stores.base import Entry
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
    NAME,
    TEXT,
    TokenStoreContract,
    text_of,
)
from atlassian_auth_adapter.testing.contracts.stores.locks import LockTests
from atlassian_auth_adapter.testing.contracts.stores.sharing import SharingTests
from atlassian_auth_adapter.tokens import TokenSet

from .helpers import refused

OURS = "atlassian_auth_adapter"
OTHER = KEY._replace(account="other").name

LEGACY = {
    "token": "secret-old-access",
    "refresh_token": "secret-old-refresh",
    "valid_until": 1764000000.5,
    "scopes": "read:jira-work offline_access",
}
ADOPTED = Login(
    1,
    token_set=TokenSet(
        "secret-old-access", "secret-old-refresh", 1764000000.5, "read:jira-work offline_access"
    ),
)

# As schema 2 writes it (2026-11-26); never edited: if a test fails, the code has forgotten logins
# that people have in their contexts.
FROZEN_KEY = TokenKey("https://auth.atlassian.com", "client", "default")
FROZEN = {
    "token": "secret-access-7",
    "refresh_token": "secret-refresh-7",
    "valid_until": 1764003600.25,
    "scopes": "read:jira-work",
    "atlassian_auth_adapter": {
        "schema": 2,
        "owner": "fb4c16e78550eae9a58551103306e889",
        "seen": "47ca023dc9947cab",
        "entries": {
            "fb4c16e78550eae9a58551103306e889": {
                "version": 12,
                "text": '{"schema": 2, "key": {"issuer": "https://auth.atlassian.com", "client_id":'
                ' "client", "account": "default", "kind": "login"}, "generation": 7, "token_set":'
                ' {"access_token": "", "refresh_token": "", "expires_at": 1764003600.25, "scope":'
                ' "read:jira-work"}}',
            },
            "fb4c16e78550eae9a58551103306e889.sites": {"version": 1, "text": "any text"},
        },
    },
}
FROZEN_LOGIN = Login(
    7, token_set=TokenSet("secret-access-7", "secret-refresh-7", 1764003600.25, "read:jira-work")
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


class TestInMemory(LockTests):
    """Without a lock, for threads of one process. TestWithADirectory runs the whole contract."""

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


class TestWithADirectory(TokenStoreContract):
    """Kernel locks, for a context that has none."""

    shared_between_processes = True

    @pytest.fixture
    def store(self, on_file):
        """Without a context in the beginning."""
        return on_file(str)

    @pytest.fixture
    def reopened(self, on_file):
        """Another object with equal callables."""
        return on_file(str)


class TestWithALock(SharingTests):
    """The context's own lock, which may reach other hosts."""

    shared_between_processes = True

    @pytest.fixture
    def store(self, on_file):
        """Without a context in the beginning."""
        return on_file(SharedLock)


@pytest.fixture
def platform():
    """An empty platform of its own."""
    return Platform()


@pytest.fixture
def store(platform):
    """A store on it."""
    return ContextTokenStore(platform.get, platform.set)


def loaded(store, key=KEY):
    """The login that a store keeps for a key, and its version."""
    return records.load(store, key, Login)


def raised_by(work):
    """The text of the error of `work()`: ours, and without a secret."""
    return str(refused(work, kind=TokenStoreError))


def kept(platform, store, ours):
    """The error with which each method refuses this value of our key, and changes nothing."""
    platform.set(LEGACY | {OURS: ours})
    before = platform.text
    load, save, delete = (
        raised_by(lambda: store.load(NAME)),
        raised_by(lambda: store.save(NAME, TEXT, expected=None)),
        raised_by(lambda: store.delete(NAME)),
    )
    assert load == save == delete
    assert platform.text == before
    return load


class TestForm:
    def test_what_a_former_release_has_written_is_read(self, platform, store):
        """To the value of each field; fields that are not known hide no login."""
        more = copy.deepcopy(FROZEN)
        more[OURS]["new"] = more[OURS]["entries"][FROZEN_KEY.name]["new"] = {"field": [None]}
        for context in (FROZEN, more):
            platform.set(context)
            assert loaded(store, FROZEN_KEY) == (FROZEN_LOGIN, 12)
            assert store.load(FROZEN_KEY.for_sites().name) == Entry("any text", 1)

    def test_what_is_written_is_the_same_form(self, platform, store):
        """So that the next release, too, finds what this one reads."""
        for version in range(12):
            text = write(FROZEN_KEY, FROZEN_LOGIN)
            store.save(FROZEN_KEY.name, text, expected=version or None)
        store.save(FROZEN_KEY.for_sites().name, "any text", expected=None)
        assert platform.get() == FROZEN

    def test_the_owners_text_comes_back_to_the_letter(self, platform, store):
        """Its tokens stand in the four keys if that changes nothing in it; else it stays whole."""
        login = json.loads(TEXT)
        token_set = login["token_set"]
        reordered = {"scope": "s", "refresh_token": "secret", "x": [1], "access_token": "secret"}
        deep = '{"token_set": {"access_token": "secret", "x": ' + "[" * 99_999 + "]" * 99_999 + "}}"
        lifted = [
            *(login | {"token_set": token_set | {"expires_at": end}} for end in (None, 0, "x", [])),
            *(login | {"token_set": token_set | {"scope": scope}} for scope in (None, 5, "")),
            {"token_set": reordered, "key": {"token_set": {"access_token": "public"}}},
            {"token_set": {"refresh_token": "secret"}},
            {"token_set": {"access_token": "secret \u2603 \ud800"}},
            {"token_set": {"access_token": "", "refresh_token": ""}},
        ]
        whole = [
            {"token_set": token_set | {"access_token": 5}},
            {"token_set": token_set | {"refresh_token": None}},
            {"token_set": [token_set]},
            {"token_set": "secret"},
            [login],
        ]
        texts = {json.dumps(value): True for value in lifted}
        texts |= {text.replace('{"token_set"', '{"x": NaN, "token_set"'): True for text in texts}
        texts |= {json.dumps(value): False for value in whole}
        texts |= {
            json.dumps(login, indent=1): False,
            TEXT.replace('"expires_at": ', '"expires_at":  '): False,
            TEXT.replace('"token_set": {', '"token_set": {"access_token": "twice", '): False,
            TEXT.replace("1764003600.25", "1e999"): False,
            deep: False,
            "sealed.secret": False,
        }
        for version, (text, is_lifted) in enumerate(texts.items(), 1):
            store.save(NAME, text, expected=version - 1 or None)
            assert store.load(NAME) == Entry(text, version)
            context = platform.get()
            ours = context.pop(OURS)
            assert set(context) == (set(LEGACY) if is_lifted else set())
            assert ("secret" in str(ours)) is not is_lifted

    def test_an_earlier_form_is_not_read(self, platform, store):
        """The error says which key to remove; then the login is the one in the four keys."""
        text = kept(platform, store, {"version": 1, "owner": "x", "seen": "", "records": {}})
        assert "earlier release" in text
        assert f"Remove the key '{OURS}' to start over" in text
        platform.set(LEGACY)
        assert loaded(store) == (ADOPTED, 1)

    def test_a_later_form_is_not_guessed_at(self, platform, store):
        """Whatever else it looks like: the error says to upgrade."""
        text = kept(platform, store, FROZEN[OURS] | {"schema": 3, "version": 1})
        assert "schema 3, this one reads 2). Upgrade atlassian-auth-adapter" in text

    def test_our_key_is_kept_when_it_is_damaged(self, platform, store):
        """The error names it, and says how to start over."""
        for ours in (
            *("secret", ["secret"], None, {}, {"schema": 2}, {"entries": {}}),
            *({"schema": schema, "entries": {}} for schema in ("secret", 1, None)),
            {"schema": 2, "entries": ["secret"]},
        ):
            text = kept(platform, store, ours)
            assert "damaged" in text
            assert f"Remove the key '{OURS}' to start over" in text

    def test_a_damaged_entry_is_kept_until_it_is_deleted(self, platform, store):
        """Other entries are not affected; `delete` makes room for a new one."""
        for entry in (
            *("secret", ["secret"], None, {}, {"version": 1}, {"text": "secret"}),
            *({"version": number, "text": "secret"} for number in (0, -1, 1.5, "secret", None)),
            {"version": 1, "text": ["secret"]},
        ):
            platform.set({})
            store.save(NAME, TEXT, expected=None)
            store.save(OTHER, TEXT, expected=None)
            context = platform.get()
            context[OURS]["entries"][OTHER] = entry
            platform.set(context)
            before = platform.text
            assert f"{OTHER} in the context is damaged" in raised_by(lambda: store.load(OTHER))
            raised_by(lambda: store.save(OTHER, TEXT, expected=1))
            assert platform.text == before
            store.delete(OTHER)
            assert store.load(OTHER) is None
            assert store.load(NAME) == Entry(TEXT, 1)


class TestAdoption:
    def test_the_login_of_an_old_integration_is_ours(self, platform, store):
        """No person has to sign in again: the first version is what was there."""
        platform.set(LEGACY)
        assert loaded(store) == loaded(store) == (ADOPTED, 1)
        assert platform.get() == LEGACY

    def test_valid_until_is_a_number_or_its_text(self, platform, store):
        """An end that is not known is in the past, so the token is refreshed before its use."""
        for stored, expires_at in (
            (1764000000, 1764000000.0),
            (1764000000.25, 1764000000.25),
            (" 1764000000.25\n", 1764000000.25),
            *((unknown, 0.0) for unknown in ("", None, "tomorrow", "nan", "inf", [1], 10**400)),
        ):
            platform.set(LEGACY | {"valid_until": stored})
            assert loaded(store)[0].token_set.expires_at == expires_at

    def test_scopes_are_a_text_or_a_list(self, platform, store):
        """Both spellings were in use; anything else says nothing."""
        for stored, scope in (
            *(("a b", "a b"), (["a", "b"], "a b")),
            *((nothing, "") for nothing in ([], "", None, 5)),
        ):
            platform.set(LEGACY | {"scopes": stored})
            assert loaded(store)[0].token_set.scope == scope

    def test_a_refresh_token_is_a_login(self, platform, store):
        """Without access token it is expired; without any token there is no login."""
        platform.set({"refresh_token": "secret", "valid_until": 1764000000})
        assert loaded(store) == (Login(1, token_set=TokenSet("", "secret", 0.0)), 1)
        platform.set({"token": "", "refresh_token": None, "valid_until": 1764000000})
        assert store.load(NAME) is None

    def test_a_text_that_is_no_token_makes_a_damaged_record(self, platform, store):
        """A space or a line break gets into no header, and into no error."""
        for token in ("secret token", "secret\n", ["secret", "secret"]):
            for name in ("token", "refresh_token"):
                platform.set(LEGACY | {name: token})
                assert "damaged" in raised_by(lambda: loaded(store))

    def test_the_old_integration_can_read_what_we_save(self, platform, store):
        """The four keys hold the new login as the old one would have written it."""
        platform.set(LEGACY | {"mine": {"unrelated": [1]}})
        store.save(NAME, TEXT, expected=1)
        context = platform.get()
        assert "secret" not in str(context.pop(OURS))
        assert context == {
            "token": "secret-access",
            "refresh_token": "secret-refresh",
            "valid_until": 1764003600.25,
            "scopes": "read:jira-work offline_access",
            "mine": {"unrelated": [1]},
        }

    def test_a_token_without_end_has_a_number_for_the_old_integration(self, platform, store):
        """JSON knows no infinity; we still read it as one."""
        records.save(store, KEY, Login(1, token_set=TokenSet("secret")), expected=None)
        assert platform.get()["valid_until"] == 253402300799  # 9999-12-31
        assert loaded(store)[0].token_set.expires_at == math.inf

    def test_the_first_login_that_is_saved_owns_the_old_one(self, platform, store):
        """No other login sees, changes or removes it from then on, even if it was loaded first."""
        platform.set(LEGACY)
        assert store.load(OTHER) is not None
        ours = ADOPTED._replace(journal=Journal("hash", 1.5))
        records.save(store, KEY, ours, expected=1)
        assert store.load(OTHER) is None
        with pytest.raises(StaleRecordError):
            store.save(OTHER, TEXT, expected=1)
        store.save(OTHER, TEXT, expected=None)
        assert store.load(OTHER) == Entry(TEXT, 1)
        store.delete(OTHER)
        assert loaded(store) == (ours, 2)
        assert platform.get()["token"] == "secret-old-access"

    def test_a_deleted_login_still_owns_its_keys(self, platform, store):
        """Deleting a login does not hand the four keys to another account."""
        store.save(NAME, TEXT, expected=None)
        store.save(OTHER, TEXT, expected=None)
        store.delete(NAME)
        store.save(OTHER, text_of(8), expected=1)
        assert not LEGACY.keys() & platform.get().keys()
        platform.set(platform.get() | LEGACY)
        assert loaded(store) == (ADOPTED, 1)
        assert store.load(OTHER) == Entry(text_of(8), 2)

    def test_an_unclaimed_login_can_be_deleted(self, platform, store):
        """What `load` shows, `delete` removes; other keys stay."""
        platform.set(LEGACY | {"mine": 1})
        store.delete(NAME)
        assert platform.get() == {"mine": 1}

    def test_what_is_not_a_login_leaves_the_old_login_alone(self, platform, store):
        """Authorizations neither read, claim, change nor remove it."""
        platform.set(LEGACY)
        key = KEY.for_authorizations()
        assert store.load(key.name) is None
        started = Authorizations((AuthorizationRequest("secret-state"),))
        records.save(store, key, started, expected=None)
        assert records.load(store, key, Authorizations) == (started, 1)
        store.save(f"{NAME}.sites", TEXT, expected=None)
        assert {name: platform.get()[name] for name in LEGACY} == LEGACY
        assert store.load(OTHER) is not None
        for name in (key.name, f"{NAME}.sites"):
            store.delete(name)
            assert store.load(name) is None
        assert platform.get() == LEGACY


class TestTheOldIntegrationStillRuns:
    @pytest.fixture
    def refreshed(self, platform, store):
        """A login of ours, with every field; then the old integration has refreshed."""
        store.save(NAME, TEXT, expected=None)
        platform.set(platform.get() | LEGACY)

    def test_its_login_wins(self, refreshed, store):
        """Version and generation are one higher, the same at every look.

        Of our notes only the time stays before which the token endpoint is not asked.
        """
        expected = ADOPTED._replace(generation=8, throttled_until=LOGIN.throttled_until)
        assert loaded(store) == loaded(store) == (expected, 2)

    def test_we_save_on_top_of_it(self, refreshed, platform, store):
        """Compare-and-swap goes by the version that `load` showed."""
        with pytest.raises(StaleRecordError):
            store.save(NAME, TEXT, expected=1)
        store.save(NAME, text_of(9), expected=2)
        assert store.load(NAME) == Entry(text_of(9), 3)
        assert platform.get()["token"] == "secret-access-9"

    def test_either_token_makes_another_login(self, platform, store):
        """A rotation that kept the other token is one, too."""
        for name in ("token", "refresh_token"):
            platform.set({})
            store.save(NAME, TEXT, expected=None)
            platform.set(platform.get() | {name: "secret-new"})
            login, version = loaded(store)
            assert (login.generation, version) == (8, 2)

    def test_it_may_write_over_a_text_that_is_not_a_login(self, platform, store):
        """Its login is then the first generation; what `throttled_until` is not, is not kept."""
        for text in ("sealed", '{"generation": "x", "throttled_until": "x"}', "[]", "{}"):
            platform.set({})
            store.save(NAME, text, expected=None)
            platform.set(platform.get() | LEGACY)
            assert loaded(store) == (ADOPTED, 2)

    def test_what_it_erased_is_gone(self, platform, store):
        """Its logout is ours."""
        store.save(NAME, TEXT, expected=None)
        context = platform.get()
        del context["token"], context["refresh_token"]
        platform.set(context)
        assert loaded(store) == (Login(8, throttled_until=LOGIN.throttled_until), 2)

    def test_what_it_overwrote_as_a_whole_has_version_1(self, platform, store):
        """An integration that drops foreign keys leaves its own login, at version 1."""
        store.save(NAME, TEXT, expected=None)
        platform.set(LEGACY)
        assert loaded(store) == (ADOPTED, 1)


class TestCallables:
    def test_no_context_is_an_empty_one(self):
        """`get_context` may return None as long as nothing was set."""
        contexts = [None]
        store = ContextTokenStore(lambda: contexts[-1], contexts.append)
        assert store.load(NAME) is None
        store.delete(NAME)
        assert contexts == [None]
        store.save(NAME, TEXT, expected=None)
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_what_get_context_returned_is_not_changed(self):
        """It may be the platform's own object: only `set_context` changes something."""
        contexts = [LEGACY | {"mine": {}}]
        store = ContextTokenStore(lambda: contexts[-1], contexts.append)
        before = copy.deepcopy(contexts[0])
        store.save(NAME, TEXT, expected=1)
        middle = copy.deepcopy(contexts[1])
        store.save(OTHER, TEXT, expected=None)
        store.delete(NAME)
        assert contexts[:2] == [before, middle]

    def test_what_is_not_a_dictionary_is_refused(self):
        """With its type, not its text."""
        for context in ([], "secret", 5, False):
            store = ContextTokenStore(lambda context=context: context, lambda _: None)
            assert type(context).__name__ in raised_by(lambda store=store: store.load(NAME))

    def test_what_a_callable_raises_is_not_shown(self, platform):
        """Its text may quote the context; the error names the type and the line."""

        def fail(context=None):
            raise ValueError(f"cannot serialise {context} {LEGACY}")

        broken = ContextTokenStore(fail, fail)
        text = raised_by(lambda: broken.load(NAME))
        assert "get_context raised ValueError" in text
        assert "test_context.py, line" in text
        broken = ContextTokenStore(platform.get, fail)
        text = raised_by(lambda: broken.save(NAME, TEXT, expected=None))
        assert "set_context raised ValueError" in text
        assert platform.text == "{}"

    def test_an_exit_is_an_exit(self):
        """A callable that ends the program, as `return_error` does, ends the program."""

        def leave():
            raise SystemExit(0)

        with pytest.raises(SystemExit):
            ContextTokenStore(leave, leave).load(NAME)

    def test_equal_callables_share_the_lock(self, platform, store):
        """Bound methods of one object are equal; those of another are another place."""
        other = Platform()
        with store.lock(NAME, timeout=0):
            with pytest.raises(TokenStoreTimeoutError):
                ContextTokenStore(platform.get, platform.set).lock(NAME, timeout=0).__enter__()
            with ContextTokenStore(other.get, other.set).lock(NAME, timeout=0):
                pass

    def test_what_cannot_be_pickled_says_so(self, platform):
        """Functions without a name in a module have no pickle."""
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(ContextTokenStore(lambda: None, platform.set))

    def test_two_callables_are_needed(self):
        """A dictionary is not one; what has no hash cannot find its lock."""

        class Unhashable(Platform):
            __hash__ = None
            __call__ = Platform.get

        with pytest.raises(ConfigurationError, match="two callables"):
            ContextTokenStore({}, {})
        with pytest.raises(ConfigurationError, match="hash"):
            ContextTokenStore(Unhashable(), Unhashable())


def count(store, name, connection=None):
    """Save twenty versions, one after the other."""
    for version in range(20):
        store.save(name, str(version + 1), expected=version or None)
    if connection:
        connection.send("done")


class Recorder:
    """A lock that records what happens, and raises the errors in `failures`."""

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
        """A lock that records what happens."""
        return Recorder()

    @pytest.fixture
    def recorded(self, platform, recorder):
        """A store with it, and a login."""
        store = ContextTokenStore(platform.get, platform.set, recorder)
        store.save(NAME, TEXT, expected=None)
        recorder.seen.clear()
        return store

    @pytest.mark.parametrize("lock", [str, SharedLock])
    def test_two_logins_do_not_lose_each_others_updates(self, on_file, lock):
        """Processes and threads write one dictionary, each an entry of its own.

        The platform rewrites its file in place: a process that read half of it would fail.
        """
        store = on_file(lock)
        names = ["a", "b", "c", "d"]
        with process(count, store, "a") as a, process(count, store, "b") as b:
            together(2, lambda number: count(store, names[2 + number]))
            assert (a.recv(), b.recv()) == ("done", "done")
        assert [store.load(name) for name in names] == [Entry("20", 20)] * 4

    def test_the_callables_are_never_called_by_two_threads_at_a_time(self):
        """A thread in the middle of reading keeps the other ones out, without any `lock`."""
        context: list[dict] = [{}]
        inside, most = [], []

        def get():
            inside.append(None)
            most.append(len(inside))
            os.sched_yield()  # another thread that could come in comes in here
            seen = dict(context[0])
            inside.pop()
            return seen

        def put(changed):
            context[0] = changed

        stores = [ContextTokenStore(get, put) for _ in range(4)]
        together(4, lambda number: count(stores[number], str(number)))
        assert set(most) == {1}
        assert [stores[0].load(str(number)) for number in range(4)] == [Entry("20", 20)] * 4

    def test_a_killed_save_leaves_the_old_entry_and_no_lock(self, on_file, monkeypatch):
        """Killed after it has read the context, before it writes it."""
        store = on_file(str)
        store.save(NAME, TEXT, expected=None)
        with forking():
            child = os.fork()
        if not child:
            monkeypatch.setattr(store, "_set", lambda _: os.kill(os.getpid(), signal.SIGKILL))
            store.save(NAME, text_of(8), expected=1)
            os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        assert store.load(NAME) == Entry(TEXT, 1)
        store.save(NAME, text_of(8), expected=1)
        assert store.load(NAME) == Entry(text_of(8), 2)

    def test_names_of_locks_are_ours(self, recorded, recorder):
        """One for the context, one for each entry; `__exit__` gets three times None."""
        recorded.load(NAME)
        recorded.save(NAME, text_of(8), expected=1)
        recorded.delete(NAME)
        with recorded.lock(NAME, timeout=0):
            pass
        calls = [("atlassian_auth_adapter", 30.0)] * 3
        assert recorder.seen == [
            step
            for call in (*calls, (f"atlassian_auth_adapter.{NAME}", 0.0))
            for step in (("call", *call), ("enter",), ("exit", None, None, None))
        ]

    def test_a_lock_that_another_process_holds_times_out(self, recorded, recorder):
        """The TimeoutError may come from the call or from entering; its text is not shown."""
        for where in ("call", "enter"):
            recorder.failures = {where: TimeoutError("secret")}
            for work in (
                lambda: recorded.load(NAME),
                lambda: recorded.save(NAME, TEXT, expected=1),
                lambda: recorded.lock(NAME, timeout=1.0).__enter__(),
            ):
                refused(work, "another process has held", kind=TokenStoreTimeoutError)

    def test_what_a_lock_raises_is_not_shown(self, recorded, recorder):
        """With its type and line; a lock that cannot be left is an error as well."""
        for where in ("call", "enter", "exit"):
            recorder.failures = {where: ValueError("secret")}
            text = raised_by(lambda: recorded.load(NAME))
            assert "lock raised ValueError" in text
            assert "test_context.py, line" in text

    def test_what_is_raised_under_the_lock_stays_itself(self, recorded, recorder):
        """Neither a lock that swallows errors nor one that cannot be left hides it."""
        for _ in range(2):
            with pytest.raises(ZeroDivisionError), recorded.lock(NAME, timeout=1.0):
                raise ZeroDivisionError
            assert recorder.seen[-1] == ("exit", None, None, None)
            recorder.failures["exit"] = ValueError("secret")
        recorder.failures.clear()
        with recorded.lock(NAME, timeout=0):
            pass

    def test_a_forked_child_leaves_nothing(self, recorded, recorder):
        """A child that leaves the block must not free its parent's lock somewhere else."""

        def child():
            with suppress(ZeroDivisionError):
                held.__exit__(error and type(error), error, None)
            return [what[0] for what in recorder.seen]

        held = recorded.lock(NAME, timeout=0)
        held.__enter__()
        for error in (None, ZeroDivisionError()):  # noqa: B007 - the child uses it
            assert in_forked_child(child) == ["call", "enter"]
        held.__exit__(None, None, None)
        assert recorder.seen[-1] == ("exit", None, None, None)

    def test_what_is_not_a_lock_says_so(self, platform):
        """A callable that returns something else."""
        store = ContextTokenStore(platform.get, platform.set, lambda name, timeout: None)
        assert "lock raised" in raised_by(lambda: store.load(NAME))

    def test_a_process_that_holds_the_context_is_reported(self, on_file, tmp_path, monkeypatch):
        """The error names the lock file."""
        monkeypatch.setattr("atlassian_auth_adapter.stores.context._CONTEXT_TIMEOUT", 0.05)
        store = on_file(str)
        store.save(NAME, TEXT, expected=None)
        with (
            FileLock(tmp_path / "locks" / "atlassian_auth_adapter.lock"),
            pytest.raises(TokenStoreTimeoutError, match=r"atlassian_auth_adapter\.lock"),
        ):
            store.load(NAME)
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_the_directory_is_only_ours(self, on_file, tmp_path):
        """As FileTokenStore's, it is refused when others have access."""
        store = on_file(str)
        store.save(NAME, TEXT, expected=None)
        (tmp_path / "locks").chmod(0o755)
        assert "chmod 700" in raised_by(lambda: store.load(NAME))

    def test_a_wrong_lock_is_a_mistake_of_the_program(self, platform):
        """It is refused when the store is made."""
        for lock in (5, b"locks", __file__, ["locks"]):
            with pytest.raises(ConfigurationError):
                ContextTokenStore(platform.get, platform.set, lock)

    def test_a_path_may_be_an_object(self, platform, tmp_path):
        """Or its text: both are the same directory."""
        stores = [
            ContextTokenStore(platform.get, platform.set, kind(tmp_path)) for kind in (str, Path)
        ]
        assert stores[0]._shared_lock.args == stores[1]._shared_lock.args
