"""A fleet of processes on several hosts shares one login while everything around it breaks.

    python tests/fleet/fleet.py --rotations 60 --store redis

An hour passes, by a clock that all share; every process makes requests at once; there must be one
token request and no failed request. Then the next hour. In most of them something happens (see
`Fleet.chaos`): processes are killed, paused or cut off, and the server of the store crashes. The
hosts are network namespaces where the machine permits them.

Prints figures; the exit status is 0 only if every promise was kept.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clocks import SharedClock
from hosts import Host, Worker, can_be_separated
from servers import PATIENCE, NoServerError, StoreServer, running, store_at
from worker import client_from, hash_of

from atlassian_auth_adapter import SQLTokenStore, records
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.emulator import Hold

HOUR = 3600.0
#: Seconds that others get to reach the lock while one process holds it. Nothing depends on it.
A_MOMENT = 0.3


class Fleet:
    """Processes on hosts, with one login in one store.

    Args:
        server: Of the store.
        arguments: Of the command.
        stack: What is to be ended with the fleet.
    """

    def __init__(
        self, server: StoreServer, arguments: argparse.Namespace, stack: ExitStack
    ) -> None:
        self.random = random.Random(arguments.seed)
        self.server = server
        self.tallying = threading.Lock()
        self.figures: dict[str, Counter[str]] = {}
        self.broken: list[str] = []  # promises
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
        self.clock = SharedClock.made(place / "clock")
        self.emulator = stack.enter_context(AtlassianEmulator(self.clock, data_center=False))
        cloud = self.emulator.cloud
        orders: dict[str, Any] = {
            "client": {
                "client_id": cloud.app.client_id,
                "client_secret": cloud.app.client_secret,
                "callback_url": cloud.app.callback_url,
                "cloud_id": cloud.sites[0].id,
            },
            "cloud": {
                "auth_url": cloud.auth_url,
                "api_url": cloud.api_url,
                "audience": cloud.audience,
            },
            "store": {
                "url": server.url,
                "name": f"fleet_{secrets.token_hex(6)}",
                "lease": arguments.lease,
            },
            "clock": str(place / "clock"),
        }
        self.store = store_at(**orders["store"])
        if isinstance(self.store, SQLTokenStore):
            self.store.create_table()
        client = client_from(orders)
        client.oauth_complete(cloud.authorize(client.oauth_start()))
        self.key = client.token_key
        self.last = self.record
        stack.callback(server.remove, orders["store"]["name"])

        self.separated = not arguments.together and can_be_separated()
        self.auth_port, *ports = map(_port_of, (cloud.auth_url, cloud.api_url, server.url))
        self.other_ports = ports
        self.hosts: list[Host] = []
        for number in range(arguments.hosts):
            host = Host(f"host {number + 1}", [self.auth_port, *ports], separated=self.separated)
            stack.callback(host.close)
            self.hosts.append(host)
        self.workers: list[Worker] = []
        for number in range(arguments.processes):
            host = self.hosts[number % len(self.hosts)]
            self.workers.append(Worker(host, orders, arguments.requests))
            stack.callback(self.workers[-1].kill)
        # Ended after the processes that its threads listen to.
        self.threads = ThreadPoolExecutor(len(self.workers))
        stack.callback(self.threads.shutdown, wait=False)
        if not all(self.threads.map(Worker.is_ready, self.workers, timeout=PATIENCE)):
            raise RuntimeError("a process does not start")

    # --- an hour ----------------------------------------------------------------------------------

    @property
    def chaos(self) -> dict[str, tuple[Callable[[], None], int]]:
        """What may happen in an hour, with the replays that it costs: by the process that ends a
        refresh whose outcome died with another one.
        """
        return {
            "nothing": (self.nothing, 0),
            "idle process killed": (self.kill_another, 0),
            "holder killed": (self.kill_the_holder, 1),
            "holder paused past its lease": (self.pause_the_holder, 1),
            "holder's host cut off": (self.cut_off_the_holder, 1),
            "another host cut off": (self.cut_off_another, 0),
            "store crashed between refreshes": (self.crash_between, 0),
            "store away when the hour began": (self.crash_before, 0),
            "store crashed in a refresh": (self.crash_in_a_refresh, 0),
            "store away when the answer came": (self.crash_before_the_save, 0),
        }

    def pass_an_hour(self, what: str) -> None:
        """The access token ends, every process makes requests, and `what` happens."""
        happens, replays = self.chaos[what]
        self.count = self.figures.setdefault(what, Counter())
        self.tokens: Counter[str] = Counter()  # those that were accepted
        self.is_cut: set[Host] = set()
        before = self.last.generation
        self.check("the store was written between the hours", self.record == self.last)
        self.emulator.reset_log()
        self.clock.advance(HOUR)
        happens()
        # A request that was held is in the log soon after it goes on.
        self._wait_until(lambda: self.emulator.count() >= 1 + replays)
        outcomes = Counter(each.outcome for each in self.emulator.token_requests)
        rejected = [each for each in self.emulator.requests if each.status >= 400]
        record = self.record
        self.count += Counter(
            {
                "rotations": record.generation - before,
                "issued": outcomes["issued"],
                "replayed": outcomes["replayed_in_grace"],
            }
        )
        self.check(f"the outcomes are {dict(outcomes)}", outcomes == _outcomes(replays))
        self.check(f"{len(rejected)} requests were rejected", not rejected)
        self.check(f"{record.generation - before} rotations", record.generation == before + 1)
        self.check("the refresh is still on its way", record.journal is None)
        self.check(
            f"the processes used {dict(self.tokens)}, the store has {self.hash}",
            set(self.tokens) == {self.hash},
        )
        self.last = record

    def check(self, otherwise: str, is_kept: bool) -> None:
        """A promise that was not kept is remembered."""
        if not is_kept:
            hours = sum(each["rotations"] for each in self.figures.values())
            self.broken.append(f"after {hours} rotations: {otherwise}")

    @property
    def record(self) -> Login:
        """What the store holds."""
        record, _ = records.load(self.store, self.key, Login)
        assert record is not None, "the login is lost"
        return record

    @property
    def hash(self) -> str:
        """Of the access token in the store."""
        token_set = self.record.token_set
        return hash_of(token_set.access_token) if token_set else "nothing"

    # --- requests ---------------------------------------------------------------------------------

    def begin(self, workers: Iterable[Worker]) -> list[Future[None]]:
        """They all make their requests now."""
        return [self.threads.submit(self._served, worker) for worker in workers]

    def end(self, served: Iterable[Future[None]]) -> None:
        """Returns when their requests were answered."""
        for each in served:
            try:
                each.result(PATIENCE)
            except TimeoutError:
                raise TimeoutError("a process waits for ever") from None

    def _served(self, worker: Worker) -> None:
        """The process makes its requests, again if it was cut off from everything."""
        deadline = time.monotonic() + PATIENCE / 2
        is_served = False
        while not is_served and time.monotonic() < deadline:
            answers = worker.get()
            with self.tallying:
                self.count["requests"] += worker.requests
                if answers is None:
                    self.count["killed"] += worker.requests
                    return
                is_served = sum(self._is_good(worker, each) for each in answers) == len(answers)
            if not is_served:
                time.sleep(0.1)
        self.check("a process was never served", is_served)

    def _is_good(self, worker: Worker, answer: dict[str, Any]) -> bool:
        if answer["status"] == 200:
            self.tokens[answer["token"]] += 1
            return True
        if worker.host in self.is_cut:
            self.count["cut off"] += 1
        else:
            self.count["failed"] += 1
            self.check(f"no 200 but {answer['status'] or answer['trace']}", is_kept=False)
        return False

    @contextmanager
    def refreshing(self) -> Iterator[tuple[Worker, Hold, dict[Worker, Future[None]]]]:
        """The holder's token request was granted, and it has no answer yet; the others wait for it.

        In the end every process has to have been served.
        """
        hold = Hold(after=True)
        self.emulator.faults.next("token", hold)
        holder = self.random.choice(self.workers)
        served = dict(zip([holder], self.begin([holder]), strict=True))
        hold.wait_arrived()
        journal = self.record.journal
        is_named = journal is not None and journal.owner.endswith(f":{holder.pid}")
        self.check("the journal does not name the holder", is_named)
        others = [worker for worker in self.workers if worker is not holder]
        served |= zip(others, self.begin(others), strict=True)
        time.sleep(A_MOMENT)
        try:
            yield holder, hold, served
        finally:
            hold.release()
        self.end(served.values())

    def revive(self, worker: Worker) -> None:
        """A process in the place of one that was killed."""
        worker.start()
        if not self.threads.submit(worker.is_ready).result(PATIENCE):
            raise RuntimeError("a process does not start")

    # --- what may happen --------------------------------------------------------------------------

    def nothing(self) -> None:
        """All processes meet the end of the token at one moment."""
        self.end(self.begin(self.workers))

    def kill_another(self) -> None:
        """A process that was idle is replaced."""
        victim = self.random.choice(self.workers)
        victim.kill()
        self.count["processes killed"] += 1
        self.revive(victim)
        self.end(self.begin(self.workers))

    def kill_the_holder(self) -> None:
        """Another process finds its journal, and gets the answer by a replay."""
        with self.refreshing() as (holder, hold, served):
            holder.kill()
            self.count["processes killed"] += 1
            hold.release()
            self.end(served.values())
            self.revive(holder)
            self.end(self.begin([holder]))

    def pause_the_holder(self) -> None:
        """Its answer comes when another process has long saved another, which it must not touch."""
        with self.refreshing() as (holder, hold, served):
            holder.pause()
            self.count["processes paused"] += 1
            self.end(each for worker, each in served.items() if worker is not holder)
            newer = self.record
            self.check("the holder did not sleep", not served[holder].done())
            holder.wake()
            hold.release()
            self.end([served[holder]])
            self.check("who woke up has overwritten the newer token", self.record == newer)

    def cut_off_the_holder(self) -> None:
        """Its answer is lost on its way; a process of another host gets it by a replay."""
        with self.refreshing() as (holder, hold, served):
            self._cut_off(holder.host, hold, served)

    def cut_off_another(self) -> None:
        """Those who waited for the holder cannot see what it saved until the network is back."""
        with self.refreshing() as (holder, hold, served):
            others = [host for host in self.hosts if host is not holder.host]
            self._cut_off(self.random.choice(others), hold, served)

    def _cut_off(self, host: Host, hold: Hold, served: dict[Worker, Future[None]]) -> None:
        self.is_cut.add(host)
        host.cut()
        self.count["hosts cut off"] += 1
        hold.release()
        self.end(each for worker, each in served.items() if worker.host is not host)
        # The token endpoint last: what is needed is in the store, so no process may ask for it.
        host.mend(*self.other_ports)
        self.end(served.values())
        host.mend(self.auth_port)

    def crash_between(self) -> None:
        """Every connection is dead when the next refresh begins."""
        self._crash()
        self.server.start()
        self.end(self.begin(self.workers))

    def crash_before(self) -> None:
        """Nothing can be refreshed until the store is back, and no caller is told so."""
        self._crash()
        served = self.begin(self.workers)
        time.sleep(A_MOMENT)
        self.server.start()
        self.end(served)

    def crash_in_a_refresh(self) -> None:
        """The store is back, with lease and journal, before the answer is."""
        with self.refreshing() as (_, hold, _served):
            self._crash()
            time.sleep(A_MOMENT)
            self.server.start()
            hold.release()

    def crash_before_the_save(self) -> None:
        """The holder serves the new token from memory until it can save it."""
        with self.refreshing() as (_, hold, _served):
            self._crash()
            hold.release()
            time.sleep(A_MOMENT)
            self.server.start()

    def _crash(self) -> None:
        self.server.kill()
        self.count["store restarts"] += 1

    def _wait_until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 5
        while not happened() and time.monotonic() < deadline:
            time.sleep(0.01)


def _outcomes(replays: int) -> Counter[str]:
    return +Counter({"issued": 1, "replayed_in_grace": replays})


def _port_of(url: str) -> int:
    return urlsplit(url).port or 0


# --- the command ----------------------------------------------------------------------------------

COLUMNS = (
    *("rotations", "issued", "replayed"),
    *("requests", "killed", "cut off", "failed"),
)
DEEDS = ("processes killed", "processes paused", "hosts cut off", "store restarts")


def table(fleet: Fleet) -> str:
    """The figures, in the order of `Fleet.chaos`, and their sum."""
    total = sum(fleet.figures.values(), Counter())
    rows = [(what, fleet.figures[what]) for what in fleet.chaos if what in fleet.figures]
    lines = [
        _row("what happened", *COLUMNS),
        _row("-" * 31, *("-" * len(name) for name in COLUMNS)),
    ]
    for what, count in [*rows, ("total", total)]:
        lines.append(_row(what, *(f"{count[name]:>{len(name)}}" for name in COLUMNS)))
    return "\n".join([*lines, "", ", ".join(f"{deed}: {total[deed]}" for deed in DEEDS)])


def _row(what: str, *cells: str) -> str:
    return " | ".join([f"| {what:31}", *cells]) + " |"


def arguments_of(line: list[str] | None) -> argparse.Namespace:
    """What the command was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", choices=("redis", "postgres"), default="redis")
    parser.add_argument("--server", default="", help="URL of one, which then is not killed")
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--rotations", type=int, default=60)
    parser.add_argument("--requests", type=int, default=2, help="of each process at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lease", type=float, default=3.0, help="of the store, seconds")
    parser.add_argument("--together", action="store_true", help="no network namespaces")
    return parser.parse_args(line)


