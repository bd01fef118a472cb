"""What may go wrong at any line: Ctrl-C, signals, stores that lie, threads that cannot be had."""

from __future__ import annotations

import itertools
import json
import linecache
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
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
    LoginRequiredError,
    MemoryTokenStore,
    Record,
    StaleRecordError,
    TokenKey,
    TokenNotSavedError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import Hold

PACKAGE = Path(atlassian_auth_adapter.__file__).parent
STEPPED = {str(PACKAGE / "refresh.py"), str(PACKAGE / "sources.py")}


class Unreliable(MemoryTokenStore):
    """A memory store that does to each save of a rotated token set what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.before_save: Callable[[Record], object] = lambda _: None

    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        if record.pending is None and record.token_set is not None:
            self.before_save(record)
        super().save(key, record, expected=expected)


def fail(_: object = None) -> None:
    """What a broken store does."""
    raise TokenStoreError("broken by the test")


def within(seconds: float, work: Callable[[], object]) -> list[Any]:
    """What the work returns or raises; fails when it hangs."""
    ends: list[Any] = []

    def run() -> None:
        try:
            ends.append(work())
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert ends, "this waits for ever"
    return ends


def at_line(number: int, action: Callable[[], object], work: Callable[[], object]) -> int:
    """Do `action` before the line with that number that the work executes in refresh and sources.

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


def store_of(client: AtlassianOAuthClient) -> Any:
    """The client's store."""
    return client._store


def stored(client: AtlassianOAuthClient) -> Record | None:
    """What is on record."""
    record: Record | None = store_of(client).load(client._key)
    return record


def is_forgotten(client: AtlassianOAuthClient) -> bool:
    """Whether nothing but a number is on record."""
    record = stored(client)
    return record is not None and record == Record(record.generation)


# --- the caller's thread --------------------------------------------------------------------------


def test_ctrl_c_at_any_line_of_a_caller_blocks_nobody(
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator, landed: Callable[[], None]
) -> None:
    """Whatever line KeyboardInterrupt hits, the next caller gets a token, and no login is lost."""
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
        assert isinstance(within(20, client.get_access_token)[0], str), f"line {number}"
    assert number > 10
    assert {request.outcome for request in emulator.token_requests} == {"issued"}


def test_a_signal_handler_may_ask_for_a_token_at_any_line(
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator, landed: Callable[[], None]
) -> None:
    """A SIGTERM handler says goodbye to Jira while the same thread is asking for a token."""
    client = make_client()
    for number in itertools.count(1):
        clock.advance(3600)
        handled: list[str] = []

        def handle(handled: list[str] = handled) -> None:
            handled.append(client.get_access_token())

        def work(number: int = number, handle: Callable[[], None] = handle) -> str:
            at_line(number, handle, client.get_access_token)
            return str(client.get_access_token())

        (token,) = within(20, work)
        if not handled:
            break
        assert handled == [token], f"line {number}"
        landed()
    assert number > 10
    assert {request.outcome for request in emulator.token_requests} == {"issued"}
    assert emulator.count("refresh_token") == number


