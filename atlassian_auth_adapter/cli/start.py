"""Where the command starts: what scripts call all the time goes the short way.

`atlassian-auth token` is called for each request of a shell script. While the stored token is valid
it needs no parser of command lines, which would take half of its time.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper

__all__ = ["run"]

#: The calls that go the short way, and what they print of the token set.
SHORT_WAYS = {
    ("token",): "{0.access_token}\n",
    ("token", "--header"): "Authorization: {0.authorization}\n",
}


def run() -> None:
    """The console script."""
    _have_streams()
    try:
        form = SHORT_WAYS.get(tuple(sys.argv[1:]))
        if form and not sys.stdout.isatty():  # a terminal is asked first
            with suppress(Exception):  # the long way tells what is wrong
                from atlassian_auth_adapter.profiles.client import stored_token_set
                from atlassian_auth_adapter.profiles.file import load_profile

                if token_set := stored_token_set(load_profile()):
                    sys.stdout.write(form.format(token_set))
                    sys.stdout.flush()
                    return
        _end_in_order()
        from atlassian_auth_adapter.cli.main import main

        code = main()
    except KeyboardInterrupt:  # the long way had not begun
        code = 130
    sys.exit(code)


def _have_streams() -> None:
    """The standard streams are there, also if they were closed, and print every character.

    Otherwise the next file or connection that is opened would get their descriptors.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="namereplace")


def _end_in_order() -> None:
    """SIGTERM and SIGHUP end us as Ctrl-C does: after the answer of a refresh that was sent.

    It may hold the only refresh token that is left. A second signal ends us at once.
    """
    import signal  # the short way is over before

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise SystemExit(128 + number)  # as a shell tells it

    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
            signal.signal(number, end)


if __name__ == "__main__":
    run()
