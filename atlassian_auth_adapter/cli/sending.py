"""How `atlassian-auth api` sends a request with the login, and what it makes of the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self

import click
import requests
from requests.exceptions import ChunkedEncodingError, InvalidSchema, InvalidURL, MissingSchema
from urllib3.exceptions import HTTPError

from atlassian_auth_adapter import __version__
from atlassian_auth_adapter.adapters.requests import AtlassianAuth
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.cli.answers import reason_of
from atlassian_auth_adapter.cli.bodies import Upload
from atlassian_auth_adapter.cli.refusals import advice_for, exit_code_for
from atlassian_auth_adapter.cli.terminal import say
from atlassian_auth_adapter.cli.words import as_options
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.errors import (
    AccessDeniedError,
    AtlassianAuthError,
    ForeignOriginError,
    ResourceUnavailableError,
    TokenEndpointUnavailableError,
    raise_clean,
)
from atlassian_auth_adapter.events import Event
from atlassian_auth_adapter.exchange import cause_of, text_of
from atlassian_auth_adapter.profiles.client import client_of
from atlassian_auth_adapter.profiles.profile import Profile

__all__ = ["Sender", "pieces_of"]

#: Bytes of a body in memory.
CHUNK = 1 << 16
#: Seconds to connect, and between two pieces of an answer: some exports take minutes to begin.
TIMEOUT = (30.0, 300.0)
_CROOKED = (
    "PATH has a part that servers read in different ways, such as .. or an encoded slash or line "
    "break, so nothing was sent. Write it in full, without such parts."
)


class _Auth(AtlassianAuth):
    """Refuses a URL outside the grant, and lets a redirect lead there, without the token.

    Attachments are downloaded from other hosts. A body is not sent there.
    """

    def admit_redirected(self, request: requests.PreparedRequest) -> None:
        """As in AtlassianAuth."""
        if request.body is not None:
            super().admit_redirected(request)


class _Session(requests.Session):
    """A session that leaves the header of a redirected request to the auth object.

    requests would look for another login in .netrc.
    """

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Nothing: the auth object has taken the token off where it must not go."""


