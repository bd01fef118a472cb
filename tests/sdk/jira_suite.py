"""The test suite of the SDK `jira`, run against the emulator through our client.

    git clone https://github.com/pycontribs/jira && git -C jira checkout 3.10.5
    pip install flaky parameterized pytest-timeout requests_mock tenacity 'jira[async,cli]==3.10.5'
    python tests/sdk/jira_suite.py jira

The suite signs two people in with passwords. Here the administrator signs in by OAuth (the code
grant), the other one is a service account (client credentials), and both get the SDK's object from
`jira_client`. Nothing else of the suite is changed. What fails is listed by its reason.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jira
import pytest

import atlassian_auth_adapter
from atlassian_auth_adapter import (
    AtlassianAuthError,
    AtlassianServiceAccountClient,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.sdk.jira import jira_client
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.emulator.data_center import DataCenter

PORT = 2990  # with /jira: where `JIRA()` looks when it is given no server
LIBRARY = Path(atlassian_auth_adapter.__file__).parent
MISSING = "a resource that the emulator lacks"
ADAPTER = "our adapter"
INTERNET = "a server on the Internet"
OTHER = "another answer than the suite expects"


class Suite:
    """A pytest plugin: signs the suite's people in, and sorts what fails by its reason."""

    def __init__(self, server: DataCenter) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: dict[str, list[str]] = defaultdict(list)
        self.admin = create_atlassian_oauth_client(
            client_id=server.app.client_id,
            client_secret=server.app.client_secret,
            callback_url=server.app.callback_url,
            server_url=server.url,
            scopes="SYSTEM_ADMIN",
        )
        self.admin.oauth_complete(server.authorize(self.admin.oauth_start()))
        self.user = AtlassianServiceAccountClient(
            server.service_account.client_id,
            server.service_account.client_secret,
            server_url=server.url,
            scopes="WRITE",
        )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """In place of the suite's passwords."""
        managers: Any = sys.modules["tests.conftest"].JiraTestManager
        managers.set_basic_auth_logins = lambda manager, **given: self._sign_in(manager, **given)

    def _sign_in(self, manager: Any, *, server: str, max_retries: int, **_: Any) -> None:
        manager.jira_admin = jira_client(self.admin, server, max_retries=max_retries)
        manager.jira_sysadmin = manager.jira_admin
        manager.jira_normal = jira_client(self.user, server, max_retries=max_retries)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[Any]:
        """Counts a test, and notes why it failed."""
        report = yield
        kept = report.outcome if not hasattr(report, "wasxfail") else f"x{report.outcome}"
        if report.when == "call" or kept not in ("passed",):
            self.counts[kept] += 1
        if report.failed and call.excinfo is not None:
            reason, detail = _reason(call.excinfo.value)
            self.failures[reason].append(f"{item.nodeid}: {detail}")
        return report

    def summary(self) -> str:
        """What passed, and what failed why."""
        lines = [f"{count} {outcome}" for outcome, count in sorted(self.counts.items())]
        for reason, tests in sorted(self.failures.items()):
            lines += ["", f"{len(tests)} failed for {reason}:", *(f"  {each}" for each in tests)]
        return "\n".join(lines)


def _reason(error: BaseException) -> tuple[str, str]:
    chain = [error]
    while further := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(further)
    detail = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    for each in chain:
        frames = traceback.extract_tb(each.__traceback__)
        ours = frames and LIBRARY in Path(frames[-1].filename).parents
        if ours or isinstance(each, AtlassianAuthError):
            return ADAPTER, detail
    for each in chain:
        if isinstance(each, jira.JIRAError) and each.url:
            parts = urlsplit(each.url)
            if parts.hostname not in ("127.0.0.1", "localhost"):
                return INTERNET, f"{parts.hostname}"
            path = re.sub(r"\d+", "N", parts.path)
            text = f"{each.status_code} {path}: {each.text}"
            lacks = each.status_code == 405 or (each.status_code, each.text) == (404, "Not found")
            return (MISSING if lacks else OTHER), text
        if isinstance(each, OSError) and "Max retries exceeded" in str(each):
            return INTERNET, detail
    return OTHER, detail


def main() -> int:
    """Run it; 0 when no failure lies in our adapter."""
    parser = argparse.ArgumentParser(description="Run jira's own test suite on the emulator.")
    parser.add_argument("checkout", type=Path, help="of github.com/pycontribs/jira, at a release")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    arguments = parser.parse_args()
    os.chdir(arguments.checkout)
    with AtlassianEmulator(cloud=False, bitbucket=False, port=PORT) as emulator:
        server = emulator.data_center
        os.environ |= {
            "CI_JIRA_TYPE": "Server",
            "CI_JIRA_URL": server.url,
            "CI_JIRA_ADMIN": server.subject,
            "CI_JIRA_ADMIN_PASSWORD": "not used",
            "CI_JIRA_USER": server.service_subject,
            "CI_JIRA_USER_PASSWORD": "not used",
        }
        suite = Suite(server)
        quiet = ("-q", "--tb=no", "--no-summary", "-p", "no:cacheprovider", "-o", "addopts=")
        pytest.main([*quiet, *(arguments.pytest or ["tests"])], plugins=[suite])
        print(f"\njira {jira.__version__}, {len(emulator.requests)} requests to the emulator")
        print(suite.summary())
    return ADAPTER in suite.failures


if __name__ == "__main__":
    sys.exit(main())
