"""The authorizations that were started with a store, each of which one call completes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from atlassian_auth_adapter.clock import Clock
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    AuthorizationCompletedError,
    AuthorizationError,
    TokenEndpointError,
    TokenRequestRefusedError,
    TokenStoreError,
    TokenStoreUnavailableError,
    raise_clean,
)
from atlassian_auth_adapter.oauth.authorization import (
    LIFETIME,
    AuthorizationRequest,
    AuthorizationResponse,
)
from atlassian_auth_adapter.oauth.token_endpoint import was_sent
from atlassian_auth_adapter.records import Login, TokenKey, change, load
from atlassian_auth_adapter.records.authorizations import Authorizations, Claim
from atlassian_auth_adapter.stores.base import TokenStore

__all__ = ["StartedAuthorizations"]

#: Authorizations that may wait for their redirects at one time.
MOST_AUTHORIZATIONS = 100
#: Claims that are remembered however old they are: a browser may load a page of last week again,
#: and a server may end the login of a code that it gets twice.
REMEMBERED_CLAIMS = 20


class StartedAuthorizations:
    """The authorizations of one login, in its store: those that wait, and those that were claimed.

    All threads and processes that share the store see the same ones, and change them by
    compare-and-swap. Each method may block on the store.
    """

    def __init__(self, store: TokenStore, login: TokenKey, clock: Clock) -> None:
        self._store, self._login, self._clock = store, login, clock
        self._key = login.for_authorizations()

    def add(self, request: AuthorizationRequest) -> None:
        """Keep a request until its redirect comes.

        Raises:
            AuthorizationError: Too many wait already. None of them is dropped, because a person may
                be about to agree to it.
            TokenStoreError: It cannot be kept.
        """

        def added(kept: Authorizations) -> Authorizations:
            if len(kept.requests) >= MOST_AUTHORIZATIONS:
                left = min(each.created for each in kept.requests) + LIFETIME - self._clock.time()
                raise AuthorizationError(
                    f"{MOST_AUTHORIZATIONS} authorizations of the account "
                    f"{self._login.account!r} wait for their redirects already. Complete one of "
                    f"them, or start again in {max(left, 0.0):.0f} s. A web application gives each "
                    "visitor an account of their own."
                )
            return kept._replace(requests=(*kept.requests, request))

        self._change(added)

    def find(self, response: AuthorizationResponse) -> AuthorizationRequest | None:
        """The request that waits for this response; None if a call has claimed it already.

        Raises:
            StateMismatchError: It is the response to no request that was started.
            AuthorizationCompletedError: A call has completed it.
        """
        kept, _ = load(self._store, self._key, Authorizations)
        kept = kept or Authorizations()
        if claim := self._claim_of(response, kept):
            login, _ = load(self._store, self._login, Login)
            _check_not_completed(claim, login)
            return None
        return response.request_among(kept.requests, self._clock.time())

    @contextmanager
    def claimed(
        self, response: AuthorizationResponse, login: Login | None
    ) -> Iterator[AuthorizationRequest]:
        """A context in which the code may be sent: no other call gets it, now or later.

        If it leaves with an error that proves that nothing was sent, the authorization waits again.
        So it does, for another code, when the server refuses a code that came without its state: it
        may be that of a stranger, or of another authorization that waits.
        A process that dies in it leaves the claim behind.

        Args:
            response: What came back through the browser.
            login: What is stored, under the lock of the login.

        Raises:
            StateMismatchError: It is the response to no request that was started.
            AuthorizationCompletedError: Another call has completed it.
            AuthorizationError: Another call has claimed it, and has brought no login.
        """
        from secrets import token_hex  # not needed to read a store

        claimant = token_hex(8)
        claimed: list[AuthorizationRequest] = []
        try:
            self._change(lambda kept: self._with_claim(kept, response, login, claimant, claimed))
        except TokenStoreError:  # the claim may have been saved all the same
            with suppress(TokenStoreError):
                self._give_back(claimant, claimed)
            raise
        try:
            yield claimed[-1]
        except AtlassianAuthError as error:
            if not _proves_that_nothing_was_sent(error):
                if response.state is None and isinstance(error, TokenRequestRefusedError):
                    with suppress(TokenStoreError):
                        self._give_back(claimant, claimed, keeps_code=True)
                raise
            failure = error.copied()
            try:
                self._give_back(claimant, claimed)
            except TokenStoreError:
                failure.advice = (
                    "Nothing was sent, but the store has failed as well, so that this redirect "
                    "cannot be used again: start again with oauth_start()."
                )
            raise_clean(failure, error.__cause__)

    def forget_damaged(self) -> None:
        """Delete what cannot be read, since it would prevent every later sign-in."""
        try:
            load(self._store, self._key, Authorizations)
        except TokenStoreUnavailableError:
            raise
        except TokenStoreError:
            self._store.delete(self._key.name)

    def _with_claim(
        self,
        kept: Authorizations,
        response: AuthorizationResponse,
        login: Login | None,
        claimant: str,
        claimed: list[AuthorizationRequest],
    ) -> Authorizations:
        """With the claim of this call; the request is added to `claimed`."""
        if earlier := self._claim_of(response, kept):
            if earlier.claimant == claimant:  # saved, although the store has said otherwise
                return kept
            _check_not_completed(earlier, login)
            raise AuthorizationError(
                "this redirect was used before, and no login of it is stored: a code counts once.",
                advice="Start again with oauth_start().",
            )
        now = self._clock.time()
        request = response.request_among(kept.requests, now)
        claimed.append(request)
        claim = Claim(
            self._hashed(response.code),
            self._hashed(request.state),
            now,
            claimant,
            login.login_id if login else "",
        )
        waiting = tuple(each for each in kept.requests if each is not request)
        return Authorizations(waiting, (*kept.claims, claim))

    def _give_back(
        self, claimant: str, claimed: list[AuthorizationRequest], *, keeps_code: bool = False
    ) -> None:
        """The authorization waits again, if the claim of this call is on record.

        `keeps_code` says whether its code stays claimed.
        """

        def given_back(kept: Authorizations) -> Authorizations:
            others = tuple(claim for claim in kept.claims if claim.claimant != claimant)
            if others == kept.claims:
                return kept
            used = tuple(
                claim._replace(state_hash="")
                for claim in kept.claims
                if keeps_code and claim.claimant == claimant
            )
            return Authorizations((*kept.requests, claimed[-1]), (*others, *used))

        self._change(given_back)

    def _claim_of(self, response: AuthorizationResponse, kept: Authorizations) -> Claim | None:
        """The claim on this code, or on another code for the same authorization."""
        code, state = self._hashed(response.code), self._hashed(response.state or "")
        claims = (claim for claim in kept.claims if code == claim.code_hash)
        same_state = (claim for claim in kept.claims if state == claim.state_hash)
        return next(claims, None) or next(same_state, None)

    def _hashed(self, secret: str) -> str:
        return self._login.hashed(secret)

    def _change(self, how: Callable[[Authorizations], Authorizations]) -> None:
        def changed(kept: Authorizations | None) -> Authorizations | None:
            before, now = kept or Authorizations(), self._clock.time()
            requests = tuple(request for request in before.requests if request.is_alive(now))
            earlier, last = before.claims[:-REMEMBERED_CLAIMS], before.claims[-REMEMBERED_CLAIMS:]
            young = (claim for claim in earlier if now - claim.claimed_at < LIFETIME)
            after = how(Authorizations(requests, (*young, *last)))
            return None if after == before else after

        change(self._store, self._key, Authorizations, changed)


def _check_not_completed(claim: Claim, login: Login | None) -> None:
    """Raise if there is a login by now that was not there when the authorization was claimed."""
    if login and login.token_set and login.login_id != claim.replaces:
        raise AuthorizationCompletedError(
            "this sign-in has been completed: its redirect was used before, and the account is "
            "signed in. Nothing was sent now, and nothing is lost: go on."
        )


def _proves_that_nothing_was_sent(error: AtlassianAuthError) -> bool:
    # Any other error is that of the function for the client secret, which is asked for before.
    return not (isinstance(error, TokenEndpointError) and was_sent(error))
