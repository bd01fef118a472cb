"""Records: what is kept of a login, and the text of it that stores keep.

    name   fb4c16e78550eae9a58551103306e889          digest of the key, and ".kind" unless a login
    text   {"schema": 2,
            "key": {"issuer": "https://auth.atlassian.com", "client_id": "abc",
                    "account": "default", "kind": "login"},
            "resource_server": "https://api.atlassian.com",
            "generation": 7, "login_id": "5a1f...", "token_set": {...}, ...}

The key is stored with the record for people; a record under the name of another key is refused.
Tokens are for the resource server that is stored with them: every other one is refused.
Fields with their default value are left out, and each value is checked when it is read. `math.inf`
is written as null.
"""

from __future__ import annotations

import hashlib
import json
import math
import types
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NamedTuple,
    TypeAlias,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from atlassian_auth_adapter.errors import ConfigurationError, TokenStoreError, raise_clean
from atlassian_auth_adapter.foreign_text import printable
from atlassian_auth_adapter.secret_text import SecretText, hidden
from atlassian_auth_adapter.stores.base import KEPT, Entry, TokenStore, ask, update
from atlassian_auth_adapter.tokens import TokenSet

if TYPE_CHECKING:  # a stored login is read without them
    from atlassian_auth_adapter.records.authorizations import Authorizations
    from atlassian_auth_adapter.records.client_secret import ClientSecret
    from atlassian_auth_adapter.records.sites import Sites

__all__ = [
    "SCHEMA",
    "Journal",
    "Login",
    "TokenKey",
    "change",
    "load",
    "read",
    "save",
    "write",
]

#: Version of the stored form. Every other one is refused.
SCHEMA = 2

R = TypeVar("R", "Login", "Authorizations", "Sites", "ClientSecret")
Record: TypeAlias = "Login | Authorizations | Sites | ClientSecret"

#: Refresh tokens of other programs that are remembered as spent.
REMEMBERED_TAKEOVERS = 20

DeadReason = Literal["refused", "answer_lost"]


class TokenKey(NamedTuple):
    """Names one login.

    Attributes:
        issuer: The authorization server.
        client_id: The OAuth client.
        account: Whose login: any text.
        kind: Of the record: a person's tokens ("login"), those of a client that acts for itself,
            authorizations that wait for a redirect, the cloud ids that were found, or the secret of
            a profile's client.
        resource_server: Where its tokens are sent; "" in a key that sends none. It is no part of
            the name: a login is not another one because a program is configured otherwise.
    """

    issuer: str
    client_id: str
    account: str
    kind: Literal["login", "service_account", "authorizations", "sites", "client_secret"] = "login"
    resource_server: str = ""

    @property
    def name(self) -> str:
        """The name of its entry in a store: a digest, and ".kind" unless it is a login."""
        digest = _digest(self.issuer, self.client_id, self.account)
        return digest if self.kind == "login" else f"{digest}.{self.kind}"

    @property
    def stored(self) -> dict[str, str]:
        """As it is stored."""
        names = ("issuer", "client_id", "account", "kind")
        return {name: getattr(self, name) for name in names}

    def for_authorizations(self) -> TokenKey:
        """The key of this login's pending authorizations."""
        return self._replace(kind="authorizations")

    def for_sites(self) -> TokenKey:
        """The key of the cloud ids of this login's sites."""
        return self._replace(kind="sites")

    def hashed(self, secret: str) -> str:
        """A salted hash of the secret: the key's name is the salt."""
        return hashlib.sha256(f"{self.name}:{secret}".encode()).hexdigest()[:16]


@lru_cache(maxsize=256)  # a renewal asks a dozen times
def _digest(issuer: str, client_id: str, account: str) -> str:
    text = json.dumps([issuer, client_id, account, "login"])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Journal(NamedTuple):
    """A refresh that was sent, or is about to be, and whose result is not saved yet.

    Attributes:
        token_hash: Salted hash of the refresh token that is sent.
        started_at: POSIX timestamp (seconds) of the first time it was sent.
        owner: Host and process that sends it.
    """

    token_hash: str
    started_at: float
    owner: str = ""


