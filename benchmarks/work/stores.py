"""What a store costs per call with 1, 1,000 and 100,000 accounts in it."""

from __future__ import annotations

from benchmarks.figures import Column, Figure, Round, UnmeasuredError, Work
from benchmarks.peers import OURS

#: Keys of `filled_stores.PLACES`.
STORES = ("Memory", "Encrypted over Memory", "File", "SQLite", "PostgreSQL", "MariaDB", "Redis")
SIZES = 1, 1_000, 100_000
#: Batches of calls in a measurement.
BATCHES = 40


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    import redis
    import sqlalchemy as sa

    from benchmarks.filled_stores import measured_all

    name, count = column.options["store"], column.options["count"]
    try:
        return measured_all(name, min(count, 10) if tiny else count, 2 if tiny else BATCHES)
    except (redis.ConnectionError, sa.exc.OperationalError) as error:
        raise UnmeasuredError(f"no server answers here ({type(error).__name__})") from None


WORK = Work(
    "stores",
    "Calls of the stores",
    "Microseconds of one look-up, of locking and releasing, and of one save, each on an account at "
    "random of so many, whose tokens are as long as real ones. The encrypted store "
    "looks nothing up itself; it is not filled to the last.",
    tuple(
        Column(f"{store}, {count:,}", "", {"store": store, "count": count})
        for store in STORES
        for count in SIZES
        if (store, count) != ("Encrypted over Memory", SIZES[-1])
    ),
    (
        Figure("load", "load {:.0f} µs", "smaller"),
        Figure("lock", "lock {:.0f} µs"),
        Figure("save", "save {:.0f} µs"),
    ),
    measure,
    rounds=1,
    seconds=4.0,
    peers=(OURS,),
)
