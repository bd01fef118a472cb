"""TokenSource: the interface between adapters, which need a token, and what gets one."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from atlassian_auth_adapter.atlassian.gateway import ResourceServer
from atlassian_auth_adapter.events import OnEvent
from atlassian_auth_adapter.expiry import NO_LIMITS, Limits
from atlassian_auth_adapter.pacing import Pacing
from atlassian_auth_adapter.threads import result_of, wait_async
from atlassian_auth_adapter.workers import Workers

if TYPE_CHECKING:  # dataclasses take as long to load as all of an auth object
    from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["TokenSource"]

#: Threads on which the tasks of a program wait for `token_set` of one source at the same time.
MOST_THREADS = 32


class Located(Protocol):
    """What has a resource server, which may be another one later."""

    @property
    def resource_server(self) -> ResourceServer:
        """Where tokens are accepted."""


class Known(Protocol):
    """What a source knows of its token, for callers that look at the clocks by themselves."""

    #: See there. They hold only while `shared.snapshot` is the one that they are of.
    limits: Limits
    #: What has the `snapshot` of this moment.
    shared: Any


#: Of a source that has to be asked each time.
_NOTHING: Known = SimpleNamespace(limits=NO_LIMITS, shared=SimpleNamespace(snapshot=None))


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

    def fresh(self) -> TokenSet | None:
        """What `token_set` would return at once, with nothing else to do; None: ask `token_set`.

        Never blocks. It spares requests the rest of `token_set`.
        """
        return None

    def quick_look(self) -> tuple[Located, Known, Callable[[], TokenSet | None]]:
        """What has the `resource_server` of this source at each moment, what is known, and `fresh`.

        Auth objects keep them: each request looks at them. The last two are asked only if that
        resource server accepts the token somewhere, so they need not know whether there is one.
        """
        return self, _NOTHING, self.fresh

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
        """As `token_set`, for tasks of asyncio and trio: never blocks the event loop.

        Unless a source does better, it runs on threads, however many tasks ask on 32 at most.
        Cancelling the task does not cancel a refresh.
        """
        flight = self._workers.run(lambda: self.token_set(rejected))
        await wait_async(flight)
        return result_of(flight)

    def load_libraries(self) -> None:  # noqa: B027 - most sources have loaded theirs
        """Load what a refresh needs, if that was not done yet.

        It takes some tens of milliseconds, during which the other threads of the process hardly
        run, an event loop among them. Each auth object calls it when it is made, since then no
        requests run, and a client with its first `token_set_async`. Threads that ask a client
        without an auth object call it before they begin.
        """

    def learn_site(self) -> None:  # noqa: B027 - most sources have nothing to learn
        """Find out what a route that is undecided depends on, if it can be found. Never raises.

        Called when a host of Cloud is asked for and the URL of the site is not known.
        """

    async def learn_site_async(self) -> None:
        """As `learn_site`, for tasks of asyncio and trio: never blocks the event loop."""
        await wait_async(self._workers.run(self.learn_site))

    def has_ended(self, token_set: TokenSet) -> bool:
        """Whether the token set is past its end by now, without any margin."""
        return time.time() >= token_set.expires_at

    def monotonic(self) -> float:
        """Monotonic time, seconds."""
        return time.monotonic()

    @property
    def _workers(self) -> Workers:
        """The threads on which tasks let this source work."""
        found: Workers | None = self.__dict__.get("_threads")
        return found or self.__dict__.setdefault("_threads", Workers(MOST_THREADS))

    @property
    def pacing(self) -> Pacing:
        """Which paths reject tokens again and again; shared by all adapters of this source."""
        found: Pacing | None = self.__dict__.get("_pacing")
        return found or self.__dict__.setdefault("_pacing", Pacing(self.monotonic))