class Login(NamedTuple):
    """What is kept of one login. Its secrets are in `token_set` only.

    Attributes:
        generation: +1 with each rotation and each sign-in; it never starts again at 1, not even
            after the login was forgotten.
        login_id: Random name of the login, made by its first save and kept through all rotations;
            "" when another program has saved it.
        token_set: The tokens, or None before the first sign-in, or when the login was forgotten.
        journal: See `Journal`.
        takeover: The same for a refresh token from another program, whose login replaces this one.
        throttled_until: POSIX timestamp (seconds) before which the token endpoint is not asked.
        dead: Salted hash of a refresh token that the server has refused, or "".
        dead_reason: Why it is dead, as in `LoginRequiredError.reason`.
        forced_until: POSIX timestamp (seconds) at which the budget of forced refreshes is full
            again; see `refresh.protocol`.
        taken_over: Salted hashes of the refresh tokens with which logins were taken over from other
            programs, the latest last: they are spent, however often a program passes them.
        authorized_at: POSIX timestamp (seconds) of the resource owner's consent, 0 when not known.
    """

    generation: int = 0
    login_id: str = ""
    token_set: TokenSet | None = None
    journal: Journal | None = None
    takeover: Journal | None = None
    throttled_until: float = 0.0
    dead: str = ""
    dead_reason: DeadReason = "refused"
    forced_until: float = 0.0
    taken_over: tuple[str, ...] = ()
    authorized_at: float = 0.0

    def named(self, key: TokenKey) -> str:
        """Its login_id; before it has one, the hash of its refresh token."""
        return self.login_id or (key.hashed(self.token_set.refresh_token) if self.token_set else "")

    def taken_over_with(self, token_hash: str) -> tuple[str, ...]:
        """`taken_over` with one more."""
        return (*self.taken_over, token_hash)[-REMEMBERED_TAKEOVERS:]

    def precedes(self, other: Login) -> bool:
        """Whether the other one is a later state of the same login."""
        is_same = self.login_id == other.login_id != ""
        return is_same and self.generation < other.generation


def write(key: TokenKey, record: Record) -> str:
    """The text of a record: one line of printable ASCII. It holds the secrets."""
    whose: dict[str, Any] = {"schema": SCHEMA, "key": key.stored}
    if key.resource_server and isinstance(record, Login) and record.token_set:
        whose["resource_server"] = key.resource_server
    return SecretText(json.dumps(whose | _stored(record)))


def read(text: str, key: TokenKey, kind: type[R], place: str) -> R:
    """The record that a text holds; `place` is where it is stored, for the error.

    Raises:
        TokenStoreError: It is damaged, is another key's, or was written by another release. Neither
            the error nor its context quotes what is stored.
        ConfigurationError: Its tokens are for another resource server than the key's.
    """
    text = hidden(text)
    try:
        stored: Any = hidden(json.loads(text))
    except (ValueError, RecursionError):  # the error holds what was parsed, so it is not raised
        stored = None
    if wrong := _damage(stored, key):
        raise TokenStoreError(f"{place}: {wrong}")
    try:
        record: R = _value(kind, stored)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        why = error if isinstance(error, ConfigurationError) else type(error).__name__
        raise_clean(TokenStoreError(f"{place}: the record is damaged ({why}). {KEPT}"))
    meant_for = stored.get("resource_server", key.resource_server)
    if key.resource_server not in ("", meant_for):
        raise ConfigurationError(
            f"{place}: the tokens of this login are for {printable(meant_for)}, and this client "
            f"would send them to {key.resource_server}. Nothing was sent.",
            advice="Correct the hosts in `cloud`; or, if they are right, forget() the login and "
            "sign in again.",
        )
    return record


def load(store: TokenStore, key: TokenKey, kind: type[R]) -> tuple[R | None, int | None]:
    """The record that a store keeps for a key, and its version; both None without a record.

    Raises:
        TokenStoreError: It cannot be read, or is not such a record.
        ConfigurationError: As `read`.
    """
    entry = ask(store, partial(store.load, key.name))
    if entry is None:
        return None, None
    return read(entry.text, key, kind, _place(store, key)), entry.version


