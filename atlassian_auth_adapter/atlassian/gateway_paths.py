"""APIs of the Cloud gateway beside `/ex/`: which of their paths carry the token, and as what.

Source: developer.atlassian.com/cloud/jira/service-desk-ops/security/oauth-2-3lo-apps (Ops);
developer.atlassian.com/cloud/forms/rest/intro, and simstudioai/sim#4099, 2026-04-10: Forms takes an
OAuth token below `/ex/jira/` only; simstudioai/sim#5072, 2026-06-15, and the guide of jira.js on
Assets: so does Assets. All read 2026-11-27.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from atlassian_auth_adapter.errors import ConfigurationError

__all__ = ["GatewayApis", "checked_gateway_paths", "needs_option"]

_CLOUD_ID = "{cloudId}"
#: What the paths of an API begin with, and what those for an OAuth token begin with.
_OAUTH_FORMS = {
    "/jsm/ops/api/{cloudId}": "/jsm/ops/api/{cloudId}",
    "/jira/forms/cloud/{cloudId}": "/ex/jira/{cloudId}/forms",
    "/jsm/assets/workspace": "/ex/jira/{cloudId}/jsm/assets/workspace",
}
#: What paths begin with in which the cloud id decides: no option opens them.
_DECIDED = ("/ex", *(path.removesuffix(f"/{_CLOUD_ID}") for path in _OAUTH_FORMS))
_AUTOMATION = "/automation/public"
#: The paths of a site: what stands before its cloud id, and that.
_OF_A_SITE = rf"(?s)(?:/ex/[^/]+|{_AUTOMATION}/[^/]+|/jsm/ops/api|/jira/forms/cloud)/([^/]*)"
#: APIs that get the token by the option `gateway_paths` only. GraphQL takes it (Goals, Projects,
#: Teams, Compass); whether Automation and teams do is not documented.
_BY_OPTION = rf"(?:/graphql|/public/teams|({_AUTOMATION}/[a-z-]+)/[^/]+)(?=/|\Z)"
#: Source: developer.atlassian.com/cloud/admin/user-management/rest/intro, 2026-11-26.
_ADMINISTRATION = r"/admin(?:/|\Z)|/users/[^/]+/manage(?:/|\Z)"
#: What the paths of the gateway begin with on a site, where they take no OAuth token.
_ON_SITE = "/gateway/api"
_PATH = r"(?:/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*|\{cloudId\}))+"


class GatewayApis:
    """The APIs of the gateway beside `/ex/` for one site. Threads share it.

    Args:
        api_url: Origin of the gateway.
        cloud_id: Of the site.
        allowed: What `checked_gateway_paths` has returned.
    """

    def __init__(self, api_url: str, cloud_id: str, allowed: tuple[str, ...] = ()) -> None:
        self._api_url = api_url
        self._cloud_id = cloud_id
        forms = dict(zip(allowed, allowed, strict=True)) | _OAUTH_FORMS
        #: What paths begin with, and what they begin with where they carry the token.
        self.forms: dict[str, str] = {
            self._of_site(path): self._of_site(form) for path, form in forms.items()
        }
        self._beginning = re.compile(rf"({'|'.join(map(re.escape, self.forms))})(?=/|\Z)")

    def _of_site(self, path: str) -> str:
        return path.replace(_CLOUD_ID, self._cloud_id)

    def path_with_token(self, path: str) -> str | None:
        """The path of the gateway that carries the token in place of this one, or None.

        The path must be plain, as `Location.is_plain` says.
        """
        match = self._beginning.match(path)
        return match and self.forms[match[1]] + path[match.end() :]

    def hint(self, path: str, base_url: str) -> str:
        """What to do about a path of the gateway that carries no token."""
        found = re.match(_OF_A_SITE, path)
        if re.match(_ADMINISTRATION, path):
            return (
                "The administration of an organization accepts no OAuth token: use "
                "StaticTokenSource.organization_key(key)."
            )
        if (by_option := re.match(_BY_OPTION, path)) and (not found or found[1] == self._cloud_id):
            option = f"{by_option[1]}/{_CLOUD_ID}" if by_option[1] else by_option[0]
            return (
                "The token goes to this API only if the program says so: pass "
                f"gateway_paths=({option!r},) to the client."
            )
        return (
            f"The path is not one of the site {self._cloud_id}, which this login is for: use "
            f"{base_url}."
        )

    def site_hint(self, path: str, base_url: str) -> str:
        """What to do about a path of a site if it is one of these APIs, or ""."""
        path = path.removeprefix(_ON_SITE) if path.startswith(f"{_ON_SITE}/") else path
        if match := self._beginning.match(path):
            right = self._api_url + self.forms[match[1]] + ("/..." if path[match.end() :] else "")
            return f"A site accepts no OAuth token: write {right} instead."
        if found := re.match(_BY_OPTION, path):
            return (
                f"A site accepts no OAuth token: write {self._api_url}{found[0]} instead. "
                f"{self.hint(path, base_url)}"
            )
        return ""


def needs_option(path: str) -> bool:
    """Whether it is a path of an API that gets the token by the option `gateway_paths` only."""
    return bool(re.match(_BY_OPTION, path))


def checked_gateway_paths(paths: object) -> tuple[str, ...]:
    """The argument `gateway_paths`: paths of the gateway that carry the token, and all below them.

    Args:
        paths: A list of them, or a text with blanks between them; None: none.

    Raises:
        ConfigurationError: They are malformed, or open paths in which the cloud id decides.
    """
    found = paths.split() if isinstance(paths, str) else () if paths is None else paths
    if not isinstance(found, Iterable) or isinstance(found, bytes | bytearray | memoryview):
        raise _malformed()
    return tuple(dict.fromkeys(map(_checked_path, found)))


def _checked_path(path: object) -> str:
    if not isinstance(path, str) or not re.fullmatch(_PATH, path := path.removesuffix("/")):
        raise _malformed()
    words = f"{path}/".lower()
    for decided in _DECIDED:
        if words.startswith(f"{decided}/") or f"{decided}/".startswith(words):
            raise ConfigurationError(
                f"gateway_paths: below {decided} the cloud id decides: the paths of the site carry "
                "the token without this option, and those of other sites never. Leave it out."
            )
    is_automation = words.startswith(f"{_AUTOMATION}/") or f"{_AUTOMATION}/".startswith(words)
    if is_automation and not re.match(rf"{_AUTOMATION}/[^/]+/\{{cloudId\}}(?:/|\Z)", path):
        raise ConfigurationError(
            f"gateway_paths: Automation has paths for each site: write {_AUTOMATION}/jira/"
            f"{_CLOUD_ID}, which stands for that of the login."
        )
    return path


def _malformed() -> ConfigurationError:  # the value is not quoted: it may be a secret
    return ConfigurationError(
        'gateway_paths: give a list of paths of the gateway, such as ["/graphql"]: each begins '
        "with a slash, and has neither host nor query, and no percent signs and no dot segments."
    )
