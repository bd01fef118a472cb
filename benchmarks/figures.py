"""What measurements bring: figures of one round, and of all rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Cell", "Column", "Figure", "UnmeasuredError", "Work", "installed"]

#: Values of one round by the names of figures: numbers, or texts such as "yes".
Round = Mapping[str, float | str]


class UnmeasuredError(Exception):
    """This cannot be measured for this peer; the text is the reason that the page shows."""


def installed(distribution: str) -> str:
    """Its version; "" where it is not installed, or has no name."""
    from importlib.metadata import PackageNotFoundError, version  # half of what the rest imports

    try:
        return version(distribution) if distribution else ""
    except PackageNotFoundError:
        return ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity of a kind of work.

    Attributes:
        name: Its key in a round.
        text: How a value is shown, such as "{:.1f} s"; "": not at all.
        better: Which value is ahead of another one: the smaller, the larger, or this text; None:
            it is shown only.
    """

    name: str
    text: str
    better: Literal["smaller", "larger"] | str | None = None

    def shown(self, values: Sequence[float | str]) -> str:
        """The median with its spread, or the text of all rounds."""
        numbers = [value for value in values if not isinstance(value, str)]
        if len(numbers) < len(values):
            return " / ".join(dict.fromkeys(map(str, values)))
        middle = self.text.format(statistics.median(numbers))
        low, high = self.text.format(min(numbers)), self.text.format(max(numbers))
        if low == high:
            return middle
        before, after = self.text.partition("{")[0], self.text.partition("}")[2]
        spread = (each.removeprefix(before).removesuffix(after) for each in (low, high))
        return f"{middle} ({' to '.join(spread)})"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: what is measured of each peer.

    Attributes:
        name: Its heading.
        library: Key of `libraries.LIBRARIES`; "" if none is needed.
        options: For the measurement.
    """

    name: str
    library: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of work: one table of the page.

    Attributes:
        name: For the command line, and the key of results.
        title: Heading on the page.
        text: What is done, and how to read the figures.
        columns: Of its table; each peer is a row.
        figures: The first one decides who is ahead.
        measure: Runs in a fresh process: (column, name of the peer, tiny) -> one round. `tiny` asks
            for the least that shows that it works. Raises UnmeasuredError.
        rounds: How often each cell is measured, unless told otherwise.
        peers: Names of those that are measured; None: all.
        unmeasured: Why (column, name of the peer) cannot be measured, where this is known without
            trying; "": it may be.
        beside: How many cells are measured at once: more than one only where no figure is a time.
        seconds: About how long a cell takes, for the estimate before the first one has ended.
        profile: How `profile.py` looks for what takes so much of ours: "time", "imports", "memory".
    """

    name: str
    title: str
    text: str
    columns: tuple[Column, ...]
    figures: tuple[Figure, ...]
    measure: Callable[[Column, str, bool], Round]
    rounds: int = 3
    peers: tuple[str, ...] | None = None
    unmeasured: Callable[[Column, str], str] = lambda column, peer: ""
    beside: int = 1
    seconds: float = 2.0
    profile: Literal["time", "imports", "memory"] = "time"


@dataclass(slots=True)
class Cell:
    """What all rounds have brought for one column and one peer.

    Attributes:
        rounds: Of each round that was measured.
        unmeasured: Why it cannot be measured, or "".
        failure: What went wrong, or "".
        seconds: That all of it has taken.
        profile: Shares of our time or memory by parts, where `profile.py` has looked; in percent.
    """

    rounds: list[Round] = field(default_factory=list)
    unmeasured: str = ""
    failure: str = ""
    seconds: float = 0.0
    profile: dict[str, float] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether another round would bring nothing."""
        return bool(self.unmeasured or self.failure)

    def values(self, figure: str) -> list[float | str]:
        """Of each round that has the figure."""
        return [each[figure] for each in self.rounds if figure in each]

    def median(self, figure: str) -> float | str | None:
        """The median of numbers; for texts the one of all rounds, or all of them."""
        values = self.values(figure)
        if not values:
            return None
        if any(isinstance(value, str) for value in values):
            return " / ".join(dict.fromkeys(map(str, values)))
        return statistics.median(value for value in values if not isinstance(value, str))
