"""The state machine of grants alone: no network, no clock, many random steps."""

from __future__ import annotations

import random

import pytest

from atlassian_auth_adapter.testing.emulator.grants import (
    Consent,
    Grants,
    RefusedError,
    Rules,
    verifies,
)

CONSENT = Consent("client", "ada", "READ")


@pytest.mark.parametrize("grace", [0.0, 600.0])
def test_random_steps_keep_the_rules(grace: float) -> None:
    """A token rotates once at most; only reuse after the grace revokes a family, and all of it."""
    for seed in range(20):
        _take_random_steps(random.Random(seed), grace)


def _take_random_steps(chance: random.Random, grace: float) -> None:
    grants = Grants(Rules(rotation_grace=grace, companion_grace=grace, token_bytes=16))
    now = 1000.0
    used: dict[str, float] = {}
    tokens: list[str] = []
    for _ in range(3):
        issued = grants.grant(CONSENT, now, refreshable=True)
        tokens.append(issued.refresh_token or "")
    for _ in range(200):
        now += chance.choice([0.0, 1.0, 100.0, 599.0])
        token = chance.choice(tokens[-6:])
        record = grants.refresh_token(token)
        assert record is not None
        alive = not record.family.revoked
        reused = token in used and now >= used[token] + grace
        if not alive or reused:
            with pytest.raises(RefusedError) as caught:
                grants.refresh(token, "client", now)
            assert not reused or caught.value.outcome == "reuse_after_grace"
            assert record.family.revoked
            continue
        issued = grants.refresh(token, "client", now)
        assert issued.outcome == ("replayed_in_grace" if token in used else "issued")
        used.setdefault(token, now)
        assert issued.refresh_token not in tokens
        tokens.append(issued.refresh_token or "")
        child = grants.refresh_token(tokens[-1])
        assert child is not None
        assert child.generation == record.generation + 1
        assert grants.access_token(issued.access_token, now)[1] == "live"


def test_a_token_of_another_client_is_refused_and_unharmed() -> None:
    """It is refused to the other client; its owner can still use it."""
    grants = Grants(Rules())
    token = grants.grant(CONSENT, 0.0, refreshable=True).refresh_token or ""
    with pytest.raises(RefusedError):
        grants.refresh(token, "another client", 0.0)
    assert grants.refresh(token, "client", 0.0).outcome == "issued"


def test_verifier_of_rfc_7636() -> None:
    """The example of RFC 7636 appendix B fits, and only that."""
    consent = Consent(
        "client",
        "ada",
        "READ",
        code_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        code_challenge_method="S256",
    )
    assert verifies(consent, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert not verifies(consent, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK")
