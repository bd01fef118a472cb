"""The test suite of the SDK `jira`, run against the emulator through our client.

    python tests/sdk/jira_suite.py PATH_OF_A_CHECKOUT [--cloud] [--expire] [-- ARGUMENTS OF PYTEST]

docs/sdks.md says what has to be installed, and what came out. The suite signs two people in with
passwords. Here the administrator has signed in by OAuth (the code grant), the other one is a
service account (client credentials), and both get the SDK's object from `jira_client`. Nothing else
of the suite is changed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jira
import pytest
import requests

import atlassian_auth_adapter
from atlassian_auth_adapter import (
    AtlassianAuthError,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.sdk.jira import jira_client
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator.accounts import ACCOUNT_NAME
from atlassian_auth_adapter.testing.emulator.data_center import DataCenter

PORT = 2990  # with /jira: where `JIRA()` looks when it is given no server
TIMEOUT = 20  # seconds for a test: those that need the Internet wait for it much longer
LIBRARY = Path(atlassian_auth_adapter.__file__).parent
# What the suite reads from the environment.
DATA_CENTER_PEOPLE = {
    "CI_JIRA_TYPE": "Server",
    "CI_JIRA_ADMIN": DataCenter.subject,
    "CI_JIRA_ADMIN_PASSWORD": "not used",
    "CI_JIRA_USER": DataCenter.service_subject,
    "CI_JIRA_USER_PASSWORD": "not used",
}
CLOUD_PEOPLE = {
    "CI_JIRA_TYPE": "Cloud",
    "CI_JIRA_CLOUD_ADMIN": ACCOUNT_NAME,
    "CI_JIRA_CLOUD_ADMIN_TOKEN": "not used",
    "CI_JIRA_CLOUD_USER": "Reports",
    "CI_JIRA_CLOUD_USER_TOKEN": "not used",
}
CLOUD_SCOPES = (
    "read:jira-user read:jira-work write:jira-work manage:jira-project manage:jira-configuration "
    "offline_access"
)
MISSING = "a resource that the emulator lacks"
ADAPTER = "our adapter"
INTERNET = "a server on the Internet"
PASSWORD = "the session of a password, which OAuth does not have"
ANSWER = "another answer than the suite expects"
SUITE = "the suite or the SDK itself, without a request"


class Suite:
    """A pytest plugin: signs the suite's people in, and sorts what fails by its reason."""

    def __init__(
        self, emulator: AtlassianEmulator, clock: FakeClock, *, cloud: bool, expire: bool
    ) -> None:
        self._emulator = emulator
        self._clock = clock
        self._flavour = emulator.cloud if cloud else emulator.data_center
        self._expire = expire
        self._asked_hosts: set[str] = set()
        self._sent_before = 0
        self.failures: dict[str, list[str]] = defaultdict(list)
        self.server, place = self._cloud() if cloud else self._data_center()
        app, account = self._flavour.app, self._flavour.service_account
        self._admin = create_atlassian_oauth_client(
            client_id=app.client_id,
            client_secret=app.client_secret,
            callback_url=app.callback_url,
            scopes=CLOUD_SCOPES if cloud else "SYSTEM_ADMIN",
            clock=clock,
            **place,
        )
        self._admin.oauth_complete(self._flavour.authorize(self._admin.oauth_start()))
        self._user = AtlassianServiceAccountClient(
            account.client_id,
            account.client_secret,
            scopes=None if cloud else "WRITE",
            clock=clock,
            **place,
        )

    def _cloud(self) -> tuple[str, dict[str, Any]]:
        """The URL that the SDK is given, and how our clients find it."""
        side = self._emulator.cloud
        hosts = CloudEnvironment(side.auth_url, side.api_url, side.audience)
        (site,) = side.sites
        return site.url, {"cloud_id": site.id, "site_url": site.url, "cloud": hosts}

    def _data_center(self) -> tuple[str, dict[str, Any]]:
        url = self._emulator.data_center.url
        return url, {"server_url": url}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """In place of the suite's passwords."""
        managers: Any = sys.modules["tests.conftest"].JiraTestManager

        def sign_in(manager: Any, **given: Any) -> None:
            self._sign_in(manager, **given)

        managers.set_basic_auth_logins = sign_in

    def _sign_in(self, manager: Any, *, max_retries: int, **_: Any) -> None:
        manager.jira_admin = jira_client(self._admin, self.server, max_retries=max_retries)
        manager.jira_sysadmin = manager.jira_admin
        manager.jira_normal = jira_client(self._user, self.server, max_retries=max_retries)

    def pytest_runtest_setup(self) -> None:
        """Each test may begin with tokens that the server no longer takes."""
        self._asked_hosts.clear()
        self._sent_before = len(self._emulator.requests)
        if self._expire:
            self._clock.advance(60)  # a token that was issued this minute is not renewed
            self._flavour.expire_access_tokens()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[Any]:
        """Notes why a test failed."""
        report = yield
        if report.failed and call.excinfo is not None:
            reason, detail = self._reason(call.excinfo.value)
            self.failures[reason].append(f"{item.nodeid}: {detail}")
        return report

    def pytest_sessionfinish(self) -> None:
        """The projects end with the emulator; the suite would wait for them to be gone."""
        sys.modules["tests.conftest"].JiraTestManager._remove_project = lambda *_: None

    def audit(self, event: str, given: tuple[Any, ...]) -> None:
        """Notes which hosts are looked up (an audit hook of Python)."""
        if event == "socket.getaddrinfo" and str(given[0]) not in ("127.0.0.1", "localhost"):
            self._asked_hosts.add(str(given[0]))

    def _reason(self, error: BaseException) -> tuple[str, str]:
        chain = [error]
        while further := chain[-1].__cause__ or chain[-1].__context__:
            chain.append(further)
        text = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        for each in chain:
            frames = traceback.extract_tb(each.__traceback__)
            ours = frames and LIBRARY in Path(frames[-1].filename).parents
            if ours or isinstance(each, AtlassianAuthError):
                return ADAPTER, text
        if self._asked_hosts:
            return INTERNET, ", ".join(sorted(self._asked_hosts))
        if isinstance(error, jira.JIRAError) and error.url:
            path = re.sub(r"\d{3,}", "N", urlsplit(error.url).path)
            answer = f"{error.status_code} {path}: {error.text}"
            if "/rest/auth/" in path:
                return PASSWORD, answer
            if error.status_code == 401:  # a login that was not renewed
                return ADAPTER, answer
            lacks = error.status_code == 405 or error.text == "Not found"
            return (MISSING if lacks else ANSWER), answer
        sent = len(self._emulator.requests) - self._sent_before
        refused = isinstance(error, (jira.JIRAError, TypeError))  # before anything was sent
        return (SUITE if refused or not sent else ANSWER), text

    def summary(self) -> str:
        """What failed, by its reason."""
        lines = []
        for reason, tests in sorted(self.failures.items()):
            lines += ["", f"{len(tests)} failed for {reason}:", *(f"  {each}" for each in tests)]
        return "\n".join(lines)


