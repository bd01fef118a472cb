"""The error tree: named by what the caller does next, picklable, without secrets."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atlassian_auth_adapter import Site, TokenSet, errors
from atlassian_auth_adapter.errors import AtlassianAuthError, TokenNotSavedError

LEAVES = [getattr(errors, name) for name in errors.__all__]
FIELDS = {
    "error": "invalid_client",
    "error_description": "no",
    "status": 401,
    "retry_after": 2.5,
    "outcome": "not_sent",
    "reason": "refused",
    "granted": "read:a",
    "sites": (Site("id"),),
}


def _made(leaf: type[AtlassianAuthError]) -> AtlassianAuthError:
    return leaf("what to do", **{k: v for k, v in FIELDS.items() if hasattr(leaf, k)})


@pytest.mark.parametrize(
    "copied", [copy.copy, lambda e: pickle.loads(pickle.dumps(e)), AtlassianAuthError.copied]
)
def test_errors_can_be_copied_and_pickled(
    copied: Callable[[AtlassianAuthError], AtlassianAuthError],
) -> None:
    """A worker process hands its error on: type, text and fields arrive."""
    for leaf in LEAVES:
        error = _made(leaf)
        twin = copied(error)
        assert twin is not error
        assert type(twin) is leaf
        assert str(twin) == "what to do" == str(error)
        assert vars(twin) == vars(error)
        assert twin.__traceback__ is None
        assert twin.__cause__ is None


def test_the_tree_is_drawn_as_it_is() -> None:
    """The drawing in the docstring names every error under its base."""
    drawing = re.finditer(r"^([ |`-]*)([A-Z]\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    drawn = [(len(match[1]) // 4, match[2]) for match in drawing]
    assert sorted(name for _, name in drawn) == sorted(errors.__all__)
    path: dict[int, str] = {}
    for depth, name in drawn:
        path[depth] = name
        if depth > min(path):
            assert issubclass(getattr(errors, name), getattr(errors, path[depth - 1])), name


@pytest.mark.parametrize(
    ("leaf", "also"),
    [
        ("ConfigurationError", ValueError),
        ("MissingExtraError", ImportError),
        ("TokenStoreTimeoutError", TimeoutError),
    ],
)
def test_some_errors_are_a_builtin_as_well(leaf: str, also: type[Exception]) -> None:
    """Callers that expect Python's own error catch the library's too."""
    assert issubclass(getattr(errors, leaf), also)


def test_no_error_is_a_connection_error() -> None:
    """SDKs retry a ConnectionError with sleeps of 20 s and more: no error of the library is one."""
    assert not any(issubclass(leaf, ConnectionError) for leaf in LEAVES)


def test_each_error_says_what_the_caller_does_next() -> None:
    """Every error is documented, and its fields have defaults."""
    for leaf in LEAVES:
        assert inspect.getdoc(leaf)
        bare = leaf("text")
        assert [name for name in FIELDS if hasattr(leaf, name) and not hasattr(bare, name)] == []


def test_an_unsaved_token_set_does_not_survive_a_pickle() -> None:
    """The error hands the unsaved token set to the program; its pickle leaves it behind."""
    error = TokenNotSavedError("not saved", token_set=TokenSet("s3cr3t-a", "s3cr3t-r"))
    assert error.token_set is not None
    assert error.token_set.refresh_token == "s3cr3t-r"
    pickled = pickle.dumps(error)
    assert b"s3cr3t" not in pickled
    assert pickle.loads(pickled).token_set is None
    assert error.copied().token_set is error.token_set
    assert "s3cr3t" not in repr(vars(error)) + repr(error) + str(error)


def test_errors_are_raised_with_texts_only() -> None:
    """No module of the package raises an error without a text."""
    package = Path(errors.__file__).parent
    bare = re.compile(rf"raise (?:{'|'.join(errors.__all__)})(?:\(\))?\s*$", re.MULTILINE)
    guilty = [str(path) for path in package.rglob("*.py") if bare.search(path.read_text("utf-8"))]
    assert not guilty


def test_a_field_that_the_class_does_not_declare_is_refused() -> None:
    """A misspelled field would leave the declared one at its default, unseen."""
    for leaf in LEAVES:
        with pytest.raises(TypeError, match="has no field 'reson'"):
            leaf("text", reson="refused")


@pytest.mark.parametrize(
    ("leaf", "fields"),
    [
        (errors.LoginRequiredError, {"Reason": "refused"}),
        (errors.LoginRequiredError, {"reasons": "refused"}),
        (errors.LoginRequiredError, {"status": 400}),
        (errors.LoginRequiredError, {"reason": "refsued"}),
        (errors.LoginRequiredError, {"reason": ""}),
        (errors.TokenEndpointUnavailableError, {"outcome": "sent"}),
        (errors.FreshTokenRejectedError, {"outcome": None}),
        (errors.TokenStoreError, {"copied": True}),
        (errors.AtlassianAuthError, {"args": ("text",)}),
        (errors.ConfigurationError, {"with_traceback": None}),
    ],
)
def test_a_field_is_declared_and_has_one_of_its_values(leaf: Any, fields: dict[str, Any]) -> None:
    """Methods and attributes of Python are no fields; a misspelled reason is no reason."""
    with pytest.raises(TypeError, match=min(fields)):
        leaf("text", **fields)


def _raise_while_handling(cause: Exception | None) -> None:
    try:
        int("secret")
    except ValueError:
        errors.raise_clean(errors.TokenStoreError("not saved"), cause)


@pytest.mark.parametrize("cause", [None, OSError("disk full")])
def test_an_error_is_raised_without_what_was_being_handled(cause: Exception | None) -> None:
    """The text and the frames of a handled error may hold secrets; a given cause is kept."""
    with pytest.raises(errors.TokenStoreError) as caught:
        _raise_while_handling(cause)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is cause
