"""Which worlds are explored, and docs/refresh.md, which says how many states each of them has."""

from __future__ import annotations

from pathlib import Path

from .explorer import EVENTS, SERVERS, World

DOCUMENT = Path(__file__).parents[2] / "docs" / "refresh.md"

_SAME = ("expired", "expired")
_OTHER = ("expired", "rejected")
_PAIRS = (
    ("rejected", "rejected"),
    ("takes over", "takes over"),
    ("expired", "takes over"),
    ("rejected", "takes over"),
    ("newcomer", "expired"),
)
_TRIPLES = (
    ("expired", "expired", "expired"),
    ("expired", "rejected", "takes over"),
)
_WAITING = (_SAME, *_PAIRS[1:])

#: The events that lose logins elsewhere.
_WORST = ("crash", "pause", "lost answer", "store")

#: Explored by `make test`: one event for all, two where a login is lost most easily.
SMALL = [
    *(World(server, roles, 1) for server in SERVERS for roles in (*_PAIRS, *_TRIPLES)),
    *(World(server, roles, 2, only=("429", "crash")) for server in SERVERS for roles in _WAITING),
    World("newest child only", _SAME, 2),
]
#: Explored by `make slow` as well.
LARGE = [
    *(World(server, _SAME, 3, only=("429", "crash", "pause", "lost answer")) for server in SERVERS),
    *(World(server, roles, 2, only=("429", "store")) for server in SERVERS for roles in _WAITING),
    World("newest child only", _SAME, 3, only=("429", *_WORST)),
    *(World(server, _SAME, 2) for server in ("with grace", "without grace")),
    *(World(server, roles, 2) for server in SERVERS for roles in (_OTHER, *_PAIRS)),
    *(World(server, _TRIPLES[0], 3, only=_WORST) for server in SERVERS),
    *(World(server, _TRIPLES[0], 2) for server in SERVERS),
    World("without grace", _TRIPLES[1], 2),
]
#: Explored only with `--write-orders`, since each takes some minutes.
LARGEST = [
    *(World(server, _TRIPLES[1], 2) for server in ("with grace", "newest child only")),
    *(World(server, _SAME, 3) for server in SERVERS),
]
ALL = (*SMALL, *LARGE, *LARGEST)


def _row_of(world: World, states: int) -> str:
    """The row of the document for a world."""
    form = "test" if world in SMALL else "slow" if world in LARGE else "by hand"
    most = str(world.most) if world.only == EVENTS else f"{world.most} of {', '.join(world.only)}"
    return f"| {world.server} | {', '.join(world.roles)} | {most} | {form} | {states:,} |"


def states_in(text: str) -> dict[str, int]:
    """How many states the document gives to each world, by its name."""
    starts = {_row_of(world, 0).removesuffix("0 |"): world.name for world in ALL}
    rows = (line.removesuffix(" |").rpartition(" ") for line in text.splitlines())
    return {
        starts[start + " "]: int(states.replace(",", ""))
        for start, _, states in rows
        if start + " " in starts
    }


def rendered(states: dict[str, int]) -> str:
    """The document."""
    rows = [_row_of(world, states[world.name]) for world in ALL if world.name in states]
    return _TEXT.format(worlds="\n".join(rows))


