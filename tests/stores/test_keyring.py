"""KeyringTokenStore: the contract on a real backend, and what keyrings do to programs."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import keyring.core
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.backends.Windows import DecodingCredential, WinVaultKeyring
from keyring.errors import KeyringLocked, PasswordDeleteError, PasswordSetError
from keyrings.alt.file import PlaintextKeyring
from keyrings.alt.multi import MultipartKeyringWrapper

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenStoreError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.stores import encrypted, keyring as module
from atlassian_auth_adapter.stores.base import Entry
from atlassian_auth_adapter.stores.file import FileTokenStore
from atlassian_auth_adapter.stores.keyring import KeyringTokenStore
from atlassian_auth_adapter.testing.contracts.processes import (
    PATIENCE,
    begin_child,
    forking,
    in_forked_child,
    process,
    together,
)
from atlassian_auth_adapter.testing.contracts.stores import (
    NAME,
    TEXT,
    text_of,
)
from atlassian_auth_adapter.testing.contracts.stores.locks import LockTests
from atlassian_auth_adapter.testing.contracts.stores.sharing import SharingTests

from . import helpers
from .helpers import killed_before_line, variables_of

OTHER = f"{NAME}.authorizations"
NEWER = text_of(8)
SERVICE = "atlassian_auth_adapter"
ELSEWHERE = "FileTokenStore(path), or EncryptedTokenStore around it, is the store to choose then."

#: Seconds after which a call of a test hangs, and those that a call may really take.
SOON, LATE = 0.3, 2 * PATIENCE


class VaultError(Exception):
    """As pywintypes.error: no KeyringError."""


class Place:
    """Entries in a directory, for several processes; counts how often it is asked."""

    viable = False  # `keyring.get_keyring()` does not choose it

    def __init__(self, directory):
        super().__init__()
        self.directory = Path(directory)
        self.reads = 0

    def __reduce__(self):
        return type(self), (self.directory,)

    def file(self, name):
        """Where an entry is."""
        return self.directory / hashlib.sha256(name.encode()).hexdigest()

    def write(self, name, text):
        """Change an entry as a whole."""
        self.directory.mkdir(exist_ok=True)
        temporary = self.directory.with_suffix(f".{os.getpid()}")
        temporary.write_text(text)
        temporary.replace(self.file(name))

    def read(self, name):
        """The text of an entry, or None."""
        self.reads += 1
        try:
            return self.file(name).read_text()
        except FileNotFoundError:
            return None

    def entries(self):
        """Every entry that there is."""
        return list(self.directory.iterdir()) if self.directory.exists() else []

    def remove(self, name):
        """Remove an entry."""
        self.file(name).unlink(missing_ok=True)


class Vault(Place, WinVaultKeyring):
    """keyring's own Windows backend on a directory in place of the Credential Manager."""

    def _read_credential(self, target):
        if (text := self.read(target)) is None:
            return None
        name, _, password = text.partition("\n")
        return DecodingCredential(UserName=name, CredentialBlob=password.encode("utf-16"))

    _get_password = _read_credential  # its name before keyring 25.7

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
        if self.file(f"{service} {username}").exists():
            self.delete_password(service, username)
        self.write(f"{service} {username}", password)

    def delete_password(self, service, username):
        """An error when it is not there."""
        if not self.file(f"{service} {username}").exists():
            raise PasswordDeleteError("there is none")
        self.remove(f"{service} {username}")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """New processes find this module's classes by name, however pytest was started."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


@pytest.fixture
def at(tmp_path):
    """Makes a store with a keyring and files below the test's directory."""

    def make(backend=Keychain, *, timeout=LATE, directory="logins", **options):
        if isinstance(backend, type):
            backend = backend(tmp_path / "entries")
        return KeyringTokenStore(
            backend=backend, directory=tmp_path / directory, timeout=timeout, **options
        )

    return make


