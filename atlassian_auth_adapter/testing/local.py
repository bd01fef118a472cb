"""AtlassianEmulator: the emulator, with clients of the library for what is registered there.

The emulator itself imports nothing of the library that it judges. This module knows both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack, cast

from atlassian_auth_adapter.atlassian.products import CloudEnvironment
from atlassian_auth_adapter.clients.factory import create_atlassian_oauth_client
from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
from atlassian_auth_adapter.clients.service_account import AtlassianServiceAccountClient
from atlassian_auth_adapter.clients.settings import Secret, Settings, shows_settings
from atlassian_auth_adapter.clock import Clock
from atlassian_auth_adapter.testing import emulator
from atlassian_auth_adapter.testing.emulator import bitbucket, cloud, data_center, own_host
from atlassian_auth_adapter.testing.emulator.flavour import Flavour
from atlassian_auth_adapter.transport import Proxy

__all__ = ["AtlassianEmulator"]


class Clients(Flavour):
    """A flavour with clients: those of its app and those of its service account."""

    @shows_settings
    def client(
        self,
        *,
        signed_in: bool = True,
        product: str = "",
        site_url: str = "",
        client_secret: Secret | None = None,
        verify: bool | str = True,
        proxy: Proxy = None,
        gateway_paths: Iterable[str] = (),
        **settings: Unpack[Settings],
    ) -> AtlassianOAuthClient:
        """A client of the app, signed in.

        Args:
            signed_in: Whether a person signs in and agrees, if the store has no login yet.
            product: "jira", "confluence" or, at Data Center, "bitbucket"; "": Jira, or the product
                of this flavour.
            site_url: Which site of Cloud; "": the first one.
            client_secret: Another one than that of the app; "" for a public client.
            clock: Another one than that of the emulator.

        All other arguments are those of `create_atlassian_oauth_client`.

        Raises:
            atlassian_auth_adapter.testing.emulator.NotRedirectedError: The person saw an error
                page in place of the consent page.
            AtlassianAuthError: What the factory and the login of a client raise.
        """
        client = create_atlassian_oauth_client(
            self.app.client_id,
            self.app.client_secret if client_secret is None else client_secret,
            self.app.callback_url,
            verify=verify,
            proxy=proxy,
            gateway_paths=gateway_paths,
            **self._where(product, site_url),
            **self._with_clock(settings),
        )
        if signed_in and client.status().state in ("none", "login_required"):
            client.oauth_complete(self.authorize(client.oauth_start()))
        return client

    @shows_settings
    def service_account_client(
        self,
        *,
        product: str = "",
        site_url: str = "",
        client_secret: Secret | None = None,
        verify: bool | str = True,
        proxy: Proxy = None,
        gateway_paths: Iterable[str] = (),
        **settings: Unpack[Settings],
    ) -> AtlassianServiceAccountClient:
        """A client of the service account; its arguments are those of `client`."""
        account = self.service_account
        return AtlassianServiceAccountClient(
            account.client_id,
            account.client_secret if client_secret is None else client_secret,
            verify=verify,
            proxy=proxy,
            gateway_paths=gateway_paths,
            **self._where(product, site_url),
            **self._with_clock(settings),
        )

    def _where(self, product: str, site_url: str) -> dict[str, Any]:
        """The place of a client: arguments of the factory."""
        raise NotImplementedError

    def _hosts(self, audience: str = "") -> CloudEnvironment:
        side = cast("cloud.Cloud | bitbucket.Bitbucket", self)
        return CloudEnvironment(side.auth_url, side.api_url, audience)

    def _with_clock(self, settings: Settings) -> Settings:
        """With the emulator's clock, unless it only tells the time: a client needs more of it."""
        if settings.get("clock") is None and hasattr(self._clock, "monotonic"):
            return {**settings, "clock": cast("Clock", self._clock)}
        return settings


class Cloud(Clients, cloud.Cloud):
    """Cloud, with clients."""

    def _where(self, product: str, site_url: str) -> dict[str, Any]:
        sites = {site.url: site.id for site in self.sites}
        url = site_url or self.sites[0].url
        if url not in sites:
            raise ValueError(f"site_url: this emulator has the sites {', '.join(sites)}")
        return {
            "product": product or "jira",
            "site_url": url,
            "cloud_id": sites[url],
            "cloud": self._hosts(self.audience),
        }


class _WithoutSites(Clients):
    def _where(self, product: str, site_url: str) -> dict[str, Any]:
        if site_url:
            raise ValueError("site_url: only Cloud has sites")
        return self._arguments_for(product)

    def _arguments_for(self, product: str) -> dict[str, Any]:
        raise NotImplementedError


class DataCenter(_WithoutSites, data_center.DataCenter):
    """Data Center, with clients."""

    def _arguments_for(self, product: str) -> dict[str, Any]:
        return {"product": product or "jira", "server_url": self.url}


class Bitbucket(_WithoutSites, bitbucket.Bitbucket):
    """Bitbucket Cloud, with clients."""

    def _arguments_for(self, product: str) -> dict[str, Any]:
        return {"product": product or self.name, "cloud": self._hosts()}


class Trello(_WithoutSites, own_host.OwnHost):
    """Trello, with clients."""

    def _arguments_for(self, product: str) -> dict[str, Any]:
        return {"product": product or self.name, "cloud": self._hosts(self.audience)}


class AtlassianEmulator(emulator.Emulator):
    """A local Atlassian, whose flavours make clients of this package.

        with AtlassianEmulator() as emulator:
            client = emulator.cloud.client()

    Its arguments and its other attributes are those of `testing.emulator.Emulator`.
    """

    _cloud: Cloud | None
    _data_center: DataCenter | None
    _bitbucket: Bitbucket | None
    _trello: Trello | None
    cloud_type: type[Cloud] = Cloud
    data_center_type: type[DataCenter] = DataCenter
    bitbucket_type: type[Bitbucket] = Bitbucket
    trello_type: type[Trello] = Trello

    @property
    def cloud(self) -> Cloud:
        """Cloud: its URLs, its registered app, its settings, its clients.

        Raises:
            AttributeError: The emulator was started with `cloud=False`.
        """
        return emulator.started(self._cloud, "Cloud")

    @property
    def data_center(self) -> DataCenter:
        """Data Center: its URL, its registered app, its settings, its clients.

        Raises:
            AttributeError: The emulator was started with `data_center=False`.
        """
        return emulator.started(self._data_center, "Data Center")

    @property
    def bitbucket(self) -> Bitbucket:
        """Bitbucket Cloud: its URLs, its registered consumer, its settings, its clients.

        Raises:
            AttributeError: The emulator was started with `bitbucket=False`.
        """
        return emulator.started(self._bitbucket, "Bitbucket Cloud")

    @property
    def trello(self) -> Trello:
        """Trello: its URLs, its registered app, its settings, its clients.

        Raises:
            AttributeError: The emulator was started with `trello=False`.
        """
        return emulator.started(self._trello, "Trello")

    def __enter__(self) -> AtlassianEmulator:
        return self
