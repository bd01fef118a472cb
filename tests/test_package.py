"""The package as it is imported and as it is installed."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import atlassian_auth_adapter

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
#: design.md section 2; the stores behind extras join when they exist.
PUBLIC = """
    AtlassianOAuthClient JiraCloudOAuthClient JiraOnPremOAuthClient ConfluenceCloudOAuthClient
    ConfluenceOnPremOAuthClient BitbucketOnPremOAuthClient BitbucketCloudOAuthClient
    create_atlassian_oauth_client create_jira_oauth_client scope_set login
    AtlassianAuth AtlassianHTTPXAuth AtlassianHTTPX2Auth AtlassianAiohttpAuth
    StaticTokenSource TokenSource
    MemoryTokenStore FileTokenStore ContextTokenStore KeyringTokenStore EncryptedTokenStore
    RedisTokenStore SQLTokenStore TokenStore
    TokenSet TokenKey CloudEnvironment COMMERCIAL US_GOV_MODERATE ExpiryPolicy Site Identity
    TokenStatus Profile client_from_profile load_profile save_profile delete_profile choose_store
    AtlassianAuthError ConfigurationError MissingExtraError AuthorizationError
    AuthorizationDeniedError StateMismatchError AmbiguousSiteError LoginRequiredError
    TokenEndpointError TokenRequestRefusedError TokenEndpointUnavailableError ForeignOriginError
    TokenStoreError TokenStoreTimeoutError StaleRecordError TokenNotSavedError
