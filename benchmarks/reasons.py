"""Why a peer is ahead of us, where one is: data for the page, confirmed by a profile of each run.

A reason is for works, columns, figures and peers that match its patterns, and names the parts of
ours that take what the peer does not take. A run profiles our side of each column in which a peer
is ahead; a reason whose parts take less than half of the lead is not believed. Then, and where no
reason is written, the page says "not explained", and the run fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from benchmarks.figures import Cell, Column, Figure, Work
from benchmarks.peers import FLOOR, OURS
from benchmarks.runner import Results
from benchmarks.work import WORKS

__all__ = ["REASONS", "Ahead", "Reason", "cells_ahead", "columns_behind", "explained"]

#: A peer is ahead when its median is better than ours by more than this share: the rest is noise.
NOISE = 0.05
#: The same where ours was measured once, so that no spread of rounds is known.
NOISE_OF_ONE_ROUND = 0.1
#: The largest value of a figure that can be: nobody is faster than the floor.
POSSIBLE = {"of the floor": 100.0}
#: Share of the lead that the parts of a reason have to take at least.
ENOUGH = 0.5
#: Parts of a profile that no part of the library stands for.
ELSEWHERE = ("waiting", "the HTTP library", "the event loop", "the benchmark", "the rest")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why peers are ahead.

    Attributes:
        work: Pattern of names, as of file names.
        parts: Of the profile: what takes the lead; empty: the reason is what peers do not do, which
            a table shows, and no time or memory.
        why: What the page says.
        of_ours: Whether their shares are of what the library itself takes, not of everything: where
            the figure is the library's own time.
        column, figure, peer: Patterns as well.
    """

    work: str
    parts: tuple[str, ...]
    why: str
    of_ours: bool = False
    column: str = "*"
    figure: str = "*"
    peer: str = "*"


#: Where nothing has changed since its last request, the auth object looks at URL and clocks itself.
CHECKS = ("the auth object", "where the token goes", "the end of the token", "the answer")
RENEWAL = ("the store", "one renewal for all", "the token request", "the end of the token")

