"""The sequence diagrams of docs/refresh.md that show the steps of the protocol.

Each is what the protocol really does, against the model of store and server in explorer.py.
"""

from __future__ import annotations

from typing import Any

from atlassian_auth_adapter.refresh.steps import Send

from .explorer import Explorer, World, crashed, named


class Drawing:
    """Lines of a diagram, written while processes take their steps.

    Args:
        roles: Of the processes, as in explorer.py.
        actors: The letter of each process in the diagram.
    """

    def __init__(self, roles: tuple[str, ...], actors: str, *titles: str) -> None:
        self._explorer, self._actors = Explorer(World("with grace", roles, 0)), actors
        self._state = self._explorer.start()
        self.lines = [f"participant {title[0]} as {title[2:]}" for title in titles]

    def go(self, process: int, before: type | None = None) -> None:
        """The process takes its steps, up to its end or to the first one of that type."""
        while (step := self._step(process)) is not None:
            if before is not None and isinstance(step, before):
                return
            to = "T" if isinstance(step, Send) else "S"
            self.lines.append(f"{self._actors[process]}->>{to}: {_said(step)}")
            self._state = self._explorer.done(self._state, process)

    def crash_after(self, process: int, step: type) -> None:
        """The process is killed after that step, before the answer arrives."""
        self.go(process, before=step)
        actor = self._actors[process]
        self.lines.append(f"{actor}->>T: {_said(self._step(process))}")
        self.lines.append(f"T-x{actor}: the answer")
        self._state = crashed(self._explorer.done(self._state, process), process)

    def note(self, actors: str, text: str) -> None:
        """A note beside an actor, or between two."""
        self.lines.append(f"Note over {actors}: {text}")

    def _step(self, process: int) -> Any:
        node = self._state.nodes[process]
        return node.step if node is not None else None

    def __str__(self) -> str:
        return "\n".join([*self.lines, ""])


def _said(step: Any) -> str:
    """A step, without the version that a save compares with: a diagram has to fit a page."""
    return named(step).partition(" over version")[0]


def undisturbed() -> Drawing:
    """One process that knows nothing yet."""
    titles = ("P process", "S store", "T token endpoint")
    drawing = Drawing(("newcomer", "expired"), "P", *titles)
    drawing.go(0)
    drawing.note("P", "the callers have the answer")
    return drawing


def two_hosts() -> Drawing:
    """Two processes at the same moment: one of them asks the server."""
    titles = ("A host A", "S store", "T token endpoint", "B host B")
    drawing = Drawing(("expired", "expired"), "AB", *titles)
    drawing.go(0, before=Send)
    drawing.note("B", "waits for the lock")
    drawing.go(0)
    drawing.go(1)
    drawing.note("B", "has what A has saved")
    return drawing


def crash() -> Drawing:
    """A process is killed after the server has rotated its refresh token."""
    titles = ("A process A", "S store", "T token endpoint", "B process B")
    drawing = Drawing(("expired", "expired"), "AB", *titles)
    drawing.crash_after(0, Send)
    drawing.note("A", "killed: its lock is free")
    drawing.go(1, before=Send)
    drawing.note("B", "the journal names 'r'")
    drawing.go(1)
    drawing.note("B", "the callers have the answer")
    return drawing


#: By the names of their files.
DIAGRAMS = {"undisturbed": undisturbed, "two-hosts": two_hosts, "crash": crash}
