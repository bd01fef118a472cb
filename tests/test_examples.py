"""The examples: what users copy has to run, as it stands and with credentials of their own."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from atlassian_auth_adapter import (
    RedisTokenStore,
    atlassian_oauth_client_from_env,
    scope_set,
)
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.emulator import Hold, browser

EXAMPLES = Path(__file__).parents[1] / "examples"
#: What a script prints besides who signed in.
SCRIPTS = {
    "requests_session": "Projects: Acme",
    "httpx_async": "Projects: Acme",
    "httpx2_sync": "Spaces: Docs",
    "aiohttp_search": "Issues: 120",
    "jira_sdk": "Issues: 120\nAttached: A note",
    "atlassian_python_api": "Issues: 120",
    "data_center_pkce": "Projects: Acme",
    "service_account": "Time zone: Europe/Berlin",
    "context_store": "Kept: refresh_token, token, valid_until",
    "audit_log": '{"id": 25, ',
    "redis_fleet": "atlassian_auth.refreshed",
}
#: Scripts in which no browser comes back, or several processes run: each has a test of its own.
ALONE = ("service_account", "context_store", "redis_fleet")
#: How a web app is started at a port.
WEB = {
    "flask_app": ("flask", "--app", "flask_app", "run", "--port"),
    "fastapi_app": ("uvicorn", "fastapi_app:app", "--port"),
    "django_app": (
        *("django", "runserver", "--noreload", "--pythonpath", "."),
        *("--settings", "django_app"),
    ),
}
OTHERS = ("mcp_server", "test_with_pytest")
NAMES = (*SCRIPTS, *WEB, *OTHERS)
#: Where the redirect of a web app goes: visitors tell this host, whatever the port.
HOST = "localhost:8080"


@pytest.fixture
def local() -> Iterator[AtlassianEmulator]:
    """A local Atlassian on the real clock, which stands for one with credentials."""
    with AtlassianEmulator() as running:
        yield running


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Starts a program in the examples' folder, with nothing of Atlassian in its environment."""
    left_out = ("ATLASSIAN_", "DISPLAY", "COVERAGE_")  # coverage may warn in a child of a program
    kept = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    with contextlib.ExitStack() as stack:

        def start(*command: str, **variables: str) -> subprocess.Popen[str]:
            if "redis_fleet.py" in command:
                variables |= {"REDIS_URL": request.getfixturevalue("redis_url")}
            if "fastapi_app:app" in command:
                variables |= {"DATABASE_URL": request.getfixturevalue("schema_url")}
            process = subprocess.Popen(
                [sys.executable, "-W", "error", *command],
                cwd=EXAMPLES,
                env=kept | {"TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"} | variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def test_every_example_is_tested() -> None:
    """No example can be added without a test that runs it."""
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_says_how_to_run_it(name: str) -> None:
    """It fits on a screen: at most 40 lines. Its docstring has the command and the variables."""
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert re.search(rf"^    .*\b{name}\b", docstring, re.MULTILINE)
    assert "ATLASSIAN_CLIENT_ID" in docstring or "no credentials" in docstring


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_runs_offline_as_it_stands(name: str, run: Any, tmp_path: Path) -> None:
    """It says who we are and shows something it fetched, without a warning."""
    process = run(f"{name}.py")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert "Warning" not in out
    assert SCRIPTS[name] in out
    assert name == "audit_log" or re.search(r"^I am (Ada Example|Reports)\b", out, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in ALONE])
def test_an_example_runs_with_credentials(
    name: str, run: Any, local: AtlassianEmulator, port: int, tmp_path: Path
) -> None:
    """The environment tells whom to ask; a person signs in with a browser, once for all runs."""
    at = local.data_center if name == "data_center_pkce" else local.cloud
    at.app.callback_url = f"http://localhost:{port}/callback"
    variables = at.environ() | {"ATLASSIAN_TOKEN_DIRECTORY": str(tmp_path / "tokens")}
    process = run(f"{name}.py", **variables, LAST_ID="24")
    requests.get(at.authorize(url_in(process.stdout)), timeout=20)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert SCRIPTS[name] in out
    assert '"id": 24' not in out  # what the collector has already
    process = run(f"{name}.py", **variables, LAST_ID="24")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert "/authorize" not in out
    assert local.count("authorization_code") == 1


@pytest.mark.slow
def test_a_service_account_runs_with_credentials(run: Any, local: AtlassianEmulator) -> None:
    """Nobody signs in, on Cloud and on Data Center."""
    for at in (local.cloud, local.data_center):
        process = run("service_account.py", **at.environ(at.service_account))
        out, _ = process.communicate(timeout=60)
        assert "I am Reports." in out
        assert process.returncode == 0, out


@pytest.mark.slow
def test_a_host_platform_runs_with_credentials(run: Any, local: AtlassianEmulator) -> None:
    """The person pastes where the browser ended, as on a platform without a callback."""
    process = run("context_store.py", **local.cloud.environ())
    redirect = local.cloud.authorize(url_in(process.stdout))
    out, _ = process.communicate(f"{redirect}\n", timeout=60)
    assert process.returncode == 0, out
    assert SCRIPTS["context_store"] in out


