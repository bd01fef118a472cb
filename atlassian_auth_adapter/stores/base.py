"""What a store keeps (Record), under which name (TokenKey), and what it must do (TokenStore)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from atlassian_auth_adapter.errors import TokenStoreError
from atlassian_auth_adapter.tokens import TokenSet

if TYPE_CHECKING:  # who has logged in already needs none
    from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest

__all__ = [
    "ELSEWHERE",
    "SCHEMA_VERSION",
    "Pending",
    "Record",
    "TokenKey",
    "TokenStore",
    "record_in",
    "stored_form",
]

#: Version of the stored form. A reader refuses a later one instead of losing what it does not know.
SCHEMA_VERSION = 1

#: What a program does without a keyring.
ELSEWHERE = "FileTokenStore(path), or EncryptedTokenStore around it, is the store to choose then."

_KEPT = "It was kept as it is: move it away, or forget() the login, and log in again."


@dataclass(frozen=True, slots=True)
class TokenKey:
    """Names one login.

    Attributes:
        issuer: The authorization server.
        client_id: The OAuth client.
        account: Whose login: any text.
        kind: "login" for tokens, "service_account" for those of a client that acts for itself,
            "authorizations" for the authorizations that wait for a redirect, "sites" for the cloud
            ids that were found out, "client_secret" for the secret of a profile's client, "probe"
            for what is written to try a store.
    """

    issuer: str
    client_id: str
    account: str
    kind: Literal[
        "login", "service_account", "authorizations", "sites", "client_secret", "probe"
    ] = "login"

    @property
    def digest(self) -> str:
        """A short name that is safe in file names and database keys, the same on every host."""
        text = json.dumps([self.issuer, self.client_id, self.account, self.kind])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def for_authorizations(self) -> TokenKey:
        """Where this login's pending authorizations are kept."""
        return replace(self, kind="authorizations")

    def for_sites(self) -> TokenKey:
        """Where the cloud ids of this login's sites are remembered."""
        return replace(self, kind="sites")


@dataclass(frozen=True, slots=True)
class Pending:
    """A refresh that was sent and whose end is not on record: the crash journal.

    Attributes:
        token_hash: Salted hash of the refresh token that was sent.
        started_at: POSIX timestamp (seconds) of the first time it was sent.
        owner: Host and process that sent it.
    """

    token_hash: str
    started_at: float
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that is kept under one key. Secrets are in `token_set` and `authorizations` only.

    Attributes:
        generation: +1 with each rotation and each login; it never starts anew, also not after a
            login was forgotten.
        token_set: The login, or None when nobody logged in, or it was forgotten.
        pending: See `Pending`.
        throttled_until: POSIX timestamp (seconds) before which the token endpoint is not asked.
        dead: Salted hash of a refresh token that the server has refused, or "".
        dead_reason: Why it is dead, as in `LoginRequiredError.reason`.
        forced_at: POSIX timestamp (seconds) of this generation if it was fetched because a resource
            server had rejected its predecessor, else 0.
        taken_over: Salted hash of the refresh token with which the login was taken over from
            elsewhere, or "": it is spent, however often a program offers it.
        login: Random name of the login, the same through all its rotations; "" when not known.
        authorized_at: POSIX timestamp (seconds) of the resource owner's consent, 0 when not known.
        authorizations: Started authorizations, under their own key.
        sites: Pairs of site URL and cloud id of that login, under their own key; a product in place
            of the URL: the only site of the grant that has it.
    """

    generation: int = 0
    token_set: TokenSet | None = None
    pending: Pending | None = None
    throttled_until: float = 0.0
    dead: str = ""
    dead_reason: Literal["refused", "answer_lost"] = "refused"
    forced_at: float = 0.0
    taken_over: str = ""
    login: str = ""
    authorized_at: float = 0.0
    authorizations: tuple[AuthorizationRequest, ...] = field(default=())
    sites: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The stored form. It holds the secrets."""
        stored: dict[str, Any] = {"version": SCHEMA_VERSION, "generation": self.generation}
        if token_set := self.token_set:
            stored["token_set"] = {
                "access_token": token_set.access_token,
                "refresh_token": token_set.refresh_token,
                "expires_at": None if token_set.expires_at == math.inf else token_set.expires_at,
                "scope": token_set.scope,
                "token_type": token_set.token_type,
                "obtained_at": token_set.obtained_at,
            }
        if pending := self.pending:
            stored["pending"] = {
                "token_hash": pending.token_hash,
                "started_at": pending.started_at,
                "owner": pending.owner,
            }
        if self.throttled_until:
            stored["throttled_until"] = self.throttled_until
        if self.dead:
            stored |= {"dead": self.dead, "dead_reason": self.dead_reason}
        if self.forced_at:
            stored["forced_at"] = self.forced_at
        if self.taken_over:
            stored["taken_over"] = self.taken_over
        if self.login:
            stored["login"] = self.login
        if self.authorized_at:
            stored["authorized_at"] = self.authorized_at
        if self.authorizations:
            stored["authorizations"] = [
                {
                    "state": request.state,
                    "code_verifier": request.code_verifier,
                    "created": request.created,
                    "scope": request.scope,
                }
                for request in self.authorizations
            ]
        if self.sites:
            stored["sites"] = dict(self.sites)
        return stored

    @classmethod
    def from_json(cls, stored: object) -> Record:
        """Read the stored form.

        Raises:
            TokenStoreError: It is not one, or was written by a later release.
        """
        if not isinstance(stored, Mapping):
            raise TokenStoreError("what is stored is not a record of this package.")
        version = stored.get("version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise TokenStoreError(
                f"the record was written by a later release (schema {version}, this one reads "
                f"{SCHEMA_VERSION}). Upgrade atlassian-auth-adapter here; nothing was changed."
            )
        try:
            return cls(
                generation=int(stored["generation"]),
                token_set=_token_set(stored.get("token_set")),
                pending=_pending(stored.get("pending")),
                throttled_until=float(stored.get("throttled_until", 0.0)),
                dead=str(stored.get("dead", "")),
                dead_reason=(
                    "answer_lost" if stored.get("dead_reason") == "answer_lost" else "refused"
                ),
                forced_at=float(stored.get("forced_at", 0.0)),
                taken_over=str(stored.get("taken_over", "")),
                login=str(stored.get("login", "")),
                authorized_at=float(stored.get("authorized_at", 0.0)),
                authorizations=tuple(
                    _authorization(request) for request in stored.get("authorizations", ())
                ),
                sites=tuple(
                    (str(url), str(cloud_id)) for url, cloud_id in stored.get("sites", {}).items()
                ),
            )
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            damage = type(error).__name__
        # Outside of the handler: the context's text may quote what is stored.
        raise TokenStoreError(f"the record is damaged ({damage}). It was kept as it is.")


