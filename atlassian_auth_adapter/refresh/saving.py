"""Keeping what was brought: whatever fails, the new refresh token is not lost."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

from atlassian_auth_adapter.errors import StaleRecordError, TokenNotSavedError, TokenStoreError
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.refresh.steps import (
    Hold,
    Load,
    Protocol,
    Publish,
    Recall,
    Report,
    Save,
    Seen,
    Sleep,
    Unsaved,
)

__all__ = ["check_saved", "keep", "not_saved", "overtaken", "save_again", "saved", "verdict"]

#: Seconds between saves, and between requests whose outcome is not known; the last one repeats.
BACKOFF = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
#: Times that a failed save is tried again under the lock: some 8 s.
SAVES_UNDER_LOCK = 4
#: Times that another process may be faster in saving before the store is called broken.
MOST_OVERTAKINGS = 10


def keep(unsaved: Unsaved) -> Protocol[bool]:
    """Save what was brought, and hand it out; False: look at what the store holds by now.

    A save that fails is tried again under the lock for a moment, so that meanwhile no other process
    sends the same refresh token; afterwards `save_later` goes on.
    """
    yield Hold(unsaved)
    try:
        stands = yield from saved(unsaved, unsaved.version)
    except TokenStoreError as error:
        yield Report("store_failed", {"error": f"not saved: {error}"})
    else:
        if stands:
            yield Hold(None)
            yield Publish(unsaved.login)
        return stands
    yield Publish(unsaved.login)
    for pause in BACKOFF[:SAVES_UNDER_LOCK]:
        if not (yield Sleep(pause)):
            break
        with suppress(TokenStoreError):
            outcome = yield from save_again(unsaved)
            if outcome == "replay":
                return False
            if outcome == "done":
                break
    return True


def save_again(
    unsaved: Unsaved, *, creates: bool = True
) -> Protocol[Literal["done", "replay", "wait"]]:
    """Save what is not saved yet; "done" when it is, or when something newer of the same login is.

    Args:
        unsaved: What is to be saved.
        creates: Whether it is saved as well where nothing is stored. Not long afterwards: where a
            store is that of the tenant of the moment, it may be another tenant's by now.

    Raises:
        TokenStoreError: It still cannot be saved.
    """
    for _ in range(MOST_OVERTAKINGS):
        seen: Seen = yield Load(joins=False)
        if seen.login is None and unsaved.before is not None and not creates:
            return "wait"
        what = verdict(unsaved, seen)
        if what == "wait" or what == "replay":
            return what
        if what == "drop" or (yield from saved(unsaved, seen.version)):
            yield Hold(None)
            return "done"
    raise overtaken()


def saved(unsaved: Unsaved, version: int | None) -> Protocol[bool]:
    """Whether it is saved now; False: what the store holds counts more."""
    login = unsaved.login
    for _ in range(MOST_OVERTAKINGS):
        with suppress(StaleRecordError):
            yield Save(login, version)
            return True
        seen: Seen = yield Load(joins=False)
        if seen.login and seen.login.token_set == login.token_set:
            return True  # only the answer of the store was lost
        if verdict(unsaved, seen) != "save":
            return False
        version = seen.version
        if seen.login and seen.login.generation >= login.generation:
            login = login._replace(generation=seen.login.generation + 1)
    raise overtaken()


def verdict(unsaved: Unsaved, seen: Seen) -> Literal["save", "drop", "replay", "wait"]:
    """What becomes of a login that is not saved yet, beside what the store holds now.

    "replay": take the lock and send the same refresh token again. "wait": look again later.
    """
    new, before, latest = unsaved.login, unsaved.before, seen.login
    if latest is None:
        return "save"  # the store has lost what it held: forgetting would have left a record
    # Another process has sent the same refresh token after this one. Where the server keeps the
    # newest answer only, its answer counts; if it has got none, another one has to be asked for.
    journals = filter(None, (latest.journal, latest.takeover))
    is_at_work = seen.version != unsaved.version and unsaved.token_hash in {
        journal.token_hash for journal in journals
    }
    if is_at_work and seen.now.monotonic < unsaved.replayable_until:
        return "replay"
    if latest.precedes(new):
        return "save"
    if latest.login_id == new.login_id:
        # Saved right over the journal of this one: by a process that has sent before it, and was
        # paused. What comes later begins with a journal of its own.
        is_older = (
            seen.version == (unsaved.version or 0) + 1
            and latest.token_set is not None
            and latest.generation == new.generation
        )
        return "save" if is_older else "drop"
    if before is not None and before.login_id == latest.login_id != "":
        # Rotated or not, it is replaced; unless it was forgotten meanwhile, which was a decision.
        return "drop" if before.token_set and latest.token_set is None else "save"
    is_followed = before is not None and (
        (latest.generation, latest.token_set) == (before.generation, before.token_set)
    )
    # Another login: that of another person, or, where a store is that of the tenant of the moment,
    # for a moment that of another tenant.
    return "save" if is_followed else "wait"


def check_saved() -> Protocol[None]:
    """Raises TokenNotSavedError when something is not saved."""
    seen: Seen = yield Recall()
    if seen.memory.unsaved:
        raise not_saved(seen.memory.unsaved.login)


def not_saved(login: Login) -> TokenNotSavedError:
    """The error for a token set that could not be saved."""
    return TokenNotSavedError(
        "the refresh token was rotated, but the new one cannot be saved. It is served from memory "
        "and saving it is tried again; repair the store before this process ends.",
        token_set=login.token_set,
    )


def overtaken() -> StaleRecordError:
    """The error for a store in which another process always changes the login first."""
    return StaleRecordError("another process is always faster in saving this login. Try again.")
