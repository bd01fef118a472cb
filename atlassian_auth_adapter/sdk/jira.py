"""The SDK `jira` (pycontribs), whose constructor accepts neither a session nor an auth object."""

from __future__ import annotations

from typing import Any, cast

from atlassian_auth_adapter.adapters.requests import AtlassianAuth
from atlassian_auth_adapter.errors import ConfigurationError, optional_import
from atlassian_auth_adapter.sources import TokenSource

with optional_import("jira", "jira"):
    from jira import JIRA

__all__ = ["jira_client"]

#: Arguments of JIRA for another login. `validate` requests the session of a password.
_LOGINS = ("auth", "basic_auth", "jwt", "kerberos", "oauth", "token_auth", "validate")


def jira_client(source: TokenSource | AtlassianAuth, server: str = "", **options: Any) -> JIRA:
    """A client of the SDK `jira` whose every request carries the token, from the first one on.

        jira = jira_client(client)
        jira.search_issues("project = ACME", maxResults=False)

    Threads may share it if they may share a JIRA. May block on a token request, and on the server,
    which JIRA asks for its version.

    Args:
        source: A client of this package, any other TokenSource, or an auth object.
        server: URL of the server; "": the site if the source knows it, so that `permalink()` is
            right, else the gateway or the Data Center server.
        options: Other arguments of JIRA: `options`, `timeout`, `max_retries`, `async_`, ...

    Raises:
        ConfigurationError: An option is for another login.
        LoginRequiredError, TokenEndpointError, TokenStoreError: There is no valid token.
    """
    if logins := [name for name in _LOGINS if options.get(name)]:
        raise ConfigurationError(
            f"{', '.join(logins)}: leave it out, the requests carry the token of the source. To "
            "see whether it is accepted, call myself()."
        )
    auth = source if isinstance(source, AtlassianAuth) else AtlassianAuth(source)
    if not server and "server" not in (options.get("options") or {}):
        auth.source.token_set()  # afterwards the site is known
        resources = auth.source.resource_server
        server = getattr(resources, "site_url", "") or resources.base_url
    return _JIRA(server, token_auth=cast("Any", auth), **options)


class _JIRA(JIRA):
    """Sets the auth object where JIRA sets its own for a token: before the first request."""

    def _create_token_session(self, token_auth: Any, *more: Any) -> None:
        # Until version 3.5 this method makes the session, and `more` is its timeout.
        super()._create_token_session("", *more)
        self._session.auth = token_auth
