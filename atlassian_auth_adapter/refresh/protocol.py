"""The refresh as an algorithm: generators that yield the steps they need, and get the replies.

Nothing here does I/O, starts a thread, reads a clock or knows Atlassian. `steps.py` has the steps,
`driver.py` performs them; `tests/refresh/test_every_order.py` runs several of these generators
against a model of store and server, in every order, with a failure at every step.

    refresh     what the store holds by now, if that will do; else a new token set
    take_over   the same with a refresh token that comes from elsewhere
    sign_in     the login that a person has just consented to replaces the one before
    forget      there is no login afterwards
    save_later  what could not be saved is saved

The one way that spends a refresh token, all of it under the lock of the login:

    Load      is there something newer, or a reason not to ask?
    Save      the journal: proves that the store can be written, before anything is spent
    Send      the refresh token                                                    sending.py
    Save      the answer, as the next generation                                   saving.py
    Publish   the callers have the answer
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ConfigurationError,
    FreshTokenRejectedError,
    LoginRequiredError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.expiry import Freshness
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.refresh.saving import (
    BACKOFF,
    MOST_OVERTAKINGS,
    check_saved,
    keep,
    not_saved,
    overtaken,
    save_again,
    saved,
    verdict,
)
from atlassian_auth_adapter.refresh.sending import (
    LATER,
    SIGN_IN,
    Tries,
    login_required,
    spend,
    throttled,
)
from atlassian_auth_adapter.refresh.steps import (
    Delete,
    Hold,
    Instant,
    Load,
    Locked,
    Protocol,
    Publish,
    Recall,
    Report,
    Request,
    Rules,
    Save,
    Seen,
    Send,
    Sleep,
    Snapshot,
    Unsaved,
    token_set_of,
)
from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["forget", "refresh", "save_later", "sign_in", "take_over"]

#: Seconds. A Retry-After is an hour at most: what lies further ahead is a clock that was set back.
LONGEST_RETRY_AFTER = 3600.0 * (1 + LATER)
#: Seconds that a store which cannot be reached is waited for.
LONGEST_OUTAGE = 10.0
#: Times that a save is tried after the lock was given back: for about an hour.
SAVES_AFTERWARDS = 240
#: Times that a flight takes the lock, because another process was faster or it takes so long.
MOST_ATTEMPTS = 30
#: Forced refreshes of one login: so many at once, and one more every so many seconds.
FORCED_BURST, FORCED_INTERVAL = 10, 30.0


def refresh(request: Request, rules: Rules) -> Protocol[TokenSet]:
    """A token set that does: what is known or stored by now, or a new one.

    Raises:
        LoginRequiredError, TokenEndpointError, TokenStoreError: As `TokenSource.token_set`.
    """
    seen: Seen = yield Recall()
    if unsaved := seen.memory.unsaved:
        if seen.memory.snapshot and _will_do(seen.memory.snapshot, request, rules, seen.now):
            return token_set_of(seen.memory.snapshot.login)
        try:
            yield from save_again(unsaved)
        except TokenStoreError:
            # Never spend a refresh token that cannot be replaced.
            raise not_saved(unsaved.login) from None
    elif seen.memory.snapshot is None:
        # Reading takes no lock: a program that runs for a moment needs none, and one that may read
        # the store, but not write to it, works until the token set ends.
        with suppress(TokenStoreError):  # told by the look under the lock
            seen = yield Load()
            if token_set := (yield from _adopted(seen, request, rules)):
                return token_set
    tries = Tries(rules, request.jitter_share)
    return (yield from _exclusively(partial(_renew, tries, rules), request, rules, tries))


def take_over(refresh_token: str, scope: str, request: Request, rules: Rules) -> Protocol[TokenSet]:
    """The token set of a login that began elsewhere; its refresh token is spent once.

    Args:
        refresh_token: As it was given to the program.
        scope: Granted scopes, if the answer does not name them.
        request: Of this flight.
        rules: Of the login.

    Raises:
        TokenRequestRefusedError: The server refuses it; what is stored stays as it is.
        TokenNotSavedError: The token set is there, but could not be saved.
        LoginRequiredError, TokenEndpointError, TokenStoreError: As `refresh`.
    """
    given, tries = TokenSet("", refresh_token, scope=scope), Tries(rules, request.jitter_share)

    def attempt(request: Request, seen: Seen, locked_at: Instant) -> Protocol[TokenSet | None]:
        login = seen.login or Login()
        if login.token_set and rules.hashed(given) in login.taken_over:
            return (yield from _renew(tries, rules, request, seen, locked_at))
        if login.token_set and login.token_set.refresh_token == refresh_token:
            request = replace(request, obtained_before=seen.now.wall)
            taken_over = login.taken_over_with(rules.hashed(given))
            return (yield from _renew(tries, rules, request, seen, locked_at, taken_over))

        def succeed(new: TokenSet) -> Login:
            taken_over = login.taken_over_with(rules.hashed(given))
            return Login(login.generation + 1, request.login_id, new, taken_over=taken_over)

        return (
            yield from spend(given, login, succeed, seen, locked_at, tries, request, "takeover")
        )

    token_set = yield from _exclusively(attempt, request, rules, tries)
    yield from check_saved()
    return token_set


def sign_in(request: Request) -> Protocol[TokenSet]:
    """The token set that an authorization code brings; its login replaces the one before.

    Raises:
        TokenNotSavedError: The token set is there, but could not be saved.
        TokenEndpointError, TokenStoreError: As `refresh`.
    """

    def attempt(_: Instant) -> Protocol[TokenSet]:
        seen: Seen = yield Load()
        token_set: TokenSet = yield Send(TokenSet(""))
        generation = seen.login.generation + 1 if seen.login else 1
        login = Login(
            generation,
            request.login_id,
            token_set,
            taken_over=seen.login.taken_over if seen.login else (),  # they stay spent
            authorized_at=token_set.obtained_at,
        )
        if not (yield from keep(Unsaved(login, seen.login, seen.version))):
            yield Hold(None)
            raise StaleRecordError(
                "another process has changed this login at the same moment, and its login is kept. "
                "Use that one, or sign in again."
            )
        return token_set

    token_set: TokenSet = yield Locked(attempt)
    yield from check_saved()
    return token_set


def forget(revoke: bool) -> Protocol[None]:
    """There is no login on record afterwards.

    What stays is the number of its generation, so that a process that was paused in the middle of a
    refresh cannot bring it back.

    Args:
        revoke: Whether the token set is sent first, to be revoked, while nothing can renew it.

    Raises:
        TokenEndpointError: The server did not confirm; nothing was forgotten.
        TokenStoreError: The store failed.
    """

    def attempt(_: Instant) -> Protocol[None]:
        if revoke:
            seen: Seen = yield Load(joins=False)
            newest = seen.memory.unsaved.login if seen.memory.unsaved else seen.login
            if newest and newest.token_set:
                yield Send(newest.token_set)
        yield Hold(None)
        yield from _erased()
        yield Publish(None)

    yield Locked(attempt)


def save_later(unsaved: Unsaved, request: Request, rules: Rules) -> Protocol[None]:
    """What could not be saved is saved, or another process or login has made that needless."""
    for attempt in range(SAVES_AFTERWARDS):
        is_last = not (yield Sleep(BACKOFF[min(attempt, len(BACKOFF) - 1)]))
        seen: Seen = yield Recall()
        if seen.memory.unsaved is not unsaved:
            return  # a later flight has saved or replaced it
        with suppress(AtlassianAuthError):
            outcome = yield from save_again(unsaved, creates=False)
            if outcome == "done":
                return
            is_rotation = unsaved.before and unsaved.before.login_id == unsaved.login.login_id
            if outcome == "replay" and is_rotation and not is_last:
                tries = Tries(rules, request.jitter_share)
                yield from _exclusively(partial(_renew, tries, rules), request, rules, tries)
        if is_last:
            return


def _erased() -> Protocol[None]:
    """No login is on record; its generation is."""
    for _ in range(MOST_OVERTAKINGS):
        try:
            seen: Seen = yield Load()
        except (ConfigurationError, TokenStoreError):
            # For another resource server; damaged; or the store is gone, and says so once more.
            yield Delete()
            return
        if seen.login is None:
            return
        with suppress(StaleRecordError):
            spent = seen.login.taken_over  # for those who pass one of them after the next sign-in
            empty = Login(seen.login.generation + 1, seen.login.login_id, taken_over=spent)
            yield Save(empty, seen.version)
            return
    raise overtaken()


# --- under the lock -------------------------------------------------------------------------------


def _exclusively(
    attempt: Callable[[Request, Seen, Instant], Protocol[TokenSet | None]],
    request: Request,
    rules: Rules,
    tries: Tries,
) -> Protocol[TokenSet]:
    """Attempts, each under the lock, until one brings a token set.

    Args:
        attempt: From the request, what is stored, and the time at which the lock was asked for;
            None means that another process was faster: look again.
        request: Of this flight.
        rules: Of the login.
        tries: The token requests of this flight. While it rests, it holds no lock.
    """

    def locked(at: Instant) -> Protocol[TokenSet | None]:
        seen: Seen = yield Load()
        unsaved = seen.memory.unsaved
        if unsaved is None:
            return (yield from attempt(request, seen, at))
        what = verdict(unsaved, seen)
        if what == "wait":
            return (yield from attempt(request, seen, at))
        if what == "replay":  # what is known may be dead
            again = replace(request, obtained_before=seen.now.wall)
            return (yield from attempt(again, seen, at))
        if what == "save":
            if not (yield from saved(unsaved, seen.version)):
                return None  # it has just changed
            yield Publish(unsaved.login)
        yield Hold(None)
        return None

    outage_began: Instant | None = None
    for _ in range(MOST_ATTEMPTS):
        rest, tries.rest = tries.rest, 0.0
        if rest and not (yield Sleep(rest)):
            raise tries.failure or throttled(rest)
        token_set: TokenSet | None = None
        try:
            while True:
                try:
                    token_set = yield Locked(locked)
                    break
                except TokenStoreUnavailableError:
                    now = (yield Recall()).now
                    outage_began = outage_began or now
                    if now.since(outage_began) >= LONGEST_OUTAGE or not (yield Sleep(BACKOFF[0])):
                        raise
        except StaleRecordError:
            continue
        except TokenStoreTimeoutError as error:
            yield Report("lock_timeout", {"error": str(error)})
            seen: Seen = yield Load()
            token_set = yield from _adopted(seen, request, rules)
            if token_set is None:
                raise
        if token_set is not None:
            return token_set
    raise overtaken()


def _renew(
    tries: Tries,
    rules: Rules,
    request: Request,
    seen: Seen,
    locked_at: Instant,
    taken_over: tuple[str, ...] = (),
) -> Protocol[TokenSet | None]:
    """What the store holds by now, if that will do; else a new token set.

    `taken_over` replaces that of the login when its refresh token is spent; () leaves it.
    """
    if seen.memory.unsaved is None:
        seen = yield from _restored(seen)
    if token_set := (yield from _adopted(seen, request, rules)):
        return token_set
    login = seen.login or Login()
    wait = login.throttled_until - seen.now.wall
    if 0 < wait <= LONGEST_RETRY_AFTER and seen.version != tries.noted_version:
        # A flight that gives up leaves no journal; one that rests, in another process, leaves it.
        if login.journal and tries.may_rest(wait, wait / (1 + LATER)):
            return None
        raise throttled(wait)
    spent = _spendable(login, rules)
    forced_until = login.forced_until
    if spent.access_token == request.rejected and spent.expires_at > seen.now.wall:
        forced_until = _budget_after_one_more(forced_until, seen.now)
    login = login._replace(login_id=login.login_id or request.login_id)

    def succeed(new: TokenSet) -> Login:
        return Login(
            login.generation + 1,
            login.login_id,
            new,
            forced_until=forced_until,
            taken_over=taken_over or login.taken_over,
            authorized_at=_consented_at(login, new, rules),
        )

    return (yield from spend(spent, login, succeed, seen, locked_at, tries, request))


def _consented_at(login: Login, new: TokenSet, rules: Rules) -> float:
    """When a person has consented, as `Login.authorized_at`, corrected where it cannot be right.

    A clock was wrong at the sign-in, if that lies ahead, or if the refresh token, which has just
    been accepted, should have ended long ago. Then it was now at the latest.
    """
    before, now = login.token_set, new.obtained_at
    is_too_old = before is not None and rules.server.idle_until(before.obtained_at) < now
    return now if is_too_old and login.authorized_at else min(login.authorized_at, now)


def _restored(seen: Seen) -> Protocol[Seen]:
    """What is stored, or what this process knows to be newer: a backup was played back.

    The older refresh token is spent; past the grace, sending it would end the login. A record that
    is gone altogether was deleted on purpose, and stays so.
    """
    known = seen.memory.snapshot
    if known is None or seen.login is None or not seen.login.precedes(known.login):
        return seen
    yield Save(known.login, seen.version)
    error = f"the store fell back to generation {seen.login.generation}; put back what was newer"
    yield Report("store_failed", {"error": error, "generation": known.login.generation})
    return replace(seen, login=known.login, version=(seen.version or 0) + 1)


def _adopted(seen: Seen, request: Request, rules: Rules) -> Protocol[TokenSet | None]:
    """The newest token set that is known, published, if it will do: no token request."""
    known, login = seen.memory.snapshot, seen.login
    if login is None or login.token_set is None:
        return None
    if known is not None and login.precedes(known.login):  # not saved yet
        return known.login.token_set if _will_do(known, request, rules, seen.now) else None
    is_known = known is not None and known.login.token_set == login.token_set
    snapshot = known if known is not None and is_known else Snapshot.of(login, seen.now)
    if not _will_do(snapshot, request, rules, seen.now):
        return None
    if is_known and _freshness(snapshot, rules, seen.now) is not Freshness.FRESH:
        return None  # a stale token does not renew itself
    if known is not None and not is_known:
        yield Report("adopted", {"generation": login.generation})
    yield Publish(login)
    return login.token_set


def _will_do(snapshot: Snapshot, request: Request, rules: Rules, now: Instant) -> bool:
    token_set = token_set_of(snapshot.login)
    is_recent = (
        request.obtained_before == -math.inf
        or request.obtained_before < token_set.obtained_at <= now.wall
    )
    return (
        is_recent
        and token_set.access_token not in ("", request.rejected)
        and _freshness(snapshot, rules, now) is not Freshness.EXPIRED
    )


def _freshness(snapshot: Snapshot, rules: Rules, now: Instant) -> Freshness:
    return snapshot.freshness(now.wall, now.monotonic, rules.expiry)


def _spendable(login: Login, rules: Rules) -> TokenSet:
    """The token set whose refresh token may be sent now.

    Raises what is known already, without a request.
    """
    token_set = login.token_set
    if not rules.needs_login:
        token_set = token_set or TokenSet("")
    elif token_set is None:
        raise LoginRequiredError(
            f"the account {rules.key.account!r} is not signed in.",
            reason="no_token",
            advice=SIGN_IN,
        )
    elif not token_set.refresh_token:
        raise LoginRequiredError(
            f"the login {rules.key.account!r} has ended and has no refresh token. Sign in again; "
            "on Cloud request the scope offline_access.",
            reason="no_refresh_token",
        )
    elif login.dead == rules.hashed(token_set):
        raise login_required(login.dead_reason, rules)
    return token_set


def _budget_after_one_more(forced_until: float, now: Instant) -> float:
    """When the budget of forced refreshes is full again, after one more.

    A resource server has rejected the token. One that was revoked early is replaced each time; a
    resource that rejects whatever is sent must not cost a rotation per request.
    """
    burst = FORCED_BURST * FORCED_INTERVAL
    ahead = max(forced_until - now.wall, 0.0)
    # A little too far ahead: by a clock that is fast. Much: by one that was set back since.
    ahead = FORCED_INTERVAL + (ahead if ahead <= 2 * burst else 0.0)
    over = ahead - burst
    if over > 0:
        raise FreshTokenRejectedError(
            f"resource servers have rejected {FORCED_BURST} tokens of this login, each soon after "
            "a refresh had brought it: it is not the token. Check site, scopes and rights. The "
            f"next refresh for such a reason is possible in {over:.0f} s.",
            retry_after=over,
        )
    return now.wall + ahead
