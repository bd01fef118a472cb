"""KeyringTokenStore: the contract on real backends, and what keyrings do to programs."""

from __future__ import annotations

import gc
import hashlib
import itertools
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import keyring.core
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.backends.Windows import DecodingCredential, WinVaultKeyring
from keyring.errors import KeyringLocked, PasswordDeleteError, PasswordSetError
from keyrings.alt.file import PlaintextKeyring

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.stores.base import Record
from atlassian_auth_adapter.stores.keyring import KeyringTokenStore
from atlassian_auth_adapter.testing.contracts.processes import (
    PATIENCE,
    forking,
    in_forked_child,
)
from atlassian_auth_adapter.testing.contracts.stores import (
    KEY,
    LOGIN,
    TokenStoreContract,
    assert_no_secret,
)

OTHER = replace(KEY, account="other")
NEWER = replace(LOGIN, generation=8)

#: Seconds after which a call of a test hangs, and those that a call may really take.
SOON, LATE = 0.3, 2 * PATIENCE


def of_size(record, characters):
    """The record, with so long a scope."""
    return replace(record, token_set=replace(record.token_set, scope="s" * characters))


class VaultError(Exception):
    """As pywintypes.error: no KeyringError."""


class Place:
    """Entries in a directory; one step is what its system would do as a whole."""

    viable = False  # `keyring.get_keyring()` does not choose it

    def __init__(self, directory):
        super().__init__()
        self.directory = Path(directory)

    def __eq__(self, other):
        return type(self) is type(other) and self.directory == other.directory

    def __hash__(self):
        return hash(self.directory)

    def __reduce__(self):
        return type(self), (self.directory,)

    def step(self):
        """Something is about to be changed."""

    def file(self, name):
        """Where an entry is."""
        return self.directory / hashlib.sha256(name.encode()).hexdigest()

    def write(self, name, text):
        """Change an entry as a whole."""
        self.step()
        self.directory.mkdir(exist_ok=True)
        temporary = self.directory.with_suffix(f".{os.getpid()}")
        temporary.write_text(text)
        temporary.replace(self.file(name))

    def read(self, name):
        """The text of an entry, or None."""
        try:
            return self.file(name).read_text()
        except FileNotFoundError:
            return None

    def remove(self, name):
        """Remove an entry."""
        self.step()
        self.file(name).unlink(missing_ok=True)


class Vault(Place, WinVaultKeyring):
    """keyring's own Windows backend on a directory in place of the Credential Manager."""

    def _read_credential(self, target):
        if (text := self.read(target)) is None:
            return None
        name, _, password = text.partition("\n")
        return DecodingCredential(UserName=name, CredentialBlob=password.encode("utf-16"))

    def _set_password(self, target, username, password):
        if len(password.encode("utf-16-le")) > 2560:
            raise VaultError(1783, "CredWrite", "The stub received bad data", password)
        self.write(target, f"{username}\n{password}")

    def _delete_password(self, target):
        self.remove(target)


class Keychain(Place, KeyringBackend):
    """As keyring's macOS backend: an entry is replaced by deleting it first."""

    def get_password(self, service, username):
        """The text, or None."""
        return self.read(f"{service} {username}")

    def set_password(self, service, username, password):
        """Two steps, unless it is new."""
        if self.get_password(service, username) is not None:
            self.delete_password(service, username)
        self.write(f"{service} {username}", password)

    def delete_password(self, service, username):
        """An error when it is not there."""
        if self.get_password(service, username) is None:
            raise PasswordDeleteError("there is none")
        self.remove(f"{service} {username}")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """New processes find this module's classes by name, however pytest was started."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


@pytest.fixture
def at(tmp_path):
    """Makes a store with a keyring and kernel locks below the test's directory."""

    def make(backend=Vault, *, timeout=LATE, locks="locks", **options):
        if isinstance(backend, type):
            backend = backend(tmp_path / "entries")
        return KeyringTokenStore(
            backend=backend, lock_directory=tmp_path / locks, timeout=timeout, **options
        )

    return make


@pytest.fixture
def store(at):
    """A new and empty store on Windows' backend."""
    return at()


