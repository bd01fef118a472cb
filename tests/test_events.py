"""What is reported, and that reporting never does harm."""

from __future__ import annotations

import ast
import logging
import re
from pathlib import Path
from typing import get_args

import pytest

from atlassian_auth_adapter import Event, events
from atlassian_auth_adapter.events import EventName, report


def test_an_event_is_logged_and_handed_over(caplog: pytest.LogCaptureFixture) -> None:
    """The hook gets the event, the logger a line with stable names."""
    seen: list[Event] = []
    caplog.set_level(logging.DEBUG, "atlassian_auth_adapter")
    event = Event("refreshed", "bob", {"generation": 3})
    report(seen.append, event)
    assert seen == [event]
    assert caplog.messages == ["atlassian_auth.refreshed account='bob' generation=3"]


def test_a_hook_that_raises_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """A refresh does not fail because a program's metrics do; what they said is not repeated."""

    def hook(_: Event) -> None:
        raise RuntimeError("s3cr3t")

    report(hook, Event("refused"))
    assert "on_event raised RuntimeError for refused" in caplog.messages
    assert "s3cr3t" not in caplog.text


def test_a_log_that_raises_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """Such as a filter that expects other records: the hook gets its event all the same."""

    def redacted(record: logging.LogRecord) -> bool:
        raise KeyError(record.name)

    seen: list[Event] = []
    with caplog.filtering(redacted):  # type: ignore[arg-type]
        report(seen.append, Event("refused"))
        report(lambda _: int("x"), Event("refused"))
    assert seen == [Event("refused")]


def test_without_a_hook_it_is_logged_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """No hook is needed to see a refused login in the log."""
    report(None, Event("refused", "bob"))
    assert "atlassian_auth.refused" in caplog.text


@pytest.mark.parametrize("name", get_args(EventName))
def test_what_needs_no_action_is_no_warning(
    name: EventName, caplog: pytest.LogCaptureFixture
) -> None:
    """Everyday events stay below warnings, failures do not."""
    caplog.set_level(logging.DEBUG, "atlassian_auth_adapter")
    report(None, Event(name))
    everyday = name in ("refreshed", "adopted", "foreign_origin", "rate_limited")
    assert (caplog.records[0].levelno < logging.WARNING) == everyday


def test_a_request_without_the_token_is_a_warning_if_its_url_is_wrong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A hint says what to write instead; a request to another host is an everyday event."""
    caplog.set_level(logging.DEBUG, "atlassian_auth_adapter")
    for hint in ("", "Write https:// in place of http://."):
        report(None, Event("foreign_origin", "", {"origin": "http://x.example", "hint": hint}))
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.WARNING]


def test_an_account_cannot_forge_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """A line break in a name or a detail does not begin a new line in the log."""
    report(None, Event("refused", "bob\nINJECTED", {"error": "x\ny"}))
    assert "\n" not in caplog.messages[0]


def _reported() -> dict[str, set[str]]:
    """The events that the package reports by name, with the fields that stand in the same call."""
    found: dict[str, set[str]] = {}
    package = Path(events.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(args=[first, *rest], keywords=keywords):
                    fields = {keyword.arg for keyword in keywords if keyword.arg}
                case ast.Tuple(elts=[first, *rest]):
                    fields = set()
                case _:
                    continue
            for given in rest:
                if isinstance(given, ast.Dict):
                    fields |= {key.value for key in given.keys if isinstance(key, ast.Constant)}
            texts = {part.value for part in ast.walk(first) if isinstance(part, ast.Constant)}
            for name in texts & set(get_args(EventName)):
                found.setdefault(name, set()).update(fields)
    return found


def test_every_event_and_every_field_is_declared() -> None:
    """Each name of EventName is reported somewhere, and `Event` describes each field."""
    reported = _reported()
    assert reported.keys() == set(get_args(EventName))
    described = set(re.findall(r"`(\w+)`", Event.__doc__ or ""))
    fields = set().union(*reported.values())
    assert {"error", "hint", "reauthorize_by"} <= fields <= described


def test_the_page_explains_every_event(caplog: pytest.LogCaptureFixture) -> None:
    """docs/events.md has each event once, with the level of its line and the fields that it has."""
    page = Path(__file__).parents[1] / "docs" / "events.md"
    row = re.compile(r"^\| `(\w+)` \| ([A-Z]+)[^|]* \| [^|]+ \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)
    rows = row.findall(page.read_text("utf-8"))
    assert sorted(name for name, *_ in rows) == sorted(get_args(EventName))
    reported = _reported()
    caplog.set_level(logging.DEBUG, "atlassian_auth_adapter")
    for name, level, fields in rows:
        caplog.clear()
        report(None, Event(name))
        assert caplog.records[0].levelname == level, name
        listed = set(re.findall(r"`(\w+)`", fields))
        assert reported[name] <= listed, name
        # Where a request went stands elsewhere in the code
        assert listed - reported[name] <= {"origin", "path"}, name