@pytest.fixture
def store(at):
    """A new and empty store."""
    return at()


def key_of(store):
    """The key that the keyring has for a store."""
    return store._backend.get_password(store._service, str(store._path))


class TestContract(LockTests, SharingTests):
    """The texts are kept by EncryptedTokenStore over FileTokenStore, which is tested as a whole."""

    shared_between_processes = True

    @pytest.fixture
    def store(self, at):
        """On Windows' backend."""
        return at(Vault)

    @pytest.fixture
    def reopened(self, at):
        """Another backend object on the same place."""
        return at(Vault)


def refused(work, *words):
    """The text of the error of `work()`: ours, plain, with these words, without a secret."""
    hangs = "not answered" in str(words)
    kind = TokenStoreUnavailableError if hangs else TokenStoreError
    error = helpers.refused(work, *words, kind=kind)
    assert str(error).endswith(error.advice)
    assert error.advice == (ELSEWHERE if "FileTokenStore(path)" in str(error) else "")
    assert error.__cause__ is error.__context__ is None
    assert "text" not in dict(variables_of(error))
    return str(error)


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
        for word in (*words, ELSEWHERE):
            assert word in str(raised.value)
        assert raised.value.advice == ELSEWHERE

    def test_a_system_without_keyring_is_refused_when_the_store_is_made(self, found):
        """Before a browser opens; passed or found."""
        found(fail.Keyring())
        self.refusal("no keyring")
        self.refusal("no keyring", backend=fail.Keyring())

    def test_a_keyring_that_is_switched_off_is_refused(self, found):
        """It would accept every key and keep none."""
        found(null.Keyring())
        self.refusal("switched off")
        self.refusal("switched off", backend=null.Keyring())

    def test_plain_text_has_to_be_passed(self, found, chain):
        """Found, alone or first of a chain, it is refused; passed, it is a keyring."""
        plain = PlaintextKeyring()
        found(plain)
        self.refusal("plain text", "PlaintextKeyring")
        found(chain(plain, fail.Keyring()))
        self.refusal("plain text")
        assert KeyringTokenStore(backend=plain)

    def test_a_wrapper_hides_nothing(self, found, chain, at):
        """A keyring is judged by where the entries end, also through several wrappers."""
        wrap = MultipartKeyringWrapper
        for backend in (wrap(PlaintextKeyring()), wrap(chain(wrap(PlaintextKeyring())))):
            found(backend)
            self.refusal("plain text", "PlaintextKeyring")
            self.refusal("plain text", backend=backend)
        self.refusal("switched off", backend=wrap(null.Keyring()))
        self.refusal("no keyring", backend=wrap(None))
        inner = at()._backend
        assert at(wrap(inner))._backend is inner

    def test_of_a_chain_the_first_keyring_is_used(self, found, chain, at):
        """One key, in one place; a chain of nothing is no keyring."""
        found(chain())
        self.refusal("no keyring")
        first = at()._backend
        assert at(chain(first, null.Keyring()))._backend is first
        found(chain(first, PlaintextKeyring()))
        assert at(None)._backend is first

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
            refused(lambda: KeyringTokenStore(timeout=SOON), "has not answered", ELSEWHERE)
            assert KeyringTokenStore(backend=PlaintextKeyring(), timeout=LATE)
        finally:
            gate.set()
        self.refusal("no keyring", timeout=LATE)

    def test_a_wrong_argument_is_a_mistake_of_the_program(self):
        """It is refused when the store is made."""
        for options in (
            *({"service": service} for service in ("", None)),
            *({"timeout": seconds} for seconds in (0, float("nan"), float("inf"))),
            *({"backend": backend} for backend in (PlaintextKeyring, "keyring")),
            {"directory": __file__},
        ):
            with pytest.raises(ConfigurationError):
                KeyringTokenStore(**{"backend": PlaintextKeyring()} | options)

    def test_files_are_in_the_data_directory(self, monkeypatch, tmp_path):
        """Of this user, private, made when they are needed."""
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        monkeypatch.setenv("HOME", str(tmp_path))
        store = KeyringTokenStore(backend=Vault(tmp_path / "entries"))
        assert not (tmp_path / "data").exists()
        store.save(NAME, TEXT, expected=None)
        (file,) = tmp_path.rglob("*.json")
        assert file.parent.name == "keyring"
        assert file.parent.stat().st_mode & 0o777 == 0o700


