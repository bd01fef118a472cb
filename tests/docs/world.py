"""The world in which the blocks of a page run: a local Atlassian in place of the real one.

A page names a site, a server and an app that do not exist. Here they are those of the emulator:
texts that name them are replaced, and a person answers who presses Accept.
"""

from __future__ import annotations

import io
import re
import shlex
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import requests

from atlassian_auth_adapter import (
    CloudEnvironment,
    Profile,
    client_from_profile,
    save_profile,
    scope_set,
)
from atlassian_auth_adapter.cli.main import main
from atlassian_auth_adapter.testing import AtlassianEmulator

from .pages import NO_CODE, Block

SITE, SERVER = "https://acme.atlassian.net", "https://jira.company.com/jira"
CALLBACK = "http://localhost:8080/callback"
REDIS = "rediss://redis.company.com:6379/0"
POSTGRES = "postgresql+psycopg://db.company.com/logins"


class World:
    """Runs the blocks of one page, which share their names.

    Hidden blocks may use what is in `names`: `emulator`, `cloud` and `server` (its flavours),
    `browser(url)`, in which a person presses Accept (authorization URL in, redirect URL out),
    `log_in(client)`, `profile(name)`, `callback_url`, `tmp_path`, `monkeypatch`, and `written`, the
    code of the last block in Python, to be run as a program of its own.
    """

    def __init__(
        self,
        emulator: AtlassianEmulator,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        port: int,
        url_of: Callable[[str], str],
    ) -> None:
        self._cloud, self._server, self._url_of = emulator.cloud, emulator.data_center, url_of
        callback = CALLBACK.replace("8080", str(port))
        for flavour in (self._cloud, self._server):
            flavour.app.client_id, flavour.app.client_secret = (
                "your-client-id",
                "your-client-secret",
            )
            flavour.app.callback_url = callback
            flavour.service_account.client_id = "its-client-id"
            flavour.service_account.client_secret = "its-client-secret"
        self._hosts = CloudEnvironment(
            self._cloud.auth_url, self._cloud.api_url, self._cloud.audience
        )
        self._replaced = {
            f'site_url="{SITE}"': f'site_url="{self._cloud.sites[0].url}", cloud=HOSTS',
            "client_from_env()": "client_from_env(cloud=HOSTS)",
            SITE: self._cloud.sites[0].url,
            SERVER: self._server.url,
            CALLBACK: callback,
            "~/": f"{tmp_path}/",
        }
        self._printed = ""
        self._home, self._monkeypatch = tmp_path, monkeypatch
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("ATLASSIAN_CONFIG_DIR", str(tmp_path / "config"))
        monkeypatch.setenv("BROWSER", "a person")
        monkeypatch.setattr(webbrowser, "open", self._open)
        self.names: dict[str, Any] = {
            "__name__": "page",
            "HOSTS": self._hosts,
            "input": self._input,
            "emulator": emulator,
            "cloud": self._cloud,
            "server": self._server,
            "browser": self._browser,
            "log_in": self._log_in,
            "callback_url": callback,
            "profile": self._profile,
            "tmp_path": tmp_path,
            "monkeypatch": monkeypatch,
        }

    def run(self, block: Block) -> None:
        """Run a block, or compare what has been printed with a block that tells it."""
        if block.why_not or block.language.startswith("{"):  # a directive of the site
            return
        if block.language in NO_CODE:
            if block.before.rstrip().endswith("prints:"):
                assert self._printed == block.code, block.place
                self._printed = ""
            return
        if block.language == "sh":
            self._commands(block)
            return
        code = "\n" * (block.line - 1) + self._local(block.code)
        with redirect_stdout(io.StringIO()) as self._out:
            exec(compile(code, str(block.page), "exec"), self.names)
        if block.language == "python":
            self._printed, self.names["written"] = self._out.getvalue(), self._local(block.code)

    def check_what_is_printed(self, text: str) -> None:
        """A sentence after a block says what it has printed: It prints `Ada Example`."""
        for said in re.findall(r"[Ii]t prints `([^`]+)`", text):
            assert self._printed.strip() == said

    def close(self) -> None:
        """Close what the page has opened."""
        with ExitStack() as stack:
            for value in self.names.values():
                for end in ("close", "dispose"):  # of a session or client, of an engine
                    if hasattr(type(value), end):
                        stack.callback(getattr(value, end))

    def _commands(self, block: Block) -> None:
        """Run the lines `atlassian-auth ...`, without what comes after a pipe; each ends with 0."""
        code = re.sub(r"\\\n", "", self._local(block.code))
        for line in filter(None, map(str.strip, code.splitlines())):
            words = shlex.split(line.partition(" | ")[0], comments=True)
            if not words:
                continue
            assert words[0] == "atlassian-auth", f"{block.place}: {line}"
            assert main(words[1:]) == 0, f"{block.place}: {line}"

    def _local(self, code: str) -> str:
        for text, instead in self._replaced.items():
            code = code.replace(text, instead)
        for text in (REDIS, POSTGRES):
            if text in code:
                code = code.replace(text, self._url_of(text))
        return code

    def _browser(self, url: str) -> str:
        """The person presses Accept; returns the redirect URL."""
        at_server = url.startswith(self._server.url)
        return (self._server if at_server else self._cloud).authorize(url)

    def _log_in(self, client: Any) -> None:
        client.oauth_complete(self._browser(client.oauth_start()))

    def _input(self, prompt: str = "") -> str:
        """Pastes the address to which the printed URL leads."""
        return self._browser(self._out.getvalue().split()[-1])

    def _open(self, url: str) -> bool:
        """The browser: follows the receiver's address to the server, and comes back."""
        entrance = requests.get(url, allow_redirects=False, timeout=20)
        requests.get(self._browser(entrance.headers["Location"]), timeout=20)
        return True

    def _profile(self, name: str = "default", *, login: bool = True, **changes: Any) -> None:
        """Saves a profile as the command does, and signs in."""
        values: dict[str, Any] = {
            "client_id": self._cloud.app.client_id,
            "callback_url": self._cloud.app.callback_url,
            "site_url": self._cloud.sites[0].url,
            "scopes": tuple(scope_set("jira", "read")),
            "cloud": self._hosts,
            "store": "file",
        }
        self._monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", str(self._home / "tokens"))
        save_profile(Profile(name, **(values | changes)), self._cloud.app.client_secret)
        if login:
            self._log_in(client_from_profile(name))
