"""What arrives at a server, byte by byte, for crooked URLs and redirects: see wire.py."""

from __future__ import annotations

import pytest
from hypothesis import settings

from .wire import LIBRARIES, run
from .wire_cases import GRANTS, Arrival


@pytest.mark.longer
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_token_arrives_within_the_grant_and_nowhere_else(
    library: str,
) -> None:
    """Whatever the URL and the redirects: schemes without a host, backslashes, encoded dots, user
    names, odd addresses, control characters. A plain request within the grant has the token, and
    with foreign="raise" nothing at all arrives elsewhere.
    """
    cases = {24: 400, 150: 2_000}.get(settings.default.max_examples, 100_000)
    outcome = run(library, cases, seed=2026)
    assert outcome.violations == []
    assert outcome.arrived > cases / 2
    assert outcome.arrived / 3 < outcome.with_token < outcome.arrived


@pytest.mark.parametrize(
    "target",
    [
        *("/", "/other", "/jira2", "/jira/../x", "/jira/%2e%2e/x", "/jira/%25252e%25252e/x"),
        *("/jira/..;a=b/x", "/jira/x%5c..%5c..", "/jira\\..\\x", "/jira/..%00/", "/jira/.%09./x"),
        *(
            "//x/jira/",
            "jira/x",
            "http://127.0.0.1:7990/jira/x",
            "/jira/..%20/x",
            "/jira/%2f..%2f..",
        ),
    ],
)
def test_the_reading_that_judges_is_strict(target: str) -> None:
    """What some server reads as a path outside of the grant is outside."""
    (grant, *_) = GRANTS
    for path, is_inside in ((target, False), ("/jira/x?y=../..", True), ("/jira/a..b/%20", True)):
        raw = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:7990\r\n\r\n".encode()
        assert grant.is_inside(Arrival(raw, ("127.0.0.1", 7990))) == is_inside
        assert not grant.is_inside(Arrival(raw, ("127.0.0.1", 80)))
        assert not grant.is_inside(Arrival(raw.replace(b"7990", b"7991"), ("127.0.0.1", 7990)))