_TEXT = """\
# How the refresh works

Written by `pytest tests/refresh/test_every_order.py --slow --write-orders`; do not edit.

An access token of Atlassian lives for an hour. A refresh token brings the next one, and may be
used once: each refresh brings a new refresh token as well. Who loses that, or uses the old one
again too late, loses the login. So there is one refresh per expiry, whoever needs it, and its
result is saved whatever happens to those who wait for it.

## A token grows old

In its last eleven minutes (or its last quarter, if it lives shorter) a token is *stale*: the
request is sent with it at once, and the refresh goes on beside it. For each token that begins up
to three minutes later, so that logins that began together are not renewed together. In its last
minute it is *expired*: a request waits for the refresh, and so do all others that come meanwhile.
There is one refresh for all of them.

![A stale token is sent at once, while the refresh goes on](diagrams/expiry.svg)

Shown by `tests/refresh/test_diagrams.py::test_expiry`; with many callers by
`tests/refresh/test_one_refresh.py` and `tests/refresh/test_no_waiting.py`.

## A token is rejected

A resource server answers 401 to a token that should be good: somebody has revoked it. The client
refreshes, and sends the request again, if its body can be sent again. Has another caller or
process refreshed meanwhile, its token is sent and nothing is refreshed. A second 401 is given to
the program.

![Rejected: refresh, then the same request with the new token](diagrams/rejected.svg)

Shown by `tests/refresh/test_diagrams.py::test_rejected`; for each HTTP library by
`atlassian_auth_adapter/testing/contracts/rejections.py`.

## The steps of a refresh that nothing disturbs

`atlassian_auth_adapter/refresh/protocol.py` is the algorithm: generators that yield the steps
they need. Here and below 'r' is a refresh token, 'ra' the first one that it brought, 'rb' the
second. The journal says which refresh token is about to be spent: it proves that the store can be
written, and it tells the next process what has happened if this one is killed.

![Load, lock, load, save the journal, send, save the record, free](diagrams/undisturbed.svg)

The process knows nothing yet, and the token that is stored has expired. What it finds, before it
takes the lock or under it, may end it earlier: a token set that does, a refresh token that is
known to be dead, a server that has asked to wait.

## Two hosts at the same moment

The second one waits for the lock, looks into the store again, and asks no server.

![Host A refreshes, host B waits, and takes what A has saved](diagrams/two-hosts.svg)

If host A is so slow that its lock ends (a lease of Redis or SQL), the store refuses its late
save: each save says over which version it writes.

## A process is killed

The worst moment: the server has spent 'r', and nobody has the answer. The journal is in the
store, and names 'r'. Cloud takes a spent refresh token again for ten minutes, so the next process
sends it again.

![Process A is killed; B finds the journal and sends again](diagrams/crash.svg)

[Every step, every store, really killed](crash-matrix.md). Data Center takes no refresh token
twice: there the login has ended, and the error says so.

The last three diagrams are what the protocol does in the model below:
`tests/refresh/test_diagrams.py::test_the_diagrams_have_the_steps_of_the_protocol`. With real
processes: `tests/refresh/test_processes.py`, `tests/crashes/test_crash_matrix.py` and [the
fleet](fleet.md).

## Every order

An explorer runs several of these generators, each a process of its own, against a model of store
and server, in every order of their steps, with failures at every step where they can make a
difference.

### What may happen

| event | what it means |
|---|---|
| crash | the process is gone; its lock is free at once |
| pause | 61 s pass: the lease of its lock has ended, and it does not know |
| long pause | 601 s pass: the grace of a refresh token that was spent before has ended |
| clock | its wall clock is set an hour forward, or back |
| lost request | the token request never arrives; the process cannot know |
| lost answer | the token request arrives, its answer does not |
| store | a load, a save or a lock fails; of a save also: it was done, and it failed |
| 429 | the server asks to wait; the lock is free meanwhile, others go on (only where named) |

Servers: *with grace*: a spent refresh token may be sent again for 10 minutes, and all its children
stay alive; after that, sending it revokes the whole grant. *newest child only*: the same, but each
new child kills the one before. *without grace*: a spent refresh token is dead.

Processes: *expired*: its token has expired. *newcomer*: the same, and it knows nothing yet.
*rejected*: a resource server has rejected its token. *takes over*: it brings a refresh token from
elsewhere. Each ends by saving what it could not save before.

### What holds in every state

1. A refresh token that was spent is sent again only by a process that knows of the first time: from
   the journal, or because its own request got no answer.
2. After the grace it is sent once at most by each refresh, and only when no living process and no
   store knows its successor. (Whether a request whose process is gone ever arrived cannot be known,
   and if it did not, the token is good. Without a grace: one repetition of a lost request.)
3. A token that is fresh and was not rejected is not replaced: one rotation per expiry.
4. No newer token set is overwritten by an older one, and no login by a refresh of another one.
5. A login is given up only where the server leaves no way: no refresh token that is in a store or
   in the memory of a living process would be taken. Then the error says that the answer was lost.
6. Every caller has an answer, nothing waits for ever, and what was brought is saved in the end.
7. When all is over, another process gets a token set, and so does one an hour later.

Two things are beyond any protocol, and excluded by name. A process that is paused *for longer than
the grace* with an answer in its hands counts as lost: another one must assume so, and the server
may then revoke the grant. And a server without grace that has rotated, while the answer was lost or
its holder was killed before it was saved, ends the login.

### What was explored

Each sort of event happens once at most in a schedule, and so many events in all. With three events
the states are those of all choices of three sorts, added up.

`make test` explores the worlds of the first rows, `make slow` all but the last five.

| server | processes | events | explored by | states |
|---|---|---|---|---|
{worlds}
"""
