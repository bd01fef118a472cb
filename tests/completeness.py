"""How complete the types of the package are, as pyright counts them: `make completeness`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PACKAGE = "atlassian_auth_adapter"
#: Of the symbols that the package exports, this part has a type that is known and not ambiguous.
FLOOR = 0.98


def main() -> None:
    """Print the score, and what lowers it; ends with 1 below the floor."""
    tools = Path(sys.executable).parent
    done = subprocess.run(
        [tools / "basedpyright", "--verifytypes", PACKAGE, "--ignoreexternal", "--outputjson"],
        # It looks for packages where the first `python` of the path does
        env=os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    found = json.loads(done.stdout)["typeCompleteness"]
    score = found["completenessScore"]
    for symbol in found["symbols"]:
        if symbol["isExported"] and (symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"]):
            print(symbol["name"], *(each["message"] for each in symbol["diagnostics"][:1]))
    print(f"{score:.1%} of what is exported has a known type; at least {FLOOR:.0%} are needed.")
    sys.exit(score < FLOOR)


if __name__ == "__main__":
    main()
