"""Requests of the httpx family on their way: each is judged just before its headers are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from atlassian_auth_adapter.adapters._auth import refuse_clear_text_proxy, without_session
from atlassian_auth_adapter.adapters._httpx_urls import location_of, url_text
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.errors import AtlassianAuthError, raise_clean
from atlassian_auth_adapter.hosts import is_loopback

if TYPE_CHECKING:
    import httpx

    from atlassian_auth_adapter.adapters._httpx_family import HTTPXFamilyAuth

__all__ = ["Traced", "without_ours"]


class Traced:
    """A base class for the headers of a request that have its trace extension: `trace` of a sync
    client, `trace_async` of an async one.

    The library follows redirects inside the flow, keeps the header on the same origin, whatever the
    path, and adds its cookies. Over httpcore the extension judges each request just before its
    headers are written, and then calls that of the program, if any. See `UncopiedHeaders` for other
    transports. One object is both, because each request makes a new one.
    """

    auth: HTTPXFamilyAuth
    #: The one that the program has sent.
    request: httpx.Request
    #: The trace extension of the program.
    inner: Callable[..., Any] | None = None

    def allow_copies(self) -> None:
        """Let copies have the token as well: the transport shows where they are sent."""
        raise NotImplementedError

    def trace(self, name: str, info: Mapping[str, Any]) -> Any:
        """The extension for sync clients."""
        self._judge(name, info)
        if self.inner is not None:
            self.inner(name, info)

    async def trace_async(self, name: str, info: Mapping[str, Any]) -> None:
        """The extension for async clients."""
        self._judge(name, info)
        if self.inner is not None:
            await self.inner(name, info)

    def _judge(self, name: str, info: Mapping[str, Any]) -> None:
        if name.endswith("send_request_headers.started"):
            if info["request"].method != b"CONNECT":  # to a proxy, without the headers
                self._judge_headers(info["request"])
        elif name.endswith("setup_socks5_connection.started"):
            location = location_of(self.request.url)
            if is_loopback(info["host"]):
                self._refuse_proxy(location)

    def _judge_headers(self, sent: Any) -> None:
        """Take the token off a request that may not carry it; otherwise take off sessions of Data
        Center.
        """
        self.allow_copies()
        scheme, host = sent.url.scheme.decode(), sent.url.host.decode()
        port, target = sent.url.port, sent.url.target.decode("ascii")
        # The target of a request to a proxy is a whole URL, so it is not a plain one here.
        if self.auth.sent_to(url_text(scheme, host, port, target)) != "":
            self._judge_location(sent, scheme, host, port, target)
        elif self.auth.drops_sessions:
            _drop_sessions(sent)

    def _judge_location(
        self, sent: Any, scheme: str, host: str, port: int | None, target: str
    ) -> None:
        is_proxied = "://" in target.partition("?")[0]  # in absolute form
        if is_proxied:
            location = Location.of(target)
        else:
            location = Location(scheme, host.lower(), port, target.partition("?")[0])
        if not self.auth.may_carry_token(location):
            sent.headers = [
                (key, value)
                for key, value in sent.headers
                if not (
                    key.lower() == b"authorization" and value.startswith((b"Bearer ", b"Basic "))
                )
            ]
            self.auth.admitted(location, self.request)
            return
        if is_proxied:
            self._refuse_proxy(location)
        if self.auth.drops_sessions:
            _drop_sessions(sent)

    def _refuse_proxy(self, location: Location) -> None:
        try:
            refuse_clear_text_proxy(location)
        except AtlassianAuthError as error:
            raise_clean(self.auth.failed(error, self.request))


def without_ours(extension: Any) -> Any:
    """The trace extension of the program: the same request may have been sent before."""
    owner = getattr(extension, "__self__", None)
    return owner.inner if isinstance(owner, Traced) else extension


def _drop_sessions(sent: Any) -> None:
    kept = [
        (key, without_session(value.decode("latin-1")).encode("latin-1"))
        if key.lower() == b"cookie"
        else (key, value)
        for key, value in sent.headers
    ]
    sent.headers = [(key, value) for key, value in kept if value or key.lower() != b"cookie"]