class TestKey:
    def test_it_is_made_when_it_is_first_needed(self, store):
        """Not before there is something to encrypt; the keyring shows what it is for."""
        assert store.load(NAME) is None
        store.delete(NAME)
        with store.lock(NAME, timeout=0):
            assert not store._backend.entries()
            assert not store._backend.reads
        store.save(NAME, TEXT, expected=None)
        assert len(store._backend.entries()) == 1
        assert re.fullmatch(r"[\w-]{43}=", store._backend.get_password(SERVICE, str(store._path)))

    def test_files_without_the_key_reveal_nothing(self, store):
        """They are those of FileTokenStore, encrypted; the key is not among them."""
        store.save(NAME, TEXT, expected=None)
        assert FileTokenStore(store._path).load(NAME).version == 1
        written = b"".join(path.read_bytes() for path in store._path.iterdir())
        for text in ("secret", "auth.example.com", key_of(store)):
            assert text.encode() not in written

    def test_another_process_reads_with_the_same_key(self, at, tmp_path):
        """Also through a keyring of another package, as long as its pickle holds no secret."""
        file = str(tmp_path / "keyring.cfg")
        store = at(PlaintextKeyring().with_properties(file_path=file))
        store.save(NAME, TEXT, expected=None)
        with process(_report, store) as other:
            assert other.recv() == Entry(TEXT, 1)

    def test_the_keyring_is_asked_once(self, at):
        """However many threads come first, and whatever they do afterwards."""
        at().save(NAME, TEXT, expected=None)
        store = at()
        assert together(8, lambda _: store.load(NAME)) == [Entry(TEXT, 1)] * 8
        store.save(NAME, NEWER, expected=1)
        store.save(OTHER, TEXT, expected=None)
        store.load(OTHER)
        store.delete(OTHER)
        assert store._backend.reads == 1
        assert in_forked_child(lambda: store.load(NAME)) == Entry(NEWER, 2)
        assert in_forked_child(lambda: store.load(NAME) and store._backend.reads) == 1

    def test_each_directory_has_a_key_of_its_own(self, at):
        """Two directories never share one, nor does the second overwrite the first one's."""
        for kind in (Vault, Keychain):
            names = [f"{kind.__name__}-{number}" for number in range(3)]
            stores = [at(kind, directory=name) for name in names]
            for store in stores:
                store.save(NAME, TEXT, expected=None)
            assert len({key_of(store) for store in stores}) == 3
            for name in names:
                assert at(kind, directory=name).load(NAME) == Entry(TEXT, 1)

    def test_a_file_of_another_directory_is_refused(self, at):
        """It was encrypted with another key."""
        one, two = at(directory="one"), at(directory="two")
        for store in (one, two):
            store.save(NAME, TEXT, expected=None)
        file = f"{NAME}.json"
        (one._path / file).replace(two._path / file)
        refused(lambda: two.load(NAME), two._path, "another key now", "sign in again")
        refused(lambda: two.save(NAME, NEWER, expected=1), "another key now")

    def test_a_key_that_is_gone_is_not_replaced(self, at, store):
        """A second one would make the logins unreadable for good: neither load nor save make it."""
        store.save(NAME, TEXT, expected=None)
        key = key_of(store)
        store._backend.delete_password(SERVICE, str(store._path))
        for work in (
            lambda s: s.load(NAME),
            lambda s: s.save(NAME, NEWER, expected=1),
            lambda s: s.save(OTHER, TEXT, expected=None),
        ):
            words = (store._path, SERVICE, "gone from the keyring", "Restore", "sign in again")
            refused(lambda work=work: work(at()), *words)
        assert not store._backend.entries()
        store._backend.set_password(SERVICE, str(store._path), key)
        assert at().load(NAME) == Entry(TEXT, 1)

    def test_deleting_the_directory_is_a_new_start(self, at, store):
        """As the error says, with the key or without it; the lock files do not matter."""
        for is_kept in (True, False):
            at().save(NAME, TEXT, expected=None)
            for file in store._path.glob("*.json" if is_kept else "*"):
                file.unlink()
            if not is_kept:
                store._backend.delete_password(SERVICE, str(store._path))
                store._path.rmdir()
            assert at().load(NAME) is None
            at().save(NAME, TEXT, expected=None)
            at().delete(NAME)

    def test_what_is_not_a_key_is_kept(self, at):
        """The entry of another program, or a damaged one; the files stay as well."""
        store = at(Failing)
        for text in ("", "secret", "secret" * 8, "\u2603" * 43 + "=", b"secret"):
            store._backend.answer = text
            refused(
                lambda: store.save(NAME, TEXT, expected=None), "not a key", SERVICE, "kept as it is"
            )
            assert not store._backend.entries()
        store._backend.answer = None
        store.save(NAME, TEXT, expected=None)
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_a_keyring_that_does_not_save_is_noticed(self, at, monkeypatch):
        """The new key is read again, before anything is encrypted with it."""
        store = at()
        with monkeypatch.context() as patch:
            patch.setattr(Keychain, "set_password", lambda *_: None)
            refused(lambda: store.save(NAME, TEXT, expected=None), "did not keep", ELSEWHERE)
        assert not list(store._path.glob("*.json"))
        store.save(NAME, TEXT, expected=None)
        assert at().load(NAME) == Entry(TEXT, 1)


