"""FileTokenStore: the contract, and what disks, kills and neighbours do to files."""

from __future__ import annotations

import errno
import gc
import json
import os
import pickle
import resource
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from atlassian_auth_adapter.disk import files, kernel_locks
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.stores import file as module
from atlassian_auth_adapter.stores.base import Entry
from atlassian_auth_adapter.stores.file import FileTokenStore
from atlassian_auth_adapter.testing.contracts.processes import in_forked_child
from atlassian_auth_adapter.testing.contracts.stores import (
    NAME,
    TEXT,
    TokenStoreContract,
    text_of,
)
from atlassian_auth_adapter.testing.contracts.stores.base import held

from .helpers import Failpoint, killed_before_line, locking, refused

NEWER = text_of(8)
OLD, NEW = Entry(TEXT, 1), Entry(NEWER, 2)
OURS = (module.__file__, files.__file__, kernel_locks.__file__)
FOREVER = 1e6  # seconds, as the timeout of what must fail at once
ANOTHER_USER = 65534

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to become another user"
)


@pytest.fixture
def store(tmp_path):
    """A store in a directory that does not exist yet."""
    return FileTokenStore(tmp_path / "logins")


@pytest.fixture
def file(store):
    """The file of a saved login."""
    store.save(NAME, TEXT, expected=None)
    return store.path / f"{NAME}.json"


class TestContract(TokenStoreContract):
    shared_between_processes = True

    @pytest.fixture
    def store(self, store):
        """The module's."""
        return store

    @pytest.fixture
    def reopened(self, tmp_path):
        """The same directory by a link."""
        (tmp_path / "link").symlink_to(tmp_path / "logins")
        return FileTokenStore(tmp_path / "." / "x" / ".." / "link")


def names(store):
    """The files in the directory, without the entry's name at their beginning."""
    return sorted(path.name.removeprefix(NAME) for path in store.path.iterdir())


@contextmanager
def as_another_user():
    """With the rights of another user, until the end: the child's own exit needs its rights."""
    os.seteuid(ANOTHER_USER)
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
    def test_the_directory_is_made_when_it_is_first_needed(self, tmp_path):
        """Loading and deleting make nothing; saving makes every missing level, mode 0700."""
        store = FileTokenStore(tmp_path / "a" / "b")
        assert store.load(NAME) is None
        store.delete(NAME)
        assert not list(tmp_path.iterdir())
        store.save(NAME, TEXT, expected=None)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700

    def test_the_tilde_is_the_home_directory(self, tmp_path, monkeypatch):
        """As in a shell."""
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        assert FileTokenStore("~/logins").path == (tmp_path / "logins").resolve()

    def test_the_path_is_resolved_once(self, tmp_path, monkeypatch):
        """A relative path stays where it was when the program changes its directory."""
        monkeypatch.chdir(tmp_path)
        store = FileTokenStore("logins")
        store.save(NAME, TEXT, expected=None)
        monkeypatch.chdir("/")
        assert store.load(NAME) == OLD
        assert pickle.loads(pickle.dumps(store)).load(NAME) == OLD

    def test_a_path_that_cannot_be_a_directory_is_a_mistake_of_the_program(
        self, tmp_path, monkeypatch
    ):
        """It is refused when the store is made, or when it is first used."""
        monkeypatch.chdir(tmp_path)
        Path("file").touch()
        with pytest.raises(ConfigurationError, match="is not a directory"):
            FileTokenStore("file")
        for path in ("file/below", "nul\0", "~no-user-of-this-name/x"):
            with pytest.raises((ConfigurationError, TokenStoreError)):
                FileTokenStore(path).save(NAME, TEXT, expected=None)

    def test_a_deleted_directory_is_made_again(self, store, file):
        """It was deleted while the program ran: the next save succeeds."""
        for path in store.path.iterdir():
            path.unlink()
        store.path.rmdir()
        assert store.load(NAME) is None
        store.save(NAME, TEXT, expected=None)
        assert store.load(NAME) == OLD


