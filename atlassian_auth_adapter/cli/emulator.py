"""`atlassian-auth emulator`: the local Atlassian of `atlassian_auth_adapter.testing`."""

from __future__ import annotations

import click

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

    return main(context.args)