class TestContractOnAFile(TokenStoreContract):
    """keyrings.alt's backend: one file for all entries, which it rewrites in place."""

    shared_between_processes = True

    @pytest.fixture
    def store(self, at, tmp_path):
        """On a file that does not exist yet."""
        return at(PlaintextKeyring().with_properties(file_path=str(tmp_path / "keyring.cfg")))

    @pytest.fixture
    def reopened(self, at, tmp_path):
        """Another backend object on the same file."""
        return at(PlaintextKeyring().with_properties(file_path=str(tmp_path / "keyring.cfg")))


class TestContractOnWindows(TokenStoreContract):
    """Small entries, foreign errors."""

    shared_between_processes = True

    @pytest.fixture
    def store(self, store):
        """The module's."""
        return store

    @pytest.fixture
    def reopened(self, at):
        """Another backend object on the same directory."""
        return at()


def refused(work, *words):
    """The error of `work()`: ours, plain, with these words, without a secret."""
    with pytest.raises(TokenStoreError) as raised:
        work()
    hangs = any("not answered" in word for word in words)
    assert type(raised.value) is (TokenStoreUnavailableError if hangs else TokenStoreError)
    for word in words:
        assert word in str(raised.value)
    assert_no_secret(raised.value)
    assert raised.value.__cause__ is raised.value.__context__ is None
    return str(raised.value)


class TestWhichKeyring:
    @pytest.fixture
    def found(self, monkeypatch):
        """Makes `keyring.get_keyring()` return a backend."""
        return lambda backend: monkeypatch.setattr(keyring.core, "_keyring_backend", backend)

    @pytest.fixture
    def chain(self):
        """Makes a chain of backends."""

        def make(*backends):
            names = {"backends": backends, "viable": False}
            return type("Chain", (chainer.ChainerBackend,), names)()

        return make

    @staticmethod
    def refusal(*words, **options):
        """The store cannot be made; the error names what to choose instead."""
        with pytest.raises(ConfigurationError) as raised:
            KeyringTokenStore(**options)
        for word in (*words, "FileTokenStore", "EncryptedTokenStore"):
            assert word in str(raised.value)

    def test_a_system_without_keyring_is_refused_when_the_store_is_made(self, found):
        """Before a browser opens; passed or found."""
        found(fail.Keyring())
        self.refusal("no keyring")
        self.refusal("no keyring", backend=fail.Keyring())

    def test_a_keyring_that_is_switched_off_is_refused(self, found):
        """It would accept every login and keep none."""
        found(null.Keyring())
        self.refusal("switched off")
        self.refusal("switched off", backend=null.Keyring())

    def test_plain_text_is_chosen_by_nobody_but_the_program(self, found, chain):
        """Found, alone or first of a chain, it is refused; passed, it is a keyring."""
        plain = PlaintextKeyring()
        found(plain)
        self.refusal("plain text", "PlaintextKeyring")
        found(chain(plain, fail.Keyring()))
        self.refusal("plain text")
        assert KeyringTokenStore(backend=plain)

    def test_of_a_chain_the_first_keyring_is_used(self, found, chain, at):
        """One copy, in one place; a chain of nothing is no keyring."""
        found(chain())
        self.refusal("no keyring")
        first = at()._backend
        assert at(chain(first, null.Keyring())) == at(first)
        found(chain(first, PlaintextKeyring()))
        assert at(None) == at(first)

    def test_a_headless_system_gets_a_clear_error(self, tmp_path):
        """A real look, with and without plain text to be found, without D-Bus."""
        script = """
            import keyring.core
            from atlassian_auth_adapter.errors import ConfigurationError
            from atlassian_auth_adapter.stores.keyring import KeyringTokenStore

            for limit in None, keyring.core.recommended:
                keyring.core.init_backend(limit)
                try:
                    KeyringTokenStore()
                except ConfigurationError as error:
                    print(error)
        """
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DBUS_SESSION_BUS_ADDRESS", "PYTHON_KEYRING_BACKEND"}
        }
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env=environment | {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        plain, nothing = done.stdout.splitlines()
        assert "plain text" in plain
        assert "no keyring" in nothing
        assert not done.stderr

    def test_a_backend_that_cannot_be_loaded_is_named(self, found, monkeypatch):
        """By the variable and the file that may name it."""
        found(None)
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "no.such.Keyring")
        self.refusal("ModuleNotFoundError", "PYTHON_KEYRING_BACKEND")

    def test_a_look_that_hangs_ends(self, monkeypatch):
        """A D-Bus that does not answer is found out when the store is made."""
        gate = threading.Event()
        monkeypatch.setattr(keyring, "get_keyring", lambda: gate.wait(PATIENCE) and fail.Keyring())
        try:
            refused(lambda: KeyringTokenStore(timeout=SOON), "has not answered", "FileTokenStore")
            assert KeyringTokenStore(backend=PlaintextKeyring(), timeout=LATE)
        finally:
            gate.set()
        self.refusal("no keyring", timeout=LATE)

    @pytest.mark.parametrize(
        "options",
        [
            {"service": ""},
            {"service": None},
            {"timeout": 0},
            {"timeout": float("nan")},
            {"timeout": float("inf")},
            {"backend": PlaintextKeyring},
            {"backend": "keyring"},
            {"lock_directory": __file__},
        ],
        ids=str,
    )
    def test_a_wrong_argument_is_a_mistake_of_the_program(self, options):
        """It is refused when the store is made."""
        with pytest.raises(ConfigurationError):
            KeyringTokenStore(**{"backend": PlaintextKeyring()} | options)

    def test_locks_are_in_the_state_directory(self, monkeypatch, tmp_path):
        """Of this user, private, made when they are needed."""
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.setenv("HOME", str(tmp_path))
        store = KeyringTokenStore(backend=Vault(tmp_path / "entries"))
        assert not (tmp_path / "state").exists()
        with store.lock(KEY, timeout=0):
            pass
        (lock,) = tmp_path.rglob("*.lock")
        assert lock.parent.stat().st_mode & 0o777 == 0o700