def main(line: list[str] | None = None) -> int:
    """Run a fleet and print its figures."""
    arguments = arguments_of(line)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with ExitStack() as stack:
        try:
            server = stack.enter_context(running(arguments.store, arguments.server))
        except NoServerError as error:
            print(error)
            return os.EX_UNAVAILABLE
        fleet = Fleet(server, arguments, stack)
        kind = "network namespaces" if fleet.separated else "no network namespaces, relays only"
        print(
            f"{arguments.processes} processes on {arguments.hosts} hosts ({kind}), {server.title}, "
            f"lease {arguments.lease:g} s, seed {arguments.seed}\n",
            flush=True,
        )
        began = time.monotonic()
        whats = list(fleet.chaos) * arguments.rotations
        whats = whats[: arguments.rotations]
        fleet.random.shuffle(whats)
        for what in whats:
            try:
                fleet.pass_an_hour(what)
            except Exception as error:
                fleet.check(f"{what}: {type(error).__name__}: {error}", is_kept=False)
                break
        generation = fleet.last.generation
        fleet.check(f"the last generation is {generation}", generation == arguments.rotations + 1)
        print(table(fleet))
        print(f"last generation: {generation}, real time: {time.monotonic() - began:.0f} s")
    for promise in fleet.broken:
        print(f"NOT KEPT, {promise}")
    if not fleet.broken:
        print("every promise was kept")
    return bool(fleet.broken)


if __name__ == "__main__":
    sys.exit(main())
