"""Sending a refresh token: once, or again for as long as that can do no harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    LoginRequiredError,
    StaleRecordError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    TokenStoreError,
)
from atlassian_auth_adapter.records import DeadReason, Journal, Login
from atlassian_auth_adapter.refresh.saving import BACKOFF, keep
from atlassian_auth_adapter.refresh.steps import (
    Instant,
    Load,
    PausedError,
    Protocol,
    Recall,
    Report,
    Request,
    Rules,
    Save,
    Seen,
    Send,
    Sleep,
    Unsaved,
)
from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["Tries", "login_required", "spend", "throttled"]

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
#: The part of a Retry-After by which a request comes later at most than it was told to.
LATER = 0.25
#: Seconds between the two looks into the store after the server has refused a refresh token.
SECOND_LOOK = 1.0


def spend(
    spent: TokenSet,
    login: Login,
    succeed: Callable[[TokenSet], Login],
    seen: Seen,
    locked_at: Instant,
    tries: Tries,
    request: Request,
    journal_in: Literal["journal", "takeover"] = "journal",
) -> Protocol[TokenSet | None]:
    """Journal, send, save. None: look again, under the lock that is taken again.

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
    # It is on record: the token was sent before, and not by this flight, which knows the answer.
    is_repeated = journaled == login and seen.version != tries.noted_version
    now: Instant = yield Save(journaled, seen.version)
    version = (seen.version or 0) + 1
    try:
        tries.begin(journal, now, is_repeated=is_repeated)
        new = yield from _sent(spent, locked_at, tries, version)
    except PausedError:
        if tries.rest:  # meanwhile no other process asks
            now = (yield Recall()).now
            rests = journaled._replace(throttled_until=now.wall + tries.rest)
            is_noted = yield from _noted(rests, version)
            tries.noted_version = version + is_noted
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
        return new if (yield from keep(unsaved)) else None
    if journaled == login:  # this flight has noted it, before it rested, if not an earlier one
        login = _with_journal(login, journal_in, None)
    noted = journaled if tries.ambiguous else login
    if isinstance(failure, TokenRequestRefusedError):
        if rules.server.refuses_refresh_token(failure.error, failure.error_description):
            tries.refusal = failure
            return (yield from _refused(spent, journaled, tries))
        if not tries.ambiguous:  # else the answer to an earlier request is still lost
            noted = _with_journal(login, journal_in, None)
    elif isinstance(failure, TokenEndpointUnavailableError) and failure.outcome == "throttled":
        now = (yield Recall()).now
        failure = tries.within_grace(failure, now)
        noted = noted._replace(throttled_until=now.wall + (failure.retry_after or 0.0))
    yield from _noted(noted, version)
    raise failure


def _with_journal(
    login: Login, journal_in: Literal["journal", "takeover"], journal: Journal | None
) -> Login:
    if journal_in == "takeover":
        return login._replace(takeover=journal)
    return login._replace(journal=journal)


def _refused(spent: TokenSet, login: Login, tries: Tries) -> Protocol[TokenSet | None]:
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
        noted, told = latest._replace(takeover=None), failure
    else:
        # Sent before, and never answered: inside the grace the server would have taken it again.
        sent_ago = seen.now.wall - (latest.journal.started_at if latest.journal else 0.0)
        is_lost = tries.ambiguous and not 0 <= sent_ago < rules.server.rotation_grace
        reason: DeadReason = "answer_lost" if is_lost else "refused"
        noted = latest._replace(journal=None, dead=tries.token_hash, dead_reason=reason)
        told = login_required(reason, rules)
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


def _noted(login: Login, version: int | None) -> Protocol[bool]:
    """Keep what was learnt; False: it could not be. What goes on, or has failed, matters more."""
    try:
        yield Save(login, version)
    except TokenStoreError as error:
        yield Report("store_failed", {"error": f"not noted: {error}"})
        return False
    return True


