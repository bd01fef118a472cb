"""Every order of the steps of several refreshes, with a failure at every step: see explorer.py.

Writes docs/refresh.md (`--write-orders`); `--slow` explores the larger worlds as well.
"""

from __future__ import annotations

import gc
import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from atlassian_auth_adapter.refresh import protocol, saving, sending

from .explorer import ALL_EVENTS, SERVERS, STORED, Explorer, Violation, World
from .orders import DOCUMENT, LARGE, LARGEST, SMALL


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The worlds: the largest only if their rows are to be written."""
    if "world" in metafunc.fixturenames:
        is_written = metafunc.config.getoption("write_orders", False)
        slow = [*LARGE, *(LARGEST if is_written else ())]
        worlds = [pytest.param(world, id=world.name) for world in SMALL]
        worlds += [pytest.param(world, id=world.name, marks=pytest.mark.slow) for world in slow]
        metafunc.parametrize("world", worlds)


@pytest.fixture
def _no_garbage_collection() -> Iterator[None]:
    """The explorer makes millions of objects and no cycles: it is faster by a seventh."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_garbage_collection")
def test_no_order_loses_a_login(
    world: World, record_property: Callable[..., None], documented: dict[str, int], written: Any
) -> None:
    """In no state of the world is a login lost, a newer one overwritten, a spent refresh token sent
    without need, or a caller left without an answer.
    """
    states, outcomes = 0, Counter[str]()
    for part in world.parts() if world.most > 2 else [world]:
        explorer = Explorer(part)
        states += explorer.explore()
        outcomes += explorer.outcomes
    record_property("states", states)
    if written is None:
        assert documented.get(world.name) == states, f"{DOCUMENT} is stale: pytest --write-orders"
    else:
        written[world.name] = states
    losses = {"lost without a way back", "lost by a pause beyond the grace"}
    if SERVERS[world.server].grace and world.most < 2:
        assert not outcomes["lost without a way back"]
    assert outcomes.total() > sum(outcomes[loss] for loss in losses)


def test_the_same_world_has_the_same_states_each_time() -> None:
    """The exploration is deterministic: the same count, the same outcomes."""
    world = World("newest child only", ("expired", "takes over"), 1)
    first, second = Explorer(world), Explorer(world)
    assert first.explore() == second.explore()
    assert first.outcomes == second.outcomes


# --- teeth ----------------------------------------------------------------------------------------

CRASH, SHORT, LONG, CLOCK, REQUEST, ANSWER, STORE, THROTTLE = ALL_EVENTS


def broken(*changes: tuple[str, str]) -> ModuleType:
    """The protocol with other lines: each of them is there exactly once."""
    sources = {module: inspect.getsource(module) for module in (saving, sending, protocol)}
    for before, after in changes:
        assert sum(text.count(before) for text in sources.values()) == 1, f"not once: {before!r}"
        sources = {module: text.replace(before, after) for module, text in sources.items()}
    made = ModuleType("")
    for module, text in sources.items():
        name = module.__name__.replace("atlassian_auth_adapter.refresh.", "broken_")
        made = sys.modules[name] = ModuleType(name)
        # Each imports the broken form of the ones before.
        own = re.sub(r"atlassian_auth_adapter\.refresh\.(saving|sending)\b", r"broken_\1", text)
        exec(compile(own, f"{name}.py", "exec"), made.__dict__)
    return made