def main() -> int:
    """Run it; 0 when no failure lies in our adapter."""
    parser = argparse.ArgumentParser(description="Run jira's own test suite on the emulator.")
    parser.add_argument("checkout", type=Path, help="of github.com/pycontribs/jira, at a release")
    parser.add_argument("--cloud", action="store_true", help="as Cloud, not as Data Center")
    parser.add_argument("--expire", action="store_true", help="revoke all tokens before each test")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    arguments = parser.parse_args()
    cloud = arguments.cloud
    os.chdir(arguments.checkout)
    os.environ |= CLOUD_PEOPLE if cloud else DATA_CENTER_PEOPLE
    clock = FakeClock()
    with AtlassianEmulator(
        clock, cloud=cloud, data_center=not cloud, bitbucket=False, port=0 if cloud else PORT
    ) as emulator:
        suite = Suite(emulator, clock, cloud=cloud, expire=arguments.expire)
        os.environ["CI_JIRA_URL"] = suite.server
        sys.addaudithook(suite.audit)
        options = ("-q", "--tb=no", "--no-summary", "-p", "no:cacheprovider")
        settings = ("-o", "addopts=", "-o", f"timeout={TIMEOUT}")
        chosen = ("-m", "allow_on_cloud") if cloud else ()
        tests = arguments.pytest or ["tests"]
        pytest.main([*options, *settings, *chosen, *tests], plugins=[suite])
        tokens = emulator.count(grant_type="refresh_token", outcome="issued")
        print(
            f"jira {jira.__version__}, requests {requests.__version__}, pytest {pytest.__version__}"
        )
        print(f"{len(emulator.requests)} requests to the emulator, {tokens} refreshed tokens")
        print(suite.summary())
    return ADAPTER in suite.failures


if __name__ == "__main__":
    sys.exit(main())
