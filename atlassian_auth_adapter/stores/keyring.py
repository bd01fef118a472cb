"""KeyringTokenStore: logins in the keyring of the operating system.

A record lives in one of two slots, "a" and "b", each a head entry with a sequence number; the head
with the higher one counts. A save writes into the other slot, the head last, and then empties the
slot before. So no entry that counts is ever overwritten: whoever is killed at whatever moment
leaves the old record or the new one, also where replacing an entry means to delete it first (the
macOS backend). The user names of the entries, under one service:

    <digest of the key>.a       {"sequence": 5, "record": {"key": {...}, <record>}}
                                or, when that is too long for one entry,
                                {"sequence": 5, "count": 3, "sha256": "<of the chunks>"}
    <digest of the key>.a.0     first chunk of the record's JSON
    <digest of the key>.b       absent, or {} while the record is being deleted
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

try:
    import keyring
    import platformdirs
    from keyring.backend import KeyringBackend
    from keyring.backends import chainer, fail, null
    from keyring.errors import KeyringError, KeyringLocked
except ImportError as error:
    from atlassian_auth_adapter.errors import MissingExtraError

    raise MissingExtraError(
        "keyring is not installed: pip install 'atlassian-auth-adapter[keyring]'"
    ) from error

from atlassian_auth_adapter.disk.files import directory_path
from atlassian_auth_adapter.disk.kernel_locks import KernelLocks
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.pickling import Unique
from atlassian_auth_adapter.stores.base import (
    ELSEWHERE,
    Record,
    TokenKey,
    record_in,
    stored_form,
)
from atlassian_auth_adapter.threads import prepared, result_of

__all__ = ["KeyringTokenStore"]

T = TypeVar("T")

#: Characters of an entry. Windows takes 2,560 bytes (CRED_MAX_CREDENTIAL_BLOB_SIZE), which keyring
#: fills with UTF-16: 1,280 characters, less a margin.
#: Source: keyring 25.7, keyring/backends/Windows.py; wincred.h.
_ENTRY = 1200

#: How often a record is read that somebody with another lock directory seems to be writing.
_READS = 3

#: A head that has nothing: the record is deleted, its last entry not yet.
_NOTHING = "{}"

#: Attributes that say where a backend keeps its entries. They hold no secrets.
_PLACES = ("file_path", "keychain", "preferred_collection", "scheme", "appid")

_KEPT = "It was kept as it is; forget() the login, and log in again."


class KeyringTokenStore(Unique):
    """Keeps records in a keyring; threads and processes of one host may share it.

    Which keyring is decided, and refused if it keeps nothing, when the store is made: none at all,
    one that is switched off, or, unless it is passed, one that writes tokens to a file in plain
    text. Nothing weaker is ever chosen instead. Of a chain of keyrings, the first one is used.

    Methods block on the keyring and on kernel locks beside it. The calls of one keyring are made
    one after the other on a daemon thread, since a keyring may hang for ever: who has waited for
    `timeout` seconds gets a TokenStoreError. What hangs is done when the keyring answers, still
    under its lock and compared with what is stored then: it overwrites nothing newer.

    Two stores with the same service and the same keyring are equal. A copy is the store itself. A
    pickle names the service, the directory and the timeout; in another process the keyring is
    looked up anew, or, if it was passed, comes along as long as it can be pickled without secrets.

    Args:
        service: Under which name the keyring shows the entries.
        backend: A keyring. None: the one that `keyring.get_keyring()` finds.
        lock_directory: Where the kernel locks are; all who share the keyring name the same one.
            None: a directory below the state directory of this user.
        timeout: Seconds that a method waits for the keyring, at most half of them for others.

    Raises:
        ConfigurationError: There is no keyring to keep anything in, or an argument is not what it
            should be.
        TokenStoreError: The look for a keyring hangs.
    """

    def __init__(
        self,
        service: str = "atlassian_auth_adapter",
        *,
        backend: KeyringBackend | None = None,
        lock_directory: str | os.PathLike[str] | None = None,
        timeout: float = 5.0,
    ) -> None:
        if not (isinstance(service, str) and service):
            raise ConfigurationError("service is the name of the entries in the keyring: a text.")
        if not 0 < timeout < threading.TIMEOUT_MAX:
            raise ConfigurationError(f"timeout={timeout!r} must be a positive number of seconds.")
        if not isinstance(backend, KeyringBackend | None):
            raise ConfigurationError("backend is a keyring, such as keyring.get_keyring() returns.")
        if lock_directory is None:
            lock_directory = platformdirs.user_state_path("atlassian_auth_adapter", False) / "locks"
        self._service, self._timeout = service, float(timeout)
        self._locks = KernelLocks(
            directory_path(lock_directory, "lock_directory is the directory for locks.")
        )
        self._passed = backend
        finder = _FINDER if backend is None else _Worker()  # who passes one waits for no other
        self._backend = finder.do(lambda: _usable(backend), self._timeout, "the look for a keyring")
        self._place = _place_of(self._backend)
        self._worker = _worker_of(self._place)

    def load(self, key: TokenKey) -> Record | None:
        """The record, or None when there is none. Takes a lock only when it finds none.

        Raises:
            TokenStoreTimeoutError: Another process has been saving all the time.
            TokenStoreError: The keyring hangs, is locked or fails, or the record is damaged; it was
                left as it is.
        """
        return self._do(lambda: self._load(key))

    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        """The keyring has the record when this returns, and shows it.

        Args:
            key: Under which name.
            record: What to keep.
            expected: Generation that must be stored now; None: there must be no record.

        Raises:
            StaleRecordError: Somebody else was faster; nothing was written.
            TokenStoreTimeoutError: Another process has been saving all the time.
            TokenStoreError: The keyring is locked or cannot be written: the previous record still
                stands. Or it hangs: it may save the record when it answers.
        """
        self._do(lambda: self._save(key, record, expected))

    def delete(self, key: TokenKey) -> None:
        """There is no record afterwards, whole or damaged.

        Raises:
            TokenStoreTimeoutError: Another process has been saving all the time.
            TokenStoreError: The keyring hangs, is locked or cannot be written.
        """
        self._do(lambda: self._delete(key))

    def lock(self, key: TokenKey, *, timeout: float) -> AbstractContextManager[None]:
        """Exclusive among all processes of this host, until the context ends or its holder dies.

        Not reentrant. A forked child of the holder does not hold it. A kernel lock: it does not
        touch the keyring.

        Args:
            key: What to lock.
            timeout: Seconds to wait for somebody else.

        Raises:
            TokenStoreTimeoutError: Somebody held it all that time.
            TokenStoreError: There are no locks to be had in the directory.
        """
        return self._locked(key.digest, timeout)

    def _do(self, work: Callable[[], T]) -> T:
        # What hangs holds its store, and so its worker: a new store starts no second one beside it.
        def typed() -> T:
            try:
                return work()
            except _TornError as error:
                torn = str(error)
            raise TokenStoreError(f"{self!r}: {torn}")

        return self._worker.do(typed, self._timeout, _named(self._backend))

    def _locked(self, name: str, timeout: float) -> AbstractContextManager[None]:
        return self._locks(f"{_sha256(self._service)[:16]}.{name}", timeout)

    def _saving(self) -> AbstractContextManager[None]:
        """One lock for all keys: some backends rewrite the file of all entries, without a lock."""
        return self._locked("save", self._timeout / 2)

    # On the worker's thread

    def _load(self, key: TokenKey) -> Record | None:
        with suppress(_TornError):
            if record := self._read(key):
                return record
        # Somebody may be writing, to a file that is empty for a moment: look when nobody is.
        with self._saving():
            return self._load_alone(key)

    def _load_alone(self, key: TokenKey) -> Record | None:
        for _ in range(_READS - 1):
            with suppress(_TornError):
                return self._read(key)
        return self._read(key)

    def _read(self, key: TokenKey) -> Record | None:
        stored = self._slots(key).read()
        if stored is None:
            return None
        return record_in(stored, key, f"account {key.account!r} in {self!r}")

    def _save(self, key: TokenKey, record: Record, expected: int | None) -> None:
        with self._saving():
            stored = self._load_alone(key)
            if (stored and stored.generation) != expected:
                raise StaleRecordError(
                    f"{self!r} holds another generation of account {key.account!r} than {expected}."
                    " Load the record again."
                )
            self._slots(key).write(stored_form(key, record))

    def _delete(self, key: TokenKey) -> None:
        with self._saving():
            self._slots(key).clear()

    def _slots(self, key: TokenKey) -> _Slots:
        return _Slots(self._backend, self._service, key.digest)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KeyringTokenStore):
            return NotImplemented
        return (self._place, self._service) == (other._place, other._service)

    def __hash__(self) -> int:
        return hash((KeyringTokenStore, self._place, self._service))

    def __repr__(self) -> str:
        return f"KeyringTokenStore({self._service!r}, backend=<{_named(self._backend)}>)"

    def _elsewhere(self) -> tuple[Any, ...]:
        if self._passed and not _is_portable(self._passed):
            return _out_of_place, repr(self)
        return _reopened, self._service, self._passed, self._locks.path, self._timeout


def _reopened(
    service: str, backend: KeyringBackend | None, lock_directory: Any, timeout: float
) -> KeyringTokenStore:
    return KeyringTokenStore(
        service, backend=backend, lock_directory=lock_directory, timeout=timeout
    )


def _out_of_place(store: str) -> NoReturn:
    raise TokenStoreError(
        f"{store} was unpickled in another process, and its keyring cannot be pickled. Make the "
        "store there, or leave `backend` out."
    )


# Which keyring


def _usable(passed: KeyringBackend | None) -> KeyringBackend:
    try:
        found: KeyringBackend | None = keyring.get_keyring() if passed is None else passed
        if isinstance(found, chainer.ChainerBackend):
            found = next(iter(found.backends), None)
    except Exception as error:  # noqa: BLE001 - it loads whatever somebody has configured
        failure = type(error).__name__
    else:
        if found is None or isinstance(found, fail.Keyring):
            raise ConfigurationError(
                "this system has no keyring that works (typical for containers, servers and SSH "
                f"connections), so KeyringTokenStore cannot keep anything here. {ELSEWHERE}"
            )
        if isinstance(found, null.Keyring):
            raise ConfigurationError(
                "the keyring of this system is switched off: its null backend keeps nothing. "
                f"{ELSEWHERE}"
            )
        if found is not passed and _is_plaintext(found):
            raise ConfigurationError(
                f"the only keyring here is {_named(found)}, which writes tokens to a file in plain "
                f"text. {ELSEWHERE} Or pass it as `backend`, if it is what you want."
            )
        return found
    raise ConfigurationError(
        f"keyring cannot load its backend ({failure}). Look at PYTHON_KEYRING_BACKEND and "
        f"keyringrc.cfg. {ELSEWHERE}"
    )


def _is_plaintext(backend: KeyringBackend) -> bool:
    # By its name, since keyrings.alt, where it is from, is no dependency of ours.
    return any(kind.__name__ == "PlaintextKeyring" for kind in type(backend).__mro__)


def _named(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _place_of(backend: KeyringBackend) -> Hashable:
    """What two backends with the same entries have in common."""
    if type(backend).__eq__ is object.__eq__ and vars(backend).keys() <= {*_PLACES}:
        return type(backend), *(getattr(backend, name, None) for name in _PLACES)
    try:
        hash(backend)
    except TypeError:
        raise ConfigurationError(f"backend has no hash: {_named(backend)}.") from None
    return backend


def _is_portable(backend: KeyringBackend) -> bool:
    """Whether a pickle of it holds no secret, because it says so itself or has none."""
    own = any(
        getattr(type(backend), name, None) is not getattr(object, name, None)
        for name in ("__reduce__", "__reduce_ex__", "__getstate__")
    )
    try:
        return (own or vars(backend).keys() <= {*_PLACES}) and bool(pickle.dumps(backend))
    except Exception:  # noqa: BLE001 - whatever somebody's class raises
        return False


# What is in it


class _TornError(Exception):
    """It cannot be read as it is: somebody is writing, or it is damaged. Its text has no secret."""


@dataclass(frozen=True, slots=True)
class _Slots:
    """The entries of one key."""

    backend: KeyringBackend
    service: str
    digest: str

    def read(self) -> str | None:
        """The JSON of what was written last, or None.

        Raises:
            _TornError: It cannot be read right now, or is damaged.
            TokenStoreError: The keyring says why it cannot be read.
        """
        slot, head = self._newest()
        if not head:
            return None
        if "record" in head:
            return _text(head["record"])
        count, chunks = head.get("count"), list[str]()
        while len(chunks) != count:
            chunk = self._get(f"{slot}.{len(chunks)}")
            if chunk is None:
                raise _TornError(f"a part of the record is missing. {_KEPT}")
            chunks.append(chunk)
        text = "".join(chunks)
        if _sha256(text) != head.get("sha256"):
            raise _TornError(f"the parts of the record do not fit together. {_KEPT}")
        return text

    def write(self, content: dict[str, Any]) -> None:
        """The slot that does not count is filled, its head last; then the other one is emptied.

        Raises:
            TokenStoreError: The keyring cannot be written; what it had, it still has.
        """
        before, head = self._newest()
        slot = "b" if before == "a" else "a"
        sequence = {"sequence": head.get("sequence", 0) + 1}
        whole = _text(sequence | {"record": content})
        chunks: list[str] = []
        if len(whole) > _ENTRY:
            text = _text(content)
            chunks = [text[start : start + _ENTRY] for start in range(0, len(text), _ENTRY)]
            whole = _text(sequence | {"count": len(chunks), "sha256": _sha256(text)})
        for number, chunk in enumerate(chunks):
            self._put(f"{slot}.{number}", chunk)
        self._put(slot, whole)
        with suppress(
            TokenStoreError, _TornError
        ):  # it is saved; the next save tries again to tidy up
            self._remove_chunks(slot, len(chunks))
            self._remove(before)
            self._remove_chunks(before, 0)

    def clear(self) -> None:
        """Both slots are empty afterwards; the one that counts is emptied last.

        Raises:
            TokenStoreError: The keyring cannot be written.
        """
        for slot in sorted("ab", key=self._sequence):
            if self._get(slot) is not None:
                # Windows' backend keeps a second entry with the text before the last one, which
                # comes to light when a deletion is killed. So both of them are overwritten.
                self._put(slot, _NOTHING)
                self._put(slot, _NOTHING)
            self._remove_chunks(slot, 0)
            self._remove(slot)

    def _newest(self) -> tuple[str, dict[str, Any]]:
        """The slot that counts, and its head; an empty head if there is no record."""
        heads = {slot: self._head(slot) for slot in "ab"}
        slot = max(heads, key=lambda slot: heads[slot].get("sequence", 0))
        return slot, heads[slot]

    def _head(self, slot: str) -> dict[str, Any]:
        head = _json(self._get(slot) or _NOTHING)
        if not isinstance(head, dict) or not isinstance(head.get("sequence", 0), int):
            raise _TornError(f"an entry is not a record of this package. {_KEPT}")
        return head

    def _sequence(self, slot: str) -> int:
        with suppress(_TornError):
            return int(self._head(slot).get("sequence", 0))
        return 0

    def _remove_chunks(self, slot: str, first: int) -> None:
        # Keyrings cannot list. Chunks are written upwards and removed downwards, so there are never
        # gaps, wherever somebody was killed.
        top = first
        while self._get(f"{slot}.{top}") is not None:
            top += 1
        for number in reversed(range(first, top)):
            self._remove(f"{slot}.{number}")

    def _get(self, name: str) -> str | None:
        try:
            return self.backend.get_password(self.service, f"{self.digest}.{name}")
        except KeyringError as error:
            failure: Exception = _failure("read", self.backend, error)
        except Exception as error:  # noqa: BLE001 - a file's parser does not like half of it
            failure = _TornError(str(_failure("read", self.backend, error)))
        raise failure

    def _put(self, name: str, text: str) -> None:
        try:
            self.backend.set_password(self.service, f"{self.digest}.{name}", text)
        except Exception as error:  # noqa: BLE001 - backends raise what their libraries do
            failure = _failure("write", self.backend, error)
        else:
            if self._get(name) == text:
                return
            failure = TokenStoreError(
                f"{_named(self.backend)} did not keep what was written to it, and raised nothing. "
                f"{ELSEWHERE}"
            )
        raise failure

    def _remove(self, name: str) -> None:
        if self._get(name) is None:
            return
        try:
            self.backend.delete_password(self.service, f"{self.digest}.{name}")
        except Exception as error:  # noqa: BLE001 - backends raise what their libraries do
            failure = _failure("delete from", self.backend, error)
        else:
            if self._get(name) is None:
                return
            failure = TokenStoreError(
                f"{_named(self.backend)} did not delete an entry, and raised nothing. Delete the "
                f"entries of {self.service!r} with the tool of your system."
            )
        raise failure


def _failure(verb: str, backend: KeyringBackend, error: Exception) -> TokenStoreError:
    """What to raise outside of the handler: the error's text may quote the entry."""
    if isinstance(error, KeyringLocked):
        advice = "It is locked: unlock it, and try again."
    elif verb == "read":
        advice = f"Is it there and unlocked? {ELSEWHERE}"
    else:
        advice = (
            "Is it unlocked, and may this program write to it? What it had before, it still has. "
            + ELSEWHERE
        )
    return TokenStoreError(f"cannot {verb} {_named(backend)} ({type(error).__name__}). {advice}")


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _json(text: str) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    # Raised out here: the parser's error holds what it parsed.
    raise _TornError(f"an entry is not a record of this package. {_KEPT}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# Who calls it


class _Desk:
    """Where one piece of work at a time waits for a worker's thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.work: Callable[[], None] | None = None
        self.closed = False

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def serve(self) -> None:
        """The thread: ends when the desk is closed. A daemon, since nobody can cancel a call."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.work or self.closed)
                work = self.work
            if work is None:
                return
            work()
            del work  # it holds a record
            with self.changed:
                self.changed.notify_all()
                self.work = None


class _Worker:
    """Makes the calls of one keyring, one after the other; who waits too long goes without."""

    def __init__(self) -> None:
        self.renew()
        _EVERYBODY.add(self)

    def renew(self) -> None:
        """Forget what another process's thread does."""
        self._desk, self._thread = _Desk(), threading.Thread()
        self._end = weakref.finalize(self, self._desk.close)
        self._end.atexit = False

    def after_fork(self) -> None:
        """The child has no thread, and perhaps a desk that was locked."""
        self._end.detach()
        self.renew()

    def do(self, work: Callable[[], T], timeout: float, whom: str) -> T:
        """What `work()` returns on the worker's thread.

        Raises:
            TokenStoreUnavailableError: It, or an earlier one, has not returned within so many
                seconds.
        """
        desk, future = self._desk, Future[T]()
        deadline = time.monotonic() + timeout
        with desk.changed:
            if desk.changed.wait_for(lambda: desk.work is None, timeout):
                self._start()
                desk.changed.notify_all()  # before there is something to lose by an interrupt
                desk.work = prepared(work, None, future)
        wait([future], max(deadline - time.monotonic(), 0.0))
        if future.done():
            return result_of(future)
        raise TokenStoreUnavailableError(
            f"{whom} has not answered for {timeout:g} s. Perhaps it is locked and asks for a "
            "password where nobody sees it: unlock it, or raise the timeout. It is not asked again "
            f"before it answers. {ELSEWHERE}"
        )

    def _start(self) -> None:
        if self._thread.is_alive():
            return
        self._thread = threading.Thread(target=self._desk.serve, name="keyring", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            raise TokenStoreError(
                "no thread can be started for the keyring: the program ends, or has too many."
            ) from None


_EVERYBODY: weakref.WeakSet[_Worker] = weakref.WeakSet()
_WORKERS: weakref.WeakValueDictionary[Hashable, _Worker] = weakref.WeakValueDictionary()
_REGISTRY = threading.Lock()

#: Even the look for a keyring may hang, on a D-Bus that does not answer.
_FINDER = _Worker()


def _worker_of(place: Hashable) -> _Worker:
    with _REGISTRY:
        worker = _WORKERS[place] = _WORKERS.get(place) or _Worker()
        return worker


def _after_fork_in_child() -> None:
    global _REGISTRY  # noqa: PLW0603 - another thread of the parent may hold it
    _REGISTRY = threading.Lock()
    for worker in list(_EVERYBODY):
        worker.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