def _token_set(stored: Any) -> TokenSet | None:
    if not stored:
        return None
    expires_at = stored["expires_at"]
    return TokenSet(
        access_token=str(stored["access_token"]),
        refresh_token=str(stored["refresh_token"]),
        expires_at=math.inf if expires_at is None else float(expires_at),
        scope=str(stored["scope"]),
        token_type=str(stored["token_type"]),
        obtained_at=float(stored["obtained_at"]),
    )


def _pending(stored: Any) -> Pending | None:
    if not stored:
        return None
    return Pending(str(stored["token_hash"]), float(stored["started_at"]), str(stored["owner"]))


def _authorization(stored: Any) -> AuthorizationRequest:
    from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest

    return AuthorizationRequest(
        state=str(stored["state"]),
        code_verifier=str(stored["code_verifier"]),
        created=float(stored["created"]),
        scope=str(stored["scope"]),
    )


def stored_form(key: TokenKey, record: Record) -> dict[str, Any]:
    """A record with its key beside it, as JSON values: people can read whose it is."""
    return {"key": asdict(key), **record.to_json()}


def record_in(text: str | bytes, key: TokenKey, place: str) -> Record:
    """Read a stored form, written as JSON.

    Args:
        text: What is stored.
        key: Whose record it must be.
        place: Where it is stored, for the error.

    Raises:
        TokenStoreError: It is not one, is damaged, is another key's, or was written by a later
            release. Neither the error nor its context quotes what is stored.
    """
    # An error of the parser holds what it parsed, also as the context of the error raised from it:
    # everything is raised outside of the handlers.
    try:
        stored: Any = json.loads(text)
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict) or "key" not in stored:
        wrong = f"it is damaged: not a record of this package. {_KEPT}"
    elif stored["key"] != asdict(key):
        wrong = f"it is the record of another key. {_KEPT}"
    else:
        try:
            return Record.from_json(stored)
        except TokenStoreError as error:
            wrong = str(error)
    raise TokenStoreError(f"{place}: {wrong}")


@runtime_checkable
class TokenStore(Protocol):
    """Keeps one record per key, and owns the lock that a refresh needs. No method is optional.

    Two stores that keep their records in the same place compare equal and have the same hash: one
    process then does one refresh for both. Threads share a store; each method may block on I/O.
    What goes wrong is raised as TokenStoreError with a text that names the place; as
    TokenStoreUnavailableError when the place cannot be reached just now, as during a restart: a
    refresh waits some seconds for it to come back.
    """

    def load(self, key: TokenKey) -> Record | None:
        """The record, or None when there is none.

        Raises:
            TokenStoreError: It cannot be read, or is damaged; it was left as it is.
        """

    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        """The record is durable when this returns, and was written whole or not at all.

        Args:
            key: Under which name.
            record: What to keep.
            expected: Generation that must be stored now; None: there must be no record.

        Raises:
            StaleRecordError: Somebody else was faster; nothing was written.
            TokenStoreError: It cannot be written; the previous record still stands.
        """

    def delete(self, key: TokenKey) -> None:
        """There is no record afterwards. No error when there was none.

        Raises:
            TokenStoreError: It cannot be deleted.
        """

    def lock(self, key: TokenKey, *, timeout: float) -> AbstractContextManager[None]:
        """Exclusive among all who share the store, until the context ends or its holder dies.

        Args:
            key: What to lock.
            timeout: Seconds to wait for somebody else.

        Raises:
            TokenStoreTimeoutError: Somebody held it all that time.
            TokenStoreError: The lock cannot be had here at all.
        """
