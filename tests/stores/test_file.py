"""FileTokenStore: the contract, and what disks, kills and neighbours do to files."""

from __future__ import annotations

import errno
import gc
import json
import os
import pickle
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.stores import _files, _kernel_lock
from atlassian_auth_adapter.stores import file as module
from atlassian_auth_adapter.stores.file import FileTokenStore
from atlassian_auth_adapter.testing.contracts.processes import in_forked_child
from atlassian_auth_adapter.testing.contracts.stores import (
    KEY,
    LOGIN,
    TokenStoreContract,
    assert_no_secret,
)

NEWER = replace(LOGIN, generation=8)
OURS = (module.__file__, _files.__file__, _kernel_lock.__file__)
FOREVER = 1e6  # seconds, as the timeout of what must fail at once
NOBODY = 65534

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to become somebody else"
)


@pytest.fixture
def store(tmp_path):
    """A store in a directory that does not exist yet."""
    return FileTokenStore(tmp_path / "logins")


@pytest.fixture
def file(store):
    """The file of a saved login."""
    store.save(KEY, LOGIN, expected=None)
    return store.path / f"{KEY.digest}.json"


class TestContract(TokenStoreContract):
    shared_between_processes = True

    @pytest.fixture
    def store(self, store):
        """The module's."""
        return store

    @pytest.fixture
    def reopened(self, tmp_path):
        """The same directory by another spelling."""
        return FileTokenStore(tmp_path / "." / "x" / ".." / "logins")


def names(store):
    """What is in the directory, by suffix."""
    return sorted(path.name.split(".", 1)[1] for path in store.path.iterdir())


def refused(work, *words):
    """The error of `work()`: ours, typed, with these words, without a secret."""
    with pytest.raises(TokenStoreError) as raised:
        work()
    assert not isinstance(raised.value, StaleRecordError | TokenStoreTimeoutError)
    for word in words:
        assert str(word) in str(raised.value)
    assert_no_secret(raised.value)
    return raised.value


def locking(store):
    """Take the lock of KEY, as a call."""
    with store.lock(KEY, timeout=FOREVER):
        pass


@contextmanager
def as_nobody():
    """With the rights of another user, until the end: the child's own exit needs its rights."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def limited(what, value):
    """With a lower limit of the operating system, until the end."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


class TestPath:
    def test_the_directory_is_made_by_the_first_who_needs_it(self, tmp_path):
        """Reading and forgetting make nothing; saving makes every missing level, mode 0700."""
        store = FileTokenStore(tmp_path / "a" / "b")
        assert store.load(KEY) is None
        store.delete(KEY)
        assert not list(tmp_path.iterdir())
        store.save(KEY, LOGIN, expected=None)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700

    def test_the_tilde_is_the_home_directory(self, tmp_path, monkeypatch):
        """As in a shell."""
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        assert FileTokenStore("~/logins") == FileTokenStore(tmp_path / "logins")

    def test_the_path_is_resolved_once(self, tmp_path, monkeypatch):
        """A relative path stays where it was when the program changes its directory."""
        monkeypatch.chdir(tmp_path)
        store = FileTokenStore("logins")
        store.save(KEY, LOGIN, expected=None)
        monkeypatch.chdir("/")
        assert store.load(KEY) == LOGIN
        assert pickle.loads(pickle.dumps(store)).load(KEY) == LOGIN

    def test_a_link_to_the_directory_is_the_directory(self, store, file, tmp_path):
        """Two names of one place are equal, so one process does one refresh for both."""
        (tmp_path / "link").symlink_to(store.path)
        linked = FileTokenStore(tmp_path / "link")
        assert (linked, hash(linked)) == (store, hash(store))
        assert linked.load(KEY) == LOGIN

    @pytest.mark.parametrize("path", ["file", "file/below", "nul\0", "~nobody-of-this-name/x"])
    def test_a_path_that_cannot_be_a_directory_is_a_mistake_of_the_program(
        self, tmp_path, monkeypatch, path
    ):
        """It is refused when the store is made, or when it is first used."""
        monkeypatch.chdir(tmp_path)
        Path("file").touch()
        with pytest.raises((ConfigurationError, TokenStoreError)):
            FileTokenStore(path).save(KEY, LOGIN, expected=None)

    def test_a_file_in_its_place_is_named(self, tmp_path):
        """Who passes a file learns that a directory is wanted."""
        (tmp_path / "tokens.json").touch()
        with pytest.raises(ConfigurationError, match="is not a directory"):
            FileTokenStore(tmp_path / "tokens.json")

    def test_a_directory_that_vanished_is_made_again(self, store, file):
        """Somebody cleaned up while we ran: the next save succeeds."""
        for path in store.path.iterdir():
            path.unlink()
        store.path.rmdir()
        assert store.load(KEY) is None
        store.save(KEY, LOGIN, expected=None)
        assert store.load(KEY) == LOGIN


