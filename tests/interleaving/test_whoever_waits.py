"""A refresh belongs to nobody who waits for it: cancelled tasks, closed loops, ending processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from atlassian_auth_adapter import (
    AtlassianHTTPXAuth,
    AtlassianOAuthClient,
    FileTokenStore,
    MemoryTokenStore,
    TokenKey,
    TokenStoreError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import Hold, Status

Held = Callable[[AtlassianOAuthClient], Hold]


@pytest.fixture
def held(emulator: AtlassianEmulator, clock: FakeClock) -> Held:
    """Expires the client's token; its refresh will stop after the server has rotated."""

    def hold(client: AtlassianOAuthClient) -> Hold:
        clock.advance(3600)
        hold = Hold(after=True)
        emulator.weather.next("token", hold)
        return hold

    return hold


def test_a_cancelled_asyncio_task_loses_nothing(
    emulator: AtlassianEmulator, make_client: Any, held: Held, landed: Callable[[], None]
) -> None:
    """All tasks that wait are cancelled in mid-refresh: the rotated token is in the store."""
    store = MemoryTokenStore()
    client = make_client(store=store)
    before = client.get_access_token()
    hold = held(client)

    async def main() -> None:
        async with httpx.AsyncClient(auth=AtlassianHTTPXAuth(client)) as http:
            tasks = [asyncio.create_task(http.get(client.base_url)) for _ in range(10)]
            await asyncio.to_thread(hold.wait_arrived)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)

    asyncio.run(main())
    hold.release()
    landed()
    assert client.get_access_token() != before
    assert client.status().generation == 2
    assert make_client(store=store, login=False).get_access_token() == client.get_access_token()
    assert emulator.count("refresh_token") == 1