def _report(store, connection):
    connection.send(store.load(NAME))


class Meeting(Keychain):
    """The first read of each one ends when all others have read as well."""

    def __init__(self, directory, meet):
        super().__init__(directory)
        self.meet = meet

    def get_password(self, service, username):
        """The text, or None."""
        text = super().get_password(service, username)
        if self.reads == 1:
            self.meet()
        return text


class TestTwoAtOnce:
    def test_stores_of_one_process_make_one_key(self, at, tmp_path):
        """Each of them has seen that there is none; the kernel's lock decides."""
        barrier = threading.Barrier(4)

        def save(number):
            backend = Meeting(tmp_path / "entries", lambda: barrier.wait(PATIENCE))
            at(backend).save(str(number), TEXT, expected=None)

        together(4, save)
        assert [at().load(str(number)) for number in range(4)] == [Entry(TEXT, 1)] * 4

    def test_processes_make_one_key(self, at, tmp_path):
        """Each of them has seen that there is none; the kernel's lock decides."""
        looked, look = os.pipe()
        wait, leave = os.pipe()

        def meet():
            os.close(leave)
            os.write(look, b".")
            os.read(wait, 1)

        children = []
        for number in range(3):
            with forking():
                child = os.fork()
            if not child:
                begin_child()
                try:
                    at(Meeting(tmp_path / "entries", meet)).save(str(number), TEXT, expected=None)
                finally:
                    os._exit(0)
            children.append(child)
        for _ in children:
            assert os.read(looked, 1) == b"."
        os.close(leave)
        for child in children:
            assert os.waitpid(child, 0) == (child, 0)
        for end in (looked, look, wait):
            os.close(end)
        assert [at().load(str(number)) for number in range(3)] == [Entry(TEXT, 1)] * 3


#: Before each line of these files, the process is killed.
FILES = (module.__file__, encrypted.__file__)


