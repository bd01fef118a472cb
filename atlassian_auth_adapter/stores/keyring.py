"""KeyringTokenStore: logins in encrypted files, whose key is in the system's keyring.

    in the keyring      one entry: the service, the path of the directory, and a Fernet key (44
                        characters, where Windows allows 1,280)
    in the directory    the files of FileTokenStore, with texts encrypted by EncryptedTokenStore

The key is made by the first save, and only while the directory has no entry: with a second key, the
entries could never be read again.
"""

from __future__ import annotations

import base64
import math
import os
import pickle
import re
import secrets
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from atlassian_auth_adapter.disk.files import directory_path, home_known, typed
from atlassian_auth_adapter.disk.kernel_locks import kernel_lock
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenStoreError,
    TokenStoreUnavailableError,
    optional_import,
    raise_clean,
)
from atlassian_auth_adapter.secret_text import SecretText, hidden
from atlassian_auth_adapter.stores.base import StoreOfOtherProcess
from atlassian_auth_adapter.stores.encrypted import EncryptedTokenStore, Fernets, fernets
from atlassian_auth_adapter.stores.file import FileTokenStore
from atlassian_auth_adapter.threads import after_fork, bind_result, is_timeout, result_of, started

with optional_import("keyring", "keyring"):
    import keyring
    import platformdirs
    from keyring.backend import KeyringBackend
    from keyring.backends import chainer, fail, null
    from keyring.errors import KeyringLocked

__all__ = ["KeyringTokenStore"]

T = TypeVar("T")

#: Which store to use without a keyring; also the `advice` of the errors.
_ELSEWHERE = "FileTokenStore(path), or EncryptedTokenStore around it, is the store to choose then."

#: A Fernet key: 32 bytes as base64url.
_KEY = re.compile(r"[\w-]{43}=", re.ASCII)

#: Attributes that say where a backend keeps its entries. They hold no secrets.
_PLACES = {"file_path", "keychain", "preferred_collection", "scheme", "appid"}


