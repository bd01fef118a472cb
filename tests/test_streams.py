"""Big uploads and downloads are streamed, also when the token is rejected."""

from __future__ import annotations

import pytest

from benchmarks.peers import OURS
from benchmarks.runner import measured
from benchmarks.work.streams import CONTROL, WORK

WAYS = (
    CONTROL,
    "requests  open file",
    "requests  download",
    "httpx     multipart",
    "httpx     async generator",
)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_no_copy_of_a_big_body_is_in_memory(way: str) -> None:
    """The peak of a process does not grow with a body, sent once or twice; that of a copy does."""
    pytest.importorskip("resource", reason="ru_maxrss is of Unix")
    column = next(column for column in WORK.columns if column.name == way)
    answer = measured(WORK, column, OURS, how="tiny")
    assert answer.get("round", answer).get("verdict") == (
        "copied" if way == CONTROL else "streamed"
    )