class TestEntries:
    def test_a_record_that_fits_is_one_entry(self, store):
        """Windows' backend keeps nothing beside it."""
        store.save(KEY, Record(1), expected=None)
        assert len(list(store._backend.directory.iterdir())) == 1

    def test_nothing_is_left_of_what_was_larger(self, at):
        """Whatever was saved before, the entries are those of the last record."""
        store = at(Keychain)
        for characters in (0, 9000, 2000, 5000, 0, 100, 1000):
            before = store.load(KEY)
            generation = before and before.generation
            record = of_size(replace(LOGIN, generation=(generation or 0) + 1), characters)
            store.save(KEY, record, expected=generation)
            assert store.load(KEY) == record
            entries = list(store._backend.directory.iterdir())
            kept = sum(len(entry.read_text()) for entry in entries)
            assert len(entries) == 1 or kept < 1000 + characters
        store.delete(KEY)
        assert not list(store._backend.directory.iterdir())

    def test_the_size_of_an_entry_does_not_matter(self, store):
        """Around the limits of one, two and three entries."""
        store.save(KEY, LOGIN, expected=None)
        for characters in itertools.chain(range(200, 1000, 7), range(1800, 2300, 13)):
            record = of_size(LOGIN, characters)
            store.save(KEY, record, expected=7)
            assert store.load(KEY) == record

    def test_the_entry_of_another_key_is_not_believed(self, at):
        """Who mixes up entries, mixes up nobody's logins."""
        store = at(Keychain)
        store.save(OTHER, Record(1), expected=None)
        backend = store._backend
        text = backend.get_password("atlassian_auth_adapter", f"{OTHER.digest}.b")
        backend.set_password("atlassian_auth_adapter", f"{KEY.digest}.a", text)
        refused(lambda: store.load(KEY), "another key", "'default'")

    def test_services_do_not_see_each_other(self, at):
        """Two programs in one keyring."""
        one, two = at(), at(service="another")
        assert one != two
        one.save(KEY, LOGIN, expected=None)
        assert two.load(KEY) is None
        with one.lock(KEY, timeout=0), two.lock(KEY, timeout=0):
            pass

    @pytest.mark.parametrize(
        "text",
        [
            "secret",
            "[]",
            '"secret"',
            "[" * 100_000,
            '{"sequence": "secret"}',
            '{"sequence": 1e999}',
            '{"sequence": 9}',
            '{"sequence": 9, "count": 2, "sha256": "secret"}',
            '{"sequence": 9, "count": "secret", "sha256": "secret"}',
            '{"sequence": 9, "count": 0, "sha256": "secret"}',
            '{"sequence": 9, "record": "secret"}',
            '{"sequence": 9, "record": {"generation": 7}}',
        ],
        ids=lambda text: text[:40],
    )
    def test_a_damaged_entry_is_kept_until_it_is_forgotten(self, at, text):
        """Neither load nor save touch it, nor do they take an older record for the newest."""
        store = at(Keychain)
        store.save(KEY, of_size(LOGIN, 3000), expected=None)
        entry = store._backend.file(f"atlassian_auth_adapter {KEY.digest}.a")
        entry.write_text(text)
        refused(lambda: store.load(KEY), "kept as it is")
        refused(lambda: store.save(KEY, NEWER, expected=7))
        refused(lambda: store.save(KEY, NEWER, expected=None))
        assert entry.read_text() == text
        store.delete(KEY)
        assert not list(store._backend.directory.iterdir())
        store.save(KEY, LOGIN, expected=None)
        assert store.load(KEY) == LOGIN

    @pytest.mark.parametrize("change", ["other", "shorter", "gone"])
    def test_parts_that_do_not_fit_are_no_record(self, at, change):
        """A mixture of two records is none, though it can be read; and it is kept."""
        store = at(Keychain)
        store.save(KEY, of_size(LOGIN, 3000), expected=None)
        entry = store._backend.file(f"atlassian_auth_adapter {KEY.digest}.b.1")
        text = {"other": entry.read_text().replace("s", "t"), "shorter": "s", "gone": None}[change]
        if text is None:
            entry.unlink()
        else:
            entry.write_text(text)
        refused(lambda: store.load(KEY), "of the record", "kept as it is")
        refused(lambda: store.save(KEY, NEWER, expected=7), "of the record")
        assert store._backend.read(f"atlassian_auth_adapter {KEY.digest}.b.1") == text
        store.delete(KEY)
        assert store.load(KEY) is None

    def test_a_later_release_is_not_misread(self, at):
        """The error says to upgrade, and where."""
        store = at(Keychain)
        store.save(KEY, Record(1), expected=None)
        (entry,) = store._backend.directory.iterdir()
        entry.write_text(entry.read_text().replace('"version":1', '"version":99'))
        refused(lambda: store.load(KEY), "Upgrade", "'default'")