class TestFormat:
    def test_a_record_is_one_json_file(self, store, file):
        """The key in readable form, and the record; lock files stay beside it."""
        assert json.loads(file.read_bytes()) == {
            "key": {
                "issuer": "https://auth.example.com:8443/oauth",
                "client_id": "client",
                "account": "default",
                "kind": "login",
            },
            **LOGIN.to_json(),
        }
        locking(store)
        assert names(store) == ["json", "lock", "save.lock"]
        store.delete(KEY)
        assert names(store) == ["lock", "save.lock"]

    def test_nobody_else_can_read_anything(self, store):
        """Modes are 0600 and 0700, whatever the umask of the process."""
        umask = os.umask(0)
        try:
            store.save(KEY, LOGIN, expected=None)
            locking(store)
        finally:
            os.umask(umask)
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in store.path.iterdir()} == {0o600}

    def test_what_could_not_be_read_again_is_not_written(self, store, file):
        """A record beyond the limit for reading is refused by save; the old one stands."""
        huge = replace(NEWER, token_set=replace(LOGIN.token_set, scope="s" * (1 << 20)))
        refused(lambda: store.save(KEY, huge, expected=7), file, "larger")
        assert store.load(KEY) == LOGIN

    @needs_root
    def test_a_look_up_lists_no_directory(self, store, file):
        """Its cost does not depend on the number of records: the directory need not be readable."""
        for path in (store.path, *store.path.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        store.path.chmod(0o300)
        for path in store.path.parents:
            if path.stat().st_uid == os.geteuid() and path.is_relative_to(tempfile.gettempdir()):
                path.chmod(path.stat().st_mode | 0o011)

        def child():
            with as_nobody():
                with pytest.raises(PermissionError):
                    next(store.path.iterdir())
                return store.load(KEY) == LOGIN

        assert in_forked_child(child)


class TestDamage:
    damaged = pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"\0" * 4096,
            b'"secret',
            b"[]",
            b"null",
            b"\xff\xfe\xfd secret",
            b"[" * 100_000,
            b"{}",
            b'{"key": null, "secret": 1}',
            {"key": {}},
            {"key": {"issuer": "secret"}},
            {"generation": None},
            {"generation": "secret"},
            {"generation": 1e999},
            {"generation": float("nan")},
            {"version": 99},
            {"token_set": "secret"},
            {"token_set": {"access_token": "secret"}},
            {"token_set": {**LOGIN.to_json()["token_set"], "expires_at": "secret"}},
            {"pending": {"secret": 1}},
            {"pending": ["secret"]},
            {"authorizations": ["secret"]},
            {"authorizations": [{"secret": 1}]},
            b" " * (1 << 20) + b" ",
        ],
        ids=lambda data: repr(data)[:40],
    )

    @staticmethod
    def damage(file, data):
        """Write `data`, or the record with these values changed."""
        if isinstance(data, dict):
            data = json.dumps(json.loads(file.read_bytes()) | data).encode()
        file.write_bytes(data)
        return data

    @damaged
    def test_a_damaged_file_is_named_and_kept(self, store, file, data):
        """Neither load nor save touch it: perhaps a person can read what we cannot."""
        data = self.damage(file, data)
        refused(lambda: store.load(KEY), file)
        refused(lambda: store.save(KEY, NEWER, expected=7), file)
        refused(lambda: store.save(KEY, NEWER, expected=None), file)
        assert file.read_bytes() == data
        assert "tmp" not in str(names(store))

    @damaged
    def test_a_damaged_file_can_be_forgotten(self, store, file, data):
        """`delete` makes room for a new login."""
        self.damage(file, data)
        store.delete(KEY)
        store.save(KEY, LOGIN, expected=None)
        assert store.load(KEY) == LOGIN

    def test_a_truncated_file_is_never_a_record(self, store, file):
        """At whatever byte it ends."""
        whole = file.read_bytes()
        for length in range(len(whole)):
            file.write_bytes(whole[:length])
            refused(lambda: store.load(KEY), file)

    def test_the_file_of_another_key_is_not_believed(self, store, file):
        """Who mixes up files, mixes up nobody's logins."""
        other = replace(KEY, account="other")
        file.rename(store.path / f"{other.digest}.json")
        refused(lambda: store.load(other), other.digest, "another key")
        assert store.load(KEY) is None


