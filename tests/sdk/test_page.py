"""docs/sdks.md: each line runs in a test, or says when it was tried and with which version."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import jira
import pytest
import requests
from requests_futures.sessions import FuturesSession

from atlassian_auth_adapter import AtlassianAuth
from atlassian_auth_adapter.testing import AtlassianEmulator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/sdks.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in PAGE.splitlines()
    if line.startswith("| ")
][1:]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_row_says_how_it_is_known(row: list[str]) -> None:
    """By a test that exists; or by a date, with the version that was tried then."""
    _, _, known = row
    if test := re.match(r"`(tests/[\w/]+\.py)::(\w+)`: ", known):
        tree = ast.parse((ROOT / test[1]).read_text("utf-8"))
        assert test[2] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    else:
        assert re.match(r"tried \d{4}-\d\d-\d\d: \d+\.\d+|read only, \d{4}-\d\d-\d\d", known)


def _is_tried_by_hand(block: str) -> bool:
    return "mcp_atlassian" in block


def test_the_blocks_of_the_page_run_as_they_stand(
    place_of: Any, emulator: AtlassianEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for the address of the site: with the session that the page begins with."""
    place = place_of("site")
    names: dict[str, Any] = {
        "client": place.client,
        "requests": requests,
        "AtlassianAuth": AtlassianAuth,
    }
    blocks = [block for block in BLOCKS if not _is_tried_by_hand(block)]
    assert len(blocks) == 3
    for block in blocks:
        exec(block.replace("https://acme.atlassian.net", place.url), names)
    assert isinstance(names["jira"].myself()["displayName"], str)  # atlassian-python-api's
    assert len(capsys.readouterr().out.splitlines()) == 120
    assert names["issue"].permalink().startswith(f"{place.url}/browse/ACME-")
    assert isinstance(names["issue"], jira.Issue)
    place.assert_token_stayed_home()


def test_requests_futures_share_one_refresh(place_of: Any, session: requests.Session) -> None:
    """Requests in its threads, before and after the end of the token, and after a revocation."""
    place = place_of("site")
    session.auth = AtlassianAuth(place.client)
    url = f"{place.url}/rest/api/3/myself"
    with FuturesSession(session=session, max_workers=8) as futures:
        for accident in ("ended", "rejected"):
            place.expire(accident)
            answers = [one.result(20) for one in [futures.get(url) for _ in range(16)]]
            assert {answer.json()["displayName"] for answer in answers} == {"Ada Example"}
    place.assert_refreshed("ended", times=2)
    place.assert_token_stayed_home()
