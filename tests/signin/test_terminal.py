"""Pasting, in a pseudo terminal: no thread is left in a read, no input is lost."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from atlassian_auth_adapter import AuthorizationError, login
from atlassian_auth_adapter.signin import terminal
from atlassian_auth_adapter.signin.terminal import pasted_lines

termios = pytest.importorskip("termios", reason="a terminal of POSIX")


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Any]]:
    """The person's end of a pseudo terminal, and the stream that the program reads.

    It is not the terminal that controls the tests, so its foreground process is not asked for.
    """
    person, program = os.openpty()
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp())
    with os.fdopen(program, "r") as stream:
        yield person, stream
    os.close(person)


@pytest.fixture
def pipe() -> Iterator[tuple[int, Any]]:
    """The descriptor to write to, and the stream that the program reads."""
    read, write = os.pipe()
    with os.fdopen(read, "r") as stream:
        yield write, stream


def test_a_long_redirect_arrives_whole(tty: Any) -> None:
    """Longer than the 4095 characters of a line that the terminal edits, and not shown."""
    person, stream = tty
    line = "http://localhost:8080/callback?code=" + "x" * 9000 + "&state=ä"
    with pasted_lines(stream) as paste:
        assert paste is not None
        assert paste(0.0) is None
        rest = f"{line}\r".encode()
        while rest:
            rest = rest[os.write(person, rest[:1000]) :]
            arrived = paste(0.0 if rest else 20.0)
        assert arrived == line
    os.set_blocking(person, False)
    with pytest.raises(BlockingIOError):
        os.read(person, 1)  # an echo


def test_a_line_that_has_not_ended_goes_on(tty: Any) -> None:
    """Typed in pieces, corrected, ended by Enter."""
    person, stream = tty
    with pasted_lines(stream) as paste:
        assert paste is not None
        os.write(person, b"\x7fabx")
        assert paste(0.0) is None
        os.write(person, b"\x7fc\ndef\n")
        assert [paste(20.0), paste(20.0)] == ["abc", "def"]


@pytest.mark.parametrize("leaves", [None, KeyboardInterrupt], ids=["done", "Ctrl-C"])
def test_the_terminal_is_afterwards_as_it_was(leaves: Any, tty: Any) -> None:
    """Echo and editing are back, however the login ended, and later input is not read."""
    person, stream = tty
    before = termios.tcgetattr(stream)

    def read() -> None:
        with pasted_lines(stream) as paste:
            assert paste is not None
            assert not termios.tcgetattr(stream)[3] & termios.ECHO
            assert termios.tcgetattr(stream)[3] & termios.ISIG
            os.write(person, b"half")
            assert paste(0.0) is None
            if leaves:
                raise leaves

    if leaves:
        with pytest.raises(leaves):
            read()
    else:
        read()
    assert termios.tcgetattr(stream) == before
    os.write(person, b"next\n")
    assert stream.readline() == "next\n"


@pytest.mark.parametrize("end", [b"\x04", None], ids=["Ctrl-D", "closed"])
def test_the_end_of_a_terminal(end: bytes | None, tty: Any) -> None:
    """EOFError: there will be no more lines."""
    person, stream = tty
    with pasted_lines(stream) as paste:
        assert paste is not None
        if end:
            os.write(person, end)
        else:
            with open(os.devnull) as nothing:  # noqa: PTH123
                os.dup2(nothing.fileno(), person)  # closes the terminal's other end
        with pytest.raises(EOFError):
            paste(20.0)


def test_a_pipe_is_read_to_the_end_of_the_line(pipe: Any) -> None:
    """The rest is left for the program; the last line needs no line break."""
    write, stream = pipe
    os.write(write, "first ä\nsecond\nthird".encode())
    os.close(write)
    with pasted_lines(stream) as paste:
        assert paste is not None
        assert paste(20.0) == "first ä"
    assert os.read(stream.fileno(), 7) == b"second\n"
    with pasted_lines(stream) as paste:
        assert paste is not None
        assert paste(20.0) == "third"
        with pytest.raises(EOFError):
            paste(20.0)


def test_a_stream_that_cannot_be_read_gives_no_paste(
    monkeypatch: pytest.MonkeyPatch, tty: Any
) -> None:
    """No standard input, a closed one, one that is no file, a job in the background."""
    closed = io.FileIO(os.open(os.devnull, os.O_RDONLY))
    closed.close()
    for stream in (closed, io.StringIO("text")):
        with pasted_lines(stream) as paste:
            assert paste is None
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        with pasted_lines() as paste:
            assert paste is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp() + 1)
        with pasted_lines(tty[1]) as paste:
            assert paste is None
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        with pasted_lines(tty[1]) as paste:
            assert paste is None


def test_a_login_by_terminal(client: Any, emulator: Any, person: Any, tty: Any) -> None:
    """Another line first, then the redirect, while the receiver waits."""
    end, stream = tty
    person.does = lambda url: os.write(end, f"what?\n{emulator.cloud.authorize(url)}\n".encode())
    with pasted_lines(stream) as paste:
        login(client, paste=paste, tell=person, timeout=20)
    assert client.status().state == "fresh"
    assert len(person.told) == 2


def test_a_login_with_nothing_to_read(client: Any, person: Any) -> None:
    """Standard input is closed and nothing is received: an error, no endless wait."""
    with (
        open(os.devnull) as stream,  # noqa: PTH123
        pasted_lines(stream) as paste,
        pytest.raises(AuthorizationError, match="the input ended"),
    ):
        login(client, paste=paste, receive=False, tell=person)


def test_a_terminal_of_another_process_is_not_read(tty: Any, monkeypatch: Any) -> None:
    """The system refuses to name its foreground process."""

    def refuse(descriptor: int) -> int:
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(os, "tcgetpgrp", refuse)
    assert not terminal._may_read(tty[1].fileno())
