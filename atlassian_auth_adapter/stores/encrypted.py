"""EncryptedTokenStore: another store's texts, encrypted.

In place of a text, the inner store is handed

    <id of the key>.<Fernet token>      which is {"name": ..., "version": 3, "text": ...}, encrypted

Name and version are encrypted beside the text, so that it cannot be moved to another name, nor take
the place of a later version, without the key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, NoReturn, TypeAlias

from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ConfigurationError,
    TokenStoreError,
    optional_import,
    raise_clean,
    without_frames,
)
from atlassian_auth_adapter.pickling import PickledByReference, is_named
from atlassian_auth_adapter.secret_text import SecretBytes, SecretText, hidden
from atlassian_auth_adapter.stores.base import Entry, TokenStore, callable_failed, update
from atlassian_auth_adapter.threads import after_fork

with optional_import("cryptography", "crypto"):
    from cryptography.fernet import Fernet, InvalidToken

__all__ = ["EncryptedTokenStore"]

Keys: TypeAlias = str | bytes | Sequence[str | bytes]

#: The keys by their ids, the first one first.
Fernets: TypeAlias = dict[str, Fernet]

#: The id of a key (hexadecimal), a dot, a Fernet token (base64url).
_SEALED = re.compile(r"([0-9a-f]{16})\.([\w=-]+)", re.ASCII)

_MAKE = "Make one with cryptography.fernet.Fernet.generate_key() and keep it apart from the logins."

#: Guards the calls of the functions that return keys. Per process, renewed after a fork. Reentrant:
#: such a function may use a store.
_asking = threading.RLock()


class EncryptedTokenStore(PickledByReference):
    """Keeps texts in another store, encrypted and authenticated (Fernet).

    A program that can write to the inner store, but has no key, cannot read a text, change it, or
    move it to another name or version. It can delete an entry, or restore a whole earlier state of
    the inner store. Names and versions are not encrypted. The processes that can share the inner
    store can share this one. Blocks as the inner store does, and on the function that returns the
    keys.

    An entry that is not encrypted is refused. To encrypt one that exists already, while nothing
    else uses it:

        entry = inner.load(name)
        EncryptedTokenStore(inner, keys).save(name, entry.text, expected=entry.version)

    To change the key, put the new one in front of the old one everywhere, call `rotate` for each
    name, then remove the old one.

    A copy is the store itself. A pickle holds no key. It works in this process and its forked
    children, and if `keys` is a function of a module, in every process; otherwise every method that
    needs a key raises TokenStoreError there.

    Args:
        inner: Where the encrypted texts are kept.
        keys: A Fernet key, or several: the first one encrypts, all of them decrypt; or a function
            without arguments that returns these. It is called once, on the first use.

    Raises:
        ConfigurationError: There is no key, or one that is not a Fernet key. If `keys` is a
            function, this is raised on the first use.
    """

    #: What to do about an entry that was encrypted with another key.
    _other_key = "Add that key behind them."

    @without_frames
    def __init__(self, inner: TokenStore, keys: Keys | Callable[[], Keys]) -> None:
        self.inner: TokenStore = inner
        keys = hidden(keys)
        if not isinstance(inner, TokenStore):
            raise ConfigurationError(
                "EncryptedTokenStore encrypts another store, such as FileTokenStore(path); a "
                f"{type(inner).__name__} is not a TokenStore."
            )
        self._ask: Callable[[], Keys] | None = keys if callable(keys) else None
        self._known: Fernets = {} if callable(keys) else fernets(keys)

    @without_frames
    def load(self, name: str) -> Entry | None:
        """As the inner store's `load`.

        Raises:
            TokenStoreError: Also: the entry is not encrypted, was encrypted with another key, was
                changed, or belongs to another name or version (it was left as it is); or the
                function that returns the keys raised.
            ConfigurationError: As for the class.
        """
        stored = self.inner.load(name)
        return Entry(self._opened(name, stored)[0], stored.version) if stored else None

    @without_frames
    def save(self, name: str, text: str, *, expected: int | None) -> None:
        """As the inner store's `save`. Encrypts with the first key.

        Raises:
            TokenStoreError: Also: what is stored is encrypted, but cannot be decrypted; it was left
                as it is.
            ConfigurationError: As for the class.
        """
        stored = self.inner.load(name)
        if stored and _SEALED.fullmatch(stored.text):
            self._opened(name, stored)  # what cannot be read is not overwritten
        sealed = self._sealed(name, (expected or 0) + 1, text)
        self.inner.save(name, sealed, expected=expected)

    def delete(self, name: str) -> None:
        """As the inner store's `delete`; also an entry that cannot be decrypted. Needs no key."""
        self.inner.delete(name)

    def lock(self, name: str, *, timeout: float) -> AbstractContextManager[None]:
        """The inner store's `lock`. Needs no key."""
        return self.inner.lock(name, timeout=timeout)

    @without_frames
    def rotate(self, name: str, *, timeout: float = 60.0) -> None:
        """The entry, if there is one, is encrypted with the first key; its text is unchanged.

        Takes the lock, so that a refresh under way is waited for.

        Args:
            name: Which entry.
            timeout: Seconds to wait for another holder of the lock.

        Raises:
            TokenStoreTimeoutError: Another thread or process held the lock all that time.
            StaleRecordError: Other processes always saved first; nothing was written.
            TokenStoreError: As `load` and `save` do.
        """
        with self.inner.lock(name, timeout=timeout):
            update(self.inner, name, lambda stored: self._resealed(name, stored))

    def _resealed(self, name: str, stored: Entry | None) -> str | None:
        if stored is None:
            return None
        text, key_id = self._opened(name, stored)
        if key_id == next(iter(self._keys())):
            return None
        return self._sealed(name, stored.version + 1, text)

    def _keys(self) -> Fernets:
        if self._ask and not self._known:
            with _asking:
                if not self._known:
                    self._known = fernets(_answer(self._ask))
        return self._known

    def _sealed(self, name: str, version: int, text: str) -> str:
        key_id, fernet = next(iter(self._keys().items()))
        content = SecretText(json.dumps({"name": name, "version": version, "text": text}))
        return f"{key_id}.{fernet.encrypt(content.encode()).decode()}"

    def _opened(self, name: str, stored: Entry) -> tuple[str, str]:
        """The text, and the id of the key that it was encrypted with."""
        place = f"{name} in {self.inner!r}"
        sealed = _SEALED.fullmatch(stored.text)
        if sealed is None:
            raise TokenStoreError(
                f"{place}: the entry is not encrypted; it was kept as it is. To encrypt it, load "
                "it from the inner store and save it through this one: entry = inner.load(name); "
                "EncryptedTokenStore(inner, keys).save(name, entry.text, expected=entry.version). "
                "If an earlier release has encrypted it, delete it and sign in again."
            )
        key_id, token = sealed.groups()
        fernet = self._keys().get(key_id)
        if fernet is None:
            raise TokenStoreError(
                f"{place}: the entry was encrypted with the key {key_id}; there are "
                f"{', '.join(self._keys())} here. {self._other_key} Nothing was changed."
            )
        match _decrypted(fernet, token):
            case {"name": str(own_name), "version": int(version), "text": str(text)}:
                if own_name != name:
                    wrong = "was saved under another name"
                elif version != stored.version:
                    wrong = (
                        f"was changed, or replaced by an earlier one: it has version "
                        f"{stored.version}, but was saved as version {version}"
                    )
                else:
                    return text, key_id
            case _:
                wrong = "was changed without the key, or is not an entry of this package"
        raise TokenStoreError(
            f"{place}: the entry {wrong}. It was kept as it is: find out which program changes it; "
            "to start over, delete it and sign in again."
        )

    def __repr__(self) -> str:
        return f"EncryptedTokenStore({self.inner!r})"

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        by_name = self._ask is not None and is_named(self._ask)
        return EncryptedTokenStore, self.inner, self._ask if by_name else _keys_of_other_process