def killed_at_step(number, backend, work):
    """Whether `work(backend)` in a child was killed before its n-th step, rather than done."""
    left = itertools.count(number, -1)

    def step():
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with forking():
        child = os.fork()
    if not child:
        try:
            backend.step = step
            work(backend)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


both = pytest.mark.parametrize("kind", [Vault, Keychain])


class TestKill:
    @both
    @pytest.mark.parametrize(
        ("before", "after"), [(3000, 6000), (6000, 3000), (3000, 0), (0, 3000)]
    )
    def test_a_save_is_whole_wherever_it_is_killed(self, at, tmp_path, kind, before, after):
        """Before each change of an entry: the old record or the new one; later no rest is left."""
        old, new = of_size(LOGIN, before), of_size(NEWER, after)

        def save(backend):
            at(backend).save(KEY, new, expected=7)

        outcomes, killed = [], True
        while killed:
            backend = kind(tmp_path / str(len(outcomes)))
            store = at(backend)
            store.save(KEY, old, expected=None)
            killed = killed_at_step(len(outcomes), backend, save)
            outcomes.append(store.load(KEY))
            assert outcomes[-1] in (old, new)
            for _ in range(2):
                store.save(KEY, new, expected=store.load(KEY).generation)
            assert store.load(KEY) == new
            store.delete(KEY)
            assert not list(backend.directory.iterdir())
        assert outcomes == sorted(outcomes, key=[old, new].index)
        assert {record.generation for record in outcomes} == {7, 8}
        assert len(outcomes) > 5

    def test_a_killed_save_leaves_no_rest_to_the_next_one(self, at, tmp_path):
        """One save later the keyring is as if nobody had been killed."""
        number, killed = 0, True
        while killed:
            backend = Keychain(tmp_path / str(number))
            store = at(backend)
            store.save(KEY, of_size(LOGIN, 6000), expected=None)
            killed = killed_at_step(
                number, backend, lambda b: at(b).save(KEY, of_size(NEWER, 9000), expected=7)
            )
            store.save(KEY, Record(9), expected=store.load(KEY).generation)
            assert len(list(backend.directory.iterdir())) == 1
            number += 1

    @both
    @pytest.mark.parametrize("characters", [0, 3000])
    @pytest.mark.parametrize("tidy", [True, False], ids=["", "beside its predecessor"])
    def test_a_delete_is_whole_wherever_it_is_killed(
        self, at, tmp_path, monkeypatch, kind, characters, tidy
    ):
        """The record that was there, or nothing; never one from before."""
        old = of_size(LOGIN, characters)
        outcomes, killed = [], True
        while killed:
            backend = kind(tmp_path / str(len(outcomes)))
            store = at(backend)
            store.save(KEY, Record(5), expected=None)
            store.save(KEY, Record(6), expected=5)
            with monkeypatch.context() as patch:
                if not tidy:  # as if the save had been killed
                    patch.setattr(backend, "delete_password", None)
                store.save(KEY, old, expected=6)
            killed = killed_at_step(len(outcomes), backend, lambda b: at(b).delete(KEY))
            outcomes.append(store.load(KEY))
            assert outcomes[-1] in (old, None)
            store.delete(KEY)
            assert store.load(KEY) is None
            assert not list(backend.directory.iterdir())
        assert outcomes == sorted(outcomes, key=[old, None].index)

    @both
    def test_the_lock_of_a_killed_save_is_free(self, at, tmp_path, kind):
        """Nobody waits for the dead."""
        store = at(kind)
        store.save(KEY, LOGIN, expected=None)
        assert killed_at_step(0, store._backend, lambda b: at(b).save(KEY, NEWER, expected=7))
        at(kind, timeout=2.0).save(KEY, NEWER, expected=7)


