"""From a profile to its client, or to the token set that is stored for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from atlassian_auth_adapter.clients.environment import (
    PLACE_ARGUMENTS,
    VARIABLES,
    arguments_from_env,
    text_of,
)
from atlassian_auth_adapter.errors import ConfigurationError, without_frames
from atlassian_auth_adapter.expiry import ExpiryPolicy, Freshness
from atlassian_auth_adapter.profiles.directories import TOKEN_DIRECTORY, config_file
from atlassian_auth_adapter.profiles.file import load_profile
from atlassian_auth_adapter.profiles.profile import Profile, StoreName
from atlassian_auth_adapter.profiles.stores import (
    directory_of,
    open_store,
    place_in,
)
from atlassian_auth_adapter.records import Login, load as load_record
from atlassian_auth_adapter.tokens import TokenSet

if TYPE_CHECKING:  # a valid stored token set is returned without them
    from atlassian_auth_adapter.clients.base import AtlassianClient

__all__ = [
    "InUse",
    "client_from_profile",
    "client_of",
    "in_use",
    "stored_token_set",
    "with_variables",
]


@without_frames
def client_from_profile(name: str = "", **arguments: Any) -> AtlassianClient:
    """The client that a profile describes, with the login in its store. Sends no request.

    Variables of the environment (`clients.environment.VARIABLES`, `ATLASSIAN_CLIENT_SECRET` and
    `ATLASSIAN_CLIENT_SECRET_FILE`) win over the profile. One of cloud_id, site_url and server_url
    replaces all three of the profile. The client secret is fetched when it is needed.

    Args:
        name: Which profile; "": as in `load_profile`.
        arguments: Arguments of `create_atlassian_oauth_client`; they win over both.

    Raises:
        ConfigurationError: There is no such profile, or it does not describe a client; the text
            says what to change.
        TokenStoreError: The keyring does not answer.
    """
    return client_of(load_profile(name), **arguments)


@without_frames
def client_of(profile: Profile, **arguments: Any) -> AtlassianClient:
    """The client of a profile that is loaded already; else as `client_from_profile`."""
    from atlassian_auth_adapter.profiles.secrets import stored_secret

    found = _arguments(profile, arguments)
    found.setdefault("client_secret", stored_secret(profile.store, found))
    if profile.flow == "client_credentials":
        from atlassian_auth_adapter.clients.service_account import AtlassianServiceAccountClient

        found.pop("callback_url", None)
        return AtlassianServiceAccountClient(**found)
    from atlassian_auth_adapter.clients.factory import create_atlassian_oauth_client

    return create_atlassian_oauth_client(**found)


def stored_token_set(profile: Profile) -> TokenSet | None:
    """The stored token set of the profile's login if it does not expire soon, else None.

    For programs that run for a moment: it makes no client and loads no HTTP library. After None,
    ask a client.

    Raises:
        ConfigurationError, TokenStoreError: As `client_from_profile`.
    """
    if profile.flow != "authorization_code":
        return None
    found = _arguments(profile, {})
    # Where a client would look under another key, nothing is found here.
    key = place_in(found).token_key(found["client_id"], found["account"])
    login, _ = load_record(found["store"], key, Login)
    token_set = login.token_set if login and not login.dead else None
    if token_set is None:
        return None
    remaining = token_set.expires_at - time.time()
    is_sane = remaining <= token_set.lifetime  # else a clock was wrong
    is_fresh = ExpiryPolicy().freshness(token_set, remaining) is Freshness.FRESH
    return token_set.checked() if is_sane and is_fresh else None


#: What of a profile the environment may replace, but for its store and network.
_OF_PROFILE = ("client_id", "callback_url", "product", "cloud", "scopes", *PLACE_ARGUMENTS)


class InUse(NamedTuple):
    """What counts beside or in place of a profile at this moment.

    Attributes:
        store: Where the login is kept; "": not chosen yet.
        directory: Of the files with the logins.
        variables: The variables of the environment that win over the profile.
    """

    store: Literal["", StoreName]
    directory: Path
    variables: tuple[str, ...]


def in_use(profile: Profile) -> InUse:
    """What counts for a profile in this environment.

    Raises:
        ConfigurationError: A variable is wrong.
    """
    variables = tuple(variable for variable in VARIABLES if text_of(variable))
    store: Literal["", StoreName] = "file" if TOKEN_DIRECTORY in variables else profile.store
    return InUse(store, directory_of(store), variables)


def with_variables(profile: Profile) -> Profile:
    """The profile with what the environment says of its client and place in their place.

    Raises:
        ConfigurationError: A variable is wrong.
    """
    found = arguments_from_env({})
    named = {key: found[key] for key in _OF_PROFILE if key in found}
    if "scopes" in named:
        named["scopes"] = tuple(named["scopes"])
    if PLACE_ARGUMENTS & named.keys():
        named = dict.fromkeys(PLACE_ARGUMENTS, "") | named
    return profile._replace(**named)


def _arguments(profile: Profile, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the profile's client, but for the secret."""
    found = _overlay(_overlay(profile.arguments(), arguments_from_env(given)), given)
    missing = ""
    if not found.get("client_id"):
        missing = "has no client_id. Add it, or set ATLASSIAN_CLIENT_ID."
    elif "store" not in found and not profile.store:
        missing = (
            "does not say where logins are kept. Run: atlassian-auth login, or write "
            'store = "keyring" or store = "file".'
        )
    if missing:
        file = str(config_file())
        raise ConfigurationError(f"profile {profile.name!r} in {file} {missing}", file=file)
    if "store" not in found:
        found["store"] = open_store(profile.store)
    return found


def _overlay(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    replaced = PLACE_ARGUMENTS if PLACE_ARGUMENTS & above.keys() else frozenset()
    return {key: value for key, value in below.items() if key not in replaced} | dict(above)
