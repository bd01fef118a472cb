"""Several processes, forked children, and what the exit of a process waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atlassian_auth_adapter import (
    AtlassianOAuthClient,
    FileTokenStore,
    MemoryTokenStore,
    TokenKey,
    TokenStoreError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import Hold, Status

Held = Callable[[AtlassianOAuthClient], Hold]
Program = Callable[[str], subprocess.Popen[str]]


def test_eight_processes_with_a_file_store_share_one_refresh(
    emulator: AtlassianEmulator, program: Program
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
    emulator: AtlassianEmulator, program: Program, tmp_path: Path
) -> None:
    """The main program ends while a refresh is under way: the exit waits until it is saved."""
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    process = program("""
        threading.Thread(target=client.get_access_token, daemon=True).start()
        sys.stdin.readline()
    """)
    hold.wait_arrived()
    assert process.stdin
    process.stdin.close()  # the main thread goes on to its end
    hold.release()
    assert process.wait(30) == 0
    assert process.stderr
    assert process.stderr.read() == ""
    after = program("print(client.status().generation, client.get_access_token() != '')")
    assert after.communicate(timeout=30) == ("2 True\n", "")
    assert emulator.count("refresh_token") == 1


def test_an_exit_does_not_wait_for_further_requests(
    emulator: AtlassianEmulator, program: Program
) -> None:
    """The token endpoint fails: a program that has ended is not kept for two minutes of them."""
    hold = Hold(then=Status(503))
    emulator.faults.next("token", hold)
    emulator.faults.next("token", Status(503), times=None)
    process = program("""
        threading.Thread(target=client.get_access_token, daemon=True).start()
        sys.stdin.readline()
    """)
    hold.wait_arrived()
    assert process.stdin
    process.stdin.close()
    hold.release()
    assert process.wait(30) == 0
    assert emulator.count("refresh_token") <= 3


@pytest.mark.parametrize(
    "name", ["AtlassianAuth", "AtlassianHTTPXAuth", "AtlassianHTTPX2Auth", "AtlassianAiohttpAuth"]
)
def test_a_refresh_imports_nothing(
    emulator: AtlassianEmulator, program: Program, name: str
) -> None:
    """What it needs is loaded with the auth object: nothing of that takes time from requests that
    run when a token is renewed.
    """
    process = program(f"""
        import atlassian_auth_adapter
        auth = atlassian_auth_adapter.{name}(client)
        before = set(sys.modules)
        token = client.get_access_token()
        print(sorted(set(sys.modules) - before), token != "")
    """)
    assert process.communicate(timeout=30) == ("[] True\n", "")
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize("run", ["asyncio.run(ask())", "trio.run(ask)"])
def test_a_refresh_of_tasks_without_an_auth_object_imports_nothing(
    emulator: AtlassianEmulator, program: Program, run: str
) -> None:
    """The first question of a task, which a valid token answers, loads what a refresh needs: not
    the first refresh, when other tasks have begun to make requests.
    """
    assert program("client.refresh()").communicate(timeout=30) == ("", "")
    process = program(f"""
        import asyncio, trio
        async def ask():
            await client.token_set_async()
            before = set(sys.modules)
            client.refresh()
            print(sorted(set(sys.modules) - before))
        {run}
    """)
    assert process.communicate(timeout=30) == ("[]\n", "")
    assert emulator.count("refresh_token") == 2


def test_a_refresh_at_interpreter_exit_works(emulator: AtlassianEmulator, program: Program) -> None:
    """An atexit handler needs a token when no thread can be started any more: done on the spot."""
    process = program("""
        import atexit
        atexit.register(lambda: print(len(client.get_access_token()) > 10))
    """)
    assert process.communicate(timeout=30) == ("True\n", "")
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize("loop", ["asyncio.run(client.token_set_async())", "trio.run(ask)"])
def test_a_refresh_at_interpreter_exit_works_in_a_loop(
    emulator: AtlassianEmulator, program: Program, loop: str
) -> None:
    """An atexit handler runs a loop that needs a token: it gets one, and it is saved."""
    process = program(f"""
        import asyncio, atexit, trio
        ask = client.token_set_async
        atexit.register(lambda: print({loop} is client.current(), client.status().generation))
    """)
    assert process.communicate(timeout=30) == ("True 2\n", "")
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize("threads", ["as they are", "none"])
def test_a_refresh_at_interpreter_exit_needs_no_thread(
    emulator: AtlassianEmulator, program: Program, threads: str
) -> None:
    """From Python 3.12 on an atexit handler can start no thread: the refresh is done on the spot,
    and saved.
    """
    process = program(f"""
        import atexit, threading
        def no_thread(self):
            raise RuntimeError("can't create new thread at interpreter shutdown")
        def handler():
            if {threads == "none"}:
                threading.Thread.start = no_thread
            print(len(client.get_access_token()) > 10, client.status().generation)
        atexit.register(handler)
    """)
    assert process.communicate(timeout=30) == ("True 2\n", "")
    assert emulator.count("refresh_token") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_in_mid_refresh_begins_anew(
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
    emulator: AtlassianEmulator, signals: None, program: Program
) -> None:
    """KeyboardInterrupt reaches the main thread, the refresh ends and is saved."""
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    process = program("client.get_access_token()")
    hold.wait_arrived()
    process.send_signal(signal.SIGINT)
    hold.release()
    _, err = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in err or process.returncode == 0
    after = program("print(client.status().generation)")
    assert after.communicate(timeout=30) == ("2\n", "")
    assert emulator.count("refresh_token") == 1


def test_an_exit_does_not_wait_for_the_lock_of_another_process(
    emulator: AtlassianEmulator, program: Program, tmp_path: Path
) -> None:
    """A hanging process holds the store's lock: a program that has ended is not kept for it."""
    side = emulator.cloud
    key = TokenKey(side.auth_url, side.app.client_id, "default")
    with FileTokenStore(tmp_path / "tokens").lock(key.name, timeout=5):
        process = program("""
            threading.Thread(target=client.get_access_token, daemon=True).start()
            flight = lambda: [t for t in threading.enumerate() if t.name == "atlassian-auth-flight"]
            while not flight():
                pass
        """)
        # The lock alone would take minutes.
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
    assert emulator.count("refresh_token") == 0