@dataclass(slots=True)
class Tries:
    """The token requests of one flight, and how they may go on.

    Attributes:
        token_hash: Of the refresh token that is sent.
        grace_end: Monotonic time (seconds) until when the server takes it again.
        window_end: Monotonic time (seconds) until when it is sent again.
        ambiguous: Requests whose outcome is not known, those of former flights included.
        unsent: Requests that have not reached the server.
        throttled: Requests that the server has not looked at.
        waited: Seconds, because the server asked for it, and for no longer.
        rest: Seconds that are to be waited now, without the lock.
        noted_version: Of the record that this flight has written before it rests.
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
    rest: float = 0.0
    noted_version: int = -1
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
        elif (
            self.ambiguous
            and self.failure
            and self.rules.server.resend_window
            and now.monotonic > self.window_end
        ):
            raise self.failure
        self.ambiguous = max(self.ambiguous, int(is_repeated))

    def pause_after(self, failure: TokenEndpointUnavailableError, now: Instant) -> float | None:
        """Seconds until the next request; None: give up."""
        self.failure = failure
        if failure.outcome == "not_sent":
            self.unsent += 1
            is_over = self.unsent >= MOST_UNSENT or failure.status  # something else has answered
            return None if is_over else BACKOFF[self.unsent - 1]
        if failure.outcome == "throttled":
            if told := failure.retry_after:
                # Those who are told the same at one moment do not come back at one moment.
                failure.retry_after = told * (1 + LATER * self.jitter_share)
                failure.advice = f"Nothing is lost; try again in {failure.retry_after:.0f} s."
            else:  # 0, or a date that has passed, tells nothing
                told = failure.retry_after = 2.0**self.throttled * (1 + self.jitter_share / 2)
            self.throttled += 1
            return failure.retry_after if self.may_rest(failure.retry_after, told) else None
        pause = BACKOFF[min(self.ambiguous, len(BACKOFF) - 1)]
        self.ambiguous += 1
        if not self.rules.server.resend_window:  # without a grace once more, then the truth
            return pause if self.ambiguous < 2 else None
        is_over = now.monotonic + pause > self.window_end or self.ambiguous > MOST_AMBIGUOUS
        return None if is_over else pause

    def may_rest(self, seconds: float, told: float) -> bool:
        """Whether this flight waits for so long, since the server has told it to: it rests then."""
        self.waited += told
        self.rest = seconds if self.waited <= LONGEST_THROTTLE else 0.0
        return bool(self.rest)

    def within_grace(
        self, failure: TokenEndpointUnavailableError, now: Instant
    ) -> TokenEndpointUnavailableError:
        """The same failure, or a shorter wait, while an answer that was lost can be asked for."""
        wait, left = failure.retry_after or 0.0, self.grace_end - now.monotonic
        if not self.ambiguous or left <= 0 or wait <= left - GRACE_MARGIN:
            return failure
        wait = max(left - GRACE_MARGIN, 1.0)
        return TokenEndpointUnavailableError(
            f"the token endpoint asks to wait for {failure.retry_after:.0f} s (HTTP "
            f"{failure.status}), but the answer to an earlier request was lost, and can be asked "
            f"for until {left:.0f} s from now. Nothing is lost; try again in {wait:.0f} s.",
            status=failure.status,
            retry_after=wait,
            outcome="throttled",
        )


def _sent(spent: TokenSet, locked_at: Instant, tries: Tries, version: int) -> Protocol[TokenSet]:
    """The answer to the token request, which is sent again as often as that can do no harm.

    Raises:
        PausedError: The flight rests, another process may have the lock by now, or it has changed
            the record.
    """
    while True:
        try:
            new: TokenSet = yield Send(spent, locked_at)
            return new
        except TokenEndpointUnavailableError as error:
            failure = error
        pause = tries.pause_after(failure, (yield Recall()).now)
        if pause is None:
            raise failure
        if tries.rest:
            raise PausedError
        if not (yield Sleep(pause)):
            raise failure
        seen: Seen = yield Load()
        if seen.version != version:
            raise PausedError


def throttled(seconds: float) -> TokenEndpointUnavailableError:
    """The error for a token endpoint that asks to wait for so long."""
    return TokenEndpointUnavailableError(
        f"the token endpoint asks to wait; try again in {seconds:.0f} s.",
        retry_after=seconds,
        outcome="throttled",
    )


#: What a program does about a login that a person has to make.
SIGN_IN = (
    "Open the URL of oauth_start(), then call oauth_complete(). Or if the program uses a profile, "
    "run: atlassian-auth login"
)


def login_required(reason: DeadReason, rules: Rules) -> LoginRequiredError:
    """The error for a refresh token that is dead."""
    if reason == "answer_lost":
        text = (
            "the server answered a refresh, the answer was lost on its way, and this server "
            "accepts each refresh token once"
        )
        if grace := rules.server.rotation_grace:
            text += f" after {grace / 60:.0f} minutes, within which the request was not sent again"
    else:
        text = (
            "the server refuses the refresh token: the grant was revoked, was idle for 90 days, "
            "the password changed, or a program that does not share this store has spent it"
        )
    return LoginRequiredError(
        f"the login {rules.key.account!r} has to be renewed by a person: {text}. Nothing was "
        "deleted.",
        reason=reason,
        advice=SIGN_IN,
    )
