"""A local Atlassian for tests: Cloud, Data Center, Bitbucket Cloud, Trello.

Imports nothing of the library that is tested with it. `AtlassianEmulator`, which is for authors of
tests, is this emulator with clients of the library (`testing/local.py`).

    with AtlassianEmulator() as emulator:
        redirect = emulator.cloud.authorize(authorization_url)
        emulator.faults.next("token", CloseAfter())
        ...
        assert emulator.count(outcome="reuse_after_grace") == 0

Cloud is Jira and Confluence behind the gateway, Data Center all three products at one base URL;
Bitbucket Cloud has an authorization server of its own. In each of them a client can log in, read
page by page, create, upload and download. Trello's apps meet Cloud's authorization server with
other rules, and there is a resource to try its tokens with.

Reading order: `grants.py` (the state machine of rotation), `flavour.py` and the three flavours
`cloud.py`, `data_center.py` and `bitbucket.py`, `gateway.py` (which token opens what),
`own_host.py` (Trello), `products.py` (where a product is added), `faults.py`, `http.py`.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable
from typing import ClassVar, Protocol, TypeVar

from .accounts import App, Site, site_name
from .bitbucket import Bitbucket, bitbucket_kind
from .bitbucket_api import BitbucketApi
from .browser import NotRedirectedError
from .cloud import Cloud
from .data_center import DataCenter
from .echo import foreign_routes
from .faults import (
    HTML,
    Body,
    CloseAfter,
    CloseBefore,
    CutBody,
    Delay,
    Drip,
    Edit,
    Faults,
    Hold,
    Redirect,
    Status,
    TruncatedJSON,
)
from .flavour import GRANT_TYPES, Flavour
from .gateway import Gateway, cloud_kind
from .grants import Family
from .hosts import Host
from .http import Answer, Request, Server
from .log import OUTCOMES, Log, LoggedRequest, TokenRequest
from .own_host import OwnHost
from .products import TRELLO
from .settings import Strict, checked

__all__ = [
    "HTML",
    "App",
    "Emulator",
    "Body",
    "Clock",
    "CloseAfter",
    "CloseBefore",
    "CutBody",
    "Delay",
    "Drip",
    "Edit",
    "Faults",
    "Hold",
    "LoggedRequest",
    "NotRedirectedError",
    "Redirect",
    "Site",
    "Status",
    "TokenRequest",
    "TruncatedJSON",
]


F = TypeVar("F", bound=Flavour)
_FAULTS = {
    f"fault:{each.__name__.lower()}"
    for each in (HTML, Body, CloseBefore, Delay, Hold, Redirect, TruncatedJSON)
}


class Clock(Protocol):
    """Any clock."""

    def time(self) -> float:
        """Now, a POSIX timestamp in seconds."""


class Emulator(Strict):
    """Atlassian's OAuth servers and resources on ports of 127.0.0.1, one port per host.

    Args:
        clock: For expiry, grace and the log; None: `time.time`.
        cloud: Whether there is a Cloud flavour.
        data_center: Whether there is a Data Center flavour.
        bitbucket: Whether there is a Bitbucket Cloud flavour.
        trello: Whether there is a Trello flavour.
        context_path: Path under which Jira Data Center lives, "" or "/" for the root.
        sites: Number of Cloud sites.
        ssl_context: A server-side context: all hosts speak https, and ask for client certificates
            if it says so.
        port: 0: any free ports. Otherwise the hosts take consecutive ports from this one, in the
            order auth, api, sites, media, server, foreign, Bitbucket's auth, api and media,
            Trello's auth and api.

    Attributes:
        faults: Scripted faults.
        foreign_url: Origin of a host that is not Atlassian's.

    Usable as a context manager. Threads may share it; `close` belongs to one.
    """

    inner: ClassVar[frozenset[str]] = frozenset(
        {"bitbucket_type", "cloud_type", "data_center_type", "flavours", "trello_type"}
    )
    cloud_type: type[Cloud] = Cloud
    data_center_type: type[DataCenter] = DataCenter
    bitbucket_type: type[Bitbucket] = Bitbucket
    trello_type: type[OwnHost] = OwnHost

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        cloud: bool = True,
        data_center: bool = True,
        bitbucket: bool = True,
        trello: bool = True,
        context_path: str = "/jira",
        sites: int = 1,
        ssl_context: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self._now = clock.time if clock is not None else time.time
        self._port = port
        self._log = Log()
        self.faults: Faults = Faults()
        self._server = Server(ssl_context)
        self._closers: list[Callable[[], None]] = []
        self._cloud = self.cloud_type(self._now) if cloud else None
        path = "/" + context_path.strip("/") if context_path.strip("/") else ""
        self._data_center = self.data_center_type(self._now, path) if data_center else None
        self._bitbucket = self.bitbucket_type(self._now) if bitbucket else None
        self._trello = self.trello_type(self._now, TRELLO) if trello else None
        for flavour in self.flavours:
            flavour.complete(clock)
        try:
            if self._cloud is not None:
                self._open_cloud(self._cloud, sites)
            if self._data_center is not None:
                self._open_data_center(self._data_center)
            self.foreign_url: str = self._open(
                "foreign", foreign_routes().answer, lambda _: "foreign"
            )
            if self._bitbucket is not None:
                self._open_bitbucket(self._bitbucket)
            if self._trello is not None:
                self._open_own_host(self._trello)
            self._server.start()
            self.complete()
        except BaseException:
            self._server.close()
            raise

    def _open(
        self,
        role: str,
        serve: Answer,
        kind: Callable[[Request], str],
        note: Callable[[Request], TokenRequest] | None = None,
    ) -> str:
        host = Host(role, serve, kind, self.faults, self._log, self._now, note)
        origin = self._server.listen(host.answer, self._port)
        self._port += bool(self._port)
        return origin

    def _open_cloud(self, cloud: Cloud, sites: int) -> None:
        gateway = Gateway(cloud)
        self._closers.append(gateway.close)
        cloud.auth_url = self._open("auth", gateway.auth_routes.answer, cloud_kind, cloud.note)
        cloud.api_url = self._open("api", gateway.routes.answer, cloud_kind, cloud.note)
        for name in map(site_name, range(sites)):
            gateway.add_site(name, self._open("site", gateway.site(name), cloud_kind))
        cloud.media_url = self._open("media", gateway.media, lambda _: "media")

    def _open_data_center(self, server: DataCenter) -> None:
        self._closers.append(server.close)
        origin = self._open("server", server.answer, server.kind, server.note)
        server.open_at(f"{origin}{server.context_path}")

    def _open_bitbucket(self, bitbucket: Bitbucket) -> None:
        api = BitbucketApi(bitbucket)
        self._closers.append(api.attachments.close)
        bitbucket.auth_url = self._open(
            "bitbucket-auth", bitbucket.routes.answer, bitbucket_kind, bitbucket.note
        )
        bitbucket.api_url = self._open("bitbucket-api", api.answer, bitbucket_kind)
        bitbucket.media_url = self._open("bitbucket-media", api.media, lambda _: "media")

    def _open_own_host(self, product: OwnHost) -> None:
        name = product.name
        product.auth_url = self._open(
            f"{name}-auth", product.auth_routes.answer, cloud_kind, product.note
        )
        product.api_url = self._open(f"{name}-api", product.api, cloud_kind)

    # -- flavours ----------------------------------------------------------------------------------

    @property
    def cloud(self) -> Cloud:
        """Cloud: its URLs, its registered app, its settings.

        Raises:
            AttributeError: The emulator was started with `cloud=False`.
        """
        return started(self._cloud, "Cloud")

    @property
    def data_center(self) -> DataCenter:
        """Data Center: its URL, its registered app, its settings.

        Raises:
            AttributeError: The emulator was started with `data_center=False`.
        """
        return started(self._data_center, "Data Center")

    @property
    def bitbucket(self) -> Bitbucket:
        """Bitbucket Cloud: its URLs, its registered consumer, its settings.

        Raises:
            AttributeError: The emulator was started with `bitbucket=False`.
        """
        return started(self._bitbucket, "Bitbucket Cloud")

    @property
    def trello(self) -> OwnHost:
        """Trello: its URLs, its registered app, its settings.

        Raises:
            AttributeError: The emulator was started with `trello=False`.
        """
        return started(self._trello, "Trello")

    # -- log ---------------------------------------------------------------------------------------

    @property
    def token_requests(self) -> tuple[TokenRequest, ...]:
        """Every request at a token endpoint, oldest first; no secrets inside."""
        return self._log.token_requests

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """Every HTTP request on every host, oldest first; headers in clear."""
        return self._log.requests

    def count(
        self,
        grant_type: str | None = None,
        outcome: str | None = None,
        flavour: str | None = None,
    ) -> int:
        """How many token requests have these values; None: any value.

        Args:
            grant_type: "authorization_code", "refresh_token" or "client_credentials".
            outcome: "issued", "replayed_in_grace", "reuse_after_grace" or "refused"; or
                "fault:<name>", when a fault came before the processing.
            flavour: "cloud", "data_center", "bitbucket" or "trello".

        Raises:
            ValueError: There is no such value, so no request can ever have it.
        """
        seen = self.token_requests
        if grant_type is not None:
            checked("grant type", grant_type, {*GRANT_TYPES, *(one.grant_type for one in seen)})
        if outcome is not None and not re.fullmatch(r"fault:status-\d{3}", outcome):
            known = {*OUTCOMES, *_FAULTS, *(one.outcome for one in seen)}
            checked("outcome", outcome, known)
        if flavour is not None:
            checked("flavour", flavour, {each.name for each in self.flavours})
        wanted = (("grant_type", grant_type), ("outcome", outcome), ("flavour", flavour))
        return sum(
            all(value is None or getattr(record, name) == value for name, value in wanted)
            for record in seen
        )

    def reset_log(self) -> None:
        """Forget the requests so far; tokens and families stay."""
        self._log.reset()

    @property
    def families(self) -> tuple[Family, ...]:
        """Every token family so far; `generations` is the highest of its refresh tokens."""
        return tuple(family for each in self.flavours for family in each.grants.families)

    @property
    def revoked_families(self) -> tuple[Family, ...]:
        """The families that were revoked; `revoked` says why."""
        return tuple(family for family in self.families if family.revoked)

    @property
    def secrets(self) -> frozenset[str]:
        """Every code, token and client secret so far, for tests that look for leaks."""
        found: set[str] = set()
        for each in self.flavours:
            found |= each.secrets
        return frozenset(found)

    @property
    def flavours(self) -> tuple[Flavour, ...]:
        """Those that this emulator was started with."""
        every = (self._cloud, self._data_center, self._bitbucket, self._trello)
        return tuple(each for each in every if each is not None)

    # -- life --------------------------------------------------------------------------------------

    def close(self) -> None:
        """Everything is stopped; held requests go on, open connections end. May be called twice."""
        self.faults.clear()
        self._server.close()
        for close in self._closers:
            close()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def started(flavour: F | None, name: str) -> F:
    """The flavour, if there is one."""
    if flavour is None:
        raise AttributeError(f"this emulator was started without its {name} flavour")
    return flavour