class Interrupted(Keychain):
    """Somebody else does something in the middle of reading."""

    calls = 0

    def interrupt(self, wanted, work):
        """Do it before the n-th entry is read, if `wanted(n, its name)`."""
        self.calls, self.wanted, self.work = 0, wanted, work

    def get_password(self, service, username):
        """The text, or None."""
        self.calls += 1
        if self.wanted(self.calls - 1, username):
            self.work()
        return super().get_password(service, username)


class TestReading:
    @pytest.mark.parametrize("characters", [0, 3000])
    def test_a_faster_writer_is_noticed(self, at, characters):
        """Somebody saves before the n-th entry is read: the record from before or after, whole."""
        old, new = of_size(LOGIN, 3000), of_size(NEWER, characters)
        seen = []
        for number in range(20):
            writer, reader = at(Keychain), at(Interrupted)
            writer.delete(KEY)
            writer.save(KEY, old, expected=None)
            reader._backend.interrupt(
                lambda call, _, number=number: call == number,
                lambda writer=writer: writer.save(KEY, new, expected=7),
            )
            seen.append(reader.load(KEY))
            assert seen[-1] in (old, new)
            if reader._backend.calls <= number:
                break
        assert seen[0] == seen[1] == new
        assert seen[-1] == old

    def test_an_empty_moment_is_not_the_end_of_a_login(self, at):
        """Some backends empty their file before they write it: look again when nobody writes."""
        writer, reader = at(Keychain), at(Interrupted)
        writer.save(KEY, LOGIN, expected=None)
        path = writer._backend.directory
        away = path.with_name("away")
        empty, looked = threading.Event(), threading.Event()

        def rewrite():
            with writer._saving():
                path.rename(away)
                empty.set()
                looked.wait(PATIENCE)
                away.rename(path)

        thread = threading.Thread(target=rewrite)
        thread.start()
        assert empty.wait(PATIENCE)
        reader._backend.interrupt(lambda call, _: call == 1, looked.set)
        assert reader.load(KEY) == LOGIN
        thread.join(PATIENCE)

    @pytest.mark.parametrize("times", [2, 1000])
    def test_reading_again_ends(self, at, times):
        """A writer with other locks that is faster twice is waited out; one that always is, not."""
        writer, reader = at(Keychain, locks="others"), at(Interrupted)
        writer.save(KEY, of_size(LOGIN, 3000), expected=None)
        generation = itertools.count(7)
        starts = itertools.count(1)

        def save():
            now = next(generation)
            record = of_size(replace(LOGIN, generation=now + 1), 3000)
            writer.save(KEY, record, expected=now)

        reader._backend.interrupt(
            lambda _, name: name.endswith(".0") and next(starts) <= times, save
        )
        if times == 2:
            assert reader.load(KEY).generation == 9
        else:
            refused(lambda: reader.load(KEY), "a part of the record is missing", "kept as it is")
            assert next(generation) < 20

    def test_a_reader_never_sees_half_a_record(self, at, tmp_path):
        """While another process saves all the time, each load is a whole record, in order."""
        backend = PlaintextKeyring().with_properties(file_path=str(tmp_path / "keyring.cfg"))
        store = at(backend)
        store.save(KEY, of_size(LOGIN, 2000), expected=None)
        with forking():
            child = os.fork()
        if not child:
            try:
                for generation in range(8, 48):
                    record = of_size(replace(LOGIN, generation=generation), generation % 3 * 2000)
                    store.save(KEY, record, expected=generation - 1)
            finally:
                os._exit(0)
        last = 7
        while last < 47:
            record = store.load(KEY)
            assert record.generation >= last
            last = record.generation
            assert record == of_size(replace(LOGIN, generation=last), last % 3 * 2000)
        os.waitpid(child, 0)


