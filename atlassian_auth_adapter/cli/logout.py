"""`atlassian-auth logout`: takes the login back where the server can, then forgets it."""

from __future__ import annotations

import click

from atlassian_auth_adapter.cli.terminal import json_option, profile_option, say, show
from atlassian_auth_adapter.errors import ConfigurationError, TokenEndpointError
from atlassian_auth_adapter.profiles.client import client_of
from atlassian_auth_adapter.profiles.file import delete_profile, load_profile

__all__ = ["command"]


@click.command()
@profile_option
@json_option
@click.option("--local", is_flag=True, help="Only forget it here; the server is not told.")
@click.option("--delete", is_flag=True, help="Delete the profile and its client secret as well.")
def command(name: str, as_json: bool, local: bool, delete: bool) -> None:
    """Take the login back at the server where it can, then forget it."""
    profile = load_profile(name)
    client = client_of(profile)
    nobody = client.status().state == "none"
    revoked, why = False, ""
    if not (local or nobody):
        try:
            client.revoke()
            revoked, why = True, ""
        except (ConfigurationError, TokenEndpointError) as error:
            why = str(error)
    client.forget()
    if delete:
        delete_profile(profile.name)
    facts = {"profile": profile.name, "revoked": revoked, "forgotten": True, "deleted": delete}

    def human() -> None:
        if nobody:
            say(f"Nobody is signed in to the profile {profile.name!r}.")
            return
        say(f"The login of profile {profile.name!r} is forgotten here.")
        if revoked:
            say("The server has taken it back.")
        elif not local:
            say(f"The server has not taken it back: {why}", style="yellow")
            say("Remove the app in the settings of your Atlassian account to be sure.")

    show(facts, as_json, human)