class Sender:
    """Sends requests with the login of a profile, and says what to do about an error.

    Args:
        profile: The profile.

    Attributes:
        client: Its client.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._events: dict[str, Mapping[str, Any]] = {}
        self.client: AtlassianClient = client_of(profile, on_event=self._note)
        self._auth = _Auth(self.client, foreign="raise")
        self._session = _Session()
        self._session.auth = self._auth
        self._session.headers["User-Agent"] = f"atlassian-auth/{__version__}"

    def _note(self, event: Event) -> None:
        self._events[event.name] = event.fields

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    # --- the exchange -----------------------------------------------------------------------------

    @contextmanager
    def answer(self, request: requests.Request) -> Iterator[requests.Response]:
        """The answer to a request, whose body is read in the block.

        Raises:
            click.UsageError: The URL is not one of the login's. Nothing was sent.
            ResourceUnavailableError: There is no answer, or only a part of it.
            AtlassianAuthError: As from AtlassianAuth.
        """
        self._events.clear()
        if _is_sent_once(request.data):
            self._renew_early()
        prepared = self._prepared(request)
        place = Location.of(prepared.url or "").origin_url
        with self._sent(prepared, place) as response:
            try:
                yield response
            except (requests.RequestException, HTTPError) as error:
                what = f"the answer from {place} is broken, and what was printed is not complete"
                raise_clean(_unavailable(what, error), cause_of(error))

    def _sent(self, prepared: requests.PreparedRequest, place: str) -> requests.Response:
        try:
            return self._session.send(prepared, **self._settings(prepared))
        except ForeignOriginError:
            text = f"{place} redirects the request to another host, and a body is not sent there."
            raise_clean(AccessDeniedError(text))
        except AtlassianAuthError:
            raise
        except (requests.RequestException, HTTPError) as error:
            raise_clean(_unavailable(f"no answer from {place}", error), cause_of(error))
        except ValueError:  # requests has its own errors for a URL that it is given
            text = f"no answer: {place} redirects the request to what is not a URL."
            raise_clean(ResourceUnavailableError(text))

    def _prepared(self, request: requests.Request) -> requests.PreparedRequest:
        try:
            return self._session.prepare_request(request)
        except ForeignOriginError:
            raise_clean(click.UsageError(self._about_foreign(request.url)))
        except (InvalidURL, InvalidSchema, MissingSchema):
            raise_clean(click.UsageError("what was given is not a URL: check host and port."))

    def _settings(self, prepared: requests.PreparedRequest) -> dict[str, Any]:
        options = self.client.transport.options_for(prepared.url or "")
        merged = self._session.merge_environment_settings(
            prepared.url, options["proxies"], True, options["verify"], options["cert"]
        )
        return {**merged, "timeout": TIMEOUT, "allow_redirects": True}

    def _renew_early(self) -> None:
        """Get a token that is valid for long: a body from a pipe can be sent only once."""
        token_set = self.client.token_set()
        with suppress(TokenEndpointUnavailableError):  # the token is still valid
            self.client.refresh(older_than=token_set.lifetime / 2)

    # --- what to do about an error ----------------------------------------------------------------

    def _about_foreign(self, url: str) -> str:
        client, place = self.client, Location.of(url)
        own = [Location.of(each) for each in (client.base_url, client.site_url) if each]
        if any(each.origin == place.origin for each in own):
            return as_options(client.resource_server.route(place).hint) or _CROOKED
        listed = " and ".join(dict.fromkeys(each.origin_url for each in own))
        return (
            f"the profile {self._profile.name!r} is for {listed}, and {place.origin_url} would get "
            "no token, so nothing was sent. Give a path, or another profile with -p NAME."
        )

    def exit_code(self, response: requests.Response, start: bytes) -> int:
        """0, or the exit code of an error, which is told in one line with what to do.

        Args:
            response: The answer, which was printed.
            start: Of its body.
        """
        status, headers = response.status_code, response.headers
        if hint := self._events.get("app_access_blocked", {}).get("hint"):
            say(f"Note: {hint}.", stderr=True)
        place = Location.of(response.url)
        had_token = self._auth.may_carry_token(place)
        is_anonymous = had_token and self._auth.asks_for_a_login(place, status, headers)
        if response.ok and not is_anonymous:
            return 0
        current = self.client.current()
        advice = advice_for(
            status,
            headers.get("Retry-After", ""),
            start,
            self._events,
            sign_in=f"atlassian-auth login -p {self._profile.name}",
            scopes=current.scopes if current else (),
            sent_once=_is_sent_once(response.request.body),
            about_path=self._about_path(place.path),
        )
        # The terminal breaks the line, so that a command in it can be copied.
        say(f"Error: HTTP {reason_of(response)}. {advice}", stderr=True, whole=True)
        return exit_code_for(status)

    def _about_path(self, path: str) -> str:
        """What to do about a path that looks like one of another place; "" if it does not."""
        if url := self.client.server_url:
            return (
                f"There is no such resource below {url}, or the account may not see it. If the "
                "server has a context path, it is a part of that URL."
            )
        product = self.client.product
        if product.name == "confluence" and path.startswith("/ex/jira/"):
            return (
                "The path is one of Jira: those of Confluence Cloud begin with /wiki, such as "
                "/wiki/api/v2/pages."
            )
        if product.gateway_path and not re.search("/(rest|api)/", path):
            return (
                "The path is not one of a REST API, such as /rest/api/3/myself or "
                "/wiki/api/v2/pages: pages of the site cannot be asked for."
            )
        return ""


def pieces_of(response: requests.Response) -> Iterator[bytes]:
    """The body of an answer, decoded. Read it within `Sender.answer`."""
    try:
        yield from response.iter_content(CHUNK)
    except ValueError as error:  # such as a chunk with a negative length
        raise ChunkedEncodingError from error


def _unavailable(what: str, error: Exception) -> ResourceUnavailableError:
    return ResourceUnavailableError(
        f"{what}: {text_of(error)}. Try again, or check network, proxy and `verify`."
    )


def _is_sent_once(body: object) -> bool:
    """Whether the body of a request comes from a pipe."""
    return body is not None and not isinstance(body, str | bytes | list | Upload)
