"""Ctrl-C and signal handlers at any line, threads that cannot be had, and what errors show."""

from __future__ import annotations

import itertools
import linecache
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import atlassian_auth_adapter
from atlassian_auth_adapter import (
    AtlassianAuthError,
    AtlassianOAuthClient,
    ConfigurationError,
    FileTokenStore,
    TokenStoreError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock, stored_login

from .stores import FragileStore, outcome_of

Landed = Callable[[], None]
PACKAGE = Path(atlassian_auth_adapter.__file__).parent
#: What the thread of a caller executes.
STEPPED = {str(PACKAGE / "refresh" / name) for name in ("source.py", "login.py", "steps.py")}


def at_line(number: int, action: Callable[[], object], work: Callable[[], object]) -> int:
    """Do `action` before the line with that number that the work executes in STEPPED.

    A `with` statement that ends counts as a line for tracers, but no signal is handled there.

    Returns the number of lines.
    """
    lines = itertools.count(1)
    count = 0
    entered: set[tuple[FrameType, int]] = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in STEPPED:
            return None
        if event == "line":
            where = frame, frame.f_lineno
            if linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()[:5] == "with ":
                if where in entered:
                    return trace
                entered.add(where)
            count = next(lines)
            if count == number:
                sys.settrace(None)
                action()
        return trace

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(old)
    return count


def test_ctrl_c_at_any_line_of_a_caller_blocks_no_other_one(
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator, landed: Landed
) -> None:
    """KeyboardInterrupt at any line: the next caller gets a token, and no login is lost."""
    client = make_client()

    def interrupt() -> None:
        raise KeyboardInterrupt

    for number in itertools.count(1):
        clock.advance(3600)
        try:
            at_line(number, interrupt, client.get_access_token)
        except KeyboardInterrupt:
            pass
        else:
            break  # there are no more lines
        landed()
        clock.advance(3600)
        assert isinstance(outcome_of(client.get_access_token), str), f"line {number}"
    assert number > 10
    assert {request.outcome for request in emulator.token_requests} == {"issued"}


def test_a_signal_handler_may_ask_for_a_token_at_any_line(
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator, landed: Landed
) -> None:
    """A SIGTERM handler makes a last request while the same thread is asking for a token."""
    client = make_client()
    for number in itertools.count(1):
        clock.advance(3600)
        handled: list[str] = []

        def handle(handled: list[str] = handled) -> None:
            handled.append(client.get_access_token())

        def work(number: int = number, handle: Callable[[], None] = handle) -> str:
            at_line(number, handle, client.get_access_token)
            return str(client.get_access_token())

        token = outcome_of(work)
        if not handled:
            break
        assert handled == [token], f"line {number}"
        landed()
    assert number > 10
    assert {request.outcome for request in emulator.token_requests} == {"issued"}
    assert emulator.count("refresh_token") == number


@pytest.fixture
def no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may not start another thread: a limit, or its own shutdown."""
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "atlassian-auth-flight":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_without_threads_no_request_waits_in_the_stale_window(
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator, request: Any
) -> None:
    """A token that still serves is handed out; what should run beside the traffic is left out."""
    client = make_client()
    clock.advance(3600 - 300)
    request.getfixturevalue("no_more_threads")
    assert client.get_access_token() == client.current().access_token
    assert emulator.count("refresh_token") == 0
    clock.advance(3600)
    assert client.get_access_token()
    assert emulator.count("refresh_token") == 1


def test_without_threads_a_broken_store_does_not_keep_the_caller(
    request: Any, expired_client: Any
) -> None:
    """Saving is tried again by the next refresh, and not on the thread of a caller until then."""
    clock = FakeClock(skip_sleeps=False)
    store = FragileStore()
    client = expired_client(store=store, clock=clock)
    store.fail("answer")
    request.getfixturevalue("no_more_threads")
    token = outcome_of(client.get_access_token)
    unsaved = client.current()
    assert token == unsaved.access_token
    store.recover()
    outcome_of(client.refresh)
    assert unsaved in [login.token_set for login in store.saves]
    assert stored_login(client).token_set == client.current()  # type: ignore[union-attr]


def test_what_fetches_the_token_must_not_ask_for_it(
    emulator: AtlassianEmulator, expired_client: Any
) -> None:
    """A client_secret function that uses its own client is told so instead of waiting for ever."""
    secret = emulator.cloud.app.client_secret
    clients: list[AtlassianOAuthClient] = []

    def fetch() -> str:
        return clients[0].get_access_token() if clients else secret

    client = expired_client(client_secret=fetch)
    clients.append(client)
    error = outcome_of(client.get_access_token)
    assert isinstance(error, ConfigurationError)
    clients.clear()
    assert client.status().pending_since is None
    assert client.get_access_token()


# --- secrets --------------------------------------------------------------------------------------


def shown_by(error: BaseException | None) -> str:
    """What an error reporter shows: the texts, and the locals of every frame of the library."""
    shown: list[str] = []
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        shown.append("".join(traceback.format_exception(error)))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if Path(frame.f_code.co_filename).is_relative_to(PACKAGE):
                shown += [repr(value) for value in frame.f_locals.values()]
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


def test_a_full_disk_does_not_show_what_was_to_be_written(
    emulator: AtlassianEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expired_client: Any,
) -> None:
    """Neither the error nor the OSError behind it leads to a frame that holds the record."""
    client = expired_client(store=FileTokenStore(tmp_path / "tokens"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    for work in (client.get_access_token, client.oauth_start):
        with pytest.raises(TokenStoreError, match="Free some space") as caught:
            work()
        shown = shown_by(caught.value)
        assert "No space left" in shown
        assert not [secret for secret in emulator.secrets if secret in shown]
    assert emulator.count("refresh_token") == 0


def test_a_secret_function_that_fails_does_not_show_the_refresh_token(
    emulator: AtlassianEmulator, expired_client: Any
) -> None:
    """`os.environ[...]` raises KeyError: an error of the library, without frames with tokens."""
    secrets = {"JIRA": emulator.cloud.app.client_secret}
    client = expired_client(client_secret=lambda: secrets["JIRA"])
    kept = secrets.pop("JIRA")
    with pytest.raises(AtlassianAuthError, match="KeyError") as caught:
        client.get_access_token()
    shown = shown_by(caught.value)
    assert not [secret for secret in emulator.secrets if secret in shown]
    assert client.status().pending_since is None
    secrets["JIRA"] = kept
    assert client.get_access_token()
