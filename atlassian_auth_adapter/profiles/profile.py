"""A profile: a client as a person has set it up. The value and its checks."""

from __future__ import annotations

from _thread import TIMEOUT_MAX  # loading threading takes longer than all else here
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from atlassian_auth_adapter.atlassian.gateway_paths import checked_gateway_paths
from atlassian_auth_adapter.atlassian.products import CloudEnvironment, cloud_named, product_named
from atlassian_auth_adapter.clients.texts import (
    checked_account,
    checked_callback_url,
    checked_client_id,
    checked_scopes,
)
from atlassian_auth_adapter.errors import ConfigurationError
from atlassian_auth_adapter.values import Value

if TYPE_CHECKING:
    from atlassian_auth_adapter.transport import Proxy

__all__ = ["DEFAULTS", "Profile", "StoreName", "non_default"]

StoreName = Literal["keyring", "file"]
Flow = Literal["authorization_code", "client_credentials"]


class Profile(Value):
    """A client as a person has set it up. It holds no secret.

    What is not listed here is as in `create_atlassian_oauth_client`.

    Attributes:
        name: Of the profile.
        scopes: What to ask for; empty: the product's defaults.
        account: Names the login within the store; "": as the profile, so that two profiles of one
            client have a login each.
        cloud: Name of a Cloud, such as "us-gov-moderate", or the hosts of an emulator; "": the
            commercial one.
        store: Where the login and the client secret are kept; "": not chosen yet.
        flow: "authorization_code" when a person logs in, "client_credentials" for a service
            account. Source: RFC 6749 sections 4.1 and 4.4.

    Raises:
        ConfigurationError: A value is invalid; the text names it.
    """

    name: str
    client_id: str
    product: str
    cloud_id: str
    site_url: str
    server_url: str
    callback_url: str
    scopes: tuple[str, ...]
    account: str
    cloud: str | CloudEnvironment
    verify: bool | str
    proxy: Proxy
    store: Literal["", StoreName]
    flow: Flow
    max_wait: float
    gateway_paths: tuple[str, ...]
    _hidden: ClassVar[frozenset[str]] = frozenset({"proxy"})

    def __init__(
        self,
        name: str = "default",
        client_id: str = "",
        product: str = "jira",
        cloud_id: str = "",
        site_url: str = "",
        server_url: str = "",
        callback_url: str = "",
        scopes: tuple[str, ...] = (),
        account: str = "",
        cloud: str | CloudEnvironment = "",
        verify: bool | str = True,
        proxy: Proxy = None,
        store: Literal["", StoreName] = "",
        flow: Flow = "authorization_code",
        max_wait: float = 30.0,
        gateway_paths: tuple[str, ...] = (),
    ) -> None:
        given = locals()
        self._set(**{field: given[field] for field in self._fields})
        self._check()

    def _check(self) -> None:
        for key in DEFAULTS:
            value = getattr(self, key)
            is_typed = isinstance(value, _TYPES.get(key, str))
            if not is_typed or not all(map(_is_line, _strings_in(value))):
                raise _invalid(key)
        for key, check in _CHECKS.items():
            if value := getattr(self, key):
                check(value)
        if not self.name:
            raise ConfigurationError("name: a profile needs one.")
        product_named(self.product)
        _hosts(self.cloud)
        if self.store not in ("", *get_args(StoreName)):
            raise _invalid("store")
        if self.flow not in get_args(Flow):
            raise _invalid("flow")
        if any("@" in text for text in _strings_in(self.proxy)):
            raise ConfigurationError(
                "proxy: a profile must not hold a password. Set ATLASSIAN_PROXY."
            )
        for key in ("site_url", "server_url"):
            if "@" in getattr(self, key).partition("://")[2].partition("/")[0]:
                raise ConfigurationError(f"{key}: remove user name and password from the URL.")
        if isinstance(self.max_wait, bool) or not 0 < self.max_wait < TIMEOUT_MAX:
            raise _invalid("max_wait")

    def arguments(self) -> dict[str, Any]:
        """The arguments of its client, by the names of `create_atlassian_oauth_client`."""
        arguments = non_default(self)
        arguments.pop("store", None)
        arguments.pop("flow", None)
        if self.cloud:
            arguments["cloud"] = _hosts(self.cloud)
        return arguments | {"account": self.account or self.name}


#: The keys of a profile, in the order of the fields.
DEFAULTS = Profile._field_defaults
#: Of keys that are not a str.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "scopes": tuple,
    "gateway_paths": tuple,
    "cloud": (str, CloudEnvironment),
    "verify": (bool, str),
    "proxy": (bool, str, Mapping, type(None)),
    "max_wait": (int, float),
}
#: Of keys that a server or a store compares to the letter.
_CHECKS: dict[str, Callable[[object], object]] = {
    "client_id": checked_client_id,
    "callback_url": checked_callback_url,
    "scopes": checked_scopes,
    "gateway_paths": checked_gateway_paths,
    "account": checked_account,
}
_EXPECTED = {
    "scopes": "a list of scopes, or scopes with spaces between them",
    "gateway_paths": 'a list of paths, such as ["/graphql"]',
    "cloud": 'a name, such as "commercial", or a table with auth_url, api_url and perhaps '
    "audience, resources_url",
    "verify": "true, false, or the path of a CA bundle",
    "proxy": "a URL, true (the environment's), false (no proxy), or a table of scheme and URL",
    "store": '"keyring" or "file"',
    "flow": '"authorization_code" or "client_credentials"',
    "max_wait": "a positive number of seconds",
}


def non_default(profile: Profile) -> dict[str, Any]:
    """The keys that do not have their default, without the name."""
    values = {key: getattr(profile, key) for key in DEFAULTS if key != "name"}
    return {key: value for key, value in values.items() if value != DEFAULTS[key]}


def _invalid(key: str) -> ConfigurationError:
    return ConfigurationError(f"{key}: expected {_EXPECTED.get(key, 'a text on one line')}.")


def _strings_in(value: object) -> Iterable[Any]:
    match value:
        case str():
            return (value,)
        case tuple():
            return value
        case Mapping():
            return (*value, *value.values())
    return ()


def _is_line(text: object) -> bool:
    return isinstance(text, str) and text.isprintable()


def _hosts(cloud: str | CloudEnvironment) -> CloudEnvironment | None:
    return (cloud_named(cloud) if cloud else None) if isinstance(cloud, str) else cloud
