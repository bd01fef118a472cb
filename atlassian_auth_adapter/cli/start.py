"""Where the command starts: what scripts call all the time goes the short way.

`atlassian-auth token` is called for each request of a shell script. While the stored token is valid
it needs no parser of command lines, which would take half of its time.
"""

from __future__ import annotations

import sys
from contextlib import suppress

__all__ = ["run"]

#: The calls that go the short way, and what they print of the token set.
SHORT_WAYS = {
    ("token",): "{0.access_token}\n",
    ("token", "--header"): "Authorization: {0.authorization}\n",
}


def run() -> None:
    """The console script."""
    form = SHORT_WAYS.get(tuple(sys.argv[1:]))
    if form and not sys.stdout.isatty():  # a terminal is asked first
        token_set = None
        with suppress(Exception):  # the long way tells what is wrong
            from atlassian_auth_adapter.profiles import stored_token_set

            token_set = stored_token_set()
        if token_set:
            sys.stdout.write(form.format(token_set))
            return
    from atlassian_auth_adapter.cli.main import main

    sys.exit(main())


if __name__ == "__main__":
    run()