class KeyringTokenStore(EncryptedTokenStore):
    """Keeps texts in files encrypted with a key from the keyring; processes of one host share it.

    The keyring is chosen when the store is made. The store refuses a system without a keyring, a
    keyring that is switched off, and one that writes to a file in plain text, unless it is passed
    as `backend`. It never chooses anything weaker instead. Of a chain of keyrings, it uses the
    first.

    The keyring is asked once, when a text is first encrypted or decrypted; everything else blocks
    on file I/O alone. A keyring may hang for ever, so it is asked on a daemon thread: a caller that
    has waited for `timeout` gets a TokenStoreUnavailableError, and every further one at once, until
    the keyring has answered. The search for a keyring counts towards the same `timeout`. One that
    takes long to fail is not asked again for as long. `load` and `save` raise TokenStoreError when
    it fails, is locked, or has lost the key. `delete` and `lock` never ask it. There is one key, so
    `rotate` changes nothing.

    When the key is deleted from the keyring, the logins cannot be read any more: sign in again. A
    copy is the store itself. A pickle names the service, the directory and the timeout. Another
    process looks for its own keyring. If a keyring was passed, it unpickles that one, but only if
    the pickle holds no secret; otherwise the store says so on its first use.

    Args:
        service: The service name of the key's entry in the keyring; its user name is the path of
            the directory. All processes that share the directory use the same service.
        backend: A keyring. None: the one that `keyring.get_keyring()` finds.
        directory: Where the encrypted files are; no other store uses it. None: a directory below
            the data directory of this user.
        timeout: Seconds that a method waits for the keyring, at most half of them for another
            process that makes the key.

    Raises:
        ConfigurationError: There is no keyring that would keep the key, or an argument is of
            another type or range.
        TokenStoreUnavailableError: The search for a keyring hangs.
    """

    _other_key = (
        "The keyring has another key now: restore the former one, or restart this program if the "
        "directory is new. If the key is lost for good, delete the directory and sign in again."
    )

    def __init__(
        self,
        service: str = "atlassian_auth_adapter",
        *,
        backend: KeyringBackend | None = None,
        directory: str | os.PathLike[str] | None = None,
        timeout: float = 5.0,
    ) -> None:
        if not (isinstance(service, str) and service):
            raise ConfigurationError("service must be a text: the entry's name in the keyring.")
        if not is_timeout(timeout):
            raise ConfigurationError("timeout must be a positive number of seconds.")
        if not isinstance(backend, KeyringBackend | None):
            raise ConfigurationError("backend must be a keyring, as keyring.get_keyring() returns.")
        if directory is None:
            with home_known("give `directory`"):
                data = platformdirs.user_data_path("atlassian_auth_adapter", False).expanduser()
            directory = data / "keyring"
        self._path = directory_path(directory, "KeyringTokenStore keeps its files there.")
        self._service, self._timeout, self._passed = service, float(timeout), backend
        search, began = partial(_usable, backend), time.monotonic()
        self._backend = _within(self._timeout, id(backend), search, "the search for a keyring")
        self._searched_for = time.monotonic() - began  # seconds
        super().__init__(FileTokenStore(self._path), self._key)

    def _keys(self) -> Fernets:
        # Not as the base class does: callers wait side by side, and only for `timeout`.
        if not self._known:
            what, whom = (id(self._backend), self._service, self._path), _named(self._backend)
            self._known = _within(
                self._timeout, what, self._ask_keyring, whom, spent=self._searched_for
            )
        return self._known

    # --- on the thread that asks the keyring ---

    def _ask_keyring(self) -> Fernets:
        self._known = self._known or fernets(self._key())  # also when no caller waits any more
        return self._known

    def _key(self) -> str:
        key = self._read()
        if key is None:
            # No entry has a name that begins with a dot, so this lock is not an entry's.
            with kernel_lock(self._path, ".key", self._timeout / 2):
                key = self._read()
                if key is None:
                    return self._make_key()
        if not _KEY.fullmatch(str(key)):
            raise TokenStoreError(
                f"the {self._entry} is not a key of this package, and was kept as it is. Put the "
                "key back; if it is lost for good, delete that entry and the directory, and sign "
                "in again."
            )
        return key

    def _make_key(self) -> str:
        with typed("read", self._path):
            is_needed = any(file.suffix == ".json" for file in self._path.iterdir())
        if is_needed:
            raise TokenStoreError(
                f"there are logins in {self._path}, but their key is gone from the keyring: there "
                f"is no {self._entry}. Restore it, or unlock the keyring that has it; if it is "
                "lost for good, delete the directory and sign in again."
            )
        key = SecretText(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
        try:
            self._backend.set_password(self._service, str(self._path), key)
        except Exception as error:  # noqa: BLE001 - backends raise what their libraries do
            raise_clean(_failure("write", self._backend, error))
        if self._read() != key:
            raise TokenStoreError(
                f"{_named(self._backend)} did not keep what was written to it, and raised nothing.",
                advice=_ELSEWHERE,
            )
        return key

    def _read(self) -> str | None:
        try:
            return hidden(self._backend.get_password(self._service, str(self._path)))
        except Exception as error:  # noqa: BLE001 - backends raise what their libraries do
            raise_clean(_failure("read", self._backend, error))

    @property
    def _entry(self) -> str:
        return (
            f"entry of the service {self._service!r} and the user name {str(self._path)!r} in "
            f"{_named(self._backend)}"
        )

    def __repr__(self) -> str:
        where = f"backend=<{_named(self._backend)}>, directory={str(self._path)!r}"
        return f"KeyringTokenStore({self._service!r}, {where})"

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        if self._passed and not _is_portable(self._passed):
            reason = (
                f"{self!r} was unpickled in another process, and its keyring cannot be pickled. "
                "Make the store there, or leave `backend` out."
            )
            return StoreOfOtherProcess, repr(self), reason
        options: dict[str, Any] = {"backend": self._passed, "directory": self._path}
        return (partial(KeyringTokenStore, self._service, timeout=self._timeout, **options),)


def _failure(verb: str, backend: KeyringBackend, error: Exception) -> TokenStoreError:
    """What to raise instead, without the backend's error, whose text may quote the key."""
    reason = f"cannot {verb} {_named(backend)} ({type(error).__name__})."
    if isinstance(error, KeyringLocked):
        return TokenStoreError(f"{reason} It is locked: unlock it, and try again.")
    what = "running and unlocked" if verb == "read" else "unlocked, and writable for this program"
    return TokenStoreError(f"{reason} Is it {what}?", advice=_ELSEWHERE)


# --- choosing the backend ---


def _has_home() -> bool:
    try:
        return bool(Path.home())
    except RuntimeError:
        return False


def _usable(passed: KeyringBackend | None) -> KeyringBackend:
    try:
        found = _innermost(keyring.get_keyring() if passed is None else passed)
    except Exception as error:  # noqa: BLE001 - it loads what the configuration names
        reason = (
            f"keyring cannot load its backend ({type(error).__name__}). Look at "
            "PYTHON_KEYRING_BACKEND and keyringrc.cfg."
        )
        if isinstance(error, RuntimeError) and not _has_home():  # keyring looks for its files there
            reason = "keyring needs the home directory of this user, which is not known. Set HOME."
        raise_clean(ConfigurationError(reason, advice=_ELSEWHERE))
    if found is None or isinstance(found, fail.Keyring):
        reason = (
            "this system has no keyring that works (typical for containers, servers and SSH "
            "connections), so KeyringTokenStore cannot keep anything here."
        )
    elif isinstance(found, null.Keyring):
        reason = "the keyring of this system is switched off: its null backend keeps nothing."
    elif found is not passed and _is_kind(found, "PlaintextKeyring"):
        reason = (
            f"the only keyring here is {_named(found)}, which writes to a file in plain text: pass "
            "it as `backend` if you want that."
        )
    else:
        return found
    raise ConfigurationError(reason, advice=_ELSEWHERE)


def _innermost(backend: KeyringBackend | None) -> KeyringBackend | None:
    """The keyring that keeps the entries: the first one of a chain, the one in a wrapper."""
    if isinstance(backend, chainer.ChainerBackend):
        return _innermost(next(iter(backend.backends), None))
    if _is_kind(backend, "MultipartKeyringWrapper"):
        return _innermost(getattr(backend, "_keyring", None))
    return backend


def _is_kind(backend: KeyringBackend | None, name: str) -> bool:
    # By name: its package, keyrings.alt, is not a dependency of this one.
    return any(kind.__name__ == name for kind in type(backend).__mro__)


def _named(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _is_portable(backend: KeyringBackend) -> bool:
    """Whether a pickle of it holds no secret, because it says so itself or has none."""
    own = any(
        getattr(type(backend), name, None) is not getattr(object, name, None)
        for name in ("__reduce__", "__reduce_ex__", "__getstate__")
    )
    try:
        return (own or vars(backend).keys() <= _PLACES) and bool(pickle.dumps(backend))
    except Exception:  # noqa: BLE001 - the backend's class may raise anything
        return False


# --- calls that may hang ---

#: Seconds after which a failure is slow: the call is not made again for as long as it took.
SLOW = 1.0


@dataclass(slots=True)
class _Call:
    """A call that has not returned, or took long to fail.

    Attributes:
        began: When it was made, monotonic (seconds).
        answer: What it returns or raises.
        quiet_until: Until when it is not made again, monotonic (seconds).
    """

    began: float
    answer: Future[Any]
    quiet_until: float = math.inf


#: The calls by what they ask. Per process, renewed after a fork, as the lock that guards it.
_calls: dict[Hashable, _Call] = {}
_starting = threading.Lock()


def _within(
    seconds: float, what: Hashable, work: Callable[[], T], whom: str, *, spent: float = 0.0
) -> T:
    """What `work()` returns; callers with the same `what` share one call.

    Args:
        seconds: To wait for it.
        what: Names the call.
        work: Is called on a thread of its own.
        whom: Is asked, for the error.
        spent: Of the seconds, already.

    Raises:
        TokenStoreUnavailableError: It has not returned in time.
    """
    with _starting:
        call = _calls.get(what)
        if call is None or call.quiet_until <= time.monotonic():
            call = _Call(time.monotonic(), Future())
            if not started(bind_result(partial(_answer, call, what, work), call.answer)):
                raise TokenStoreError(
                    "cannot start a thread that asks the keyring: the program ends, or has too "
                    "many threads."
                )
            _calls[what] = call
    future: Future[T] = call.answer
    left = call.began + seconds - spent - time.monotonic()
    wait([future], min(max(left, 0.0), seconds))  # test libraries may have set that clock back
    if future.done():
        return result_of(future)
    raise TokenStoreUnavailableError(
        f"{whom} has not answered for {seconds:g} s. It may be locked and wait for a password in a "
        "window that you do not see: unlock it, or raise the timeout. It is not asked again before "
        "it answers.",
        advice=_ELSEWHERE,
    )


def _answer(call: _Call, what: Hashable, work: Callable[[], T]) -> T:
    """What `work()` returns; notes how long it took to fail."""
    took = 0.0
    try:
        return work()
    except BaseException:
        took = time.monotonic() - call.began
        raise
    finally:
        with _starting:
            call.quiet_until = call.began + 2 * took
            if took < SLOW:
                del _calls[what]


def _forget_calls() -> None:
    global _calls, _starting  # the parent's calls, and a lock it may hold
    _calls, _starting = {}, threading.Lock()


after_fork(_forget_calls)