class TestNeighbours:
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
    def test_a_file_that_others_can_access_is_refused(self, store, file, mode):
        """The error holds the command that repairs it."""
        file.chmod(mode)
        error = refused(lambda: store.load(KEY), file)
        refused(lambda: store.save(KEY, NEWER, expected=7), file)
        subprocess.run(str(error).partition("Run: ")[2], shell=True, check=True)
        assert store.load(KEY) == LOGIN

    @pytest.mark.parametrize("mode", [0o750, 0o705, 0o777, 0o1777])
    def test_a_directory_that_others_can_access_is_refused(self, store, file, mode):
        """By every method, with the command that repairs it; names may hold any character."""
        odd = store.path.rename(store.path.with_name("it's a $HOME"))
        odd.chmod(mode)
        store = FileTokenStore(odd)
        error = refused(lambda: store.load(KEY), odd)
        refused(lambda: store.save(KEY, NEWER, expected=7), odd)
        refused(lambda: store.delete(KEY), odd)
        refused(lambda: locking(store), odd)
        subprocess.run(str(error).partition("Run: ")[2], shell=True, check=True)
        assert store.load(KEY) == LOGIN

    @needs_root
    @pytest.mark.parametrize("what", ["file", "directory"])
    def test_what_belongs_to_somebody_else_is_refused(self, store, file, what):
        """A file or directory of another owner is not ours to trust."""
        os.chown(file if what == "file" else store.path, NOBODY, NOBODY)
        refused(lambda: store.load(KEY), f"user id {NOBODY}")

    @needs_root
    def test_another_user_gets_nothing(self, tmp_path):
        """A process of another user id is told whose directory it is."""
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o711)
            store = FileTokenStore(Path(place) / "logins")
            store.save(KEY, LOGIN, expected=None)

            def child(work):
                with as_nobody():
                    return work()

            for work in (
                lambda: store.load(KEY),
                lambda: store.save(KEY, NEWER, expected=7),
                lambda: store.delete(KEY),
                lambda: locking(store),
            ):
                refused(lambda work=work: in_forked_child(lambda: child(work)), "user id 0")
            new = FileTokenStore(Path(place) / "new")
            refused(
                lambda: in_forked_child(lambda: child(lambda: locking(new))),
                "may write to",
                new.path,
            )
            assert store.load(KEY) == LOGIN

    @pytest.mark.parametrize("target", ["elsewhere", "missing"])
    def test_a_link_in_place_of_the_file_is_not_followed(self, store, file, tmp_path, target):
        """Neither read nor written through."""
        elsewhere = tmp_path / "elsewhere"
        file.rename(elsewhere)
        file.symlink_to(tmp_path / target)
        refused(lambda: store.load(KEY), file, "symbolic link")
        refused(lambda: store.save(KEY, NEWER, expected=7), file, "symbolic link")
        assert json.loads(elsewhere.read_bytes())["generation"] == 7
        store.delete(KEY)
        assert elsewhere.exists()

    def test_a_link_in_place_of_the_lock_is_not_followed(self, store, file, tmp_path):
        """Locking creates no file elsewhere."""
        (store.path / f"{KEY.digest}.lock").symlink_to(tmp_path / "elsewhere")
        refused(lambda: locking(store), "symbolic link")
        assert not (tmp_path / "elsewhere").exists()

    def test_a_link_in_place_of_the_directory_is_not_followed(self, store, file):
        """The path was resolved when the store was made; what came later is foreign."""
        moved = store.path.rename(store.path.with_name("moved"))
        store.path.symlink_to(moved)
        refused(lambda: store.load(KEY), store.path)
        refused(lambda: store.save(KEY, NEWER, expected=7), store.path)

    def test_a_pipe_in_place_of_the_file_does_not_hang(self, store, file):
        """Whatever is not a regular file is refused at once."""
        file.unlink()
        os.mkfifo(file, 0o600)
        refused(lambda: store.load(KEY), file, "regular")
        file.unlink()
        file.mkdir(0o700)
        refused(lambda: store.load(KEY), file)
        refused(lambda: store.delete(KEY), file)

    def test_a_lock_that_cannot_be_had_fails_at_once(self, store, file):
        """What waiting does not cure is no timeout."""
        (store.path / f"{KEY.digest}.lock").mkdir()
        refused(lambda: locking(store), f"{KEY.digest}.lock")