class Failing(Keychain):
    """Raises, or hangs, in some of its methods."""

    raised = None
    gate = None
    where = ()

    def fail(self, name, *values):
        """Do what is wanted in this method."""
        if name not in self.where:
            return
        if self.gate:
            self.entered.set()
            self.gate.wait(PATIENCE)
        else:
            raise self.raised(f"{values} secret")

    def get_password(self, service, username):
        """The text, or None."""
        self.fail("get", username)
        return super().get_password(service, username)

    def set_password(self, service, username, password):
        """Two steps, unless it is new."""
        self.fail("set", username, password)
        super().set_password(service, username, password)

    def delete_password(self, service, username):
        """An error when it is not there."""
        self.fail("delete", username)
        super().delete_password(service, username)

    @contextmanager
    def hanging(self, *where):
        """These methods hang within it."""
        self.gate, self.entered, self.where = threading.Event(), threading.Event(), where
        try:
            yield self.gate
        finally:
            self.where = ()
            self.gate.set()


class TestFailure:
    @pytest.fixture
    def store(self, at):
        """With a login."""
        store = at(Failing)
        store.save(KEY, of_size(LOGIN, 3000), expected=None)
        return store

    @pytest.mark.parametrize("raised", [KeyringLocked, VaultError, OSError, TimeoutError])
    @pytest.mark.parametrize("where", ["get", "set", "delete"])
    def test_whatever_a_backend_raises_is_ours(self, store, raised, where):
        """With its type and what to do, without its text; nothing is lost."""
        backend = store._backend
        backend.raised, backend.where = raised, (where,)
        advice = "unlock it" if raised is KeyringLocked else "FileTokenStore"
        if where == "get":
            refused(lambda: store.load(KEY), raised.__name__, advice)
        if where != "delete":
            work = lambda: store.save(KEY, NEWER, expected=7)  # noqa: E731
            refused(work, raised.__name__, advice)
        else:
            refused(lambda: store.delete(KEY), raised.__name__, advice)
        if where == "set":
            assert store.load(KEY) == of_size(LOGIN, 3000)
        backend.where = ()
        if where != "delete":
            assert store.load(KEY) == of_size(LOGIN, 3000)
            store.save(KEY, NEWER, expected=7)
        store.delete(KEY)
        assert not list(backend.directory.iterdir())

    def test_readable_but_not_writable_is_another_error(self, store):
        """Who cannot save learns that, and that the old record stands."""
        backend = store._backend
        backend.raised, backend.where = PasswordSetError, ("set",)
        work = lambda: store.save(KEY, NEWER, expected=7)  # noqa: E731
        refused(work, "cannot write", "PasswordSetError", "it still has")
        assert store.load(KEY) == of_size(LOGIN, 3000)

    def test_a_save_that_cannot_tidy_up_is_a_save(self, store):
        """The record is there; the next save removes the rest."""
        backend = store._backend
        backend.raised, backend.where = PasswordDeleteError, ("delete",)
        record = of_size(NEWER, 0)
        store.save(KEY, record, expected=7)
        assert store.load(KEY) == record
        backend.where = ()
        store.save(KEY, Record(9), expected=8)
        store.save(KEY, Record(10), expected=9)
        assert len(list(backend.directory.iterdir())) == 1

    @pytest.mark.parametrize("method", ["set_password", "delete_password"])
    def test_a_backend_that_only_pretends_is_found_out(self, store, monkeypatch, method):
        """What was written is read again."""
        monkeypatch.setattr(Failing, method, lambda *_: None)
        if method == "set_password":
            refused(lambda: store.save(KEY, NEWER, expected=7), "did not keep")
            assert store.load(KEY) == of_size(LOGIN, 3000)
        else:
            refused(lambda: store.delete(KEY), "did not delete")

    def test_a_lock_directory_of_others_is_refused(self, store, tmp_path):
        """As FileTokenStore does, with the command that repairs it."""
        (tmp_path / "locks").chmod(0o755)
        refused(lambda: store.save(KEY, NEWER, expected=7), "chmod 700")