""".split()  # noqa: SIM905
TESTING = ["AtlassianEmulator", "TokenStoreContract", "AuthAdapterContract", "FakeClock"]
CONTRACTS = [
    "AuthAdapterContract",
    "TokenStoreContract",
    "SyncHTTPXFamilyContract",
    "AsyncHTTPXFamilyContract",
]


def _python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_no_heavy_library() -> None:
    """Importing the package costs nothing: no HTTP, crypto or lock library, no asyncio."""
    loaded = json.loads(
        _python("import json, sys, atlassian_auth_adapter; print(json.dumps(sorted(sys.modules)))")
    )
    heavy = {"requests", "urllib3", "httpx", "httpx2", "httpcore", "aiohttp", "authlib", "joserfc",
             "cryptography", "filelock", "keyring", "redis", "sqlalchemy", "trio", "asyncio",
             "ssl", "atlassian_auth_adapter.atlassian.scopes"}  # fmt: skip
    assert "atlassian_auth_adapter" in loaded
    assert not heavy & set(loaded)


@pytest.mark.parametrize(
    ("name", "unneeded"),
    [
        ("AtlassianAuth", {"httpx", "httpx2", "aiohttp", "authlib"}),
        ("AtlassianAiohttpAuth", {"requests", "httpx", "httpx2", "authlib"}),
        ("AtlassianHTTPXAuth", {"requests", "httpx2", "aiohttp", "authlib"}),
        (
            "TokenSet, create_atlassian_oauth_client",
            {"requests", "httpx", "httpx2", "aiohttp", "authlib", "filelock"},
        ),
    ],
)
def test_a_name_loads_only_what_it_needs(name: str, unneeded: set[str]) -> None:
    """A program that uses requests does not pay for httpx, and the other way round."""
    code = f"import json, sys; from atlassian_auth_adapter import {name}"
    code += "; print(json.dumps(sorted(sys.modules)))"
    assert not unneeded & set(json.loads(_python(code)))


def test_an_auth_object_loads_no_dataclasses() -> None:
    """Nor `inspect`, which takes as long; requests itself loads that from Python 3.12 on."""
    code = "import json, sys, requests; before = set(sys.modules); import atlassian_auth_adapter"
    code += "; atlassian_auth_adapter.AtlassianAuth; print(json.dumps([*{*sys.modules} - before]))"
    assert not {"dataclasses", "inspect"} & set(json.loads(_python(code)))


def test_every_public_name_is_at_the_top() -> None:
    """`from atlassian_auth_adapter import X` works for every name of the design."""
    for name in PUBLIC:
        assert getattr(atlassian_auth_adapter, name) is not None, name
    assert set(PUBLIC) <= set(atlassian_auth_adapter.__all__) & set(dir(atlassian_auth_adapter))


def test_the_tools_for_tests_are_importable() -> None:
    """People who write tests find emulator, contracts and clock."""
    testing = importlib.import_module("atlassian_auth_adapter.testing")
    assert [name for name in TESTING if not getattr(testing, name)] == []


def test_the_contracts_are_importable() -> None:
    """Authors of a store or an adapter find its contract, and no other name beside them."""
    contracts = importlib.import_module("atlassian_auth_adapter.testing.contracts")
    assert [name for name in CONTRACTS if not getattr(contracts, name)] == []
    assert sorted(contracts.__all__) == sorted(CONTRACTS)


def test_everything_announced_exists() -> None:
    """`__all__` and `import *` hold no name that is not there."""
    namespace: dict[str, object] = {}
    exec("from atlassian_auth_adapter import *", namespace)
    assert set(atlassian_auth_adapter.__all__) <= set(namespace)
    assert not set(PUBLIC) - set(namespace)


@pytest.mark.parametrize("module", ["", ".testing", ".testing.contracts"])
def test_what_is_not_loaded_yet_is_listed(module: str) -> None:
    """dir(), inspect.getmembers() and the completion of consoles show each public name."""
    name = f"atlassian_auth_adapter{module}"
    _python(f"import {name} as looked_at; assert {{*looked_at.__all__}} <= {{*dir(looked_at)}}")


def test_every_error_is_at_the_top() -> None:
    """No error of the tree has to be imported from a submodule."""
    errors = importlib.import_module("atlassian_auth_adapter.errors")
    assert set(errors.__all__) <= set(atlassian_auth_adapter.__all__)


def test_type_checkers_see_the_same_names() -> None:
    """What loads on first use is declared for type checkers, no more and no less."""
    text = Path(atlassian_auth_adapter.__file__).read_text("utf-8")
    declared = set(re.findall(r"(\w+) as \1\b", text))
    assert declared == set(atlassian_auth_adapter.__all__) - {"__version__"}


@pytest.mark.parametrize(
    "module",
    [
        "atlassian_auth_adapter",
        "atlassian_auth_adapter.testing",
        "atlassian_auth_adapter.testing.contracts",
    ],
)
def test_an_unknown_name_is_an_attribute_error(module: str) -> None:
    """A typo fails as it does with any module."""
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'AtlasianAuth'"):
        importlib.import_module(module).AtlasianAuth  # noqa: B018
    assert not hasattr(importlib.import_module(module), "__wrapped__")


def test_without_its_library_a_class_says_what_to_install() -> None:
    """Only a program that imports the name is told; callers may catch an ImportError."""
    needed = [
        ("aiohttp", "AtlassianAiohttpAuth", "pip install 'atlassian-auth-adapter[aiohttp]'"),
        ("httpx2", "AtlassianHTTPX2Auth", "pip install 'atlassian-auth-adapter[httpx2]'"),
        ("redis", "RedisTokenStore", "pip install 'atlassian-auth-adapter[redis]'"),
        ("sqlalchemy", "SQLTokenStore", "pip install 'atlassian-auth-adapter[sql]'"),
        ("cryptography", "EncryptedTokenStore", "pip install 'atlassian-auth-adapter[crypto]'"),
        ("keyring", "KeyringTokenStore", "pip install 'atlassian-auth-adapter[keyring]'"),
        ("platformdirs", "KeyringTokenStore", "pip install 'atlassian-auth-adapter[keyring]'"),
        ("platformdirs", "load_profile", "pip install 'atlassian-auth-adapter[cli]'"),
    ]
    code = (
        "import sys, atlassian_auth_adapter as a\n"
        "assert a.AtlassianAuth\n"
        f"for library, name, _ in {needed!r}:\n"
        "    sys.modules[library] = None\n"
        "    try: exec(f'from atlassian_auth_adapter import {name}')\n"
        "    except a.MissingExtraError as e:\n"
        "        print(isinstance(e, ImportError), isinstance(e, a.AtlassianAuthError), e)\n"
        "    del sys.modules[library]\n"
    )
    for (library, name, install), printed in zip(needed, _python(code).splitlines(), strict=True):
        assert printed.startswith("True True "), (library, name)
        assert install in printed, (library, name)


#: Libraries that only extras and the tools for tests need.
EXTRAS = ["aiohttp", "httpx2", "redis", "sqlalchemy", "cryptography", "keyring", "platformdirs",
          "tomlkit", "click", "rich", "jira", "pytest", "hypothesis"]  # fmt: skip
WITHOUT_EXTRAS = f"""
import sys
import tomllib
for library in {EXTRAS!r}:
    sys.modules[library] = None
