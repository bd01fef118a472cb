"""Checks what would be published: `make release-check`; `--quick` is what `make slow` does.

1. Wheel and sdist are built twice: the same bytes. The sdist's wheel is that of the checkout.
2. `twine check --strict`.
3. The wheel alone, without extras, runs the demonstration.
4. Without --quick: on each Python of the classifiers, with the newest and with the lowest versions
   of what the package needs, the tests of `make test` run against the installed wheel. They are
   copied to a folder that has no package. A Python that is not installed is skipped, and that is
   said. All failures are told; one ends the program with 1, in the end.

Needs pip's options --python and --group, and what pyproject.toml has in the group `dev`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MINOR = "Programming Language :: Python :: 3."
#: What the tests beside the wheel read, and nothing that could be imported in its place.
FOLDERS = ("tests", "docs", "examples", "benchmarks")
FILES = ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml")
PYTEST = ("-m", "pytest", "-q", "--numprocesses", "auto", "--dist", "worksteal", "tests")
BEGAN = time.monotonic()


def main() -> None:
    """The command line; ends with 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="without the tests on every Python")
    parser.add_argument("--python", action="append", help="such as 3.12; may be repeated")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        work = Path(folder)
        wheel = built(work)
        try_alone(wheel, work)
        missing = [] if arguments.quick else try_everywhere(wheel, work, arguments.python)
    repository = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    say("Nothing is wrong.")
    if missing:
        say(f"Before you publish: install Python {', '.join(missing)}, or name fewer classifiers.")
    if ".example/" in repository:
        say(f"Before you publish: {repository} in pyproject.toml is a placeholder.")
    if "not published yet" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        say("Before you publish: CHANGELOG.md needs the date.")


def say(text: object) -> None:
    """Print it at once, after the seconds since the program has begun."""
    print(f"{time.monotonic() - BEGAN:4.0f} s  {text}", flush=True)


def run(*command: str | Path, cwd: Path = ROOT, shown: bool = False, **variables: str) -> None:
    """Run a command; if it fails, SystemExit has its output, unless that was `shown` already."""
    done = subprocess.run(
        [*map(str, command)],
        check=False,
        cwd=cwd,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=None if shown else subprocess.PIPE,
        stderr=None if shown else subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout or ''}\nfailed: {' '.join(map(str, command))}")
    for line in (done.stdout or "").strip().splitlines()[-1:]:
        say(line)


def built(work: Path) -> Path:
    """The wheel, once it is shown that whoever builds it gets the same bytes."""
    first, second = work / "first", work / "second"
    builder = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    say("Build: sdist, and the wheel of it; then both of the checkout")
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    run(*builder, first, ROOT, **epoch)
    run(*builder, second, "--sdist", "--wheel", ROOT, **epoch)
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir())
    if differing := [n for n in names if (first / n).read_bytes() != (second / n).read_bytes()]:
        raise SystemExit(f"built twice, and not the same: {differing}")
    say(f"the same bytes: {', '.join(names)}")
    run(sys.executable, "-m", "twine", "check", "--strict", *first.iterdir())
    (wheel,) = first.glob("*.whl")
    return wheel


def environment(python: str, folder: Path, *packages: str | Path) -> Path:
    """A new virtual environment with these packages; its interpreter."""
    run(python, "-m", "venv", "--without-pip", folder)
    interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = ("-m", "pip", "--python", interpreter, "install", "-qq")
    run(sys.executable, *install, "--disable-pip-version-check", *packages)
    return interpreter


def try_alone(wheel: Path, work: Path) -> None:
    """The wheel works with what it requires itself."""
    say("The wheel without extras")
    python = environment(sys.executable, work / "alone", wheel)
    run(python, "-W", "error", "-m", "atlassian_auth_adapter.testing.demo", cwd=work)


def try_everywhere(wheel: Path, work: Path, chosen: list[str] | None) -> list[str]:
    """The tests pass beside the wheel, on each Python, with the newest and lowest versions.

    Returns the Pythons that are not installed.
    """
    for name in FOLDERS:
        ignored = shutil.ignore_patterns(".*", "_build", "__pycache__")
        shutil.copytree(ROOT / name, work / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, work)
    lowest = work / "lowest.txt"
    lowest.write_text("\n".join(lowest_versions()))
    extras = ",".join(PROJECT["project"]["optional-dependencies"])
    packages = (f"{wheel}[{extras}]", "--group", f"{ROOT / 'pyproject.toml'}:test")
    found = {minor: interpreter_of(minor) for minor in chosen or classified()}
    failed: list[str] = []
    for minor, python in found.items():
        for versions in ("newest", "lowest") if python else ():
            say(f"Python {minor}, {versions} versions")
            constraint = ("--constraint", lowest) if versions == "lowest" else ()
            try:
                inside = environment(python, work / f"{minor}-{versions}", *packages, *constraint)
                run(inside, *PYTEST, cwd=work, shown=True)
            except SystemExit as error:
                say(error)
                failed.append(f"Python {minor} with the {versions} versions")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")
    return [minor for minor, python in found.items() if not python]


def classified() -> list[str]:
    """The Pythons of the classifiers, such as 3.11."""
    given = PROJECT["project"]["classifiers"]
    return [f"3.{each.removeprefix(MINOR)}" for each in given if each.startswith(MINOR)]


def interpreter_of(minor: str) -> str:
    """The command of an installed Python, or ""; pyenv has some that are not on the path."""
    ask = ("-c", "import sys; print(sys.executable)")
    found = output(f"python{minor}", *ask)
    for version in "" if found else output("pyenv", "whence", f"python{minor}").split():
        found = output("pyenv", "exec", f"python{minor}", *ask, PYENV_VERSION=version)
    return found


def output(*command: str, **variables: str) -> str:
    """What a command prints; "" if it fails or is not there."""
    try:
        done = subprocess.run(
            command, env=os.environ | variables, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def lowest_versions() -> list[str]:
    """Constraints: the lower bound of each requirement of the package and its extras."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    needed = map(Requirement, [*project["dependencies"], *(one for some in extras for one in some)])
    bounds = {
        f"{each.name}=={bound.version}"
        for each in needed
        for bound in each.specifier
        if bound.operator == ">="
    }
    return sorted(bounds)


if __name__ == "__main__":
    main()
