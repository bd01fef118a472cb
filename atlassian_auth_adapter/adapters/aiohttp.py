"""The auth object for aiohttp: a client middleware."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Hashable
from http import HTTPStatus
from typing import Literal, cast

from atlassian_auth_adapter.adapters._auth import (
    AuthObject,
    Rejection,
    forget_oldest,
    refuse_clear_text_proxy,
    without_session,
)
from atlassian_auth_adapter.adapters._libraries import bridged, refuse
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.atlassian.verdicts import is_ordinary, told
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    FreshTokenRejectedError,
    drop_frames,
    optional_import,
    raise_clean,
)
from atlassian_auth_adapter.sources import TokenSource
from atlassian_auth_adapter.tokens import TokenSet

with optional_import("aiohttp", "aiohttp"):
    from aiohttp import (
        ClientError,
        ClientHandlerType,
        ClientRequest,
        ClientResponse,
        RequestInfo,
    )
    from aiohttp.hdrs import AUTHORIZATION, COOKIE, HOST
    from multidict import CIMultiDict, CIMultiDictProxy
    from yarl import URL

    from atlassian_auth_adapter.adapters._aiohttp_bodies import Upload, start_of

__all__ = ["AtlassianAiohttpAuth"]

#: What is raised within aiohttp while it sends.
_ERRORS_OF_SENDING = (ClientError, OSError, MemoryError, UnicodeEncodeError)
#: What aiohttp follows.
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: A websocket begins as a request by http.
_SCHEMES = {"ws": "http", "wss": "https"}
_PLAIN_SCHEMES = ("https", "http")


class AtlassianAiohttpAuth(AuthObject):
    """Makes every request of an aiohttp session carry a valid bearer token.

        session = aiohttp.ClientSession(middlewares=(AtlassianAiohttpAuth(source),))
        session.get(url, middlewares=(AtlassianAiohttpAuth(source),))

    Needs aiohttp 3.12.14 or later, which asks its middlewares again for each redirect. Tasks, event
    loops and sessions may share one. Put it last: a middleware after it sees the token and could
    send it elsewhere. Websockets get the token as well.

    Arguments and errors are those of `AtlassianAuth`; each error also is an aiohttp.ClientError,
    with method and URL in `request_info`. The wait for a token counts towards the timeout of the
    session. A response to a request that was sent twice does not have the rejection in its history.

    A user name in a URL cannot be told from `auth=` or a login of `.netrc`: within the grant the
    token replaces all of them.
    """

    def __init__(self, source: TokenSource, *, foreign: Literal["bare", "raise"] = "bare") -> None:
        super().__init__(source, foreign=foreign)
        #: Calls that a redirect has led out of the grant: what a foreign host asks for gets no
        #: token.
        self._led_away: OrderedDict[Hashable, object] = OrderedDict()

    def __call__(
        self, request: ClientRequest, handler: ClientHandlerType | None = None
    ) -> Awaitable[ClientResponse]:
        """Send a request with the token. Called by aiohttp, once for each redirect."""
        if handler is None:  # another library, one that takes any callable
            refuse(self, request)
        return self._answer(request, handler)

    async def _answer(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        plain, token_set = self._sent_at_once(request)
        if token_set is None and not self._is_led_away(request):
            token_set = await self._routed(request)
        if token_set is None:
            response = await handler(request)
            if response.status in _REDIRECTS:
                self._led_away[_call(request)] = True
                forget_oldest(self._led_away)
            return response
        headers, rejection = request.headers, None
        if COOKIE in headers and self.drops_sessions:
            _drop_session(request)
        upload = Upload(request.body) if request.body else None
        while True:
            # The request has the token for that time only: another middleware may send it again
            # elsewhere, and the errors of aiohttp show its headers.
            url, authorization, is_ours = request.url, token_set.authorization, False
            headers[AUTHORIZATION] = authorization
            try:
                response = await handler(request)
            except BaseException as error:
                _clean(error)
                raise
            finally:
                if headers.get(AUTHORIZATION) == authorization:
                    is_ours = request.url is url
                    del headers[AUTHORIZATION]
            if not is_ours:  # another middleware has sent something else
                return response
            if rejection is not None:
                start = await _start_of(response)
                rejection.note_answer(token_set, response.status, response.headers, start)
                return response
            if plain and is_ordinary(response.status, told(response.headers, response.headers)):
                self.note_accepted(request.method, plain)
                return response
            rejection, fresh = await self._judged(request, response, token_set, upload)
            if fresh is None:
                return response
            token_set = fresh
            response.release()
            request.update_expect_continue()  # a wait for 100 Continue begins anew

    async def _judged(
        self,
        request: ClientRequest,
        response: ClientResponse,
        token_set: TokenSet,
        upload: Upload | None,
    ) -> tuple[Rejection | None, TokenSet | None]:
        """Rejection and token set with which to send the request again; None: do not."""
        try:
            rejection = await self._rejection(request, response, token_set)
            if rejection is None:
                return None, None
            fresh = await self._replacement(request, rejection, token_set)
            if not rejection.may_resend or not (upload is None or upload.can_be_repeated):
                return None, None  # the token is ready for the next request
        except BaseException:
            response.close()
            raise
        return rejection, fresh

    def _is_led_away(self, request: ClientRequest) -> bool:
        """Whether a redirect has led the call of the request out of the grant."""
        return bool(self._led_away) and _call(request) in self._led_away

    def _sent_at_once(self, request: ClientRequest) -> tuple[str, TokenSet | None]:
        """URL and token set of a request, which has its route then; "" and None: call, URL, proxy
        or token need a closer look.
        """
        if request.proxy is not None or self._is_led_away(request):
            return "", None
        plain = _text(request.url)
        found = self.at_once(plain)
        if found is None:
            return "", None
        sent_to, token_set = found
        if sent_to:
            plain = sent_to
            _send_to(request, sent_to)
        return plain, token_set

    async def _routed(self, request: ClientRequest) -> TokenSet | None:
        """The token set of a request, which has its route then; None: it must not carry a token."""
        location = _location(request.url)
        try:
            route = self.admit(location)
            if route is None:
                return None
            token_set = await self.source.token_set_async()
            if route.undecided:
                await self.source.learn_site_async()
                route = self.admit(location, again=True)
                if route is None:
                    return None
            if request.proxy is not None:
                refuse_clear_text_proxy(route.location)
        except AtlassianAuthError as error:
            raise_clean(_failed(error, request), error.__cause__)
        if route.location != location:
            _send_to(request, _url(request.url, route.location))
        return token_set

    async def _rejection(
        self,
        request: ClientRequest,
        response: ClientResponse,
        token_set: TokenSet,
    ) -> Rejection | None:
        start = await _start_of(response)
        return self.rejection(
            request.method,
            _location(request.url),
            token_set.access_token,
            response.status,
            response.headers,
            lambda: start,
        )

    async def _replacement(
        self, request: ClientRequest, rejection: Rejection, token_set: TokenSet
    ) -> TokenSet | None:
        """Another token set in place of the rejected one; None: no other one would help."""
        try:
            fresh = await self.source.token_set_async(rejected=token_set.access_token)
        except FreshTokenRejectedError as error:
            rejection.report_final(error)
            return None
        except AtlassianAuthError as error:
            raise_clean(_failed(error, request), error.__cause__)
        rejection.note_token(fresh)
        return fresh


async def _start_of(response: ClientResponse) -> bytes:
    """The start of the body of an answer that rejects the token."""
    if response.status != HTTPStatus.UNAUTHORIZED:
        return b""
    try:
        return await start_of(response)
    except BaseException:
        response.close()
        raise


def _call(request: ClientRequest) -> Hashable:
    """All requests of a call, which follow redirects, share a timer; no two calls share one."""
    return getattr(request, "_timer", request)


def _clean(error: BaseException) -> None:
    """Take the token off an error of a request."""
    if isinstance(error, UnicodeEncodeError):  # aiohttp in pure Python encodes all headers
        error.object = "." * error.start + error.object[error.start : error.end]
        error.args = (error.encoding, error.object, *error.args[2:])
    if isinstance(error, _ERRORS_OF_SENDING) or not isinstance(error, Exception):
        drop_frames(error)  # those of aiohttp's writer hold the plain header


def _location(url: URL) -> Location:
    """The location that aiohttp connects to, with the path as it is sent."""
    return Location(
        _SCHEMES.get(url.scheme, url.scheme),
        (url.raw_host or "").lower(),
        url.explicit_port,
        url.raw_path,
        url.raw_user is not None or url.raw_password is not None,
    )


def _text(url: URL) -> str:
    """The URL as text, as it is sent; "": an odd one, which needs a closer look.

    In a URL that was made of encoded parts each part may hold any text.
    """
    path, authority = url.raw_path, url.raw_authority
    if url.scheme not in _PLAIN_SCHEMES or path[:1] != "/" or "?" in path or "/" in authority:
        return ""
    return f"{url.scheme}://{authority}{url.raw_path_qs}"


def _url(url: URL, location: Location) -> str:
    """The URL at another location, with the same query."""
    query = url.raw_query_string
    return f"{location.origin_url}{location.path}" + (f"?{query}" if query else "")


def _send_to(request: ClientRequest, sent_to: str) -> None:
    """Send the request to the gateway instead, without what is meant for the site."""
    url = URL(sent_to, encoded=True)
    request.url = request.original_url = url
    request.headers[HOST] = cast("str", url.host_port_subcomponent)
    request.headers.popall(COOKIE, None)
    request.server_hostname = None


def _drop_session(request: ClientRequest) -> None:
    cookies = without_session("; ".join(request.headers.popall(COOKIE)))
    if cookies:
        request.headers[COOKIE] = cookies


def _failed(error: AtlassianAuthError, request: ClientRequest) -> AtlassianAuthError:
    failure = bridged(error, ClientError)
    # Method and URL only: headers may hold secrets. Unlike a proxy of them, this can be pickled.
    headers = cast("CIMultiDictProxy[str]", CIMultiDict[str]())
    failure.request_info = RequestInfo(request.url, request.method, headers)  # type: ignore[attr-defined]
    return failure