class TestHang:
    @pytest.fixture
    def store(self, at):
        """With a login."""
        at(Failing).save(KEY, LOGIN, expected=None)
        return at(Failing, timeout=SOON)

    @staticmethod
    def patient(store, at):
        """The same place, with time to wait; its calls come after those that hang."""
        return at(store._backend)

    def test_a_keyring_that_hangs_is_left_alone(self, store, at):
        """Each call ends with what to do; none of them piles up; afterwards all is as before."""
        with store._backend.hanging("get"):
            refused(lambda: store.load(KEY), "has not answered", "unlock it", "FileTokenStore")
            for _ in range(3):
                refused(lambda: store.load(KEY), "has not answered")
                refused(lambda: store.save(KEY, NEWER, expected=7), "has not answered")
                refused(lambda: at(store._backend, timeout=0.01).delete(KEY), "not answered")
        assert self.patient(store, at).load(KEY) == LOGIN

    def test_forgotten_stores_start_no_more_threads(self, at):
        """A program that makes a store for each attempt does not pile them up."""
        backend = at(Failing)._backend
        with backend.hanging("get"):
            store = at(backend, timeout=0.01)
            worker = weakref.ref(store._worker)
            refused(partial(store.load, KEY), "has not answered")
            del store
            gc.collect()
            assert at(backend)._worker is worker()

    def test_a_late_write_overwrites_nothing(self, store, at):
        """It holds the save lock while it hangs; whoever comes later is stale."""
        other = at(Keychain, timeout=2 * SOON)
        with store._backend.hanging("set"):
            refused(lambda: store.save(KEY, NEWER, expected=7), "has not answered")
            assert store._backend.entered.is_set()
            assert other.load(KEY) == LOGIN
            with pytest.raises(TokenStoreTimeoutError):
                other.save(KEY, replace(NEWER, login="newer"), expected=7)
        assert self.patient(store, at).load(KEY) == NEWER
        with pytest.raises(StaleRecordError):
            other.save(KEY, replace(NEWER, login="newer"), expected=7)

    def test_a_late_comparison_sees_what_is_newer(self, store, at, tmp_path):
        """A save that hangs before it has compared does not win over one from elsewhere."""
        newer = replace(NEWER, login="newer")
        other = at(Keychain, locks="others")  # as if on another host
        with store._backend.hanging("get"):
            refused(lambda: store.save(KEY, NEWER, expected=7), "has not answered")
            other.save(KEY, newer, expected=7)
        assert self.patient(store, at).load(KEY) == newer

    def test_the_lock_does_not_touch_the_keyring(self, store):
        """It is the kernel's."""
        with store._backend.hanging("get", "set"), store.lock(KEY, timeout=0):
            pass

    def test_a_forked_child_has_a_worker_of_its_own(self, store, at):
        """What hangs in the parent does not hang in the child; the save lock is still held."""
        backend = store._backend

        def child():
            backend.where = ()
            seen = store.load(KEY) == LOGIN
            with pytest.raises(TokenStoreTimeoutError):
                store.save(KEY, NEWER, expected=7)
            return seen

        with backend.hanging("set"):
            refused(lambda: store.save(KEY, NEWER, expected=7), "has not answered")
            assert in_forked_child(child)
        assert self.patient(store, at).load(KEY) == NEWER

    def test_the_exit_of_the_program_does_not_wait(self, tmp_path):
        """Nor does it print anything."""
        script = f"""
            import threading
            from keyring.backend import KeyringBackend
            from atlassian_auth_adapter.errors import TokenStoreError
            from atlassian_auth_adapter.stores.keyring import KeyringTokenStore
            from atlassian_auth_adapter.testing.contracts.stores import KEY

            class Hanging(KeyringBackend):
                priority = 1

                def get_password(self, service, username):
                    threading.Event().wait()

                set_password = get_password

            store = KeyringTokenStore(
                backend=Hanging(), lock_directory={str(tmp_path)!r}, timeout={SOON}
            )
            try:
                store.load(KEY)
            except TokenStoreError:
                print("done")
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)

    def test_a_worker_ends_with_its_store(self, at):
        """A store that is gone leaves no thread."""
        store = at(Keychain)
        store.load(KEY)
        thread = store._worker._thread
        assert thread.daemon
        del store
        thread.join(PATIENCE)
        assert not thread.is_alive()


class TestIdentity:
    def test_the_keyring_and_the_service_are_the_place(self, at, tmp_path):
        """Neither the locks nor the timeout."""
        assert at() == at(timeout=1.0, locks="others")
        assert at() != at(Keychain)
        assert at() != at(service="other")
        one = PlaintextKeyring().with_properties(file_path=str(tmp_path / "one"))
        two = PlaintextKeyring().with_properties(file_path=str(tmp_path / "two"))
        assert at(one) != at(two)

    def test_a_backend_without_hash_is_refused(self, at, tmp_path):
        """A place needs a name."""

        class Unhashable(Keychain):
            __hash__ = None

        with pytest.raises(ConfigurationError, match="hash"):
            at(Unhashable)

    def test_a_backend_that_may_hold_more_stays_at_home(self, at, tmp_path):
        """Its pickle leads back to it in this process, and to an error in another."""

        class Unlocked(KeyringBackend):
            viable = False
            get_password = set_password = lambda *_: None

        backend = Unlocked()
        backend.keyring_key = "secret"
        store = at(backend)
        pickled = pickle.dumps(store)
        assert b"secret" not in pickled
        assert pickle.loads(pickled) is store
        assert in_forked_child(lambda: pickle.loads(pickled) is store)
        seen = elsewhere(pickled)
        assert "TokenStoreError" in seen
        assert "cannot be pickled" in seen

    def test_the_keyring_of_another_process_is_looked_up_there(self, monkeypatch, tmp_path):
        """When none was passed."""
        monkeypatch.setattr(keyring.core, "_keyring_backend", Vault(tmp_path / "entries"))
        store = KeyringTokenStore("mine", lock_directory=tmp_path, timeout=7.0)
        pickled = pickle.dumps(store)
        assert b"Vault" not in pickled
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
        assert "no keyring" in elsewhere(pickled)

    def test_what_it_prints_names_the_keyring(self, store):
        """And the service."""
        assert "'atlassian_auth_adapter'" in repr(store)
        assert "Vault" in repr(store)


def elsewhere(pickled):
    """What a new interpreter prints that unpickles it."""
    script = "import pickle, sys; pickle.load(sys.stdin.buffer)"
    done = subprocess.run(
        [sys.executable, "-c", script], input=pickled, capture_output=True, timeout=PATIENCE
    )
    return done.stderr.decode()
