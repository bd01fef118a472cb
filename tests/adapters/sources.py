"""A source of tokens for servers that know two tokens only."""

from __future__ import annotations

from atlassian_auth_adapter.atlassian.gateway import OneServer, ResourceServer
from atlassian_auth_adapter.sources import TokenSource
from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["Source"]


class Source(TokenSource):
    """Has the token "old", and "new" in its place once it was rejected."""

    def __init__(self, url: str) -> None:
        self._server = OneServer(url)
        self._token_set = TokenSet("old")

    @property
    def resource_server(self) -> ResourceServer:
        return self._server

    def current(self) -> TokenSet:
        return self._token_set

    def token_set(self, rejected: str | None = None) -> TokenSet:
        if rejected == "old":
            self._token_set = TokenSet("new")
        return self._token_set