class TestKill:
    @pytest.mark.slow
    def test_a_first_save_can_be_killed_anywhere(self, at, tmp_path):
        """Before each line of it: afterwards there is no key, or one that is used from then on."""
        number, killed, seen = 0, True, set()
        while killed:
            place = partial(Keychain, tmp_path / f"entries-{number}")
            store = at(place(), directory=str(number))
            save = partial(store.save, NAME, TEXT, expected=None)
            killed = killed_before_line(number, FILES, save)
            key, entry = key_of(store), store.load(NAME)
            seen.add((key is not None, entry is not None))
            if entry is None:
                at(place(), directory=str(number)).save(NAME, TEXT, expected=None)
            assert key in (None, key_of(store))
            assert store.load(NAME) == Entry(TEXT, 1)
            number += 1
        assert seen == {(False, False), (True, False), (True, True)}


class Failing(Keychain):
    """Raises or hangs in the methods in `where`, or returns `answer`."""

    raised = None
    gate = None
    asked = ()
    where = ()
    answer = None

    def fail(self, name, *values):
        """Do what is wanted in this method."""
        if name not in self.where:
            return
        self.asked += (name,)
        if self.gate:
            self.entered.release()
            self.gate.wait(PATIENCE)
        else:
            raise self.raised(f"{values} secret")

    def get_password(self, service, username):
        """The text, or None."""
        self.fail("get", username)
        return super().get_password(service, username) if self.answer is None else self.answer

    def set_password(self, service, username, password):
        """Two steps, unless it is new."""
        self.fail("set", username, password)
        super().set_password(service, username, password)

    @contextmanager
    def hanging(self, *where):
        """These methods hang within it; afterwards they have ended."""
        self.gate, self.entered, self.where = threading.Event(), threading.Semaphore(0), where
        try:
            yield
        finally:
            self.where = ()
            self.gate.set()
            for thread in calls():
                thread.join(PATIENCE)


def calls():
    """The threads that ask a keyring."""
    return [thread for thread in threading.enumerate() if thread.name == "atlassian-auth-flight"]


class TestFailure:
    @pytest.fixture
    def store(self, at):
        """With a login."""
        at().save(NAME, TEXT, expected=None)
        return at(Failing)

    def failures(self, backend, where):
        """The kinds of errors that the backend raises in turn in this method, and what to do."""
        for kind in (KeyringLocked, VaultError, OSError, TimeoutError):
            backend.raised, backend.where = kind, (where,)
            advice = "It is locked: unlock it" if kind is KeyringLocked else ELSEWHERE
            yield "Failing", kind.__name__, advice
        backend.where = ()

    def test_a_key_that_cannot_be_read(self, store):
        """The error has the backend's type and what to do, without its text; it is not kept."""
        for words in self.failures(store._backend, "get"):
            refused(lambda: store.load(NAME), "cannot read", *words)
            refused(lambda: store.save(NAME, NEWER, expected=1), "cannot read", *words)
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_a_key_that_cannot_be_written(self, at, tmp_path):
        """Nothing is saved, and the next attempt makes the key."""
        store = at(Failing(tmp_path / "others"), directory="other")
        for words in self.failures(store._backend, "set"):
            refused(lambda: store.save(NAME, TEXT, expected=None), "cannot write", *words)
            assert store.load(NAME) is None
        store.save(NAME, TEXT, expected=None)
        assert at(Keychain(tmp_path / "others"), directory="other").load(NAME) == Entry(TEXT, 1)

    def test_a_key_that_can_only_be_read_is_enough(self, store):
        """Saves do not write to the keyring."""
        store._backend.raised, store._backend.where = PasswordSetError, ("set",)
        store.save(NAME, NEWER, expected=1)
        assert store.load(NAME) == Entry(NEWER, 2)

    def test_a_login_can_be_forgotten_when_the_keyring_is_locked(self, store):
        """Neither deleting, nor locking, nor looking for what is not there ask the keyring."""
        store._backend.raised, store._backend.where = KeyringLocked, ("get", "set")
        with store.lock(NAME, timeout=0):
            store.delete(NAME)
        assert store.load(NAME) is None

    def test_a_directory_of_others_is_refused(self, store):
        """As FileTokenStore does, with the command that repairs it; also when a key is made."""
        store._path.chmod(0o755)
        refused(lambda: store.load(NAME), "chmod 700")
        refused(lambda: store.save(NAME, NEWER, expected=1), "chmod 700")
        for file in store._path.glob("*.json"):
            file.unlink()
        store._backend.delete_password(SERVICE, str(store._path))
        refused(lambda: store.save(NAME, NEWER, expected=None), "chmod 700")
        assert not store._backend.entries()

    def test_a_program_that_can_start_no_thread_gets_an_error(self, store, monkeypatch):
        """A program that ends cannot; afterwards the store works as before."""

        def start(_):
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            refused(lambda: store.load(NAME), "cannot start a thread")
        assert store.load(NAME) == Entry(TEXT, 1)