REASONS: tuple[Reason, ...] = (
    Reason(
        "hot-*",
        CHECKS,
        "ours compares origin and path of each URL with the grant, asks two clocks for the end of "
        "the token, and reads what the answer says; it does less, see above",
        of_ours=True,
    ),
    Reason(
        "throughput",
        CHECKS,
        "the same checks, over a server that answers at once",
        column="aiohttp",
    ),
    Reason(
        "throughput",
        (),
        "a whole request costs more, as the tables of the cost per request show: besides the "
        "checks, headers whose token is not copied into a redirect",
    ),
    Reason(
        "stampede",
        (),
        "each of its processes renews for itself and spends the refresh token again, as the number "
        "of token requests shows; ours lock a file, and one of them renews for all",
        column="*processes",
    ),
    Reason(
        "stampede",
        ("the event loop", "the HTTP library"),
        "it sends one request after the other, so that none waits in the pool of connections",
        peer="MCP SDK",
    ),
    Reason(
        "stampede",
        RENEWAL,
        "ours takes the lock of the store and saves the new login before a request goes on",
    ),
    Reason(
        "rejections",
        (*RENEWAL, "the answer", "the auth object"),
        "ours reads what each 401 says, and saves the new login before a request goes on",
    ),
    Reason(
        "imports",
        ("atlassian_auth_adapter", "standard library"),
        "ours has more parts: it knows Atlassian's URLs, files, locks and threads",
    ),
    Reason(
        "memory",
        ("the client", "one renewal for all", "the end of the token", "where the token goes"),
        "ours has a client with a place and settings, and a state that threads and tasks share",
    ),
)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A cell in which a peer is ahead of us in one figure.

    Attributes:
        work, column, peer, figure: Where.
        profile: Where ours goes there, in percent of what the reason is about.
        why: The reason; "" where none is written, or none is confirmed.
        doubt: Why it is not explained, or "".
    """

    work: Work
    column: str
    peer: str
    figure: str
    profile: Mapping[str, float]
    why: str = ""
    doubt: str = ""


def lead(figure: Figure, cell: Cell, ours: Cell) -> float | None:
    """Share of ours by which a peer is better, 0 to 1; None: it is not ahead."""
    its, mine = cell.median(figure.name), ours.median(figure.name)
    if its is None or figure.better is None:
        return None
    if figure.better not in ("smaller", "larger"):
        return 1.0 if its == figure.better and mine != figure.better else None
    if isinstance(its, str):
        return None
    if mine is None or isinstance(mine, str):
        return 1.0
    if figure.better == "larger":
        its, mine = mine, min(its, POSSIBLE.get(figure.name, its))
    noise = NOISE if len(ours.rounds) > 1 else NOISE_OF_ONE_ROUND
    if its >= mine * (1 - noise) or mine <= 0:
        return None
    return min(1.0, (mine - its) / mine)


def overlap(figure: Figure, cell: Cell, ours: Cell) -> bool:
    """Whether the rounds of both have values in common: then no difference was measured."""
    its = [each for each in cell.values(figure.name) if not isinstance(each, str)]
    mine = [each for each in ours.values(figure.name) if not isinstance(each, str)]
    if len(its) < 2 or len(mine) < 2:
        return False
    return max(min(its), min(mine)) <= min(max(its), max(mine))


def leads(work: Work, results: Results) -> dict[tuple[str, str, str], float]:
    """By column, peer and figure: by how much a peer is ahead, where the rounds show it."""
    found = {}
    for (column, peer), cell in results.items():
        ours = results.get((column, OURS))
        if peer in (FLOOR, OURS) or ours is None or ours.unmeasured:
            continue
        for figure in work.figures:
            share = lead(figure, cell, ours)
            if share is not None and not overlap(figure, cell, ours):
                found[column, peer, figure.name] = share
    return found


def columns_behind(work: Work, results: Results) -> list[Column]:
    """The columns in which a peer is ahead: a profile has to say why."""
    names = {column for column, _, _ in leads(work, results)}
    return [column for column in work.columns if column.name in names]


def cells_ahead(results: Mapping[str, Results]) -> list[Ahead]:
    """Each cell in which a peer is ahead of us."""
    return [
        explained(WORKS[name], key, share, cells[key[0], OURS].profile)
        for name, cells in results.items()
        for key, share in leads(WORKS[name], cells).items()
    ]


def explained(
    work: Work, key: tuple[str, str, str], lead_: float, profile: Mapping[str, float]
) -> Ahead:
    """Why a peer is ahead there, if the profile confirms it."""
    column, peer, figure = key
    ahead = Ahead(work, column, peer, figure, profile)
    reason = next(
        (each for each in REASONS if matches(each, work.name, column, figure, peer)), None
    )
    if reason is None:
        return replace(ahead, doubt="reasons.py does not say why")
    if reason.of_ours:
        own = {part: share for part, share in profile.items() if part not in ELSEWHERE}
        profile = {part: 100 * share / sum(own.values()) for part, share in own.items()}
        ahead = replace(ahead, profile=profile)
    taken = sum(profile.get(part, 0) for part in reason.parts) / 100
    if reason.parts and taken < ENOUGH * lead_:
        doubt = f"the profile does not confirm the reason: its parts take {taken:.0%}"
        return replace(ahead, doubt=doubt)
    return replace(ahead, why=reason.why)


def matches(reason: Reason, work: str, column: str, figure: str, peer: str) -> bool:
    """Whether the reason is for this cell."""
    pairs = (
        (work, reason.work),
        (column, reason.column),
        (figure, reason.figure),
        (peer, reason.peer),
    )
    return all(fnmatchcase(name, pattern) for name, pattern in pairs)