def test_a_cancelled_trio_scope_loses_nothing(
    emulator: AtlassianEmulator, make_client: Any, held: Held, landed: Callable[[], None]
) -> None:
    """A trio cancel scope ends in mid-refresh: the rotated token is in the store."""
    client = make_client()
    hold = held(client)

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.token_set_async)
                await trio.to_thread.run_sync(hold.wait_arrived)
                scope.cancel()
        assert scope.cancelled_caught

    trio.run(main)
    hold.release()
    landed()
    assert client.status().generation == 2
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_closed_loop_loses_nothing(
    emulator: AtlassianEmulator,
    make_client: Any,
    held: Held,
    landed: Callable[[], None],
    library: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The event loop is closed before the answer comes: saved all the same, and nothing is
    logged.
    """
    client = make_client()
    hold = held(client)

    async def with_asyncio() -> None:
        task = asyncio.create_task(client.token_set_async())
        await asyncio.to_thread(hold.wait_arrived)
        task.cancel()

    async def with_trio() -> None:
        with trio.move_on_after(3600) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.token_set_async)
                await trio.to_thread.run_sync(hold.wait_arrived)
                scope.cancel()

    asyncio.run(with_asyncio()) if library == "asyncio" else trio.run(with_trio)
    hold.release()
    landed()
    assert client.status().generation == 2
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_a_cancelled_waiter_does_not_disturb_the_others(
    emulator: AtlassianEmulator, make_client: Any, held: Held
) -> None:
    """One of two waiting tasks is cancelled; the other gets the token of the same flight."""
    client = make_client()
    hold = held(client)

    async def main() -> None:
        first = asyncio.create_task(client.token_set_async())
        second = asyncio.create_task(client.token_set_async())
        await asyncio.to_thread(hold.wait_arrived)
        first.cancel()
        hold.release()
        assert (await second).access_token == client.get_access_token()
        assert first.cancelled()

    asyncio.run(main())
    assert emulator.count("refresh_token") == 1


SCRIPT = """
import json, sys, threading
from atlassian_auth_adapter import CloudEnvironment, FileTokenStore, create_atlassian_oauth_client

arguments = json.loads(sys.argv[1])
store = FileTokenStore(arguments.pop("store"))
cloud = CloudEnvironment(*arguments.pop("cloud"))
client = create_atlassian_oauth_client(**arguments, store=store, cloud=cloud)
"""


@pytest.fixture
def program(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, tmp_path: Path
) -> Callable[[str], subprocess.Popen[str]]:
    """Starts a Python program whose `client` shares a FileTokenStore with an expired login."""
    store = tmp_path / "tokens"
    # The login took place an hour ago by the machine's clock, which is the programs' clock.
    clock.jump(-3600)
    make_client(store=FileTokenStore(store))
    clock.jump(3600)
    side = emulator.cloud
    arguments = {
        "client_id": side.app.client_id,
        "client_secret": side.app.client_secret,
        "cloud_id": side.sites[0].id,
        "cloud": (side.auth_url, side.api_url, side.audience),
        "store": str(store),
    }

    def start(body: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT + textwrap.dedent(body), json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_eight_processes_with_a_file_store_share_one_refresh(
    emulator: AtlassianEmulator, program: Callable[[str], subprocess.Popen[str]]
) -> None:
    """Eight processes meet an expired token at one moment: one token request, all succeed."""
    body = """
        import requests
        from atlassian_auth_adapter import AtlassianAuth
        session = requests.Session()
        session.auth = AtlassianAuth(client)
        print("ready", flush=True)
        sys.stdin.readline()
        print(*[session.get(client.base_url + "/rest/api/3/myself").status_code for _ in range(3)])
    """
    processes = [program(body) for _ in range(8)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (out, err, process.returncode) == ("200 200 200\n", "", 0)
    assert emulator.count("refresh_token") == 1


def test_a_process_that_exits_in_mid_refresh_saves_the_token(
    emulator: AtlassianEmulator, program: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    """The main program ends while a flight is in the air: the exit waits until it is saved."""
    hold = Hold(after=True)
    emulator.weather.next("token", hold)
    process = program("""
        threading.Thread(target=client.get_access_token, daemon=True).start()
        sys.stdin.readline()
    """)
    hold.wait_arrived()
    assert process.stdin
    process.stdin.close()  # the main thread goes on to its end
    hold.release()
    assert process.wait(30) == 0
    process.stdout.close()  # type: ignore[union-attr]
    assert process.stderr
    assert process.stderr.read() == ""
    process.stderr.close()
    after = program("print(client.status().generation, client.get_access_token() != '')")
    assert after.communicate(timeout=30) == ("2 True\n", "")
    assert emulator.count("refresh_token") == 1


def test_an_exit_waits_for_a_request_but_not_for_patience(
    emulator: AtlassianEmulator, program: Callable[[str], subprocess.Popen[str]]
) -> None:
    """The token endpoint fails: a program that has ended is not kept for two minutes of
    resending.
    """
    hold = Hold(then=Status(503))
    emulator.weather.next("token", hold)
    emulator.weather.next("token", Status(503), times=None)
    process = program("""
        threading.Thread(target=client.get_access_token, daemon=True).start()
        sys.stdin.readline()
    """)
    hold.wait_arrived()
    assert process.stdin
    process.stdin.close()
    hold.release()
    assert process.wait(30) == 0
    for stream in (process.stdout, process.stderr):
        assert stream
        stream.close()
    assert emulator.count("refresh_token") <= 3


def test_a_refresh_at_interpreter_exit_works(
    emulator: AtlassianEmulator, program: Callable[[str], subprocess.Popen[str]]
) -> None:
    """An atexit handler needs a token when no thread can be started any more: done on the spot."""
    process = program("""
        import atexit
        atexit.register(lambda: print(len(client.get_access_token()) > 10))
    """)
    assert process.communicate(timeout=30) == ("True\n", "")
    assert emulator.count("refresh_token") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_in_mid_refresh_starts_afresh(
    emulator: AtlassianEmulator, make_client: Any, held: Held, tmp_path: Path
) -> None:
    """The child has no flight to wait for: it takes the store's lock in its turn and adopts."""
    client = make_client(store=FileTokenStore(tmp_path / "tokens"))
    hold = held(client)
    waiter = threading.Thread(target=client.get_access_token)
    waiter.start()
    hold.wait_arrived()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(write, b"born")
            os.write(write, client.get_access_token().encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    assert os.read(read, 4) == b"born"
    hold.release()
    waiter.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with os.fdopen(read) as pipe:
        assert pipe.read() == client.get_access_token()
    assert emulator.count("refresh_token") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_does_not_spend_its_parents_refresh_token(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock
) -> None:
    """A MemoryTokenStore is not shared: the child is told so instead of burning the login."""
    client = make_client(store=MemoryTokenStore())
    valid = client.get_access_token()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert client.get_access_token() == valid  # what is valid may be used
            clock.advance(3600)
            try:
                client.get_access_token()
            except TokenStoreError as error:
                status = 0 if "FileTokenStore" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert emulator.count("refresh_token") == 0
    clock.advance(3600)
    assert client.get_access_token() != valid


def test_ctrl_c_while_waiting_loses_nothing(
    emulator: AtlassianEmulator, program: Callable[[str], subprocess.Popen[str]]
) -> None:
    """KeyboardInterrupt reaches the main thread, the flight lands and is saved."""
    hold = Hold(after=True)
    emulator.weather.next("token", hold)
    process = program("client.get_access_token()")
    hold.wait_arrived()
    process.send_signal(signal.SIGINT)
    hold.release()
    _, err = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in err or process.returncode == 0
    after = program("print(client.status().generation)")
    assert after.communicate(timeout=30) == ("2\n", "")
    assert emulator.count("refresh_token") == 1


def test_an_exit_does_not_wait_for_somebody_elses_lock(
    emulator: AtlassianEmulator,
    program: Callable[[str], subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    """A hanging process holds the store's lock: a program that has ended is not kept for it."""
    side = emulator.cloud
    key = TokenKey(side.auth_url, side.app.client_id, "default")
    with FileTokenStore(tmp_path / "tokens").lock(key, timeout=5):
        process = program("""
            thread = threading.Thread(target=client.get_access_token, daemon=True)
            thread.start()
            def is_flight(thread):
                return thread.name == "atlassian-auth-flight" and thread.is_alive()
            while not any(map(is_flight, threading.enumerate())):
                pass
        """)
        _, err = process.communicate(timeout=60)  # the lock alone would take four minutes
    assert process.returncode == 0
    assert "atlassian_auth.lock_timeout" in err
    assert emulator.count("refresh_token") == 0