def url_in(stream: Any) -> str:
    """The authorization URL that a program tells."""
    for line in stream:
        if found := re.search(r"https?://\S+/authorize\?\S+", line):
            return found[0]
    raise AssertionError("it has told no URL")


@pytest.mark.slow
def test_a_fleet_refreshes_once(
    run: Any, local: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    """Four processes meet the expiry at one moment: one token request."""
    for variable, value in local.cloud.environ().items():
        monkeypatch.setenv(variable, value)
    with redis.Redis.from_url(redis_url, socket_timeout=5) as server:
        store = RedisTokenStore(server)
        client = atlassian_oauth_client_from_env(scopes=scope_set("jira", "read"), store=store)
        client.oauth_complete(local.cloud.authorize(client.oauth_start()))
        local.cloud.expire_access_tokens()
        hold = Hold()
        local.faults.next("/rest/api/3/myself", hold, times=4)
        process = run("redis_fleet.py", **local.cloud.environ())
        hold.wait_arrived(4, timeout=50)
        hold.release()
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, out
        assert len(set(re.findall(r"^I am Ada Example in process (\d+)", out, re.MULTILINE))) == 4
        assert local.count("refresh_token") == 1
        client.forget()


class Visitor:
    """A browser: its cookies, and what it is answered. It follows no redirect."""

    def __init__(self, port: int) -> None:
        self._base, self._session = f"http://127.0.0.1:{port}", requests.Session()
        self._session.headers["Host"] = HOST

    def get(self, path: str) -> requests.Response:
        """The answer of the web app."""
        return self._session.get(f"{self._base}{path}", allow_redirects=False, timeout=20)

    def sign_in(self) -> str:
        """Presses Accept on the consent page, comes back and is signed in; returns the path."""
        redirect = browser.decide(self.get("/").headers["Location"], "accept", ())
        path = redirect.removeprefix(f"http://{HOST}")
        assert self.get(path).headers["Location"] == "/"
        return path


@pytest.fixture
def serve(run: Any, port: int) -> Callable[..., int]:
    """Serves a web app, and returns its port when it answers."""

    def start(name: str, **variables: str) -> int:
        process = run("-m", *WEB[name], str(port), **variables)
        threading.Thread(target=process.stdout.read, daemon=True).start()
        while process.poll() is None:
            with contextlib.suppress(requests.ConnectionError):
                Visitor(port).get("/")
                return port
            time.sleep(0.05)
        raise AssertionError("it has ended")

    return start


@pytest.mark.parametrize("name", WEB)
def test_a_web_app_runs_offline_as_it_stands(name: str, serve: Any) -> None:
    """A person signs in; the redirect is good in that browser only, and may be loaded again."""
    port = serve(name)
    ada, stranger = Visitor(port), Visitor(port)
    path = ada.sign_in()
    assert stranger.get(path).status_code == 400
    assert ada.get(path).headers["Location"] == "/"
    assert ada.get("/").text == "I am Ada Example."
    assert "/authorize?" in stranger.get("/").headers["Location"]


@pytest.mark.slow
@pytest.mark.parametrize("name", WEB)
def test_each_visitor_has_a_login(name: str, serve: Any, local: AtlassianEmulator) -> None:
    """With credentials of one's own: two people sign in, and each gets their own name."""
    jira = local.data_center
    port = serve(name, **jira.environ())
    ada, grace = Visitor(port), Visitor(port)
    ada.sign_in()
    jira.subject = "grace"
    grace.sign_in()
    assert [each.get("/").text for each in (ada, grace, ada)] == [
        "I am Ada Example.",
        "I am Grace Example.",
        "I am Ada Example.",
    ]


@pytest.mark.parametrize("credentials", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_mcp_server_has_its_tool(
    credentials: bool,
    local: AtlassianEmulator,
    port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client starts it over stdio, and calls its tool."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    variables: dict[str, str] = {}
    if credentials:
        local.cloud.app.callback_url = f"http://localhost:{port}/callback"
        variables = local.cloud.environ() | {"ATLASSIAN_TOKEN_DIRECTORY": str(tmp_path)}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        client = atlassian_oauth_client_from_env(scopes=scope_set("jira", "read"))
        client.oauth_complete(local.cloud.authorize(client.oauth_start()))
    program = StdioServerParameters(
        command=sys.executable, args=[str(EXAMPLES / "mcp_server.py")], env=variables
    )

    async def call() -> Any:
        async with stdio_client(program) as streams, ClientSession(*streams) as session:
            await session.initialize()
            assert [tool.name for tool in (await session.list_tools()).tools] == ["search"]
            return await session.call_tool("search", {"jql": "project = ACME order by key"})

    answer = asyncio.run(asyncio.wait_for(call(), 60))
    assert answer.content[0].text.startswith("ACME-1 ")


def test_the_tests_of_a_program_pass(run: Any) -> None:
    """As a user runs them: with the plugin that is installed with the package."""
    process = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "test_with_pytest.py"
    )
    out, _ = process.communicate(timeout=60)
    assert "3 passed" in out, out
