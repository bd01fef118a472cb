"""Sites of Atlassian Cloud: which ones a grant reaches, and the cloud id of a site URL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from atlassian_auth_adapter.atlassian.gateway import is_cloud_id
from atlassian_auth_adapter.atlassian.locations import origin_of_site
from atlassian_auth_adapter.atlassian.products import Product
from atlassian_auth_adapter.errors import (
    AccessDeniedError,
    AmbiguousSiteError,
    ConfigurationError,
    ResourceUnavailableError,
)
from atlassian_auth_adapter.foreign_text import printable

if TYPE_CHECKING:  # a stored token that is valid is printed without it
    from atlassian_auth_adapter.transport import Answer, Transport

__all__ = ["Site", "cloud_id_of", "listed", "only_site", "origin_at", "site_at", "sites_in"]


_OK, _NOT_FOUND = 200, 404  # loading HTTPStatus takes longer than all else here


class Site(NamedTuple):
    """One entry of accessible-resources. Entries of one site share the id and differ in scopes.

    Attributes:
        id: The cloud id.
        url: URL of the site, such as https://acme.atlassian.net, or "".
        name: Name of the site, or "".
        scopes: The scopes of the grant there.
        avatar_url: URL of a picture, or "".
    """

    id: str
    url: str = ""
    name: str = ""
    scopes: tuple[str, ...] = ()
    avatar_url: str = ""


def sites_in(answer: Answer) -> tuple[Site, ...]:
    """The sites that an answer of accessible-resources lists.

    Only the id is required, because other fields have been seen missing.
    Source: developer.atlassian.com oauth-2-3lo-apps, copy of 2026-09-26.

    Raises:
        ResourceUnavailableError: The answer is not usable.
    """
    entries = answer.json() if answer.status == _OK else None
    if not isinstance(entries, list):
        raise ResourceUnavailableError(
            f"unusable answer from accessible-resources (HTTP {answer.status}, "
            f"{answer.content_type or 'no content type'}). Try again.",
            status=answer.status,
        )
    return tuple(
        _site(entry)
        for entry in entries
        if isinstance(entry, Mapping) and is_cloud_id(entry.get("id"))
    )


def cloud_id_of(transport: Transport, site_url: str) -> str:
    """The cloud id of a site; needs no token.

    Source: `/_edge/tenant_info`, knowledge base "retrieve-my-atlassian-sites-cloud-id", 2026-11-22.

    Raises:
        ResourceUnavailableError: There is no usable answer.
        ConfigurationError: It is not the URL of a Cloud site.
    """
    answer = transport.get(f"{site_url}/_edge/tenant_info")
    parsed = answer.json() if answer.status == _OK else None
    cloud_id = parsed.get("cloudId") if isinstance(parsed, dict) else None
    if is_cloud_id(cloud_id):
        return cloud_id
    if answer.status in (_OK, _NOT_FOUND):
        raise ConfigurationError(
            f"site_url: {site_url} does not look like an Atlassian Cloud site. For Data Center "
            "pass server_url instead, or pass cloud_id."
        )
    target = answer.redirect_from(f"{site_url}/_edge/tenant_info")
    raise ResourceUnavailableError(
        f"{site_url} gave no cloud id (HTTP {answer.status}"
        f"{f', redirects to {target}' if target else ''}). Try again, or pass cloud_id.",
        status=answer.status,
    )


def only_site(sites: Iterable[Site], product: Product) -> Site:
    """The only site that the grant reaches with the product.

    A site has one entry for each product, with the same id and other scopes. An entry without
    scopes counts for every product.

    Raises:
        AmbiguousSiteError: There are several sites; the error lists them.
        AccessDeniedError: There is no such site.
    """
    every = tuple(sites)
    found = {
        site.id: site for site in every if not site.scopes or product.is_reached_by(site.scopes)
    }
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise AccessDeniedError(
            f"the grant reaches no site of {product.name} ({listed(every)}). Add scopes of the "
            "product to the app and to `scopes`, log in again and choose a site.",
            granted=" ".join(dict.fromkeys(scope for site in every for scope in site.scopes)),
        )
    raise AmbiguousSiteError(
        f"the grant reaches several sites: {listed(found.values())}. Name one: pass site_url or "
        "cloud_id.",
        sites=tuple(found.values()),
    )


def site_at(site_url: str, sites: Iterable[Site]) -> Site | None:
    """The site with that origin, or None."""
    return next((site for site in sites if origin_at(site.url) == site_url), None)


def listed(sites: Iterable[Site]) -> str:
    """A list of the sites as text, each one once, for errors and events."""
    names = {site.id: f"{site.url or site.name} (cloud_id {site.id})" for site in sites}
    return ", ".join(sorted(names.values())) or "it reaches no site"


def origin_at(url: str) -> str:
    """The origin of a URL in an answer; "" if it is not a URL."""
    try:
        return origin_of_site(url)
    except ConfigurationError:
        return ""


def _site(entry: Mapping[str, Any]) -> Site:
    def text(name: str) -> str:
        return printable(entry.get(name), 1000)

    scopes = entry.get("scopes")
    return Site(
        id=entry["id"],
        url=text("url").rstrip("/"),
        name=text("name"),
        scopes=tuple(filter(None, map(printable, scopes))) if isinstance(scopes, list) else (),
        avatar_url=text("avatarUrl"),
    )
