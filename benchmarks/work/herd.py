"""When the logins of a service renew their tokens, that were all issued at one moment."""

from __future__ import annotations

import random
from collections import Counter

from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.peers import OURS

LOGINS, LIFETIME = 100_000, 3600.0
#: Seconds that a bar stands for, and the bars, from none to the highest.
BAR, BARS = 10, "▁▂▃▄▅▆▇█"


def renewals(every: float, processes: int, count: int) -> list[float]:
    """When each login is renewed: seconds after all tokens were issued, by the real policy.

    A login does nothing by itself: its first request in the stale window renews it, in whichever
    process that is.
    """
    from atlassian_auth_adapter import ExpiryPolicy, TokenSet
    from atlassian_auth_adapter.refresh.login import jitter_share

    policy, draw = ExpiryPolicy(), random.Random(15)

    def renewal(token_set: TokenSet) -> float:
        stale, expired = policy.windows(token_set, jitter_share(token_set))
        assert stale > expired
        return LIFETIME - stale + draw.expovariate(1 / every)

    times = []
    for _ in range(count):
        token = draw.randbytes(16).hex()
        token_set = TokenSet(token, "refresh", LIFETIME, "", "Bearer", 0.0)
        times.append(min(renewal(token_set) for _ in range(processes)))
    return times


def bars(times: list[float]) -> str:
    """The histogram from the first renewal to the last but one of a thousand."""
    begin = int(min(times))
    counts = Counter(int((at - begin) / BAR) for at in times)
    end = int((sorted(times)[int(len(times) * 0.999) - 1] - begin) / BAR)
    shown = [counts[number] for number in range(end + 1)]
    width = max(1, -(-len(shown) // 40))
    sums = [sum(shown[at : at + width]) for at in range(0, len(shown), width)]
    drawn = "".join(BARS[round(each / max(sums) * (len(BARS) - 1))] for each in sums)
    return f"{drawn} ({width * BAR} s each, from {begin} s on)"


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    every, processes = column.options["every"], column.options["processes"]
    times = renewals(every, processes, 1000 if tiny else LOGINS)
    ordered = sorted(times)
    middle = ordered[int(len(times) * 0.995) - 1] - ordered[int(len(times) * 0.005)]
    late = sum(at > LIFETIME - 60 for at in times)
    return {
        "peak": max(Counter(map(int, times)).values()),
        "spread": middle,
        "late": 100 * late / len(times),
        "histogram": bars(times),
    }


WORK = Work(
    "herd",
    "When very many logins renew",
    f"{LOGINS:,} logins whose tokens were all issued at one moment, for an hour, by the real rules "
    "of expiry: most renewals in one second, the seconds in which 99 of 100 begin, how many find "
    "their token in its last minute, so that their request waits, and the histogram. A login does "
    "nothing by itself: its first request in the stale window renews it in the background, so the "
    "traffic spreads the renewals, and the jitter of three minutes those of logins that are used "
    "all the time, also by many processes, which agree on it. Where all tokens have ended already, "
    "as after a night, nothing can spread them but the number of requests at one time: 24 to one "
    "authorization server from one process. Then callers with a token in hand are not affected, "
    "and the others wait for their turn.",
    tuple(
        Column(f"a request every {name}", "", {"every": every, "processes": processes})
        for name, every, processes in (
            ("second", 1.0, 1),
            ("second in each of 8 processes", 1.0, 8),
            ("minute", 60.0, 1),
            ("5 minutes", 300.0, 1),
        )
    ),
    (
        Figure("peak", "{:,.0f} a second", "smaller"),
        Figure("spread", "{:.0f} s"),
        Figure("late", "{:.1f} % wait"),
        Figure("histogram", "{}"),
    ),
    measure,
    rounds=1,
    peers=(OURS,),
)
