"""Client secrets of profiles: each is kept in the store of its profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from atlassian_auth_adapter.clients.environment import client_secret_from_env, has_client_secret
from atlassian_auth_adapter.errors import ConfigurationError, without_frames
from atlassian_auth_adapter.pickling import PickledByName
from atlassian_auth_adapter.profiles.profile import Profile, StoreName
from atlassian_auth_adapter.profiles.stores import open_store, place_in
from atlassian_auth_adapter.records import TokenKey, change, load as load_record
from atlassian_auth_adapter.records.client_secret import ClientSecret

__all__ = ["StoredSecret", "client_secret_of", "drop_secret", "keep_secret", "stored_secret"]


def client_secret_of(profile: Profile) -> str:
    """The client secret: that of the environment, or else the stored one. May block on the store.

    Raises:
        ConfigurationError: There is no client secret.
        TokenStoreError: It cannot be read.
    """
    return stored_secret(profile.store, profile.arguments())()


def stored_secret(store: Literal["", StoreName], arguments: Mapping[str, Any]) -> StoredSecret:
    """Fetches the secret of the client with these arguments.

    Raises:
        ConfigurationError: As `place_in`.
    """
    is_optional = place_in(arguments).server.public_clients
    return StoredSecret(store, _secret_key(arguments), is_optional)


@dataclass(frozen=True, slots=True)
class StoredSecret(PickledByName):
    """Fetches a client secret. It is read again for each token request, so it can be changed.

    Attributes:
        store: Where it is kept; "": in the environment only.
        key: Its name in the store.
        is_optional: Without one the client is a public client, whose secret is "".
    """

    store: Literal["", StoreName]
    key: TokenKey
    is_optional: bool = False

    def __call__(self) -> str:
        """The secret; raises as `client_secret_of`."""
        if has_client_secret():
            return client_secret_from_env()
        if self.store:
            stored, _ = load_record(open_store(self.store), self.key, ClientSecret)
            if stored:
                return stored.secret
        if self.is_optional:
            return ""
        raise ConfigurationError(
            f"no client secret is stored for client {self.key.client_id!r}. Run atlassian-auth "
            "login, or set ATLASSIAN_CLIENT_SECRET."
        )


@without_frames
def keep_secret(profile: Profile, secret: str) -> None:
    """Store the client secret in the profile's store.

    Raises:
        ConfigurationError: It is missing or malformed.
        TokenStoreError: It cannot be saved.
    """
    from atlassian_auth_adapter.oauth.token_endpoint import checked_secret  # loads Authlib

    kept = ClientSecret(checked_secret(secret))
    key = _secret_key(profile.arguments())
    change(open_store(profile.store), key, ClientSecret, lambda _: kept)


def drop_secret(profile: Profile, others: Iterable[Profile]) -> None:
    """Delete the client secret of a profile, unless one of the other profiles needs it.

    Raises:
        ConfigurationError, TokenStoreError: The store does not work.
    """
    for store, key in _secrets_of([profile]):
        if (store, key) not in _secrets_of(others):
            open_store(store).delete(key.name)


def _secrets_of(profiles: Iterable[Profile]) -> Iterator[tuple[StoreName, TokenKey]]:
    """In which stores their secrets are, and under which keys."""
    for profile in profiles:
        with suppress(ConfigurationError):  # its place is invalid, so no secret is kept for it
            if profile.store:
                yield profile.store, _secret_key(profile.arguments())


def _secret_key(arguments: Mapping[str, Any]) -> TokenKey:
    """Names the secret of a client: it is for that client at that server only.

    Raises:
        ConfigurationError: As `place_in`.
    """
    issuer = place_in(arguments).server.issuer
    return TokenKey(issuer, arguments.get("client_id", ""), "", "client_secret")