def fernets(keys: object) -> Fernets:
    """The keys by an id that does not reveal them; raises ConfigurationError for a bad key."""
    keys = hidden(keys)
    several = isinstance(keys, Iterable) and not isinstance(keys, str | bytes)
    given: list[Any] = hidden(list(keys) if several else [keys] if keys else [])  # type: ignore[call-overload]
    known = {}
    for number, key in enumerate(given, 1):
        with suppress(TypeError, ValueError):
            fernet = Fernet(key)
            raw = SecretBytes(base64.urlsafe_b64decode(key))  # one key has several spellings
            known[hashlib.sha256(b"atlassian_auth_adapter:" + raw).hexdigest()[:16]] = fernet
            continue
        raise ConfigurationError(
            f"key {number} of {len(given)} of the EncryptedTokenStore is not a Fernet key. {_MAKE}"
        )
    if not known:
        raise ConfigurationError(f"the EncryptedTokenStore has no key. {_MAKE}")
    return known


def _answer(ask: Callable[[], Keys]) -> Keys:
    try:
        return ask()
    except AtlassianAuthError:
        raise
    except Exception as error:  # noqa: BLE001 - it is the caller's function
        what = "the function that returns the keys of the EncryptedTokenStore"
        raise_clean(callable_failed(what, error, "key"))


def _decrypted(fernet: Fernet, token: str) -> Any:
    """The JSON that was encrypted, or None when the token is not, to the letter, what we made."""
    with suppress(InvalidToken, RecursionError, ValueError):
        content = hidden(json.loads(fernet.decrypt(token)))
        # The last character of base64 has bits that are not used.
        exact = base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)).decode() == token
        return content if exact else None
    return None


def _keys_of_other_process() -> NoReturn:
    raise TokenStoreError(
        "this EncryptedTokenStore was unpickled in another process, without its keys. Give the "
        "keys as a function on the top level of a module: EncryptedTokenStore(inner, get_keys)."
    )


def _renew_lock() -> None:
    global _asking  # noqa: PLW0603 - another thread of the parent may hold it
    _asking = threading.RLock()


after_fork(_renew_lock)
