"""The Cloud site of a client: found when it is first needed, remembered beside the login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from atlassian_auth_adapter.atlassian import sites
from atlassian_auth_adapter.atlassian.gateway import is_cloud_id
from atlassian_auth_adapter.atlassian.sites import Site
from atlassian_auth_adapter.clients.places import AskForSites, Place
from atlassian_auth_adapter.errors import AtlassianAuthError
from atlassian_auth_adapter.records import Login, TokenKey, change, load as load_record
from atlassian_auth_adapter.records.sites import Sites
from atlassian_auth_adapter.stores.base import TokenStore
from atlassian_auth_adapter.threads import SingleFlight, result_of, wait, wait_async
from atlassian_auth_adapter.transport import Transport

__all__ = ["SiteFinder"]

#: Seconds after which the URL of the site is asked for again: when there was no answer, and when
#: the site was not among those of the grant, which may grow.
PAUSE_AFTER_ERROR, PAUSE_IF_NOT_REACHED = 60.0, 3600.0


class SiteFinder:
    """Finds the site of a client, once for all threads and tasks that need it.

    What was found is kept in the store beside the login, under what was asked for: the URL of the
    site, or the name of the product for the only site of the grant that has it. It counts for that
    login only, since another login may reach other sites.
    A failure of the store is reported with `report`, and the search goes on.

    A client that was given a cloud id makes its requests without the URL of the site. It is learnt
    when a host of Cloud is asked for: from the store, or from the sites of the grant, once.
    """

    def __init__(
        self,
        place: Place,
        transport: Transport,
        store: TokenStore,
        key: TokenKey,
        accessible: AskForSites,
        report: Callable[..., object],
        monotonic: Callable[[], float],
    ) -> None:
        self._place, self._transport = place, transport
        self._wanted = place.site.url or place.product.name
        self._store, self._key = store, key
        self._accessible, self._report = accessible, report
        self._monotonic = monotonic
        self._flight = SingleFlight[None]()
        self._url_flight = SingleFlight[None]()
        self._ask_for_url_from: float | None = None  # monotonic time, seconds; None: at once
        self._failures: list[AtlassianAuthError] = []
        self._epoch = object()  # replaced with each login: the result of an older search is dropped

    def find(self) -> None:
        """The place is known afterwards. May block on the network and the store.

        Raises:
            AmbiguousSiteError, AccessDeniedError, ConfigurationError, ResourceUnavailableError: As
                `Place.ask_for_site`.
        """
        while not self._place.is_known:
            flight = self._flight.join_or_start(self._find, self._report_failures)
            wait(flight)
            result_of(flight)

    async def find_async(self) -> None:
        """As `find`, for tasks of asyncio and trio."""
        while not self._place.is_known:
            flight = self._flight.join_or_start(self._find, self._report_failures)
            await wait_async(flight)
            result_of(flight)

    def recall(self) -> None:
        """The place is known afterwards, if this client or the store knows it. No request."""
        if not self._place.is_known:
            epoch = self._epoch
            login, _ = load_record(self._store, self._key, Login)
            site = self._recall(login.login_id if login else "")
            if site and self._epoch is epoch:
                self._place.settle(site)

    def learn_url(self) -> None:
        """The URL of the site is known afterwards, if it can be learnt. May block as `find`."""
        if self._may_ask_for_url():
            wait(self._url_flight.join_or_start(self._learn_url, self._report_failures))

    async def learn_url_async(self) -> None:
        """As `learn_url`, for tasks of asyncio and trio."""
        if self._may_ask_for_url():
            flight = self._url_flight.join_or_start(self._learn_url, self._report_failures)
            await wait_async(flight)

    def forget(self) -> None:
        """The site is looked for again, since the login was replaced or forgotten."""
        self._epoch = object()
        self._ask_for_url_from = None
        self._place.settle(None)
        if self._place.sites_url:
            try:
                self._store.delete(self._key.for_sites().name)
            except AtlassianAuthError as error:
                self._report("store_failed", error=f"site not forgotten: {error}")

    def _find(self) -> None:
        epoch, login_id, site = self._epoch, None, None
        with self._noting_failures():
            login, _ = load_record(self._store, self._key, Login)
            login_id = login.login_id if login else ""
            site = self._recall(login_id)
        if site is None:
            site = self._place.ask_for_site(self._transport, self._accessible)
            if login_id is not None:
                with self._noting_failures():
                    self._keep(login_id, dict.fromkeys((self._wanted, site.url), site.id))
        self._place.settle(site)
        if self._epoch is not epoch:
            self._place.settle(None)

    def _may_ask_for_url(self) -> bool:
        begin = self._ask_for_url_from
        return self._place.lacks_site_url and (begin is None or self._monotonic() >= begin)

    def _learn_url(self) -> None:
        if not self._may_ask_for_url():
            return  # a flight that ended a moment ago has asked
        epoch, login_id, url = self._epoch, None, ""
        cloud_id = self._place.site.id
        with self._noting_failures():
            login, _ = load_record(self._store, self._key, Login)
            login_id = login.login_id if login else ""
            known, _ = load_record(self._store, self._key.for_sites(), Sites)
            url = _url_of(cloud_id, _known_for(login_id, known))
        if not url:
            url = self._ask_for_url(cloud_id)
            if url and login_id is not None:
                with self._noting_failures():
                    self._keep(login_id, {url: cloud_id})
        if url and self._epoch is epoch:
            self._place.settle(Site(cloud_id, url))

    def _ask_for_url(self, cloud_id: str) -> str:
        """The URL of the site, or "" if it cannot be learnt now."""
        pause, url = PAUSE_IF_NOT_REACHED, ""
        try:
            url = _url_of(cloud_id, {site.url: site.id for site in self._accessible()})
        except AtlassianAuthError:  # the request is sent without the token, and its event says so
            pause = PAUSE_AFTER_ERROR
        self._ask_for_url_from = None if url else self._monotonic() + pause
        return url

    def _recall(self, login_id: str) -> Site | None:
        """The site that was found for this login before, or None."""
        known, _ = load_record(self._store, self._key.for_sites(), Sites)
        cloud_ids = _known_for(login_id, known)
        cloud_id = cloud_ids.get(self._wanted)
        if not is_cloud_id(cloud_id):  # it becomes part of a path
            return None
        return Site(cloud_id, _url_of(cloud_id, cloud_ids))

    def _keep(self, login_id: str, cloud_ids: dict[str, str]) -> None:
        """Store the cloud id of a site under what was asked for, and under its URL."""
        found = {name: cloud_id for name, cloud_id in cloud_ids.items() if name}
        change(
            self._store,
            self._key.for_sites(),
            Sites,
            lambda known: Sites(login_id, {**_known_for(login_id, known), **found}),
        )

    @contextmanager
    def _noting_failures(self) -> Iterator[None]:
        """An error in the block ends the block only, and is reported later."""
        try:
            yield
        except AtlassianAuthError as error:
            self._failures.append(error)

    def _report_failures(self) -> None:
        """Called after the callers have the site, so that a slow hook does not delay them."""
        while self._failures:
            failure = self._failures.pop()
            self._report("store_failed", error=f"site not remembered: {failure}")


def _url_of(cloud_id: str, cloud_ids: dict[str, str]) -> str:
    """The URL of a site among names and URLs of sites; "" if no URL is known."""
    urls = (sites.origin_at(name) for name, same in cloud_ids.items() if same == cloud_id)
    return next(filter(None, urls), "")


def _known_for(login_id: str, known: Sites | None) -> dict[str, str]:
    return dict(known.cloud_ids) if known and known.login_id == login_id else {}
