"""A token set never prints its secrets, and cannot be carried off by accident."""

from __future__ import annotations

import copy
import json
import math
import pickle

import pytest
from hypothesis import given, strategies as st

from atlassian_auth_adapter import TokenRequestRefusedError, TokenSet

SECRET = "s3cr3t-access", "s3cr3t-refresh"
token_set = TokenSet(*SECRET, 1e9 + 60, "read:a read:b", obtained_at=1e9)


def test_it_never_prints_its_secrets() -> None:
    """A printed token set shows scope and expiry, not the tokens."""
    for text in (repr(token_set), str(token_set), f"{token_set}", ascii(token_set)):
        assert "read:a read:b" in text
        assert not any(secret in text for secret in SECRET)


def test_it_is_not_pickled() -> None:
    """Tokens travel through a store; a pickle of one is refused with the advice."""
    with pytest.raises(TypeError, match="TokenStore") as caught:
        pickle.dumps(token_set)
    assert not any(secret in str(caught.value) for secret in SECRET)


def test_a_container_with_one_is_not_pickled_either() -> None:
    """Nor does it slip through inside of something else."""
    with pytest.raises(TypeError):
        pickle.dumps({"cached": [token_set]})


def test_copies_are_the_same_object() -> None:
    """A frozen value needs no second instance."""
    assert copy.copy(token_set) is copy.deepcopy(token_set) is token_set


def test_it_cannot_be_changed() -> None:
    """Threads share a token set because it cannot be changed."""
    with pytest.raises(AttributeError):
        token_set.access_token = "other"  # type: ignore[misc]
    assert not hasattr(token_set, "__dict__")


def test_json_does_not_take_it() -> None:
    """Structured logging that falls back to `repr` shows no token."""
    text = json.dumps({"token": token_set}, default=repr)
    assert not any(secret in text for secret in SECRET)


@given(st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)))
def test_scopes_are_the_words_of_the_scope(words: list[str]) -> None:
    """However the server orders and repeats scopes, the set of them is the same."""
    assert TokenSet("a", scope=" ".join(words)).scopes == frozenset(words)


def test_a_lifetime_is_never_negative() -> None:
    """The lifetime counts from the token request to the end."""
    for obtained, ends, lifetime in (
        (5.0, 65.0, 60.0),
        (65.0, 5.0, 0.0),
        (0.0, math.inf, math.inf),
    ):
        assert TokenSet("a", expires_at=ends, obtained_at=obtained).lifetime == lifetime


def test_only_types_that_can_be_sent_are_used() -> None:
    """Bearer in any spelling, and Basic for static tokens; every other type is refused."""
    for token_type, header in (
        *((spelled, "Bearer a") for spelled in ("Bearer", "bearer", "BEARER", "")),
        ("Basic", "Basic a"),
    ):
        token_set = TokenSet("a", token_type=token_type)
        assert token_set.checked() is token_set
        assert token_set.authorization == header
    for token_type in ("mac", "DPoP", "N_A", "basic", "Bearer ", "token", "x" * 500):
        token_set = TokenSet("s3cr3t", token_type=token_type)
        for use in (token_set.checked, lambda it=token_set: it.authorization):
            with pytest.raises(TokenRequestRefusedError) as caught:
                use()
            assert "s3cr3t" not in str(caught.value)
            assert len(str(caught.value)) < 400
