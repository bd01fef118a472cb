"""Clients from environment variables, for containers and twelve-factor programs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from atlassian_auth_adapter.atlassian.gateway import checked_cloud_id
from atlassian_auth_adapter.atlassian.locations import normalized_base_url, origin_of_site
from atlassian_auth_adapter.atlassian.products import (
    CloudEnvironment,
    cloud_named,
    product_named,
)
from atlassian_auth_adapter.clients.texts import (
    checked_account,
    checked_callback_url,
    checked_client_id,
    checked_scopes,
    one_line,
)
from atlassian_auth_adapter.disk.files import expanded
from atlassian_auth_adapter.errors import ConfigurationError, raise_clean, without_frames
from atlassian_auth_adapter.secret_text import hidden
from atlassian_auth_adapter.stores.file import FileTokenStore

if TYPE_CHECKING:  # the variables alone are read by programs that have to start quickly
    from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
    from atlassian_auth_adapter.clients.service_account import AtlassianServiceAccountClient
    from atlassian_auth_adapter.transport import Proxy

__all__ = [
    "PLACE_ARGUMENTS",
    "VARIABLES",
    "arguments_from_env",
    "atlassian_oauth_client_from_env",
    "atlassian_service_account_client_from_env",
    "client_secret_from_env",
    "has_client_secret",
    "text_of",
]


def _product(text: str) -> str:
    return product_named(text).name


def _cloud(text: str) -> CloudEnvironment:
    """By its name; or by its hosts, as Isolated Cloud and an emulator have them."""
    auth_url, *hosts = text.split()
    return CloudEnvironment(auth_url, hosts[0], " ".join(hosts[1:])) if hosts else cloud_named(text)


def _file(text: str) -> str:
    path = expanded(text, "give an absolute path")
    with suppress(OSError):  # such as a name that is too long
        if path.exists():
            return str(path)
    raise ConfigurationError("there is no file of that name. Give the path of a CA bundle (PEM).")


def _proxy(text: str) -> Proxy:
    from atlassian_auth_adapter.transport import Transport

    return Transport(proxy=hidden(text)).proxy


def _seconds(text: str) -> float:
    from atlassian_auth_adapter.clients.settings import checked_wait

    seconds = math.nan
    with suppress(ValueError):
        seconds = float(text)
    return checked_wait(seconds)


#: Variable: the argument that it stands for, and the function that converts its text.
VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "ATLASSIAN_CLIENT_ID": ("client_id", checked_client_id),
    "ATLASSIAN_CALLBACK_URL": ("callback_url", checked_callback_url),
    "ATLASSIAN_CLOUD_ID": ("cloud_id", checked_cloud_id),
    "ATLASSIAN_SITE_URL": ("site_url", origin_of_site),
    "ATLASSIAN_SERVER_URL": ("server_url", partial(normalized_base_url, name="server_url")),
    "ATLASSIAN_PRODUCT": ("product", _product),
    "ATLASSIAN_CLOUD": ("cloud", _cloud),
    "ATLASSIAN_SCOPES": ("scopes", checked_scopes),
    "ATLASSIAN_ACCOUNT": ("account", checked_account),
    "ATLASSIAN_TOKEN_DIRECTORY": ("store", FileTokenStore),
    "ATLASSIAN_CA_BUNDLE": ("verify", _file),
    "ATLASSIAN_PROXY": ("proxy", _proxy),
    "ATLASSIAN_MAX_WAIT": ("max_wait", _seconds),
}
#: The secret itself, or the path of a file that holds it, such as a secret of a container.
SECRET, SECRET_FILE = "ATLASSIAN_CLIENT_SECRET", "ATLASSIAN_CLIENT_SECRET_FILE"
#: When the program gives one of these, all three are ignored in the environment.
PLACE_ARGUMENTS = frozenset({"cloud_id", "site_url", "server_url"})


@without_frames
def atlassian_oauth_client_from_env(**arguments: Any) -> AtlassianOAuthClient:
    """The OAuth client that the environment describes.

    Variables: `ATLASSIAN_CLIENT_ID`, `_CLIENT_SECRET` or `_CLIENT_SECRET_FILE`, `_CALLBACK_URL`,
    `_CLOUD_ID`, `_SITE_URL`, `_SERVER_URL`, `_PRODUCT`, `_CLOUD` (a name, or "AUTH_URL API_URL
    AUDIENCE"), `_SCOPES`, `_ACCOUNT`, `_TOKEN_DIRECTORY`, `_CA_BUNDLE`, `_PROXY`, `_MAX_WAIT`, each
    with `ATLASSIAN` before it. Without a secret an app of Trello is a public client. An empty one
    counts as not set; a byte order mark and white space around a value are removed, quotes around
    it are refused.

    Args:
        arguments: Arguments of `create_atlassian_oauth_client`; they win over the environment, one
            of `cloud_id`, `site_url` and `server_url` over all three.

    Raises:
        ConfigurationError: A variable is missing or wrong; the text names it.
    """
    from atlassian_auth_adapter.clients.factory import create_atlassian_oauth_client

    return create_atlassian_oauth_client(**_arguments(arguments))


@without_frames
def atlassian_service_account_client_from_env(**arguments: Any) -> AtlassianServiceAccountClient:
    """The service account that the environment describes, by the same variables.

    `ATLASSIAN_CALLBACK_URL` is ignored.

    Args:
        arguments: Arguments of `AtlassianServiceAccountClient`; they win over the environment.

    Raises:
        ConfigurationError: A variable is missing or wrong; the text names it.
    """
    from atlassian_auth_adapter.clients.service_account import AtlassianServiceAccountClient

    found = _arguments(arguments)
    found.pop("callback_url", None)
    return AtlassianServiceAccountClient(**found)


def client_secret_from_env() -> str:
    """The client secret; read again for each token request, so that it can be changed.

    Raises:
        ConfigurationError: It is missing or malformed.
    """
    if secret := hidden(text_of(SECRET)):
        return _secret(secret, SECRET)
    path = text_of(SECRET_FILE)
    if not path:
        raise ConfigurationError(f"set {SECRET} or {SECRET_FILE}.")
    try:
        text = hidden(expanded(path, "give an absolute path").read_bytes().decode())
    except ConfigurationError as error:
        raise_clean(ConfigurationError(f"{SECRET_FILE}: {error}"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        # The path is not quoted: it may be the secret itself.
        raise_clean(ConfigurationError(f"{SECRET_FILE}: that file cannot be read: {reason}."))
    if secret := hidden(one_line(text, f"the file of {SECRET_FILE}")):
        return _secret(secret, f"the file of {SECRET_FILE}")
    raise ConfigurationError(f"{SECRET_FILE}: that file cannot be read: it is empty.")


def _secret(text: str, where: str) -> str:
    from atlassian_auth_adapter.oauth.token_endpoint import checked_secret

    try:
        return checked_secret(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def text_of(variable: str) -> str:
    """The value of a variable, as `one_line` reads it; "" when it is not set."""
    return one_line(os.environ.get(variable, ""), variable)


def has_client_secret() -> bool:
    """Whether the environment names a client secret."""
    return bool(text_of(SECRET) or text_of(SECRET_FILE))


def arguments_from_env(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a client in the environment, but for the secret and those that are given.

    Raises:
        ConfigurationError: A variable is wrong; the text names it.
    """
    found: dict[str, Any] = {}
    ignored = set(given)
    if any(map(given.get, PLACE_ARGUMENTS)):
        ignored |= PLACE_ARGUMENTS
    for variable, (name, make) in VARIABLES.items():
        if name not in ignored and (text := text_of(variable)):
            try:
                found[name] = make(text)
            except ConfigurationError as error:
                text = str(error).removeprefix(f"{name}: ")  # of the argument, which is not meant
                raise ConfigurationError(f"{variable}: {text}") from None
    return found


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    found = arguments_from_env(given) | given
    if "client_id" not in found:
        raise ConfigurationError("set ATLASSIAN_CLIENT_ID.")
    if "client_secret" not in found:
        found["client_secret"] = _secret_of(found)
    return found


def _secret_of(found: Mapping[str, Any]) -> str | Callable[[], str]:
    """The function that reads the secret; "" for a public client, if the product has them."""
    if not has_client_secret() and product_named(found.get("product", "jira")).public_clients:
        return ""
    client_secret_from_env()  # if it is missing, raise now, not in the first token request
    return client_secret_from_env
