"""EncryptedTokenStore: what another store keeps, readable only with a key of ours.

The inner store is handed a record that says nothing but its generation:

    Record(
        generation=7,                                in clear: compare-and-swap needs it
        token_set=TokenSet(
            access_token="<id of the key>.<Fernet token>",
            refresh_token="encrypted",               or "", if there is no refresh token
        ),
    )

The Fernet token seals the whole record together with the identity of its TokenKey. Of what the
inner store gives back nothing else is believed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, NoReturn, TypeAlias

try:
    from cryptography.fernet import Fernet, InvalidToken
except ImportError as error:
    from atlassian_auth_adapter.errors import MissingExtraError

    raise MissingExtraError(
        "cryptography is not installed: pip install 'atlassian-auth-adapter[crypto]'"
    ) from error

from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    without_frames,
)
from atlassian_auth_adapter.pickling import Unique, is_named
from atlassian_auth_adapter.stores.base import (
    Record,
    TokenKey,
    TokenStore,
    record_in,
    stored_form,
)
from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["EncryptedTokenStore"]

Keys: TypeAlias = str | bytes | Sequence[str | bytes]

#: In place of a refresh token: MemoryTokenStore protects whatever has one from forked children.
_MARKER = "encrypted"

#: The id of a key (hexadecimal), a dot, a Fernet token (base64url).
_SEALED = re.compile(r"([0-9a-f]{16})\.([\w=-]+)", re.ASCII)

#: Times that somebody else may be faster than `rotate` before the inner store is called broken.
_MOST_OVERTAKINGS = 10

#: Guards the calls of the functions that give keys. Reentrant: such a function may use a store.
_asking = threading.RLock()


class EncryptedTokenStore(Unique):
    """Keeps records in another store, encrypted and authenticated (Fernet); shared as that one is.

    Somebody who can write to the inner store cannot read a login, change it or move it to another
    key or generation; he can delete it, or put back as a whole what stood there before. Issuer,
    client id and account may be visible in the inner store. Blocks as the inner store does, and
    on the function that gives the keys.

    A record that is not encrypted is refused. To seal a login that exists already, while nothing
    else uses it (do the same for `key.for_authorizations()`):

        record = inner.load(key)
        EncryptedTokenStore(inner, keys).save(key, record, expected=record.generation)

    To change the key, put the new one in front of the old one everywhere, call `rotate` for each
    login, then remove the old one.

    Two stores with equal inner stores are equal, whatever their keys. A copy is the store itself. A
    pickle holds no key: the same process and its forked children find the very store by it; any
    other process rebuilds it if the keys are given by a function of a module, and otherwise is
    told to do that.

    Args:
        inner: Where the encrypted records are kept.
        keys: A Fernet key, or several: the first one encrypts, all of them decrypt; or a function
            without arguments that returns that. It is called once, on the first use.

    Raises:
        ConfigurationError: There is no key, or one that is no Fernet key. If a function gives
            them, this is raised on the first use.
    """

    @without_frames
    def __init__(self, inner: TokenStore, keys: Keys | Callable[[], Keys]) -> None:
        self.inner = inner
        if not isinstance(inner, TokenStore):
            raise ConfigurationError(
                "EncryptedTokenStore encrypts another store, such as FileTokenStore(path); a "
                f"{type(inner).__name__} is none."
            )
        self._ask: Callable[[], Keys] | None = keys if callable(keys) else None
        self._known: dict[str, Fernet] = {} if callable(keys) else _by_id(keys)

    @without_frames
    def load(self, key: TokenKey) -> Record | None:
        """The record, or None when there is none.

        Raises:
            TokenStoreError: The record is not encrypted, was encrypted with a key that is not
                among ours, was changed, or belongs to another key or generation; or the function
                that gives the keys raised. What is stored was left as it is. Also as the inner
                store does.
            ConfigurationError: As for the class.
        """
        stored = self.inner.load(key)
        return None if stored is None else self._opened(key, stored)[0]

    @without_frames
    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        """The record is kept by the inner store, encrypted with the first key.

        What is stored already must be readable, or not encrypted.

        Args:
            key: Under which name.
            record: What to keep.
            expected: Generation that must be stored now; None: there must be no record.

        Raises:
            StaleRecordError: Somebody else was faster; nothing was written.
            TokenStoreError: What is stored already was encrypted with a key that is not among ours,
                was changed, or belongs to another key or generation; or the function that gives the
                keys raised. The previous record still stands. Also as the inner store does.
            ConfigurationError: As for the class.
        """
        stored = self.inner.load(key)
        if stored is not None and _sealed_text(stored):
            self._opened(key, stored)  # what cannot be read is not overwritten
        self.inner.save(key, self._sealed(key, record), expected=expected)

    def delete(self, key: TokenKey) -> None:
        """There is no record afterwards, also of one that cannot be decrypted.

        Raises:
            TokenStoreError: As the inner store does.
        """
        self.inner.delete(key)

    def lock(self, key: TokenKey, *, timeout: float) -> AbstractContextManager[None]:
        """The inner store's lock.

        Args:
            key: What to lock.
            timeout: Seconds to wait for somebody else.

        Raises:
            TokenStoreTimeoutError: Somebody held it all that time.
            TokenStoreError: As the inner store does.
        """
        return self.inner.lock(key, timeout=timeout)

    @without_frames
    def rotate(self, key: TokenKey, *, timeout: float = 60.0) -> None:
        """The record, if there is one, is encrypted with the first key; its login is unchanged.

        Takes the lock: notes on a refresh under way leave the generation as it is, so that
        compare-and-swap alone would not see them.

        Args:
            key: Which record.
            timeout: Seconds to wait for somebody else's refresh.

        Raises:
            TokenStoreTimeoutError: Somebody held the lock all that time.
            TokenStoreError: As `load` and `save` do.
        """
        with self.inner.lock(key, timeout=timeout):
            for _ in range(_MOST_OVERTAKINGS):
                stored = self.inner.load(key)
                if stored is None:
                    return
                record, key_id = self._opened(key, stored)
                if key_id == next(iter(self._keys())):
                    return
                with suppress(StaleRecordError):
                    self.save(key, record, expected=stored.generation)
                    return
        raise StaleRecordError(
            f"{self._place(key)}: somebody else is always faster. It is as it was; try again."
        )

    def _keys(self) -> dict[str, Fernet]:
        """The keys by their ids, the first one first."""
        if self._ask and not self._known:
            with _asking:
                if not self._known:
                    self._known = _by_id(_answer(self._ask))
        return self._known

    def _sealed(self, key: TokenKey, record: Record) -> Record:
        key_id, fernet = next(iter(self._keys().items()))
        text = json.dumps(stored_form(key, record))
        token = fernet.encrypt(text.encode()).decode()
        refreshable = record.token_set and record.token_set.refresh_token
        return Record(
            record.generation, TokenSet(f"{key_id}.{token}", _MARKER if refreshable else "")
        )

    def _opened(self, key: TokenKey, stored: Record) -> tuple[Record, str]:
        """The record, and the id of the key that it was encrypted with."""
        sealed = _sealed_text(stored)
        if sealed is None:
            raise TokenStoreError(
                f"{self._place(key)}: the record is not encrypted, and was left as it is. To seal "
                "it, load it from the inner store and save it through this one: record = "
                "inner.load(key); store.save(key, record, expected=record.generation)."
            )
        key_id, token = sealed.groups()
        fernet = self._keys().get(key_id)
        if fernet is None:
            raise TokenStoreError(
                f"{self._place(key)}: the record was encrypted with the key {key_id}; there are "
                f"{', '.join(self._keys())} here. Add that key behind them. Nothing was changed."
            )
        text = _decrypted(fernet, token)
        if text is None:
            raise self._foreign(key, "was changed by somebody who does not have the key")
        record = record_in(text, key, self._place(key))
        if record.generation != stored.generation:
            raise self._foreign(
                key, f"says generation {stored.generation}, but was saved as {record.generation}"
            )
        return record, key_id

    def _foreign(self, key: TokenKey, wrong: str) -> TokenStoreError:
        return TokenStoreError(
            f"{self._place(key)}: the record {wrong}. It was kept as it is: find out who writes "
            "there; to start over, delete it and log in again."
        )

    def _place(self, key: TokenKey) -> str:
        return f"account {key.account!r} ({key.kind}) in {self.inner!r}"

    def __eq__(self, other: object) -> bool:
        return self.inner == other.inner if isinstance(other, EncryptedTokenStore) else False

    def __hash__(self) -> int:
        return hash((EncryptedTokenStore, self.inner))

    def __repr__(self) -> str:
        return f"EncryptedTokenStore({self.inner!r})"

    def _elsewhere(self) -> tuple[Any, ...]:
        by_name = self._ask is not None and is_named(self._ask)
        return EncryptedTokenStore, self.inner, self._ask if by_name else _stayed_behind


def _sealed_text(stored: Record) -> re.Match[str] | None:
    return _SEALED.fullmatch(stored.token_set.access_token if stored.token_set else "")


def _by_id(keys: object) -> dict[str, Fernet]:
    """The keys by a name that does not give them away.

    Raises:
        ConfigurationError: There is none, or one is no Fernet key.
    """
    several = isinstance(keys, Iterable) and not isinstance(keys, str | bytes)
    given = list(keys) if several else [keys] if keys else []  # type: ignore[call-overload]
    known = {}
    for number, key in enumerate(given, 1):
        with suppress(TypeError, ValueError):
            fernet = Fernet(key)
            raw = base64.urlsafe_b64decode(key)  # one key has several spellings
            known[hashlib.sha256(b"atlassian_auth_adapter:" + raw).hexdigest()[:16]] = fernet
            continue
        raise ConfigurationError(
            f"key {number} of {len(given)} of the EncryptedTokenStore is no Fernet key. {_MAKE}"
        )
    if not known:
        raise ConfigurationError(f"the EncryptedTokenStore has no key. {_MAKE}")
    return known


_MAKE = "Make one with cryptography.fernet.Fernet.generate_key() and keep it apart from the logins."


def _answer(ask: Callable[[], Keys]) -> Keys:
    try:
        return ask()
    except AtlassianAuthError:
        raise
    except Exception as error:  # noqa: BLE001 - it is the caller's function
        place = traceback.extract_tb(error.__traceback__)[-1]
        failure = f"{type(error).__name__} in {place.filename}, line {place.lineno}"
    # Raised out here, without a cause: the text of the error may quote a key.
    raise TokenStoreError(
        f"the function that gives the EncryptedTokenStore its keys raised {failure}. Its text is "
        "not shown: it may hold a key."
    )


def _decrypted(fernet: Fernet, token: str) -> bytes | None:
    """What was encrypted, or None when the token is not exactly what we have made."""
    with suppress(InvalidToken, ValueError):
        content = fernet.decrypt(token)
        # The last character of base64 has bits that mean nothing.
        exact = base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)).decode() == token
        return content if exact else None
    return None


def _stayed_behind() -> NoReturn:
    raise TokenStoreError(
        "this EncryptedTokenStore was unpickled in another process, where its keys are not. Give "
        "the keys as a function on the top level of a module: EncryptedTokenStore(inner, get_keys)."
    )


def _after_fork_in_child() -> None:
    global _asking  # noqa: PLW0603 - another thread of the parent may hold it
    _asking = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