import atlassian_auth_adapter as a
from atlassian_auth_adapter import testing
from atlassian_auth_adapter.testing import contracts
MODULES = [a, testing, contracts]
"""


LOOKS = """
exec(f'from {module.__name__} import *', {})
inspect.getmembers(module)
assert all(hasattr(module, name) for name in dir(module))
assert pydoc.render_doc(module) and all(map(pydoc.render_doc, things))
mock.create_autospec(module)
list(map(mock.create_autospec, things))
doctest.DocTestFinder().find(module)
[typing.get_type_hints(thing) for thing in missing]
list(map(inspect.signature, missing))
list(map(inspect.getdoc, things))
[thing | None for thing in classes]
[isinstance(1, thing) or issubclass(int, thing) for thing in {*missing} & {*classes}]
assert all(pickle.loads(pickle.dumps(thing)) is thing for thing in things)
list(map(copy.deepcopy, things)), list(map(repr, things)), set(things)
assert all(getattr(module, name) is getattr(module, name) for name in module.__all__)
importlib.reload(module)
""".strip().splitlines()


def test_without_extras_a_package_can_be_looked_at() -> None:
    """What documentation tools, consoles, mocks and `import *` do with each name and its value."""
    code = f"""
{WITHOUT_EXTRAS}
import copy, doctest, importlib, inspect, pickle, pydoc, typing
from unittest import mock
for module in MODULES:
    for look in {LOOKS!r}:
        things = [getattr(module, name) for name in module.__all__]
        things = [thing for thing in things if inspect.isclass(thing) or inspect.isfunction(thing)]
        classes = [thing for thing in things if inspect.isclass(thing)]
        missing = [thing for thing in things if "pip install" in (thing.__doc__ or "")]
        assert missing
        try: exec(look)
        except Exception as error: raise AssertionError(f"{{module.__name__}}: {{look}}") from error
"""
    _python(code)


def test_without_extras_a_name_raises_when_it_is_used() -> None:
    """When it is imported by its name, called or inherited from, each time, with the command that
    installs it; also after `import *` or a console has seen it. Its attributes tell it as well.
    """
    code = f"""
{WITHOUT_EXTRAS}
def refused(use):
    try: use()
    except a.MissingExtraError as error: assert "pip install" in str(error), error
    except ImportError as error: assert error.name == "pytest", error
    else: raise AssertionError(name)
for module in MODULES:
    told = 0
    exec(f"from {{module.__name__}} import *", {{}})
    for name in module.__all__:
        thing = getattr(module, name)
        if "pip install" not in (thing.__doc__ or ""): continue
        told += 1
        for _ in range(2):
            refused(lambda: exec(f"from {{module.__name__}} import {{name}} as other"))
            refused(lambda: exec(f"from {{module.__name__}} import __name__, {{name}}"))
        refused(thing)
        refused(lambda: thing("some", argument=1))
        if isinstance(thing, type):
            refused(lambda: type("Own", (thing,), {{}}))
            try: thing.of_the_class
            except AttributeError as error: assert "pip install" in str(error)
            else: raise AssertionError(name)
    print(told)
"""
    assert _python(code).split() == ["11", "2", "4"]


def test_what_is_installed_later_is_found() -> None:
    """A stand-in is not remembered in place of the class."""
    code = (
        "import sys, atlassian_auth_adapter as a\n"
        "sys.modules['redis'] = None\n"
        "stand_in = a.RedisTokenStore\n"
        "del sys.modules['redis']\n"
        "from atlassian_auth_adapter import RedisTokenStore\n"
        "assert RedisTokenStore is a.RedisTokenStore is not stand_in\n"
    )
    _python(code)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built by hatchling itself."""
    build = pytest.importorskip("hatchling.build")
    if not (ROOT / "atlassian_auth_adapter").is_dir():
        pytest.skip("there is no package beside the tests, which test a wheel")
    folder = tmp_path_factory.mktemp("wheel")
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        name = build.build_wheel(str(folder))
    finally:
        os.chdir(before)
    return zipfile.ZipFile(folder / name)