class TestFormat:
    def test_an_entry_is_one_json_file(self, store, file):
        """The text with its version; lock files stay beside it."""
        assert json.loads(file.read_bytes()) == {"version": 1, "text": TEXT}
        locking(store)
        assert names(store) == ["+save.lock", ".json", ".lock"]
        store.delete(NAME)
        assert names(store) == ["+save.lock", ".lock"]

    def test_what_a_former_release_has_written_is_read(self, store, file):
        """This text is never edited; fields that are not known hide no entry."""
        file.write_text('{"version": 12, "text": "any text", "new": {"field": [null]}}')
        assert store.load(NAME) == Entry("any text", 12)

    def test_a_file_of_an_earlier_form_is_not_read(self, store, file):
        """The error says what to do; the file stays until it is deleted."""
        before = '{"key": {"issuer": "i"}, "version": 1, "generation": 7, "token_set": "secret"}'
        file.write_text(before)
        for work in (lambda: store.load(NAME), lambda: store.save(NAME, NEWER, expected=None)):
            refused(work, file, "earlier release", "delete the file, and sign in again")
        assert file.read_text() == before
        store.delete(NAME)
        store.save(NAME, TEXT, expected=None)
        assert store.load(NAME) == OLD

    def test_no_name_is_a_file_of_another_name(self, store, file):
        """A name with any suffix has a lock and an entry of its own."""
        for suffix in (".save", ".lock", ".tmp", ".json", "-save", "_save"):
            with store.lock(NAME + suffix, timeout=0):
                store.save(NAME + suffix, TEXT, expected=None)
                store.save(NAME, NEWER, expected=1)
                store.delete(NAME)
            assert store.load(NAME + suffix) == OLD
            store.save(NAME, TEXT, expected=None)

    def test_other_users_can_read_nothing(self, store):
        """Modes are 0600 and 0700, whatever the umask of the process."""
        umask = os.umask(0)
        try:
            store.save(NAME, TEXT, expected=None)
            locking(store)
        finally:
            os.umask(umask)
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in store.path.iterdir()} == {0o600}

    def test_what_could_not_be_read_again_is_not_written(self, store, file):
        """A text beyond the limit for reading is refused by save; the old one stays."""
        refused(lambda: store.save(NAME, "s" * (1 << 20), expected=1), file, "larger")
        assert store.load(NAME) == OLD

    @needs_root
    def test_a_look_up_lists_no_directory(self, store, file):
        """Its cost does not depend on the number of entries: the directory need not be readable."""
        for path in (store.path, *store.path.iterdir()):
            os.chown(path, ANOTHER_USER, ANOTHER_USER)
        store.path.chmod(0o300)
        for path in store.path.parents:
            if path.stat().st_uid == os.geteuid() and path.is_relative_to(tempfile.gettempdir()):
                path.chmod(path.stat().st_mode | 0o011)

        def child():
            with as_another_user():
                with pytest.raises(PermissionError):
                    next(store.path.iterdir())
                return store.load(NAME) == OLD

        assert in_forked_child(child)