@pytest.fixture
def no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may not start another thread of ours: a limit, or its own shutdown."""
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "atlassian-auth-flight":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_without_threads_nobody_waits_in_the_stale_window(
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
    make_client: Any, emulator: AtlassianEmulator, request: Any
) -> None:
    """Saving is tried again later, not on the thread of a caller until somebody mends the store."""
    clock = FakeClock(skip_sleeps=False)
    store = Unreliable()
    client = make_client(store=store, clock=clock)
    clock.advance(3600)
    store.before_save = fail
    request.getfixturevalue("no_more_threads")
    (token,) = within(20, client.get_access_token)
    assert token == client.current().access_token
    store.before_save = lambda _: None
    client._source._keep_saving()
    assert stored(client).token_set.access_token == token  # type: ignore[union-attr]


def test_whoever_fetches_the_token_must_not_ask_for_it(
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator
) -> None:
    """A client_secret function that uses its own client is told so instead of waiting for ever."""
    secret = emulator.cloud.app.client_secret
    clients: list[AtlassianOAuthClient] = []

    def fetch() -> str:
        return clients[0].get_access_token() if clients else secret

    client = make_client(client_secret=fetch)
    clock.advance(3600)
    clients.append(client)
    (error,) = within(20, client.get_access_token)
    assert isinstance(error, ConfigurationError)
    clients.clear()
    assert client.status().pending_since is None
    assert client.get_access_token()


# --- what could not be saved ----------------------------------------------------------------------


@pytest.fixture
def unsaved(make_client: Any) -> Iterator[tuple[AtlassianOAuthClient, FakeClock]]:
    """A client whose rotated token is in memory only; its store is broken."""
    clock = FakeClock(skip_sleeps=False)
    client = make_client(store=Unreliable(), clock=clock)
    clock.advance(3600)
    failed = threading.Semaphore(0)

    def fail_and_tell(_: Record) -> None:
        failed.release()
        fail()

    store_of(client).before_save = fail_and_tell
    client.get_access_token()
    for _ in range(2):  # the flight, and the first try of the thread that keeps saving
        failed.acquire()
    yield client, clock
    store_of(client).before_save = lambda _: None
    clock.advance(60)


def test_a_new_login_replaces_one_that_was_never_saved(
    unsaved: tuple[AtlassianOAuthClient, FakeClock], emulator: AtlassianEmulator
) -> None:
    """The store is well again and a person logs in: no word of the token that was not saved."""
    client, _ = unsaved
    before = client.get_access_token()
    store_of(client).before_save = lambda _: None
    client.oauth_complete(emulator.cloud.authorize(client.oauth_start()))
    assert client.get_access_token() != before
    assert stored(client).token_set == client.current()  # type: ignore[union-attr]


def test_a_late_save_does_not_overwrite_the_login_of_another_process(
    unsaved: tuple[AtlassianOAuthClient, FakeClock], landed: Callable[[], None]
) -> None:
    """Another process has forgotten the login and logged in anew: generations begin at 1 again."""
    client, clock = unsaved
    store = store_of(client)
    before = stored(client)
    assert before
    assert before.token_set
    store.before_save = lambda _: None
    store.delete(client._key)
    theirs = Record(before.generation, replace(before.token_set, refresh_token="theirs"))
    store.save(client._key, theirs, expected=None)
    while any(thread.name == "atlassian-auth-flight" for thread in threading.enumerate()):
        clock.advance(20)
    landed()
    assert stored(client) == theirs


def test_what_is_forgotten_does_not_come_back_with_a_late_save(
    make_client: Any, emulator: AtlassianEmulator, landed: Callable[[], None]
) -> None:
    """forget() while a new login, whose first save failed, is being saved again."""
    clock = FakeClock(skip_sleeps=False)
    store = Unreliable()
    client = make_client(store=store, clock=clock, login=False)
    redirect = emulator.cloud.authorize(client.oauth_start())
    store.before_save = fail
    with pytest.raises(TokenNotSavedError):
        client.oauth_complete(redirect)
    saving, go_on = threading.Event(), threading.Event()

    def stop(_: Record) -> None:
        saving.set()
        go_on.wait(20)

    store.before_save = stop
    while not saving.wait(0.01):
        clock.advance(20)
    forgetting = threading.Thread(target=client.forget)
    forgetting.start()
    forgetting.join(0.3)  # let it go as far as it gets
    go_on.set()
    forgetting.join(20)
    landed()
    assert is_forgotten(client)
    with pytest.raises(LoginRequiredError):
        client.get_access_token()


def test_a_save_that_fails_while_another_one_succeeds_is_tried_again(
    unsaved: tuple[AtlassianOAuthClient, FakeClock], landed: Callable[[], None]
) -> None:
    """The thread that keeps saving has just finished when the next token cannot be saved."""
    client, clock = unsaved
    source = client._source
    name = "_still_unsaved" if hasattr(source, "_still_unsaved") else "_save_unsaved"
    try_to_save = getattr(source, name)
    later: list[Record] = []

    def saved_just_before_another_failure() -> object:
        end = try_to_save()
        record = stored(client)
        if source._login.unsaved is None and not later and record and record.token_set:
            newer = replace(record.token_set, access_token="newer")
            later.append(Record(record.generation + 1, newer))
            source._login.unsaved = later[0], record
            another = threading.Thread(target=source._keep_saving)
            another.start()
            another.join(20)
        return end

    setattr(source, name, saved_just_before_another_failure)
    store_of(client).before_save = lambda _: None
    while not later or any(t.name == "atlassian-auth-flight" for t in threading.enumerate()):
        clock.advance(20)
    landed()
    assert stored(client) == later[0]


# --- stores that break their word -----------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError("EIO"), TokenStoreTimeoutError("late")], ids=repr)
def test_a_lock_that_cannot_be_released_costs_no_token_whatever_it_raises(
    make_client: Any, clock: FakeClock, error: Exception, landed: Callable[[], None], events: Any
) -> None:
    """The new token is saved when the release fails: the callers get it, the event says so."""

    class Sticky(MemoryTokenStore):
        broken = False

        @contextmanager
        def lock(self, key: TokenKey, *, timeout: float) -> Iterator[None]:
            with super().lock(key, timeout=timeout):
                yield
            if self.broken:
                raise error

    store = Sticky()
    client = make_client(store=store, on_event=events)
    clock.advance(3600)
    store.broken = True
    assert client._source.refresh() == stored(client).token_set  # type: ignore[union-attr]
    landed()
    assert len(events.names) == 2
    assert events.names[0] == "refreshed"


class Stale(MemoryTokenStore):
    """A store that tells everybody, after some saves, that somebody else was faster."""

    saves_left = 10_000

    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        self.saves_left -= 1
        if self.saves_left < 0:
            raise StaleRecordError("somebody else was faster")
        super().save(key, record, expected=expected)


def test_a_store_that_always_has_something_newer_is_an_error(
    make_client: Any,
    clock: FakeClock,
    emulator: AtlassianEmulator,
    landed: Callable[[], None],
) -> None:
    """Reads that lag behind the writes: neither a RecursionError nor an endless loop, and what was
    brought is saved when the store is well again.
    """
    store = Stale()
    client = make_client(store=store)
    clock.advance(3600)
    store.saves_left = 0
    with pytest.raises(StaleRecordError):
        client.get_access_token()
    assert isinstance(within(20, client.oauth_start)[0], StaleRecordError)
    assert emulator.count("refresh_token") == 0
    store.saves_left = 1  # the journal
    assert within(20, client.get_access_token) == [client.current().access_token]
    assert emulator.count("refresh_token") == 1
    store.saves_left = 1
    landed()
    assert stored(client).token_set == client.current()  # type: ignore[union-attr]


# --- secrets --------------------------------------------------------------------------------------


def shown_by(error: BaseException | None) -> str:
    """What an error reporter shows: the texts, and the locals of every frame of ours."""
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
    make_client: Any,
    clock: FakeClock,
    emulator: AtlassianEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the error nor the OSError behind it leads to a frame that holds the record."""
    client = make_client(store=FileTokenStore(tmp_path / "tokens"))
    clock.advance(3600)

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
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator
) -> None:
    """`os.environ[...]` raises KeyError: an error of ours, without frames that hold tokens."""
    secrets = {"JIRA": emulator.cloud.app.client_secret}
    client = make_client(client_secret=lambda: secrets["JIRA"])
    clock.advance(3600)
    kept = secrets.pop("JIRA")
    with pytest.raises(AtlassianAuthError, match="KeyError") as caught:
        client.get_access_token()
    shown = shown_by(caught.value)
    assert not [secret for secret in emulator.secrets if secret in shown]
    assert client.status().pending_since is None
    secrets["JIRA"] = kept
    assert client.get_access_token()


