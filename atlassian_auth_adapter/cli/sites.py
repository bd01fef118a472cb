"""`atlassian-auth sites`: the Cloud sites that the login reaches."""

from __future__ import annotations

from typing import cast

import click

from atlassian_auth_adapter.atlassian.gateway import CloudGateway
from atlassian_auth_adapter.cli.status import check_login
from atlassian_auth_adapter.cli.terminal import (
    json_option,
    print_rows,
    profile_option,
    say,
    show,
)
from atlassian_auth_adapter.profiles.client import client_from_profile

__all__ = ["command"]


@click.command()
@profile_option
@json_option
def command(name: str, as_json: bool) -> None:
    """List the Cloud sites that the login reaches: where requests go, cloud ids and scopes."""
    client = client_from_profile(name)
    check_login(client)
    found = client.accessible_resources()
    gateway = cast("CloudGateway", client.resource_server)  # others have no sites
    sites = [
        {
            "url": site.url,
            "name": site.name,
            "cloud_id": site.id,
            "base_url": gateway._replace(cloud_id=site.id).base_url,
            "scopes": list(site.scopes),
        }
        for site in found
    ]

    def human() -> None:
        for site in sites:
            say(str(site["url"] or site["name"]), style="bold")
            print_rows(
                (
                    ("  cloud id", str(site["cloud_id"])),
                    ("  requests go to", str(site["base_url"])),
                    ("  scopes", " ".join(site["scopes"]) or "unknown"),
                )
            )
        if not sites:
            say("The login reaches no site.")
        else:
            say("Requests with a token go to these addresses, and not to the site's own.")

    show({"sites": sites}, as_json, human)