#: A deliberate break: its name, what it changes in the protocol or in the model of the store, and a
#: world in which it must be found.
BREAKS: dict[str, tuple[tuple[tuple[str, str], ...], dict[str, bool], World]] = {
    "the journal is written after the request": (
        (
            (
                (
                    "    now: Instant = yield Save(journaled, seen.version)\n"
                    "    version = (seen.version or 0) + 1\n"
                ),
                "    now, version = seen.now, seen.version or 0\n",
            ),
            (
                "        brought = succeed(new)\n",
                (
                    "        yield Save(journaled, seen.version)\n"
                    "        version += 1\n"
                    "        brought = succeed(new)\n"
                ),
            ),
        ),
        {},
        World("with grace", ("expired", "expired"), 1, only=(CRASH,)),
    ),
    "no second look under the lock": (
        (
            (
                (
                    "    if token_set := (yield from _adopted(seen, request, rules)):\n"
                    "        return token_set\n"
                    "    login = seen.login or Login()\n"
                ),
                "    login = seen.login or Login()\n",
            ),
        ),
        {},
        World("with grace", ("expired", "expired"), 0),
    ),
    "no compare-and-swap": (
        (),
        {"compares": False},
        World("newest child only", ("expired", "expired"), 1, only=(SHORT,)),
    ),
    "no lock": ((), {"excludes": False}, World("without grace", ("expired", "expired"), 0)),
    "the same token is sent again after the grace": (
        (
            (
                "            left = self.rules.server.rotation_grace - age if age >= 0 else 0.0\n",
                "            left = self.rules.server.rotation_grace\n",
            ),
        ),
        {},
        World("with grace", ("expired", "expired"), 3, only=(CRASH, LONG, ANSWER)),
    ),
    "what was taken over is not looked at under the lock": (
        (
            (
                "        if login.token_set and rules.hashed(given) in login.taken_over:\n",
                "        if False:\n",
            ),
        ),
        {},
        World("with grace", ("takes over", "takes over"), 0),
    ),
    "a save is not tried again": (
        (
            ("    for pause in BACKOFF[:SAVES_UNDER_LOCK]:\n", "    for pause in ():\n"),
            ("    for attempt in range(SAVES_AFTERWARDS):\n", "    for attempt in range(0):\n"),
        ),
        {},
        World("without grace", ("expired", "expired"), 1, only=(STORE,)),
    ),
    "a refusal is believed without a look at what others have saved": (
        (
            (
                (
                    "    if latest is None or latest.generation != login.generation:\n"
                    "        return None\n"
                ),
                "    assert latest is not None\n",
            ),
        ),
        {},
        World("without grace", ("expired", "expired"), 1, only=(SHORT,)),
    ),
    "a process that was paused sends all the same": (
        (("yield Send(spent, locked_at)\n", "yield Send(spent)\n"),),
        {},
        World("newest child only", ("expired", "expired"), 1, only=(SHORT,)),
    ),
    "the journal is removed after a lost answer": (
        (("    noted = journaled if tries.ambiguous else login\n", "    noted = login\n"),),
        {},
        World("without grace", ("expired", "newcomer"), 2, each=2, only=(ANSWER,)),
    ),
    "a journal on record counts as none": (
        (("    is_repeated = journaled == login ", "    is_repeated = False "),),
        {},
        World("with grace", ("expired", "expired"), 3, only=(CRASH, LONG, ANSWER)),
    ),
    "after a 429 nobody else is thought to have sent": (
        (
            (
                "is_repeated = journaled == login and seen.version != tries.noted_version",
                "is_repeated = journaled == login and tries.noted_version < 0",
            ),
        ),
        {},
        World("without grace", ("expired", "expired"), 2, only=(THROTTLE, ANSWER)),
    ),
    "a late save overwrites whatever is there": (
        (
            (
                "    new, before, latest = unsaved.login, unsaved.before, seen.login\n",
                (
                    "    new, before, latest = unsaved.login, unsaved.before, seen.login\n"
                    '    return "save"\n'
                ),
            ),
        ),
        {},
        World("newest child only", ("expired", "expired"), 2, only=(SHORT, STORE)),
    ),
    "the older one of two answers is kept": (
        (
            (
                "    if is_at_work and seen.now.monotonic < unsaved.replayable_until:\n",
                "    if False:\n",
            ),
            ('        return "save" if is_older else "drop"\n', '        return "drop"\n'),
        ),
        {},
        World("newest child only", ("expired", "expired"), 2, only=(SHORT, CRASH)),
    ),
    "an answer is given before it is saved, and dropped when the save fails": (
        (
            (
                "    yield Hold(unsaved)\n    try:\n        stands",
                "    try:\n        stands",
            ),
            ("    for pause in BACKOFF[:SAVES_UNDER_LOCK]:\n", "    for pause in ():\n"),
        ),
        {},
        World("without grace", ("expired", "expired"), 1, only=(STORE,)),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_protocol_is_found_out(name: str) -> None:
    """Each deliberate break is found, with a schedule that a person can follow."""
    changes, model, world = BREAKS[name]
    with pytest.raises(Violation) as found:
        Explorer(world, broken(*changes), **model).explore()
    assert f"send {STORED!r}" in str(found.value) or "send 'g'" in str(found.value)
    print(f"\n{name}\n{found.value}")  # shown by pytest -rP


def test_the_worlds_of_the_breaks_are_sound_without_them() -> None:
    """What is found there is the break."""
    for world in {world for _, _, world in BREAKS.values()}:
        Explorer(world).explore()
