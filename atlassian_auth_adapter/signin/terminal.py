"""Pasting into a terminal while a receiver waits as well: no thread is left in a blocking read.

A redirect URL holds a code of many hundred characters, and a terminal that edits lines cuts them:
at 4095 on Linux (measured 2026-11-24), at 1024 on macOS (MAX_CANON). So the editing of the terminal
is switched off meanwhile. Its echo is off too, because a code is a secret.
"""

from __future__ import annotations

import codecs
import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import UnsupportedOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atlassian_auth_adapter.signin.login import Paste

__all__ = ["pasted_lines"]

_ENTER = ("\r", "\n")
_ERASE = ("\x7f", "\b")
_END = "\x04"  # Ctrl-D


@contextmanager
def pasted_lines(stream: Any = None) -> Iterator[Paste | None]:
    """A context with the `paste` argument of `login` for a stream; None if it cannot be read.

    Nothing after the end of a line is read, so a program can read the rest afterwards. What was
    typed on a terminal without Enter is dropped. The settings of the terminal are restored.
    None on Windows, where the only way to wait for a console is to read it.

    Args:
        stream: The stream to read; None: standard input.
    """
    stream = sys.stdin if stream is None else stream
    try:
        descriptor = stream.fileno()
    except (AttributeError, ValueError, UnsupportedOperation):  # None, closed, or not a file
        yield None
        return
    if not _may_read(descriptor):
        yield None
        return
    with _unedited(descriptor):
        yield _Lines(descriptor)


def _may_read(descriptor: int) -> bool:
    """Whether this process may read it: a job in the background is stopped when it does."""
    if sys.platform != "win32":
        with suppress(OSError):
            return not os.isatty(descriptor) or os.tcgetpgrp(descriptor) == os.getpgrp()
    return False


@contextmanager
def _unedited(descriptor: int) -> Iterator[None]:
    if sys.platform != "win32" and os.isatty(descriptor):
        import termios

        before = termios.tcgetattr(descriptor)
        changed = termios.tcgetattr(descriptor)
        changed[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(descriptor, termios.TCSANOW, changed)
        try:
            yield
        finally:
            with suppress(termios.error):  # the terminal was closed
                termios.tcsetattr(descriptor, termios.TCSANOW, before)
    else:
        yield


class _Lines:
    """Reads lines from a file descriptor, and waits for each at most some seconds."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""

    def __call__(self, seconds: float) -> str | None:
        """The next line; None if it has not ended in time. EOFError at the end of the input."""
        ends = time.monotonic() + seconds
        while select.select([self._descriptor], [], [], max(0.0, ends - time.monotonic()))[0]:
            try:
                character = self._decoder.decode(os.read(self._descriptor, 1) or _END.encode())
            except OSError:  # the terminal was closed
                raise EOFError from None
            if character == _END and not self._line:
                raise EOFError
            if character in (*_ENTER, _END):
                line, self._line = self._line, ""
                return line
            self._line = self._line[:-1] if character in _ERASE else self._line + character
        return None
