"""`atlassian-auth sites`: the Cloud sites that the login reaches."""

from __future__ import annotations

import click

from atlassian_auth_adapter.cli.terminal import json_option, profile_option, say, show
from atlassian_auth_adapter.profiles.client import client_from_profile

__all__ = ["command"]


@click.command()
@profile_option
@json_option
def command(name: str, as_json: bool) -> None:
    """List the Cloud sites that the login reaches, with their cloud ids and scopes."""
    client = client_from_profile(name)
    found = client.accessible_resources()
    sites = [
        {"url": site.url, "name": site.name, "cloud_id": site.id, "scopes": list(site.scopes)}
        for site in found
    ]

    def human() -> None:
        for site in found:
            say(f"{site.url or site.name}", style="bold")
            say(f"  cloud id  {site.id}")
            say(f"  scopes    {' '.join(site.scopes) or 'unknown'}")
        if not found:
            say("The login reaches no site.")

    show({"sites": sites}, as_json, human)
