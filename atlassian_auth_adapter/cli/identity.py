"""Who has signed in, as far as the scopes of the login tell it."""

from __future__ import annotations

from urllib.parse import urlsplit

from atlassian_auth_adapter.atlassian.scopes import lacking, scopes_for
from atlassian_auth_adapter.clients.base import AtlassianClient

__all__ = ["missing_scopes"]


def missing_scopes(client: AtlassianClient) -> str:
    """The scopes that the login lacks to ask who it belongs to; "" if it has them.

    A login without them works: other resources need other scopes. May block on the network, to
    find the site.

    Raises:
        AtlassianAuthError: As `AtlassianClient.base_url` and `status`.
    """
    granted = client.status().scopes
    needed = scopes_for("GET", urlsplit(client.identity_url).path)
    return lacking(needed, granted) if granted else ""