def _late(time_passes, text):
    """The error of a keyring that took 30 s."""
    time_passes(30)
    return OSError(text)


class TestHang:
    @pytest.fixture
    def time_passes(self, monkeypatch):
        """Moves the monotonic clock of the store ahead."""
        ahead = [0.0]
        real = time.monotonic
        moved = SimpleNamespace(monotonic=lambda: real() + ahead[0])
        monkeypatch.setattr(module, "time", moved)

        def passes(seconds):
            ahead[0] += seconds

        return passes

    @pytest.fixture
    def store(self, at):
        """With a login."""
        at().save(NAME, TEXT, expected=None)
        return at(Failing, timeout=SOON)

    def test_a_keyring_that_hangs_is_asked_once(self, store):
        """The first caller waits for its error, later ones get it at once; then it works again."""
        backend = store._backend
        with backend.hanging("get"):
            began = time.monotonic()
            errors = {
                refused(lambda: store.load(NAME), "has not answered", "unlock it", ELSEWHERE),
                *(refused(lambda: store.load(NAME), "has not answered") for _ in range(100)),
                refused(lambda: store.save(NAME, NEWER, expected=1), "has not answered"),
            }
            assert time.monotonic() - began < 50 * SOON
            assert len(errors) == len(calls()) == 1
        assert store.load(NAME) == Entry(TEXT, 1)
        assert backend.reads == 1

    def test_search_and_keyring_have_one_bound(self, at, time_passes):
        """What the search has taken is not waited for once more."""
        at().save(NAME, TEXT, expected=None)
        backend = at(Failing)._backend

        class Slow(chainer.ChainerBackend):
            viable = False

            @property
            def backends(self):
                time_passes(LATE - 2 * SOON)
                return [backend]

        store = at(Slow(), timeout=LATE)
        with backend.hanging("get"):
            refused(lambda: store.load(NAME), "has not answered")
            assert len(calls()) == 1
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_a_keyring_that_takes_long_to_fail_is_not_asked_again_for_as_long(
        self, at, time_passes
    ):
        """As one whose service has died: every call ends after half a minute, with an error."""
        at().save(NAME, TEXT, expected=None)
        store = at(Failing, timeout=60 + LATE)
        backend = store._backend
        backend.where, backend.raised = ("get",), partial(_late, time_passes)
        told = {refused(lambda: store.load(NAME), "cannot read") for _ in range(5)}
        told |= {refused(lambda: store.save(NAME, NEWER, expected=1), "cannot read")}
        assert (len(told), len(backend.asked)) == (1, 1)
        time_passes(20)
        refused(lambda: store.load(NAME), "cannot read")
        assert len(backend.asked) == 1
        time_passes(20)
        refused(lambda: store.load(NAME), "cannot read")
        assert len(backend.asked) == 2
        backend.where = ()
        time_passes(60)
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_many_callers_wait_side_by_side(self, store):
        """Not one after the other."""
        with store._backend.hanging("get"):
            began = time.monotonic()
            together(16, lambda _: refused(lambda: store.load(NAME), "has not answered"))
            assert time.monotonic() - began < 8 * SOON
            assert len(calls()) == 1

    def test_an_answer_in_time_is_for_all_who_wait(self, at, store):
        """Stores of the same place share it."""
        stores = [at(store._backend), at(store._backend)]
        with store._backend.hanging("get"):

            def load(number):
                if number < 2:
                    return stores[number].load(NAME)
                assert store._backend.entered.acquire(timeout=PATIENCE)
                return store._backend.gate.set()

            assert together(3, load)[:2] == [Entry(TEXT, 1)] * 2
        assert not calls()

    def test_a_key_that_is_made_late_serves(self, at):
        """It was made under the lock, so that another process does not make a second one."""
        store = at(Failing, timeout=SOON)
        with store._backend.hanging("set"):
            refused(lambda: store.save(NAME, TEXT, expected=None), "has not answered")
            with pytest.raises(TokenStoreTimeoutError, match=r"\.key\.lock"):
                at(timeout=4 * SOON).save(NAME, TEXT, expected=None)
        key = key_of(store)
        at().save(NAME, TEXT, expected=None)
        assert store.load(NAME) == Entry(TEXT, 1)
        assert key_of(store) == key

    def test_a_forked_child_asks_by_itself(self, store):
        """What hangs in the parent does not hang in the child."""

        def child():
            store._backend.where = ()
            return store.load(NAME)

        with store._backend.hanging("get"):
            refused(lambda: store.load(NAME), "has not answered")
            assert in_forked_child(child) == Entry(TEXT, 1)

    def test_the_exit_of_the_program_does_not_wait(self, tmp_path):
        """Nor does it print anything."""
        script = f"""
            import threading
            from keyring.backend import KeyringBackend
            from atlassian_auth_adapter.errors import TokenStoreError
            from atlassian_auth_adapter.stores.keyring import KeyringTokenStore

            class Hanging(KeyringBackend):
                priority = 1

                def get_password(self, service, username):
                    threading.Event().wait()

                set_password = get_password

            store = KeyringTokenStore(
                backend=Hanging(), directory={str(tmp_path)!r}, timeout={SOON}
            )
            try:
                store.save("name", "text", expected=None)
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


class TestIdentity:
    def test_a_pickle_holds_no_key(self, store):
        """Neither the key nor what was read with it."""
        store.save(NAME, TEXT, expected=None)
        assert key_of(store).encode() not in pickle.dumps(store)
        assert key_of(store) not in f"{vars(store)}"

    def test_a_backend_that_may_hold_more_is_not_pickled(self, at):
        """A pickle leads back to it in this process, and to an error in another."""

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
        store = KeyringTokenStore("mine", directory=tmp_path, timeout=7.0)
        pickled = pickle.dumps(store)
        assert b"Vault" not in pickled
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
        assert "no keyring" in elsewhere(pickled)

    def test_another_process_has_the_same_settings(self, at):
        """Service, directory, timeout and backend are in the pickle."""
        store = at(service="mine", timeout=7.0)
        with process(_settings, store) as other:
            assert other.recv() == ("mine", store._path, 7.0, store._backend.directory)

    def test_what_it_prints_names_the_place(self, store):
        """The service, the keyring and the directory."""
        for word in (SERVICE, "Keychain", store._path):
            assert str(word) in repr(store)


def _settings(store, connection):
    connection.send((store._service, store._path, store._timeout, store._backend.directory))


def elsewhere(pickled):
    """What a new interpreter prints that unpickles and uses it."""
    script = "import pickle, sys; pickle.load(sys.stdin.buffer).load('name')"
    done = subprocess.run(
        [sys.executable, "-c", script], input=pickled, capture_output=True, timeout=PATIENCE
    )
    return done.stderr.decode()