def save(store: TokenStore, key: TokenKey, record: Record, *, expected: int | None) -> None:
    """Save the record; arguments and errors are those of `TokenStore.save`."""
    ask(store, partial(store.save, key.name, write(key, record), expected=expected))


def change(
    store: TokenStore, key: TokenKey, kind: type[R], how: Callable[[R | None], R | None]
) -> None:
    """Change a record without the lock; see `stores.base.update`.

    Args:
        store: Where it is kept.
        key: Of the record.
        kind: Its type.
        how: From the record to the new one, None for no change; called again when another process
            has saved first.

    Raises:
        TokenStoreError: As `load` and `save`.
    """

    def changed(entry: Entry | None) -> str | None:
        before = read(entry.text, key, kind, _place(store, key)) if entry else None
        after = how(before)
        return None if after is None else write(key, after)

    update(store, key.name, changed)


def _place(store: TokenStore, key: TokenKey) -> str:
    return f"account {key.account!r} ({key.kind}, {key.name}) in {store!r}"


_NO_RECORD = f"it is damaged: not a record of this package. {KEPT}"


def _damage(stored: object, key: TokenKey) -> str:
    """Why this is not a record of that key in this schema, or ""."""
    if not isinstance(stored, dict):
        return _NO_RECORD
    schema = stored.get("schema", stored.get("version"))
    if isinstance(schema, int) and schema > SCHEMA:
        return (
            f"the record was written by a later release (schema {schema}, this one reads "
            f"{SCHEMA}). Upgrade atlassian-auth-adapter here; nothing was changed."
        )
    if "version" in stored and "schema" not in stored:
        return (
            "the record was written by an earlier release (schema 1), in a form that this one does "
            "not read. forget() the login, or delete the entry, and sign in again."
        )
    if schema != SCHEMA:
        return _NO_RECORD
    # ContextTokenStore makes records of another program's logins, and knows the name alone.
    if stored.get("key") not in (key.stored, key.name):
        return f"it is the record of another key. {KEPT}"
    return ""


def _stored(value: Any) -> Any:
    """The value for JSON: fields without those that have their default, `math.inf` as None."""
    if _has_fields(value):
        items = [(name, getattr(value, name)) for name in value._fields]
        known = value._field_defaults
        return {
            name: _stored(item) for name, item in items if name not in known or item != known[name]
        }
    if isinstance(value, tuple):
        return [_stored(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return None if value == math.inf else value


def _has_fields(value: object) -> bool:
    """Whether it is a NamedTuple or a Value, or one of these classes."""
    return hasattr(value, "_fields")


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    """The types of the fields that are stored."""
    hints = get_type_hints(kind)
    return {name: hints[name] for name in kind._fields}


def _value(kind: Any, stored: Any) -> Any:
    """The value of that type. Raises a ValueError, TypeError ... when `stored` is not one."""
    if _has_fields(kind):
        hints = _hints(kind)
        if not isinstance(stored, dict):
            raise TypeError("not an object")
        # A later release may have added fields to this schema.
        known = stored.keys() & hints.keys()
        return kind(**{name: _value(hints[name], stored[name]) for name in known})
    match get_origin(kind), get_args(kind):
        case (types.UnionType, (some, _)):
            return None if stored is None else _value(some, stored)
        case (origin, (item, *_)) if origin is tuple and isinstance(stored, list):
            return tuple(_value(item, one) for one in stored)
        case (origin, (of, to)) if origin is Mapping and isinstance(stored, dict):
            return {_value(of, name): _value(to, one) for name, one in stored.items()}
        case (origin, choices) if origin is Literal and stored in choices:
            return stored
    if kind is float:
        number = math.inf if stored is None else float(stored)
        if isinstance(stored, str | bool) or math.isnan(number):
            raise ValueError("not a number")
        return number
    if kind is str and isinstance(stored, str):
        stored.encode()  # raises a ValueError for half a character, which cannot be sent or shown
        return str(stored)  # plain again; what is a secret is hidden by its record
    if type(stored) is not kind:
        raise TypeError("of another type")
    if kind is str:
        stored.encode()  # raises a ValueError for half a character, which cannot be sent or shown
    return stored
