"""`atlassian-auth logout`: revokes the login at the server if possible, then forgets it."""

from __future__ import annotations

from contextlib import suppress

import click

from atlassian_auth_adapter.cli.terminal import json_option, profile_option, say, show
from atlassian_auth_adapter.cli.words import about
from atlassian_auth_adapter.errors import ConfigurationError, TokenEndpointError
from atlassian_auth_adapter.profiles.client import client_of
from atlassian_auth_adapter.profiles.file import delete_profile, load_profile

__all__ = ["command"]


@click.command()
@profile_option
@json_option
@click.option("--local", is_flag=True, help="Only forget it here; do not revoke it.")
@click.option("--delete", is_flag=True, help="Delete the profile and its client secret as well.")
def command(name: str, as_json: bool, local: bool, delete: bool) -> None:
    """Revoke the login at the server if possible, and forget it."""
    profile = load_profile(name)
    client = client_of(profile)
    has_login = True
    with suppress(ConfigurationError):  # it is for other hosts: forgotten, but not sent there
        has_login = client.status().state != "none"
    revoked, why = False, ""
    if has_login and not local:
        try:
            client.revoke()
            revoked = True
        except (ConfigurationError, TokenEndpointError) as error:
            why = about(error, profile.name).text
    client.forget()
    if delete:
        delete_profile(profile.name)
    facts = {"profile": profile.name, "revoked": revoked, "forgotten": True, "deleted": delete}

    def human() -> None:
        if not has_login:
            say(f"The profile {profile.name!r} has no login.")
            return
        say(f"The login of the profile {profile.name!r} is forgotten here.")
        if revoked:
            say("The server has revoked it.")
        elif not local:
            say(f"The server has not revoked it: {why}", style="yellow")
            say("To be sure, remove the app in the settings of your Atlassian account.")

    show(facts, as_json, human)