@pytest.mark.parametrize("hanging", ["load", "lock", "journal"])
def test_an_exit_does_not_wait_for_a_store_that_hangs(
    emulator: AtlassianEmulator, program: Program, hanging: str
) -> None:
    """Nothing was sent yet: a silent database does not keep a program that has ended."""
    process = program(f"""
        hangs, never = threading.Event(), threading.Event()
        def hang(*_, **__):
            hangs.set()
            never.wait()
        class Hanging(FileTokenStore):
            {"save" if hanging == "journal" else hanging} = hang
        client = create_atlassian_oauth_client(
            **arguments, store=Hanging(store.path), cloud=cloud, max_wait=1000
        )
        threading.Thread(target=client.get_access_token, daemon=True).start()
        hangs.wait()
    """)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
    assert emulator.count("refresh_token") == 0


def test_an_exit_waits_for_a_token_request_for_its_deadline_only(
    emulator: AtlassianEmulator, program: Program
) -> None:
    """The token endpoint does not answer: the end of the request's time is the end of the wait."""
    hold = Hold()
    emulator.faults.next("token", hold, times=None)
    process = program("""
        client = create_atlassian_oauth_client(
            **arguments, store=store, cloud=cloud, timeout=(0.5, 0.5)
        )
        threading.Thread(target=client.get_access_token, daemon=True).start()
        sys.stdin.readline()
    """)
    hold.wait_arrived()
    assert process.stdin
    process.stdin.close()
    assert process.wait(40) == 0
    hold.release()
    assert emulator.count("refresh_token") <= 2


def test_a_save_that_hangs_at_the_exit_is_waited_for_some_seconds(
    emulator: AtlassianEmulator, program: Program
) -> None:
    """The request was sent and answered, and the store hangs: the exit gives it a few seconds."""
    process = program("""
        from atlassian_auth_adapter.refresh import driver
        driver.TIME_TO_SAVE = 0.5
        hangs, never = threading.Event(), threading.Event()
        class Hanging(FileTokenStore):
            def save(self, name, text, *, expected):
                if "journal" not in text:
                    hangs.set()
                    never.wait()
                super().save(name, text, expected=expected)
        client = create_atlassian_oauth_client(
            **arguments, store=Hanging(store.path), cloud=cloud, timeout=(0.5, 0.5)
        )
        threading.Thread(target=client.get_access_token, daemon=True).start()
        hangs.wait()
    """)
    assert process.wait(40) == 0
    after = program("print(client.status().pending_since is not None, client.get_access_token())")
    out, _ = after.communicate(timeout=30)
    assert out.startswith("True ")
    assert [request.outcome for request in emulator.token_requests[1:]] == [
        "issued",
        "replayed_in_grace",
    ]


@pytest.fixture
def long_lived(emulator: AtlassianEmulator) -> None:
    """The programs' token is stale, not expired: it lives 400 s longer than an hour."""
    emulator.cloud.access_token_lifetime = 4000


@pytest.mark.usefixtures("long_lived")
def test_nothing_is_spent_beside_an_exit(emulator: AtlassianEmulator, program: Program) -> None:
    """An atexit handler uses a stale token: a refresh that is not waited for would be cut off."""
    process = program("""
        import atexit
        client.get_access_token()
        flights = lambda: [t for t in threading.enumerate() if "flight" in t.name]
        atexit.register(lambda: [flight.join() for flight in flights()])
        atexit.register(lambda: print(client.status().state, len(client.get_access_token()) > 9))
    """)
    assert process.communicate(timeout=60) == ("stale True\n", "")
    assert emulator.count("refresh_token") == 0