def capable_of_mounting():
    """Whether this process has CAP_SYS_ADMIN, without which nothing can be mounted."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    return bool(int(status.partition("CapEff:")[2].split()[0], 16) & 1 << 21)


@pytest.fixture
def small_disk(tmp_path):
    """A store on a disk of 64 KiB."""
    if not capable_of_mounting():
        pytest.skip("needs CAP_SYS_ADMIN, to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir(0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", disk], check=True)
    try:
        yield FileTokenStore(disk / "logins")
    finally:
        subprocess.run(["umount", disk], check=True)


def fill(ballast):
    """Write until there is no space left."""
    with suppress(OSError), ballast.open("wb", buffering=0) as stream:
        while stream.write(b"x" * 4096):
            pass


class TestDisk:
    def test_a_full_disk_keeps_the_old_record(self, small_disk):
        """The save fails with what to do, leaves no rest, and succeeds when there is space."""
        small_disk.save(KEY, LOGIN, expected=None)
        ballast = small_disk.path / "ballast"
        fill(ballast)
        error = refused(lambda: small_disk.save(KEY, NEWER, expected=7), "Free some space")
        assert error.__cause__.errno == errno.ENOSPC
        assert small_disk.load(KEY) == LOGIN
        assert not list(small_disk.path.glob("*.tmp"))
        with small_disk.lock(KEY, timeout=0):
            ballast.unlink()
            small_disk.save(KEY, NEWER, expected=7)
        assert small_disk.load(KEY) == NEWER

    def test_a_read_only_disk_can_be_read(self, small_disk):
        """Loading works; saving, locking and deleting fail at once, and say so."""
        small_disk.save(KEY, LOGIN, expected=None)
        disk = small_disk.path.parent
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert small_disk.load(KEY) == LOGIN
        refused(lambda: small_disk.save(KEY, NEWER, expected=7), "mount it writable")
        refused(lambda: locking(small_disk), "mount it writable")
        refused(lambda: small_disk.delete(KEY), "mount it writable")
        new = FileTokenStore(disk / "new")
        assert new.load(KEY) is None
        refused(lambda: locking(new), "mount it writable")

    def test_a_limit_on_the_size_of_files_keeps_the_old_record(self, store, file):
        """A write that ends in the middle leaves no rest."""

        def child():
            with limited(resource.RLIMIT_FSIZE, 100):
                store.save(KEY, NEWER, expected=7)

        refused(lambda: in_forked_child(child), "raise the limit")
        assert store.load(KEY) == LOGIN
        assert names(store) == ["json", "save.lock"]

    def test_too_many_open_files_are_named(self, store, file):
        """A process without descriptors left learns what is missing."""

        def child():
            highest = os.open("/", os.O_RDONLY)
            with limited(resource.RLIMIT_NOFILE, highest):
                store.load(KEY)

        refused(lambda: in_forked_child(child), "Too many files")

    def test_a_record_is_on_the_disk_before_it_is_seen(self, store, file, monkeypatch):
        """File, name, directory, in this order: a power cut leaves no empty file either."""
        steps = []

        def spy(owner, name, describe):
            real = getattr(owner, name)

            def spying(first, *rest, **options):
                steps.append(f"{name} {describe(first)}")
                return real(first, *rest, **options)

            monkeypatch.setattr(owner, name, spying)

        def kind(descriptor):
            return "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"

        spy(os, "fsync", kind)
        spy(Path, "replace", lambda path: path.suffix)
        spy(Path, "unlink", lambda path: path.suffix)
        store.save(KEY, NEWER, expected=7)
        assert steps == ["unlink .tmp", "fsync file", "replace .tmp", "fsync directory"]
        steps.clear()
        store.delete(KEY)
        assert steps == ["unlink .json", "unlink .tmp", "fsync directory"]

    @pytest.mark.parametrize("is_link", [False, True])
    @pytest.mark.parametrize("method", ["save", "delete"])
    def test_what_was_left_by_the_killed_is_removed(self, store, file, tmp_path, is_link, method):
        """A login has one temporary file: the next save replaces it, and deleting removes it; a
        link that somebody put there is not followed.
        """
        leftover, elsewhere = store.path / f"{KEY.digest}.tmp", tmp_path / "elsewhere"
        elsewhere.write_text("not ours")
        if is_link:
            leftover.symlink_to(elsewhere)
        else:
            leftover.write_text("secret")
        if method == "save":
            store.save(KEY, NEWER, expected=7)
            assert store.load(KEY) == NEWER
        else:
            store.delete(KEY)
        assert not os.path.lexists(leftover)
        assert elsewhere.read_text() == "not ours"


class Failpoint:
    """Kills the process with signal 9 before the n-th line of the traced files runs."""

    traced = OURS

    def __init__(self, number):
        self.left = number

    def __call__(self, frame, event, argument):
        """Count a line, as the trace function."""
        if frame.f_code.co_filename not in self.traced:
            return None
        if event == "line":
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def killed_before_line(number, work):
    """Whether `work()` in a child was killed before its n-th line, rather than done."""
    child = os.fork()
    if not child:
        try:
            sys.settrace(Failpoint(number))
            work()
        finally:
            sys.settrace(None)
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


class TestKill:
    def test_a_save_is_whole_wherever_it_is_killed(self, store, file):
        """Before each line of a save: the old record or the new one, and no lock is left."""
        outcomes = []
        while killed_before_line(len(outcomes), lambda: store.save(KEY, NEWER, expected=7)):
            outcomes.append(store.load(KEY))
            assert outcomes[-1] in (LOGIN, NEWER)
            store.delete(KEY)
            assert names(store) in (["save.lock"], ["lock", "save.lock"])
            with store.lock(KEY, timeout=0):
                store.save(KEY, LOGIN, expected=None)
        assert store.load(KEY) == NEWER
        assert len(outcomes) > 40
        assert outcomes == sorted(outcomes, key=[LOGIN, NEWER].index)
        assert NEWER in outcomes

    def test_a_first_save_is_whole_wherever_it_is_killed(self, tmp_path):
        """Also while the directory is made: nothing, or the record."""
        number = 0
        while True:
            store = FileTokenStore(tmp_path / str(number) / "logins")
            killed = killed_before_line(number, lambda s=store: s.save(KEY, LOGIN, expected=None))
            record = store.load(KEY)
            if not killed:
                break
            assert record in (None, LOGIN)
            if record is None:
                store.save(KEY, LOGIN, expected=None)
            assert store.load(KEY) == LOGIN
            number += 1
        assert record == LOGIN

    def test_a_delete_is_whole_wherever_it_is_killed(self, store, file):
        """The record, or nothing."""
        outcomes = []
        while killed_before_line(len(outcomes), lambda: store.delete(KEY)):
            outcomes.append(store.load(KEY))
            if outcomes[-1] is None:
                store.save(KEY, LOGIN, expected=None)
        assert store.load(KEY) is None
        assert outcomes.count(LOGIN) + outcomes.count(None) == len(outcomes) > 10

    def test_a_reader_never_sees_half_a_record(self, store, file):
        """While another process saves all the time, each load is a whole record, in order."""
        child = os.fork()
        if not child:
            try:
                for generation in range(8, 108):
                    record = replace(LOGIN, generation=generation)
                    store.save(KEY, record, expected=generation - 1)
            finally:
                os._exit(0)
        seen = [LOGIN]
        while seen[-1].generation < 107:
            record = store.load(KEY)
            assert record == replace(LOGIN, generation=record.generation)
            assert record.generation >= seen[-1].generation
            seen.append(record)
        os.waitpid(child, 0)


# A line's end is no safe place for Python to be interrupted at: a file just opened is then closed
# by the garbage collector, which grumbles.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_save_frees_its_locks(store, file):
    """Ctrl-C before any line: the old record or the new one, and the same process can go on."""

    class Interrupt(Failpoint):
        def __call__(self, frame, event, argument):
            """Count a line, and raise in place of killing."""
            if frame.f_code.co_filename not in OURS:
                return None
            if event == "line":
                self.left -= 1
                if self.left == -1:
                    raise KeyboardInterrupt
            return self

    number, done = 0, False
    while not done:
        trace = sys.gettrace()
        sys.settrace(Interrupt(number))
        try:
            store.save(KEY, NEWER, expected=7)
            done = True
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(trace)
        assert store.load(KEY) in (LOGIN, NEWER)
        store.delete(KEY)
        store.save(KEY, LOGIN, expected=None)
        number += 1
    gc.collect()
    assert number > 40


def test_threads_of_two_processes_lose_no_generation(store, file):
    """Four threads in each of two processes count by compare-and-swap to the right total."""

    def count():
        for _ in range(4):
            while True:
                record = store.load(KEY)
                following = replace(record, generation=record.generation + 1)
                try:
                    store.save(KEY, following, expected=record.generation)
                    break
                except StaleRecordError:
                    pass

    def crowd():
        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    child = os.fork()
    if not child:
        try:
            crowd()
        finally:
            os._exit(0)
    crowd()
    os.waitpid(child, 0)
    assert store.load(KEY) == replace(LOGIN, generation=7 + 2 * 4 * 4)