class TestDamage:
    def test_a_damaged_file_is_kept_until_it_is_deleted(self, store, file):
        """Neither load nor save change it: perhaps a person can read what we cannot.

        `delete` makes room for a new login.
        """
        for data in (
            *(b"", b"{", b"\0" * 4096, b'"secret', b"[]", b"null", b"\xff\xfe\xfd secret", b"{}"),
            *(b"[" * 100_000, b"9" * 5000, b" " * ((1 << 20) + 1)),
            *(b'{"version": %s, "text": "secret"}' % n for n in (b"0", b"-1", b"1.5", b"1e999")),
            *(
                b'{"version": %s, "text": "secret"}' % n
                for n in (b"null", b'"secret"', b"9" * 5000)
            ),
            *(b'{"version": 1, "text": %s}' % text for text in (b"null", b"[]", b"7", b'"secret')),
            *(b'{"text": "secret"}', b'{"version": 1}', b'{"key": null, "secret": 1}'),
            json.dumps([{"version": 1, "text": TEXT}]).encode(),
        ):
            file.write_bytes(data)
            refused(lambda: store.load(NAME), file)
            refused(lambda: store.save(NAME, NEWER, expected=1), file)
            refused(lambda: store.save(NAME, NEWER, expected=None), file)
            assert file.read_bytes() == data
            assert "tmp" not in str(names(store))
            store.delete(NAME)
            store.save(NAME, TEXT, expected=None)
            assert store.load(NAME) == OLD

    def test_a_truncated_file_is_never_an_entry(self, store, file):
        """At whatever byte it ends."""
        whole = file.read_bytes()
        for length in range(len(whole)):
            file.write_bytes(whole[:length])
            refused(lambda: store.load(NAME), file)


