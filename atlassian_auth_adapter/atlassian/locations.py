"""A URL as a place: which scheme, host, port and path an HTTP library reads in it."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from atlassian_auth_adapter.errors import ConfigurationError, raise_clean
from atlassian_auth_adapter.hosts import is_loopback

__all__ = ["Location", "normalized_base_url", "origin_of_site"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_BASE_URL = re.compile(r"https?://[!-\[\]-~]+", re.IGNORECASE)  # visible ASCII, no backslash
#: What servers and proxies between read in different ways: a dot segment, also with parameters or
#: blanks after it, a backslash, and control characters, which some drop and at which some stop.
_CROOKED = r"(?:^|/) *\.{1,2} *(?:[/;]|$)|[\\\x00-\x1f\x7f]"
#: Without any of these a path is read the same by every server.
_SUSPICIOUS = re.compile(r"[%.\\\x00-\x1f\x7f]")
#: How often a path may be percent-encoded; the paths of Atlassian are encoded once.
_MOST_ENCODINGS = 8


class Location(NamedTuple):
    """A URL as an HTTP library has parsed it.

    Attributes:
        scheme: Lower case.
        host: Lower case, without brackets.
        port: None for the scheme's default.
        path: Raw, percent-encoded, without the query.
        userinfo: Whether the URL carries a user name or a password, or anything else beside host
            and port that libraries may read in different ways.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    userinfo: bool = False

    @classmethod
    def of(cls, url: str) -> Location:
        """The location of a URL from the configuration."""
        parts = urlsplit(url)
        return cls(
            parts.scheme.lower(),
            (parts.hostname or "").lower(),
            parts.port,
            parts.path,
            "@" in parts.netloc,
        )

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """Scheme, host and port; the port is always a number."""
        port = _DEFAULT_PORTS.get(self.scheme) if self.port is None else self.port
        return self.scheme, self.host, port

    @property
    def origin_url(self) -> str:
        """The origin as a URL, for errors and events."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port is None else f":{self.port}")

    @property
    def is_plain(self) -> bool:
        """Whether every server reads it as the same host and path."""
        path = self.path
        if not _SUSPICIOUS.search(path):
            return not self.userinfo
        for _ in range(_MOST_ENCODINGS):
            if re.search(_CROOKED, path):
                return False
            decoded = unquote(path) if "%" in path else path
            if decoded == path:
                return not self.userinfo
            path = decoded
        return False


def normalized_base_url(url: str, name: str) -> str:
    """The URL without a trailing slash; `name` is that of the argument, for the error.

    Raises:
        ConfigurationError: It is not an https URL (http is accepted for loopback), or has parts
            that a base URL must not have.
    """
    if not isinstance(url, str):
        raise ConfigurationError(
            f"{name}: a value of type {type(url).__name__} is no URL. Give text."
        )
    try:
        location, parts = Location.of(url), urlsplit(url)
    except ValueError:
        raise_clean(_no_url(name))
    if not _BASE_URL.fullmatch(url) or location.port == 0 or not location.host:
        raise _no_url(name)
    if location.userinfo or parts.query or parts.fragment or not location.is_plain:
        raise ConfigurationError(
            f"{name}: give scheme, host and path only, without user, query, fragment or dots."
        )
    if location.scheme == "http" and not is_loopback(location.host):
        raise ConfigurationError(
            f"{name}: {location.origin_url} would get tokens in clear text. Use https "
            "(http is accepted for this machine only)."
        )
    return f"{location.origin_url}{location.path.rstrip('/')}"


def _no_url(name: str) -> ConfigurationError:
    # What was given is not quoted: it may be a secret in the place of another argument.
    return ConfigurationError(
        f"{name}: what was given is not a URL. Write https://host[:port][/path] in plain ASCII."
    )


def origin_of_site(site_url: str) -> str:
    """The origin of a Cloud site; the URL may have a path, as when copied from a browser.

    Raises:
        ConfigurationError: As `normalized_base_url`.
    """
    return Location.of(normalized_base_url(site_url, "site_url")).origin_url