# --- the end of a login and of a process ----------------------------------------------------------


def test_revoke_takes_back_what_a_refresh_has_just_brought(
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator
) -> None:
    """revoke() while a refresh is in the air: the token that it brings does not live on."""
    client = make_client("data_center")
    clock.advance(3600)
    hold = Hold(after=True)
    emulator.weather.next("token", hold)
    waiting = threading.Thread(target=client.get_access_token)
    waiting.start()
    hold.wait_arrived()
    revoking = threading.Thread(target=client.revoke)
    revoking.start()
    revoking.join(0.3)  # let it go as far as it gets
    hold.release()
    waiting.join(20)
    revoking.join(20)
    assert is_forgotten(client)
    assert [request.path[-6:] for request in emulator.requests[-2:]] == ["/token", "revoke"]
    assert [family.revoked for family in emulator.families] == ["revoked by the client"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="no thread starts at exit there anyway")
def test_nothing_is_spent_beside_an_exit(
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator, tmp_path: Path
) -> None:
    """An atexit handler uses a stale token: a refresh that nobody waits for would be cut off."""
    clock.jump(-3300)  # by the machine's clock, which is the program's, it is stale
    make_client(store=FileTokenStore(tmp_path / "tokens"))
    clock.jump(3300)
    side = emulator.cloud
    program = """if True:
        import atexit, json, sys, threading
        from atlassian_auth_adapter import (
            CloudEnvironment, FileTokenStore, create_atlassian_oauth_client
        )
        arguments = json.loads(sys.argv[1])
        client = create_atlassian_oauth_client(
            *arguments["client"],
            cloud_id=arguments["site"],
            cloud=CloudEnvironment(*arguments["cloud"]),
            store=FileTokenStore(arguments["store"]),
        )
        client._source._login.quiet_until = 1e12
        client.get_access_token()
        client._source._login.quiet_until = 0
        flights = lambda: [t for t in threading.enumerate() if "flight" in t.name]
        atexit.register(lambda: [flight.join() for flight in flights()])
        atexit.register(lambda: print(client.status().state, len(client.get_access_token()) > 9))
    """
    arguments = {
        "client": (side.app.client_id, side.app.client_secret),
        "site": side.sites[0].id,
        "cloud": (side.auth_url, side.api_url, side.audience),
        "store": str(tmp_path / "tokens"),
    }
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert (done.stdout, done.stderr) == ("stale True\n", "")
    assert emulator.count("refresh_token") == 0
