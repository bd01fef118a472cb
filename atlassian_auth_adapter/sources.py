"""TokenSource: the interface between those who need a token and those who can get one."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

from atlassian_auth_adapter.atlassian.gateway import DataCenter, ResourceServer, normalized_base_url
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    FreshTokenRejectedError,
)
from atlassian_auth_adapter.events import OnEvent
from atlassian_auth_adapter.flights import landed, take_off
from atlassian_auth_adapter.references import Unique
from atlassian_auth_adapter.tokens import TokenSet, is_token

__all__ = ["StaticTokenSource", "TokenSource"]


class TokenSource(ABC):
    """Hands out a valid token set, and says where its tokens are accepted.

    Threads, tasks and event loops share a source.
    """

    #: Called with every Event of this source.
    on_event: OnEvent | None = None
    #: Whose tokens, for events.
    account: str = ""

    @property
    @abstractmethod
    def resource_server(self) -> ResourceServer:
        """Where the tokens are accepted. Does not block once a token set has been handed out."""

    @abstractmethod
    def current(self) -> TokenSet | None:
        """The token set known at this moment, whatever its age. Never blocks."""

    @abstractmethod
    def token_set(self, rejected: str | None = None) -> TokenSet:
        """A token set whose access token is valid; may block on a token request.

        Args:
            rejected: An access token that a resource server has just rejected; never returned.

        Raises:
            LoginRequiredError: A person has to log in.
            TokenEndpointError: The token request failed.
            TokenStoreError: The store failed.
            FreshTokenRejectedError: There is no better token than the rejected one.
        """

    async def token_set_async(self, rejected: str | None = None) -> TokenSet:
        """`token_set` for tasks of asyncio and trio: never blocks the event loop.

        Cancelling the task does not cancel what it was waiting for.
        """
        return await landed(take_off(lambda: self.token_set(rejected)))

    def has_ended(self, token_set: TokenSet) -> bool:
        """Whether the token set is past its end by now, without any margin."""
        return time.time() >= token_set.expires_at


class StaticTokenSource(Unique, TokenSource):
    """A token that does not change, such as a personal access token of a Data Center instance.

    Args:
        access_token: What to send as the bearer.
        base_url: Where it is accepted, context path included.

    Raises:
        ConfigurationError: There is no token, or the URL is not https.
    """

    def __init__(self, access_token: str, base_url: str) -> None:
        if not is_token(access_token):
            raise ConfigurationError(
                "access_token: give the token as the server has shown it, without line breaks."
            )
        self._token_set: TokenSet | None = TokenSet(access_token)
        self._resource_server = DataCenter(normalized_base_url(base_url, "base_url"))

    def _elsewhere(self) -> tuple[Any, ...]:
        return _without_token, type(self), self._resource_server.base_url

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._resource_server.base_url!r})"

    @property
    def resource_server(self) -> ResourceServer:
        """Where the token is accepted."""
        return self._resource_server

    def current(self) -> TokenSet | None:
        """The token."""
        return self._token_set

    def token_set(self, rejected: str | None = None) -> TokenSet:
        """The token.

        Raises:
            FreshTokenRejectedError: It was rejected, and there is no other.
            ConfigurationError: The source was unpickled in another process.
        """
        if self._token_set is None:
            raise ConfigurationError(
                "this StaticTokenSource was unpickled in another process, and a pickle carries no "
                "token. Make it there."
            )
        if rejected == self._token_set.access_token:
            raise FreshTokenRejectedError(
                "the server rejects the static token: make a new one there, and check that it is "
                "meant for this server."
            )
        return self._token_set

    async def token_set_async(self, rejected: str | None = None) -> TokenSet:
        """The token."""
        return self.token_set(rejected)


def _without_token(cls: type[StaticTokenSource], base_url: str) -> StaticTokenSource:
    source = cls("elsewhere", base_url)
    source._token_set = None
    return source
