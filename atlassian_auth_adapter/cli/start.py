"""Where the command starts, with a fast path for what scripts call all the time.

`atlassian-auth token` is called for each request of a shell script. While the stored token is valid
it needs no parser of command lines, which would take half of its time.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper

__all__ = ["run"]

#: What the extra `cli` installs; without a part of it the command does not work.
LIBRARIES = ("click", "cryptography", "keyring", "platformdirs", "rich", "tomlkit")
#: Fast path: arguments that need no parser, and what is printed of the token set.
FAST_PATHS = {
    ("token",): "{0.access_token}\n",
    ("token", "--header"): "Authorization: {0.authorization}\n",
}


def run() -> None:
    """The console script."""
    _have_streams()
    try:
        form = FAST_PATHS.get(tuple(sys.argv[1:]))
        if form and not sys.stdout.isatty():  # on a terminal there is a question first
            with suppress(Exception):  # the other path says what is wrong
                from atlassian_auth_adapter.profiles.client import stored_token_set
                from atlassian_auth_adapter.profiles.file import load_profile

                if token_set := stored_token_set(load_profile()):
                    sys.stdout.write(form.format(token_set))
                    sys.stdout.flush()
                    return
        _end_in_order()
        code = _main()
    except KeyboardInterrupt:  # before main() could handle it
        code = 130
    sys.exit(code)


def _main() -> int:
    from importlib.util import find_spec  # the fast path does not need it

    if missing := ", ".join(library for library in LIBRARIES if not find_spec(library)):
        advice = "Install it with: pip install 'atlassian-auth-adapter[cli]'"
        sys.stderr.write(f"Error: the command needs {missing}. {advice}\n")
        return 3
    from atlassian_auth_adapter.cli.main import main

    return main()


def _have_streams() -> None:
    """Open the standard streams that are closed, and let them print any text.

    A character that a terminal lacks, such as one of ASCII, is printed as a question mark.

    Otherwise the next file or connection that is opened would get their descriptors.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _end_in_order() -> None:
    """SIGTERM and SIGHUP end the process as Ctrl-C does: after the answer of a sent refresh.

    It may hold the only valid refresh token. A second signal ends the process at once.
    """
    import signal  # the fast path does not need it

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise SystemExit(128 + number)  # as a shell reports it

    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
            signal.signal(number, end)


if __name__ == "__main__":
    run()