class TestNeighbours:
    def test_a_file_that_others_can_access_is_refused(self, store, file):
        """The error holds the command that repairs it."""
        for mode in (0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666):
            file.chmod(mode)
            error = refused(lambda: store.load(NAME), file)
            refused(lambda: store.save(NAME, NEWER, expected=1), file)
            subprocess.run(str(error).partition("Run: ")[2], shell=True, check=True)
            assert store.load(NAME) == OLD

    def test_a_directory_that_others_can_access_is_refused(self, store, file):
        """By every method, with the command that repairs it; names may hold any character."""
        odd = store.path.rename(store.path.with_name("it's a $HOME"))
        store = FileTokenStore(odd)
        for mode in (0o750, 0o705, 0o777, 0o1777):
            odd.chmod(mode)
            error = refused(lambda: store.load(NAME), odd)
            refused(lambda: store.save(NAME, NEWER, expected=1), odd)
            refused(lambda: store.delete(NAME), odd)
            refused(lambda: locking(store, FOREVER), odd)
            subprocess.run(str(error).partition("Run: ")[2], shell=True, check=True)
            assert store.load(NAME) == OLD

    @needs_root
    def test_what_belongs_to_another_user_is_refused(self, store, file):
        """A file or directory of another owner is not trusted."""
        for path in (file, store.path):
            os.chown(path, ANOTHER_USER, ANOTHER_USER)
            refused(lambda: store.load(NAME), path, f"user id {ANOTHER_USER}")
            os.chown(path, os.geteuid(), -1)

    @needs_root
    def test_another_user_gets_nothing(self, tmp_path):
        """A process of another user id gets an error that says whose directory it is."""
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o711)
            store = FileTokenStore(Path(place) / "logins")
            store.save(NAME, TEXT, expected=None)

            def child(work):
                with as_another_user():
                    return work()

            for work in (
                lambda: store.load(NAME),
                lambda: store.save(NAME, NEWER, expected=1),
                lambda: store.delete(NAME),
                lambda: locking(store, FOREVER),
            ):
                refused(lambda work=work: in_forked_child(lambda: child(work)), "user id 0")
            new = FileTokenStore(Path(place) / "new")
            refused(
                lambda: in_forked_child(lambda: child(lambda: locking(new, FOREVER))),
                "may write to",
                new.path,
            )
            assert store.load(NAME) == OLD

    def test_a_link_in_place_of_the_file_is_not_followed(self, store, file, tmp_path):
        """Neither read nor written through."""
        elsewhere = tmp_path / "elsewhere"
        file.rename(elsewhere)
        for target in ("elsewhere", "missing"):
            file.symlink_to(tmp_path / target)
            refused(lambda: store.load(NAME), file, "symbolic link")
            refused(lambda: store.save(NAME, NEWER, expected=1), file, "symbolic link")
            assert json.loads(elsewhere.read_bytes()) == {"version": 1, "text": TEXT}
            store.delete(NAME)
            assert elsewhere.exists()

    def test_a_link_in_place_of_the_lock_is_not_followed(self, store, file, tmp_path):
        """Locking creates no file elsewhere."""
        (store.path / f"{NAME}.lock").symlink_to(tmp_path / "elsewhere")
        refused(lambda: locking(store, FOREVER), "symbolic link")
        assert not (tmp_path / "elsewhere").exists()

    def test_a_link_in_place_of_the_directory_is_not_followed(self, store, file):
        """The path was resolved when the store was made; what came later is foreign."""
        moved = store.path.rename(store.path.with_name("moved"))
        store.path.symlink_to(moved)
        refused(lambda: store.load(NAME), store.path)
        refused(lambda: store.save(NAME, NEWER, expected=1), store.path)

    def test_a_pipe_in_place_of_the_file_does_not_hang(self, store, file):
        """Whatever is not a regular file is refused at once."""
        file.unlink()
        os.mkfifo(file, 0o600)
        refused(lambda: store.load(NAME), file, "regular")
        file.unlink()
        file.mkdir(0o700)
        refused(lambda: store.load(NAME), file)
        refused(lambda: store.delete(NAME), file)

    def test_a_lock_that_cannot_be_had_fails_at_once(self, store, file):
        """What waiting does not cure is no timeout."""
        (store.path / f"{NAME}.lock").mkdir()
        refused(lambda: locking(store, FOREVER), f"{NAME}.lock")


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
    def test_a_full_disk_keeps_the_old_entry(self, small_disk):
        """The save fails with what to do, leaves no rest, and succeeds when there is space."""
        small_disk.save(NAME, TEXT, expected=None)
        ballast = small_disk.path / "ballast"
        fill(ballast)
        error = refused(lambda: small_disk.save(NAME, NEWER, expected=1), "Free some space")
        assert error.__cause__.errno == errno.ENOSPC
        assert small_disk.load(NAME) == OLD
        assert not list(small_disk.path.glob("*.tmp"))
        with small_disk.lock(NAME, timeout=0):
            ballast.unlink()
            small_disk.save(NAME, NEWER, expected=1)
        assert small_disk.load(NAME) == NEW

    def test_a_read_only_disk_can_be_read(self, small_disk):
        """Loading works; saving, locking and deleting fail at once, and say so."""
        small_disk.save(NAME, TEXT, expected=None)
        disk = small_disk.path.parent
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert small_disk.load(NAME) == OLD
        refused(lambda: small_disk.save(NAME, NEWER, expected=1), "mount it writable")
        refused(lambda: locking(small_disk, FOREVER), "mount it writable")
        refused(lambda: small_disk.delete(NAME), "mount it writable")
        new = FileTokenStore(disk / "new")
        assert new.load(NAME) is None
        refused(lambda: locking(new, FOREVER), "mount it writable")

    def test_a_limit_on_the_size_of_files_keeps_the_old_entry(self, store, file):
        """A write that ends in the middle leaves no rest."""

        def child():
            with limited(resource.RLIMIT_FSIZE, 100):
                store.save(NAME, NEWER, expected=1)

        refused(lambda: in_forked_child(child), "raise the limit")
        assert store.load(NAME) == OLD
        assert names(store) == ["+save.lock", ".json"]

    def test_too_many_open_files_are_named(self, store, file):
        """A process without descriptors left learns what is missing."""

        def child():
            highest = os.open("/", os.O_RDONLY)
            with limited(resource.RLIMIT_NOFILE, highest):
                store.load(NAME)

        refused(lambda: in_forked_child(child), "Too many files")

    def test_an_entry_is_on_the_disk_before_it_is_seen(self, store, file, monkeypatch):
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
        store.save(NAME, NEWER, expected=1)
        assert steps == ["unlink .tmp", "fsync file", "replace .tmp", "fsync directory"]
        steps.clear()
        store.delete(NAME)
        assert steps == ["unlink .json", "unlink .tmp", "fsync directory"]

    def test_what_was_left_by_the_killed_is_removed(self, store, file, tmp_path):
        """A login has one temporary file: the next save replaces it, and deleting removes it; a
        link in its place is not followed.
        """
        leftover, elsewhere = store.path / f"{NAME}.tmp", tmp_path / "elsewhere"
        elsewhere.write_text("of another program")
        for leave in (
            lambda: leftover.symlink_to(elsewhere),
            lambda: leftover.write_text("secret"),
        ):
            leave()
            store.save(NAME, NEWER, expected=1)
            assert store.load(NAME) == NEW
            assert not os.path.lexists(leftover)
            leave()
            store.delete(NAME)
            assert not os.path.lexists(leftover)
            store.save(NAME, TEXT, expected=None)
        assert elsewhere.read_text() == "of another program"


