"""What runs in the fresh process of a measurement, with work, column and peer as arguments."""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

from benchmarks.figures import UnmeasuredError
from benchmarks.work import WORKS


def main() -> None:
    """Measure one cell once, and print what it has brought as the last line."""
    name, heading, peer, how = sys.argv[1:]
    work = WORKS[name]
    column = next(each for each in work.columns if each.name == heading)
    answer: dict[str, Any]
    try:
        if how == "profile":
            from benchmarks.profile import shares_of

            answer = {"profile": shares_of(work, column, peer)}
        else:
            answer = {"round": work.measure(column, peer, how == "tiny")}
    except UnmeasuredError as reason:
        answer = {"unmeasured": str(reason)}
    except Exception as error:  # noqa: BLE001 - the table says it
        traceback.print_exc()
        answer = {"failure": f"{type(error).__name__}: {error}"[:300]}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
