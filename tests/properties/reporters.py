"""What error reporters show of an error: its locals as rich, pytest and traceback print them."""

from __future__ import annotations

import ast
import base64
import functools
import json
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from rich.traceback import Traceback

PACKAGE = "atlassian_auth_adapter"

#: pytest parses the file of each frame anew for every error.
parsed = functools.cache(ast.parse)


def is_ours(frame: FrameType) -> bool:
    """Whether the frame is one of the library, not of its emulator or of a test."""
    name = f"{frame.f_globals.get('__name__', '')}."
    return name.startswith(f"{PACKAGE}.") and not name.startswith(f"{PACKAGE}.testing.")


def shown_of(error: BaseException) -> list[str]:
    """All locals of our frames and of those below them, in the error and in what led to it."""
    shown: list[str] = []
    seen: set[int] = set()
    left: list[tuple[BaseException | None, bool]] = [(error, False)]
    while left:
        each, is_below = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        tb = each.__traceback__
        while tb is not None and not is_below and not is_ours(tb.tb_frame):
            tb = tb.tb_next
        shown += _rendered(each, tb)
        left += [(other, tb is not None) for other in (each.__cause__, each.__context__)]
    return shown


def _rendered(error: BaseException, tb: TracebackType | None) -> Iterator[str]:
    """The locals as rich, pytest and the standard library print them."""
    if tb is None:
        return
    alone = RuntimeError(str(error))  # without what led to it: that has a traceback of its own
    for length in (80, 100_000):  # rich shows the first characters of what is longer
        limits = {"locals_max_length": 100, "locals_max_string": length}
        trace = Traceback.extract(RuntimeError, alone, tb, show_locals=True, **limits)
        for each in (each for stack in trace.stacks for each in stack.frames):
            yield from (f"rich {each.name} {k}={v}" for k, v in (each.locals or {}).items())
    captured = traceback.TracebackException(RuntimeError, alone, tb, capture_locals=True)
    for summary in captured.stack:
        yield from (f"{summary.name} {k}={v}" for k, v in (summary.locals or {}).items())
    whole = pytest.ExceptionInfo.from_exc_info((RuntimeError, alone, tb))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ast, "parse", parsed)
        shown = whole.getrepr(showlocals=True, funcargs=True, chain=False, truncate_locals=False)
    yield str(shown)


@contextmanager
def watched_locals(shown: set[str]) -> Iterator[None]:
    """Every local variable of the library, on every thread, where a function ends or fails."""

    def look(frame: FrameType, event: str, _: Any) -> Any:
        if not is_ours(frame):
            return None
        frame.f_trace_lines = False
        if event in ("return", "exception"):
            where = f"{frame.f_globals['__name__']}:{frame.f_code.co_qualname}"
            for name, value in list(frame.f_locals.items()):
                if not isinstance(value, int | float | type | None):
                    with suppress(Exception):  # half made
                        shown.add(f"{where} {name}={value!r}")
        return look

    before, in_threads = sys.gettrace(), threading.gettrace()
    threading.settrace(look)
    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)
        threading.settrace(in_threads)  # of coverage, which measures the tests that follow


def spellings(secret: str, client_id: str) -> set[str]:
    """How a secret may look when it leaks; a piece of it is a leak as well."""
    secret = str(secret)  # of a hidden text, the repr is none
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode().rstrip("=")
    whole = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)}
    return {*whole, secret[:12], secret[4:28], encoded[:16], basic, repr(secret)[1:-1]}