def test_the_wheel_is_complete(wheel: zipfile.ZipFile) -> None:
    """Types, emulator and every module ship; tests and examples do not."""
    names = set(wheel.namelist())
    assert "atlassian_auth_adapter/py.typed" in names
    assert "atlassian_auth_adapter/testing/emulator/__main__.py" in names
    package = Path(atlassian_auth_adapter.__file__).parent
    modules = {str(path.relative_to(package.parent)) for path in package.rglob("*.py")}
    assert modules <= names
    assert not [name for name in names if name.startswith(("tests", "examples", "benchmarks"))]


def test_the_metadata_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    """Name, version, Python, dependencies, extras, licence and the pytest plugin."""
    info = f"atlassian_auth_adapter-{atlassian_auth_adapter.__version__}.dist-info"
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert "\nName: atlassian-auth-adapter\n" in metadata
    assert f"\nVersion: {atlassian_auth_adapter.__version__}\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert re.search(r"^License-Expression: MIT$", metadata, re.MULTILINE)
    extras = set(re.findall(r"^Provides-Extra: (.+)$", metadata, re.MULTILINE))
    optional = {"aiohttp", "cli", "crypto", "httpx2", "jira", "keyring", "redis", "sql"}
    assert extras == optional  # the tools for development are published nowhere
    for library in ("authlib", "requests", "httpx", "filelock"):
        assert re.search(rf"^Requires-Dist: {library}[<>=]", metadata, re.MULTILINE)
    points = wheel.read(f"{info}/entry_points.txt").decode()
    assert "atlassian_auth_adapter.testing.plugin" in points
    assert f"{info}/licenses/LICENSE" in wheel.namelist()


def test_the_version_is_one() -> None:
    """A version that tools can compare, which stands in one place, and has its entry."""
    version = atlassian_auth_adapter.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+([ab]\d+|rc\d+|\.dev\d+)?", version)
    assert "version" not in PROJECT["project"]
    assert f"\n## [{version}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_links_of_the_package_page_are_those_of_the_repository(wheel: zipfile.ZipFile) -> None:
    """A relative link leads to the tag of the version, a picture to its file; nothing is changed
    beside them, and each target exists.
    """
    info = f"atlassian_auth_adapter-{atlassian_auth_adapter.__version__}.dist-info"
    fields, _, page = wheel.read(f"{info}/METADATA").decode().partition("\n\n")
    repository = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    tag = f"v{atlassian_auth_adapter.__version__}"
    links = re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", page)
    assert links
    for link in links:
        assert re.match(r"https?://|mailto:|#", link), link
        if link.startswith(repository):
            kind, at, path = link.removeprefix(f"{repository}/").split("/", 2)
            assert (kind in ("blob", "raw"), at) == (True, tag)
            assert (ROOT / path.partition("#")[0]).exists(), path
    assert all(f"({repository}/raw/" in shown for shown in re.findall(r"!\[.*?\]\(.*?\)", page))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.sub(rf"{repository}/(blob|raw)/{tag}/", "", page).strip() == readme.strip()
    urls = dict(re.findall(r"^Project-URL: (\w+), (\S+)$", fields, re.MULTILINE))
    assert {*urls} == {"Source", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith(repository) for url in urls.values())


def test_everything_that_is_needed_has_a_lower_bound() -> None:
    """`make release-check` tests with the lowest versions; without a bound there is none."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    needed = [*project["dependencies"], *(each for extra in extras for each in extra)]
    assert [each for each in needed if ">=" not in each] == []


def test_the_emulator_may_import_no_module_of_the_library() -> None:
    """The contract of import-linter names every module but those of `testing`."""
    (contract,) = (
        each
        for each in PROJECT["tool"]["importlinter"]["contracts"]
        if each.get("source_modules") == ["atlassian_auth_adapter.testing.emulator"]
    )
    package = Path(atlassian_auth_adapter.__file__).parent
    modules = {each.stem for each in package.iterdir() if each.suffix == ".py" or each.is_dir()}
    modules -= {"__init__", "__pycache__", "testing"}
    named = {name.removeprefix("atlassian_auth_adapter.") for name in contract["forbidden_modules"]}
    assert modules <= named