class TestKill:
    @pytest.mark.slow
    def test_a_save_is_whole_wherever_it_is_killed(self, store, file):
        """Before each line of a save: the old entry or the new one, and no lock is left."""
        outcomes = []
        while killed_before_line(len(outcomes), OURS, lambda: store.save(NAME, NEWER, expected=1)):
            outcomes.append(store.load(NAME))
            assert outcomes[-1] in (OLD, NEW)
            store.delete(NAME)
            assert names(store) in (["+save.lock"], ["+save.lock", ".lock"])
            with store.lock(NAME, timeout=0):
                store.save(NAME, TEXT, expected=None)
        assert store.load(NAME) == NEW
        assert len(outcomes) > 40
        assert outcomes == sorted(outcomes, key=[OLD, NEW].index)
        assert NEW in outcomes

    @pytest.mark.slow
    def test_a_first_save_is_whole_wherever_it_is_killed(self, tmp_path):
        """Also while the directory is made: nothing, or the entry."""
        number = 0
        while True:
            store = FileTokenStore(tmp_path / str(number) / "logins")
            save = partial(store.save, NAME, TEXT, expected=None)
            killed = killed_before_line(number, OURS, save)
            entry = store.load(NAME)
            if not killed:
                break
            assert entry in (None, OLD)
            if entry is None:
                store.save(NAME, TEXT, expected=None)
            assert store.load(NAME) == OLD
            number += 1
        assert entry == OLD

    @pytest.mark.slow
    def test_a_delete_is_whole_wherever_it_is_killed(self, store, file):
        """The entry, or nothing."""
        outcomes = []
        while killed_before_line(len(outcomes), OURS, lambda: store.delete(NAME)):
            outcomes.append(store.load(NAME))
            if outcomes[-1] is None:
                store.save(NAME, TEXT, expected=None)
        assert store.load(NAME) is None
        assert outcomes.count(OLD) + outcomes.count(None) == len(outcomes) > 10


# A line's end is no safe place for Python to be interrupted at: a file just opened is then closed
# by the garbage collector, which warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_save_frees_its_locks(store, file):
    """Ctrl-C before any line: the old entry or the new one, and the same process can go on."""

    class Interrupt(Failpoint):
        def stop(self):
            """Raise in place of killing."""
            raise KeyboardInterrupt

    number, done = 0, False
    while not done:
        trace = sys.gettrace()
        sys.settrace(Interrupt(number, OURS))
        try:
            store.save(NAME, NEWER, expected=1)
            done = True
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(trace)
        assert store.load(NAME) in (OLD, NEW)
        store.delete(NAME)
        store.save(NAME, TEXT, expected=None)
        number += 1
    gc.collect()
    assert number > 40


def test_a_clock_that_a_test_library_has_stopped_ends_the_wait_for_a_lock(store, monkeypatch):
    """Another thread holds it, and time stands still: TokenStoreTimeoutError."""
    with held(store, NAME):
        for clock in ("time.perf_counter", "time.monotonic", "time.time"):
            monkeypatch.setattr(clock, lambda: 1.8e9)
        with pytest.raises(TokenStoreTimeoutError), store.lock(NAME, timeout=0.1):
            pass
        monkeypatch.undo()
