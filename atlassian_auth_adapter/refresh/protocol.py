"""The refresh as an algorithm: generators that yield the steps they need, and get the replies.

Nothing here does I/O, starts a thread, reads a clock or knows Atlassian. `steps.py` has the steps,
`driver.py` performs them; `tests/refresh/test_every_order.py` runs several of these generators
against a model of store and server, in every order, with a failure at every step.

    refresh     what the store holds by now, if that will do; else a new token set
    take_over   the same with a refresh token that comes from elsewhere
    sign_in     the login that a person has just consented to replaces the one before
    forget      there is no login afterwards
    save_later  what could not be saved is saved

The one way that spends a refresh token (`_spend`), all of it under the lock of the login:

    Load      is there something newer, or a reason not to ask?
    Save      the journal: proves that the store can be written, before anything is spent
    Send      the refresh token
    Save      the answer, as the next generation
    Publish   who waits has the answer
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    FreshTokenRejectedError,
    LoginRequiredError,
    StaleRecordError,
    TokenEndpointUnavailableError,
    TokenNotSavedError,
    TokenRequestRefusedError,
    TokenStoreError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.expiry import Freshness
from atlassian_auth_adapter.records import DeadReason, Journal, Login
from atlassian_auth_adapter.refresh.steps import (
    Delete,
    Hold,
    Instant,
    Load,
    Locked,
    PausedError,
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

__all__ = ["forget", "not_saved", "refresh", "save_later", "sign_in", "take_over"]

#: Seconds between requests whose outcome is not known, and between saves; the last one repeats.
BACKOFF = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
#: Requests of one flight whose outcome is not known: as many as two minutes have room for. Where a
#: clock stands still, the flight ends all the same.
MOST_AMBIGUOUS = 14
#: Seconds before the end of the grace in which nothing is left to a request that is still to come.
GRACE_MARGIN = 60.0
#: Requests of one flight that never reach the server before it gives up.
MOST_UNSENT = 3
#: Seconds that one flight waits in all because the token endpoint asks for it; what is longer is
#: told to the callers, and to all who share the store.
LONGEST_THROTTLE = 20.0
#: Seconds. A Retry-After is an hour at most: what lies further ahead is a clock that was set back.
LONGEST_RETRY_AFTER = 3600.0
#: Seconds that a store which cannot be reached is waited for.
LONGEST_OUTAGE = 10.0
#: Seconds between the two looks into the store after the server has refused a refresh token.
SECOND_LOOK = 1.0
#: Times that a failed save is tried again: under the lock (some 8 s), afterwards (about an hour).
SAVES_UNDER_LOCK, SAVES_AFTERWARDS = 4, 240
#: Times that a flight takes the lock, because another process was faster or it takes so long.
MOST_ATTEMPTS = 30
#: Times that another process may be faster in saving before the store is called broken.
MOST_OVERTAKINGS = 10
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
            yield from _save_again(unsaved)
        except TokenStoreError:
            # Never spend a refresh token that cannot be replaced.
            raise not_saved(unsaved.login) from None
    elif seen.memory.snapshot is None:
        # Reading takes no lock: a program that runs for a moment needs none, and one that may read
        # the store, but not write to it, gets along until the token set ends.
        with suppress(TokenStoreError):  # told by the look under the lock
            seen = yield Load()
            if token_set := (yield from _adopted(seen, request, rules)):
                return token_set
    tries = _Tries(rules, request.jitter_share)
    return (yield from _exclusively(partial(_renew, tries, rules), request, rules))


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
    given, tries = TokenSet("", refresh_token, scope=scope), _Tries(rules, request.jitter_share)

    def attempt(request: Request, seen: Seen, locked_at: Instant) -> Protocol[TokenSet | None]:
        login = seen.login or Login()
        if login.taken_over == rules.hashed(given):
            return (yield from _renew(tries, rules, request, seen, locked_at))
        if login.token_set and login.token_set.refresh_token == refresh_token:
            request = replace(request, obtained_before=seen.now.wall)
            return (yield from _renew(tries, rules, request, seen, locked_at))

        def succeed(new: TokenSet) -> Login:
            taken_over = rules.hashed(given)
            return Login(login.generation + 1, request.login_id, new, taken_over=taken_over)

        return (
            yield from _spend(given, login, succeed, seen, locked_at, tries, request, "takeover")
        )

    token_set = yield from _exclusively(attempt, request, rules)
    yield from _check_saved()
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
        login = Login(generation, request.login_id, token_set, authorized_at=token_set.obtained_at)
        if not (yield from _keep(Unsaved(login, seen.login, seen.version))):
            yield Hold(None)
            raise StaleRecordError(
                "another process has changed this login at the same moment, and its login is kept. "
                "Use that one, or sign in again."
            )
        return token_set

    token_set: TokenSet = yield Locked(attempt)
    yield from _check_saved()
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
            outcome = yield from _save_again(unsaved, creates=False)
            if outcome == "done":
                return
            is_rotation = unsaved.before and unsaved.before.login_id == unsaved.login.login_id
            if outcome == "replay" and is_rotation and not is_last:
                tries = _Tries(rules, request.jitter_share)
                yield from _exclusively(partial(_renew, tries, rules), request, rules)
        if is_last:
            return


# --- under the lock -------------------------------------------------------------------------------


def _exclusively(
    attempt: Callable[[Request, Seen, Instant], Protocol[TokenSet | None]],
    request: Request,
    rules: Rules,
) -> Protocol[TokenSet]:
    """Attempts, each under the lock, until one brings a token set.

    Args:
        attempt: From the request, what is stored, and the time at which the lock was asked for;
            None means that another process was faster: look again.
        request: Of this flight.
        rules: Of the login.
    """

    def locked(at: Instant) -> Protocol[TokenSet | None]:
        seen: Seen = yield Load()
        unsaved = seen.memory.unsaved
        if unsaved is None:
            return (yield from attempt(request, seen, at))
        verdict = _verdict(unsaved, seen)
        if verdict == "wait":
            return (yield from attempt(request, seen, at))
        if verdict == "replay":  # what is known may be dead
            again = replace(request, obtained_before=seen.now.wall)
            return (yield from attempt(again, seen, at))
        if verdict == "save" and (yield from _saved(unsaved, seen.version)):
            yield Publish(unsaved.login)
        yield Hold(None)
        return None

    outage_began: Instant | None = None
    for _ in range(MOST_ATTEMPTS):
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
    raise _overtaken()


def _renew(
    tries: _Tries, rules: Rules, request: Request, seen: Seen, locked_at: Instant
) -> Protocol[TokenSet | None]:
    """What the store holds by now, if that will do; else a new token set."""
    if seen.memory.unsaved is None:
        seen = yield from _restored(seen)
    if token_set := (yield from _adopted(seen, request, rules)):
        return token_set
    login = seen.login or Login()
    spent = _spendable(login, seen.now, rules)
    forced_until = login.forced_until
    if spent.access_token == request.rejected and spent.expires_at > seen.now.wall:
        forced_until = _budget_after_one_more(forced_until, seen.now)
    login = replace(login, login_id=login.login_id or request.login_id)

    def succeed(new: TokenSet) -> Login:
        return Login(
            login.generation + 1,
            login.login_id,
            new,
            forced_until=forced_until,
            taken_over=login.taken_over,
            authorized_at=login.authorized_at,
        )

    return (yield from _spend(spent, login, succeed, seen, locked_at, tries, request))


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


def _spendable(login: Login, now: Instant, rules: Rules) -> TokenSet:
    """The token set whose refresh token may be sent now.

    Raises what is known already, without a request.
    """
    token_set = login.token_set
    if not rules.needs_login:
        token_set = token_set or TokenSet("")
    elif token_set is None:
        raise LoginRequiredError(
            f"nobody has signed in as {rules.key.account!r} yet: open the URL of oauth_start(), "
            "then call oauth_complete().",
            reason="no_token",
        )
    elif not token_set.refresh_token:
        raise LoginRequiredError(
            f"the login {rules.key.account!r} has ended and has no refresh token. Sign in again; "
            "on Cloud request the scope offline_access.",
            reason="no_refresh_token",
        )
    elif login.dead == rules.hashed(token_set):
        raise _login_required(login.dead_reason, rules)
    wait = login.throttled_until - now.wall
    if 0 < wait <= LONGEST_RETRY_AFTER:
        raise TokenEndpointUnavailableError(
            f"the token endpoint has asked to wait; try again in {wait:.0f} s.",
            retry_after=wait,
            outcome="throttled",
        )
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


def _spend(
    spent: TokenSet,
    login: Login,
    succeed: Callable[[TokenSet], Login],
    seen: Seen,
    locked_at: Instant,
    tries: _Tries,
    request: Request,
    journal_in: Literal["journal", "takeover"] = "journal",
) -> Protocol[TokenSet | None]:
    """Journal, send, save. None: look again, under the lock that is taken anew.

    Args:
        spent: Whose refresh token is sent.
        login: The record beside which the journal is written.
        succeed: From the new token set to the record that follows.
        seen: What was found under the lock.
        locked_at: When the lock was taken.
        tries: The requests of this flight so far.
        request: Of this flight.
        journal_in: The field of the record that has the journal.
    """
    rules, token_hash = tries.rules, tries.rules.hashed(spent)
    if tries.refusal and tries.token_hash == token_hash:
        return (yield from _refused(spent, login, tries))
    journal: Journal | None = getattr(login, journal_in)
    if journal is None or journal.token_hash != token_hash:
        journal = Journal(token_hash, seen.now.wall, request.owner)
    journaled = _with_journal(login, journal_in, journal)
    is_repeated = journaled == login  # it is on record: the token was sent before
    now: Instant = yield Save(journaled, seen.version)
    version = (seen.version or 0) + 1
    try:
        tries.begin(journal, now, is_repeated=is_repeated)
        new = yield from _sent(spent, locked_at, tries, version)
    except PausedError:
        return None
    except AtlassianAuthError as error:
        failure = error
    else:
        brought = succeed(new)
        yield Report(
            "replayed" if tries.ambiguous else "refreshed", {"generation": brought.generation}
        )
        replayable_until = tries.grace_end - GRACE_MARGIN
        unsaved = Unsaved(brought, journaled, version, token_hash, replayable_until)
        return new if (yield from _keep(unsaved)) else None
    noted = journaled if tries.ambiguous else login
    if isinstance(failure, TokenRequestRefusedError):
        if rules.server.refuses_refresh_token(failure.error, failure.error_description):
            tries.refusal = failure
            return (yield from _refused(spent, journaled, tries))
        noted = _with_journal(login, journal_in, None)
    elif isinstance(failure, TokenEndpointUnavailableError) and failure.outcome == "throttled":
        now = (yield Recall()).now
        noted = replace(noted, throttled_until=now.wall + (failure.retry_after or 0.0))
    yield from _noted(noted, version)
    raise failure


def _with_journal(
    login: Login, journal_in: Literal["journal", "takeover"], journal: Journal | None
) -> Login:
    if journal_in == "takeover":
        return replace(login, takeover=journal)
    return replace(login, journal=journal)


def _refused(spent: TokenSet, login: Login, tries: _Tries) -> Protocol[TokenSet | None]:
    """The server has refused the refresh token; None: another process has left a better one.

    Args:
        spent: Whose refresh token it is.
        login: The record that was found under the lock.
        tries: The requests of this flight, with the refusal.
    """
    rules, failure = tries.rules, tries.refusal
    told: TokenRequestRefusedError | LoginRequiredError
    assert failure is not None  # noqa: S101 - for the type checker
    seen: Seen = yield Load()
    if seen.login and seen.login.generation == login.generation:
        yield Sleep(SECOND_LOOK)  # the process that has spent it may be about to save its answer
        seen = yield Load()
    latest = seen.login
    if latest is None or latest.generation != login.generation:
        return None
    if latest.token_set != spent:  # it was to be taken over: what is stored stays as it is
        noted, told = replace(latest, takeover=None), failure
    else:
        # Sent before, and never answered: inside the grace the server would have taken it again.
        sent_ago = seen.now.wall - (latest.journal.started_at if latest.journal else 0.0)
        is_lost = tries.ambiguous and not 0 <= sent_ago < rules.server.rotation_grace
        reason: DeadReason = "answer_lost" if is_lost else "refused"
        noted = replace(latest, journal=None, dead=tries.token_hash, dead_reason=reason)
        told = _login_required(reason, rules)
    try:
        yield Save(noted, seen.version)
    except StaleRecordError:
        return None
    except TokenStoreError as error:
        yield Report("store_failed", {"error": f"not noted: {error}"})
    if isinstance(told, LoginRequiredError):
        yield Report("refused", {"reason": told.reason, "error": failure.error})
        raise told from failure.copied()
    raise told


def _noted(login: Login, version: int | None) -> Protocol[None]:
    """Keep what was learnt; the failure that is on its way to the callers matters more."""
    try:
        yield Save(login, version)
    except TokenStoreError as error:
        yield Report("store_failed", {"error": f"not noted: {error}"})


@dataclass(slots=True)
class _Tries:
    """The token requests of one flight, and how they may go on.

    Attributes:
        token_hash: Of the refresh token that is sent.
        grace_end: Monotonic time (seconds) until when the server takes it again.
        window_end: Monotonic time (seconds) until when it is sent again.
        ambiguous: Requests whose outcome is not known, those of former flights included.
        unsent: Requests that have not reached the server.
        throttled: Requests that the server has not looked at.
        waited: Seconds, because the server asked for it.
        failure: How the last request has failed.
        refusal: The server has said that the refresh token is dead.
    """

    rules: Rules
    jitter_share: float
    token_hash: str = ""
    grace_end: float = 0.0
    window_end: float = 0.0
    ambiguous: int = 0
    unsent: int = 0
    throttled: int = 0
    waited: float = 0.0
    failure: TokenEndpointUnavailableError | None = None
    refusal: TokenRequestRefusedError | None = None

    def begin(self, journal: Journal, now: Instant, *, is_repeated: bool) -> None:
        """The token of this journal is about to be sent; when it was before, this goes on.

        Raises how the last request has failed, when the time for another one is over.
        """
        if journal.token_hash != self.token_hash:
            self.token_hash, self.failure, self.refusal = journal.token_hash, None, None
            self.ambiguous = 0
            age = now.wall - journal.started_at if is_repeated else 0.0
            # By the monotonic clock: a wall clock that is set back would stretch the time. Where
            # the clocks of two processes contradict each other, the grace may have ended.
            left = self.rules.server.rotation_grace - age if age >= 0 else 0.0
            self.grace_end = now.monotonic + max(left, 0.0)
            self.window_end = min(self.grace_end, now.monotonic + self.rules.server.resend_window)
        elif self.failure and self.rules.server.resend_window and now.monotonic > self.window_end:
            raise self.failure
        self.ambiguous = max(self.ambiguous, int(is_repeated))

    def pause_after(self, failure: TokenEndpointUnavailableError, now: Instant) -> float | None:
        """Seconds until the next request; None: give up."""
        self.failure = failure
        if failure.outcome == "not_sent":
            self.unsent += 1
            return BACKOFF[self.unsent - 1] if self.unsent < MOST_UNSENT else None
        if failure.outcome == "throttled":
            if failure.retry_after is None:
                failure.retry_after = 2.0**self.throttled * (1 + self.jitter_share / 2)
            pause = max(failure.retry_after, BACKOFF[0])
            self.throttled += 1
            self.waited += pause
            return pause if self.waited <= LONGEST_THROTTLE else None
        pause = BACKOFF[min(self.ambiguous, len(BACKOFF) - 1)]
        self.ambiguous += 1
        if not self.rules.server.resend_window:  # without a grace once more, then the truth
            return pause if self.ambiguous < 2 else None
        is_over = now.monotonic + pause > self.window_end or self.ambiguous > MOST_AMBIGUOUS
        return None if is_over else pause


def _sent(spent: TokenSet, locked_at: Instant, tries: _Tries, version: int) -> Protocol[TokenSet]:
    """The answer to the token request, which is sent again as often as that can do no harm.

    Raises:
        PausedError: Another process may have the lock by now, or has changed the record.
    """
    while True:
        try:
            new: TokenSet = yield Send(spent, locked_at)
            return new
        except TokenEndpointUnavailableError as error:
            failure = error
        pause = tries.pause_after(failure, (yield Recall()).now)
        if pause is None or not (yield Sleep(pause)):
            raise failure
        seen: Seen = yield Load()
        if seen.version != version:
            raise PausedError


# --- keeping what was brought ---------------------------------------------------------------------


def _keep(unsaved: Unsaved) -> Protocol[bool]:
    """Save what was brought, and hand it out; False: look at what the store holds by now.

    A save that fails is tried again under the lock for a moment, so that meanwhile no other process
    sends the same refresh token; afterwards `save_later` goes on.
    """
    yield Hold(unsaved)
    try:
        stands = yield from _saved(unsaved, unsaved.version)
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
            outcome = yield from _save_again(unsaved)
            if outcome == "replay":
                return False
            if outcome == "done":
                break
    return True


def _save_again(
    unsaved: Unsaved, *, creates: bool = True
) -> Protocol[Literal["done", "replay", "wait"]]:
    """Save what is not saved yet; "done" when it is, or when something newer of the same login is.

    Args:
        unsaved: What is to be saved.
        creates: Whether it is saved as well where nothing is stored. Not long afterwards: where a
            store is that of the tenant of the moment, it may be another tenant's by now.

    Raises:
        TokenStoreError: It cannot be saved, this time neither.
    """
    seen: Seen = yield Load(joins=False)
    if seen.login is None and unsaved.before is not None and not creates:
        return "wait"
    verdict = _verdict(unsaved, seen)
    if verdict in ("wait", "replay"):
        return "wait" if verdict == "wait" else "replay"
    if verdict == "save":
        yield from _saved(unsaved, seen.version)
    yield Hold(None)
    return "done"


def _saved(unsaved: Unsaved, version: int | None) -> Protocol[bool]:
    """Whether it is saved now; False: what the store holds counts more."""
    login = unsaved.login
    for _ in range(MOST_OVERTAKINGS):
        with suppress(StaleRecordError):
            yield Save(login, version)
            return True
        seen: Seen = yield Load(joins=False)
        if seen.login and seen.login.token_set == login.token_set:
            return True  # only the answer of the store was lost
        if _verdict(unsaved, seen) != "save":
            return False
        version = seen.version
        if seen.login and seen.login.generation >= login.generation:
            login = replace(login, generation=seen.login.generation + 1)
    raise _overtaken()


def _verdict(unsaved: Unsaved, seen: Seen) -> Literal["save", "drop", "replay", "wait"]:
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


def _erased() -> Protocol[None]:
    """No login is on record; its generation is."""
    for _ in range(MOST_OVERTAKINGS):
        try:
            seen: Seen = yield Load()
        except TokenStoreError:  # damaged; or the store is gone, and says so once more
            yield Delete()
            return
        if seen.login is None:
            return
        with suppress(StaleRecordError):
            yield Save(Login(seen.login.generation + 1, seen.login.login_id), seen.version)
            return
    raise _overtaken()


def _check_saved() -> Protocol[None]:
    """Raises TokenNotSavedError when something is not saved."""
    seen: Seen = yield Recall()
    if seen.memory.unsaved:
        raise not_saved(seen.memory.unsaved.login)


# --- what callers are told ------------------------------------------------------------------------


def not_saved(login: Login) -> TokenNotSavedError:
    """The error for a token set that could not be saved."""
    return TokenNotSavedError(
        "the refresh token was rotated, but the new one cannot be saved. It is served from memory "
        "and saving it is tried again; repair the store before this process ends.",
        token_set=login.token_set,
    )


def _overtaken() -> StaleRecordError:
    return StaleRecordError("another process is always faster in saving this login. Try again.")


def _login_required(reason: DeadReason, rules: Rules) -> LoginRequiredError:
    if reason == "answer_lost":
        text = (
            "the server answered a refresh, the answer was lost on its way, and this server "
            "takes no refresh token twice"
        )
        if grace := rules.server.rotation_grace:
            text += f" after {grace / 60:.0f} minutes, in which nothing was asked again"
    else:
        text = (
            "the server refuses the refresh token: the grant was revoked, was idle for 90 days, "
            "the password changed, or a program that does not share this store has spent it"
        )
    return LoginRequiredError(
        f"the login {rules.key.account!r} has to be renewed by a person: {text}. Open the URL of "
        "oauth_start(), then call oauth_complete(). Nothing was deleted.",
        reason=reason,
    )
