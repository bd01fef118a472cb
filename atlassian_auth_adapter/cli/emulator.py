"""`atlassian-auth emulator`: the local Atlassian of `atlassian_auth_adapter.testing`."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from atlassian_auth_adapter.atlassian.products import CloudEnvironment
from atlassian_auth_adapter.profiles.file import save_profile
from atlassian_auth_adapter.profiles.profile import Profile

__all__ = ["command"]


@click.command(
    "emulator",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.pass_context
def command(context: click.Context) -> int:
    """Run the emulator of Atlassian until Ctrl-C. Its options: --help."""
    from atlassian_auth_adapter.testing.emulator.__main__ import main

    return main(context.args, prog="atlassian-auth emulator", save=_save, refuse=_refuse)


def _save(name: str, values: dict[str, Any], client_secret: str) -> None:
    """Save the profile, so that other terminals can sign in to the emulator."""
    cloud = CloudEnvironment(**values.pop("cloud"))
    save_profile(Profile(name, cloud=cloud, **values), client_secret)


def _refuse(message: str) -> NoReturn:
    raise click.UsageError(message.removeprefix("argument "))  # with --json it is told as JSON
