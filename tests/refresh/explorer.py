"""Runs several protocols against a model of store and server in every order, and judges each state.

A *run* is one process that performs `protocol.refresh` or `protocol.take_over`, and then what is
left to save. Its state is the list of replies that it got, since a protocol is deterministic: runs
that got the same replies are the same. So the states of the whole,
(replies of each run, store, server, time), are few enough to be visited each once.

A sleep ends at any moment, and takes no time, but for one that a 429 has asked for: else time
passes by pauses only. At every step of every
run one of these events may happen, within the bounds of a world, if it can make a difference there
(a crash right after a crash-free step that changed nothing makes none):

    crash          the process is gone; its lock is free at once
    pause          61 s pass: the lease of its lock has ended, and it does not know
    long pause     601 s pass: the grace of a refresh token that was spent before has ended
    clock          its wall clock is set an hour forward, or back
    lost request   the token request never arrives; the process cannot know
    lost answer    the token request arrives, its answer does not
    store          a load, a save or a lock fails; of a save also: it was done, and it failed
    429            the server asks to wait: the lock is free meanwhile, and others go on
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    LoginRequiredError,
    StaleRecordError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.expiry import ExpiryPolicy
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.records import Login, TokenKey
from atlassian_auth_adapter.refresh import protocol as the_protocol
from atlassian_auth_adapter.refresh.steps import (
    FENCE,
    Hold,
    Instant,
    Load,
    Locked,
    Memory,
    PausedError,
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
    token_set_of,
)
from atlassian_auth_adapter.tokens import TokenSet

PAUSE, LONG_PAUSE, CLOCK = 61.0, 601.0, 3600.0
RETRY_AFTER = 16.0  # nothing else sleeps so long
START, LIFETIME = 1_000_000.0, 3600.0
KEY = TokenKey("https://auth.example.com", "client", "default")
#: The refresh token that is stored in the beginning, and the one that a run takes over.
STORED, GIVEN = "r", "g"


# --- the server -----------------------------------------------------------------------------------


class Token(NamedTuple):
    """A refresh token in the books of the server. The name of a child begins with its parent's."""

    name: str
    spent_at: float = -1.0
    is_alive: bool = True


@dataclass(frozen=True)
class Kind:
    """A kind of authorization server.

    Attributes:
        name: For people.
        grace: Seconds for which a spent refresh token may be sent again.
        keeps_siblings: Whether all children of one refresh token stay alive, or the newest only.
    """

    name: str
    grace: float
    keeps_siblings: bool

    @property
    def server(self) -> AuthorizationServer:
        """What the protocol knows of it."""
        return AuthorizationServer(
            issuer=KEY.issuer,
            authorization_endpoint="",
            token_endpoint="",
            rotation_grace=self.grace,
            resend_window=120.0 if self.grace else 0.0,
        )

    def answer(self, books: tuple[Token, ...], name: str, at: float) -> tuple[Any, ...]:
        """The books after a request, the new refresh token or "", and how late it came: the seconds
        after the end of the grace, negative before; None for a token that was not spent.
        """
        known = {token.name: token for token in books}
        token = known[name]
        late = None if token.spent_at < 0 else at - token.spent_at - self.grace
        if not token.is_alive:
            return books, "", late
        if late is not None and late >= 0:
            if self.grace:  # reuse: the whole family is revoked
                for other in books:
                    if other.name[0] == name[0]:
                        known[other.name] = other._replace(is_alive=False)
            return tuple(known.values()), "", late
        children = [other for other in known if other[:-1] == name]
        if not self.keeps_siblings:
            for child in children:
                known[child] = known[child]._replace(is_alive=False)
        new = name + chr(ord("a") + len(children))
        known[new] = Token(new)
        known[name] = token._replace(spent_at=at if late is None else token.spent_at)
        return tuple(known.values()), new, late

    def is_usable(self, books: tuple[Token, ...], name: str, at: float) -> bool:
        """Whether a request with it would bring a token set."""
        return bool(self.answer(books, name, at)[1])


SERVERS = {
    kind.name: kind
    for kind in (
        Kind("with grace", 600.0, keeps_siblings=True),
        Kind("without grace", 0.0, keeps_siblings=False),
        Kind("newest child only", 600.0, keeps_siblings=False),
    )
}


# --- the runs -------------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class Node:
    """What a run has come to, which depends on nothing but the replies that it got.

    Attributes:
        parent, reply, now: The node before, and what made this one of it, at what time.
        number: Its own.
        step: What it asks for now; None at its end.
        error: What has ended it, if anything.
        answer: The refresh token of the token set that its callers have, or "".
        memory: What its process knows.
        journals: The hashes in the journals that it has seen last.
        spent: The refresh token that it has sent last.
        sent: How often it has sent that.
        lost: Whether it knows that one of these requests was perhaps answered.
        waits: Whether it has found that another process is at work, and will look again.
        stack: Its generators, as long as nothing else has advanced them.
    """

    parent: Node | None
    reply: Any
    now: Instant
    number: int = 0
    step: Any = None
    error: Exception | None = None
    answer: str = ""
    memory: Memory = field(default_factory=Memory)
    journals: frozenset[str] = frozenset()
    spent: str = ""
    sent: int = 0
    lost: bool = False
    waits: bool = False
    stack: list[Any] | None = None
    children: dict[Hashable, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The callers have this token set."""

    token_set: TokenSet


@dataclass(frozen=True, slots=True)
class Release:
    """The end of a `Locked`, with what it gives or raises."""

    result: Any


#: The reply to `Locked`: the lock is had, the attempt begins.
ENTER = object()


class Runs:
    """The runs of one process in one role: a tree of nodes, each made once.

    Args:
        role: "expired"; "newcomer": its process knows nothing yet; "rejected"; "takes over".
        number: Of the process.
        rules: Of the login.
        protocol: The module with the protocols.
        login: What is stored in the beginning.
    """

    def __init__(
        self, role: str, number: int, rules: Rules, protocol: ModuleType, login: Login
    ) -> None:
        self.role, self.rules, self.protocol = role, rules, protocol
        self.request = Request(
            rejected=token_set_of(login).access_token if role == "rejected" else None,
            owner=f"process {number}",
            login_id=f"login {number}",
        )
        self.known = login if role in ("expired", "rejected") else None
        self.count = 0

    def start(self, now: Instant) -> Node:
        """The beginning."""
        root = Node(None, None, now)
        if self.known:
            root.memory = Memory(Snapshot.of(self.known, now))
        root.stack = [self._whole()]
        self._go_on(root)
        self.count += 1
        root.number = self.count
        return root

    def after(self, node: Node, reply: Any, key: Hashable, now: Instant) -> Node:
        """What becomes of it with that reply, which the key identifies."""
        key = key, now
        child = node.children.get(key)
        if child is None:
            child = self._next(self._alive(node), reply, now)
            child.parent = node
            self.count += 1
            child.number = self.count
            node.children[key] = child
        return child

    def _alive(self, node: Node) -> Node:
        """The node with its generators: itself, or a copy that was given the same replies."""
        if node.stack is not None:
            return node
        path: list[Node] = []
        while node.parent is not None:
            path.append(node)
            node = node.parent
        copy = self.start(node.now)
        for one in reversed(path):
            copy = self._next(copy, one.reply, one.now)
        return copy

    def _next(self, node: Node, reply: Any, now: Instant) -> Node:
        """The node that follows; it takes the generators along."""
        child = Node(node, reply, now, answer=node.answer, memory=node.memory)
        child.journals, child.spent = node.journals, node.spent
        child.sent, child.lost = node.sent, node.lost
        child.stack, node.stack = node.stack, None
        child.step = node.step
        was_load = isinstance(node.step, Load) and isinstance(reply, Seen)
        if isinstance(node.step, Load) and isinstance(reply, Seen):
            login = reply.login or Login()
            journals = filter(None, (login.journal, login.takeover))
            child.journals = frozenset(journal.token_hash for journal in journals)
        elif isinstance(node.step, Send) and not isinstance(reply, PausedError):
            if child.spent != node.step.token_set.refresh_token:
                child.spent, child.sent, child.lost = node.step.token_set.refresh_token, 0, False
            is_throttled = getattr(reply, "outcome", "") == "throttled"
            child.sent += not is_throttled
            child.lost |= isinstance(reply, TokenEndpointUnavailableError) and not is_throttled
        self._go_on(child)
        has_unsaved = child.memory.unsaved is not None
        child.waits = was_load and has_unsaved and isinstance(child.step, Sleep)
        return child

    def _go_on(self, node: Node) -> None:
        """Up to the next step that store, server or time have a part in."""
        stack, reply = node.stack, node.reply
        assert stack is not None
        if reply is ENTER:
            stack.append(node.step.attempt(node.now))
            reply = None
        while True:
            try:
                top = stack[-1]
                step = top.throw(reply) if isinstance(reply, Exception) else top.send(reply)
            except StopIteration as end:
                step = Release(end.value)
            except AtlassianAuthError as error:
                step = Release(error)
            reply = None
            match step:
                case Release(result):
                    stack.pop()
                    node.step = step if stack else None
                    if not stack and isinstance(result, Exception):
                        node.error = result
                    return
                case Recall():
                    reply = Seen(None, None, node.memory, node.now)
                case Hold(unsaved):
                    node.memory = Memory(node.memory.snapshot, unsaved)
                case Publish(login):
                    known = Snapshot.of(login, node.now) if login else None
                    node.memory = Memory(known, node.memory.unsaved)
                    if login:
                        node.answer = node.answer or token_set_of(login).refresh_token
                case Answer(token_set):
                    node.answer = node.answer or token_set.refresh_token
                case Report():
                    pass
                case _:
                    node.step = step
                    return

    def _whole(self) -> Any:
        """The protocol, and then what is left to save: as `RefreshingTokenSource` performs them."""
        if self.role == "takes over":
            steps = self.protocol.take_over(GIVEN, "", self.request, self.rules)
        else:
            steps = self.protocol.refresh(self.request, self.rules)
        failure: AtlassianAuthError | None = None
        try:
            yield Answer((yield from steps))
        except AtlassianAuthError as error:
            failure = error
        seen: Seen = yield Recall()
        if seen.memory.unsaved:
            yield from self.protocol.save_later(seen.memory.unsaved, self.request, self.rules)
        if failure:
            raise failure


# --- the whole ------------------------------------------------------------------------------------


class State(NamedTuple):
    """Everything, at one moment."""

    nodes: tuple[Node | None, ...]  # None: it has crashed
    offsets: tuple[float, ...]  # of their wall clocks
    login: Login | None
    version: int | None
    holder: int  # the run that has the lock, or -1
    books: tuple[Token, ...]
    time: float
    events: tuple[int, ...]  # how often each has happened
    paused: float  # seconds, the longest pause with the lock, or with an answer not saved


EVENTS = ("crash", "pause", "long pause", "clock", "lost request", "lost answer", "store")
ALL_EVENTS = (*EVENTS, "429")
CRASH, SHORT, LONG, JUMP, REQUEST, ANSWER, STORE, THROTTLE = range(len(ALL_EVENTS))


@dataclass(frozen=True)
class World:
    """What is explored.

    Attributes:
        server: Name of its kind.
        roles: One for each run.
        most: Events in all.
        each: Events of one sort.
        only: Sorts of events.
    """

    server: str
    roles: tuple[str, ...]
    most: int
    each: int = 1
    only: tuple[str, ...] = EVENTS

    def parts(self) -> list[World]:
        """Smaller worlds whose schedules are together those of this one: each with as many sorts of
        events as it has events.
        """
        if self.each > 1 or self.most >= len(self.only):
            return [self]
        return [replace(self, only=only) for only in combinations(self.only, self.most)]

    @property
    def name(self) -> str:
        """For people."""
        sorts = "" if self.only == EVENTS else f" of {', '.join(self.only)}"
        return f"{self.server}: {', '.join(self.roles)}, {self.most} events{sorts}"


#: How a state was reached: the last step, and how the state before it was.
Link: TypeAlias = "tuple[str, Link] | None"


class Violation(AssertionError):  # noqa: N818 - it is what is looked for, not a fault of the search
    """An invariant does not hold; the text has the schedule."""


class Explorer:
    """Visits every state of a world once.

    Args:
        world: Which one.
        protocol: The module with the protocols, or one with a deliberate break.
        compares: Whether the store compares versions.
        excludes: Whether its lock excludes.
    """

    def __init__(
        self,
        world: World,
        protocol: ModuleType = the_protocol,
        *,
        compares: bool = True,
        excludes: bool = True,
    ) -> None:
        self.world, self.kind = world, SERVERS[world.server]
        self._compares, self._excludes = compares, excludes
        rules = Rules(KEY, self.kind.server)
        end = START + (LIFETIME if "rejected" in world.roles else 0.0)
        first = TokenSet(f"A{STORED}", STORED, end, "", "Bearer", end - LIFETIME)
        self._login = Login(1, "login", first)
        self._runs = [
            Runs(role, number, rules, protocol, self._login)
            for number, role in enumerate(world.roles)
        ]
        self._later = [
            Runs(role, 9, rules, the_protocol, self._login)
            for role in ("newcomer", "takes over")
            if role == "newcomer" or role in world.roles
        ]
        # Equal roles share their tree of nodes: a state is the same with two runs exchanged.
        self._is_symmetric = len({*world.roles}) == 1
        if self._is_symmetric:
            self._runs = self._runs[:1] * len(world.roles)
        self._logins: dict[Login | None, int] = {}
        self._judged: set[Hashable] = set()
        self.outcomes: Counter[str] = Counter()

    def start(self) -> State:
        """The state in the beginning."""
        books = tuple(
            Token(name) for name in (STORED, GIVEN) if name == STORED or len(self._later) > 1
        )
        roots = {runs: runs.start(Instant(START, START)) for runs in self._runs}
        nodes = tuple(roots[runs] for runs in self._runs)
        return State(
            nodes,
            (0.0,) * len(nodes),
            self._login,
            1,
            -1,
            books,
            START,
            (0,) * len(ALL_EVENTS),
            paused=0.0,
        )

    def explore(self) -> int:
        """How many states there are.

        Raises:
            Violation: One of them must not be.
        """
        start = self.start()
        # Of each state only a hash of 64 bits is kept: of ten million, two are taken for one with a
        # probability of some millionths.
        visited = {hash(self._key(start))}
        todo: list[tuple[State, Link]] = [(start, None)]
        while todo:
            state, link = todo.pop()
            label = ""
            try:
                is_over = True
                for label, act in self._actions(state):
                    is_over = False
                    new = act()
                    key = hash(self._key(new))
                    if key not in visited:
                        visited.add(key)
                        todo.append((new, (label, link)))
                label = ""
                if is_over:
                    self._judge_end(state)
            except Violation as violation:
                text = f"{self.world.name}: {violation}\n{_schedule((label, link))}"
                raise Violation(text) from None
        return len(visited)

    def _key(self, state: State) -> Hashable:
        """The same for states that differ in nothing, or in the order of equal runs only."""
        login = self._logins.setdefault(state.login, len(self._logins))
        runs = [
            (node.number if node else 0, offset, state.holder == i)
            for i, (node, offset) in enumerate(zip(state.nodes, state.offsets, strict=True))
        ]
        if self._is_symmetric:
            runs.sort()
        return (*runs, login, *state[3:4], *state[5:])

    # --- what may happen next ---

    def _actions(self, state: State) -> Iterator[tuple[str, Callable[[], State]]]:
        for i, node in enumerate(state.nodes):
            if node is None or node.step is None:
                continue
            step, who = node.step, f"process {i}, {self.world.roles[i]}"
            if isinstance(step, Locked) and state.holder not in (-1, i) and self._excludes:
                continue
            if node.waits and (self._is_busy(state, i) or _is_replaced(state, i)):
                continue  # it would find what it has found
            yield f"{who}: {named(step)}", partial(self.done, state, i)
            if sum(state.events) < self.world.most:
                for event, label, act in self._events(state, i, step):
                    is_wanted = ALL_EVENTS[event] in self.world.only
                    if is_wanted and state.events[event] < self.world.each:
                        yield f"{who}: {label}", partial(_counted, event, act)

    def _is_busy(self, state: State, i: int) -> bool:
        """Whether another run can go on."""
        return any(
            node and node.step and not (isinstance(node.step, Locked) and state.holder == i)
            for j, node in enumerate(state.nodes)
            if j != i and not (node and node.waits)
        )

    def _events(
        self, state: State, i: int, step: Any
    ) -> Iterator[tuple[int, str, Callable[[], State]]]:
        name, has_lock = named(step), state.holder == i
        if isinstance(step, Save | Send | Release):
            yield CRASH, f"crashes before {name}", partial(crashed, state, i)
        if isinstance(step, Load | Save | Send):
            if has_lock:
                yield (
                    SHORT,
                    f"pauses for {PAUSE:.0f} s before {name}",
                    partial(_paused, state, i, PAUSE),
                )
            yield (
                LONG,
                f"pauses for {LONG_PAUSE:.0f} s before {name}",
                partial(_paused, state, i, LONG_PAUSE),
            )
        if isinstance(step, Locked | Load | Save | Send):
            for jump in (-CLOCK, CLOCK):
                offsets = _with(state.offsets, i, state.offsets[i] + jump)
                yield (
                    JUMP,
                    f"its clock jumps by {jump:+.0f} s before {name}",
                    partial(state._replace, offsets=offsets),
                )
        if isinstance(step, Send) and self._is_in_time(state, i, step):
            lost = TokenEndpointUnavailableError("lost", outcome="ambiguous")
            yield (
                REQUEST,
                f"{name}, the request is lost",
                partial(self._replied, state, i, lost, "lost"),
            )
            yield (
                ANSWER,
                f"{name}, the answer is lost",
                lambda: self._replied(self._arrived(state, i, step)[0], i, lost, "lost"),
            )
            wait = TokenEndpointUnavailableError(
                "wait", status=429, retry_after=RETRY_AFTER, outcome="throttled"
            )
            yield THROTTLE, f"{name}, 429", partial(self._replied, state, i, wait, "429")
        down = TokenStoreUnavailableError("down")
        if isinstance(step, Load | Locked | Save):
            yield STORE, f"{name} fails", partial(self._replied, state, i, down, "down")
        if isinstance(step, Save) and self._is_current(state, step):
            yield (
                STORE,
                f"{name} is done, and fails",
                lambda: self._replied(self._saved(state, step), i, down, "down"),
            )

    def done(self, state: State, i: int) -> State:
        """The step of a run, as it should go."""
        node = state.nodes[i]
        assert node is not None
        match node.step:
            case Load():
                seen = Seen(state.login, state.version, node.memory, self._now(state, i))
                key = self._logins.setdefault(state.login, len(self._logins)), state.version
                return self._replied(state, i, seen, key)
            case Save() as step:
                if not self._is_current(state, step):
                    return self._replied(state, i, StaleRecordError("stale"), "stale")
                after = self._saved(state, step)
                return self._replied(after, i, self._now(after, i), "saved")
            case Send() as step:
                if not self._is_in_time(state, i, step):
                    return self._replied(state, i, PausedError(), "paused")
                after, reply = self._arrived(state, i, step)
                brought = reply.refresh_token if isinstance(reply, TokenSet) else ""
                return self._replied(after, i, reply, brought)
            case Sleep():
                if node.waits:  # nothing else goes on: time does
                    state = state._replace(time=state.time + LONG_PAUSE)
                elif node.step.seconds == RETRY_AFTER:
                    state = state._replace(time=state.time + RETRY_AFTER)
                return self._replied(state, i, reply=True, key="slept")
            case Locked():
                return self._replied(state._replace(holder=i), i, ENTER, "locked")
            case Release(result):
                holder = -1 if state.holder == i else state.holder
                return self._replied(state._replace(holder=holder), i, result, "released")
            case step:
                raise AssertionError(f"{step} is not expected here")

    def _now(self, state: State, i: int) -> Instant:
        return Instant(state.time + state.offsets[i], state.time)

    def _replied(self, state: State, i: int, reply: Any, key: Hashable) -> State:
        node = state.nodes[i]
        assert node is not None
        # Only these replies tell the time; runs that differ in nothing else are the same.
        is_timed = node.waits or isinstance(node.step, Locked | Load | Save | Send)
        now = self._now(state, i) if is_timed else node.now
        child = self._runs[i].after(node, reply, key, now)
        after = state._replace(nodes=_with(state.nodes, i, child))
        given_up = LoginRequiredError | TokenRequestRefusedError
        is_decided = isinstance(child.step, Release) and isinstance(child.step.result, given_up)
        if is_decided and not isinstance(reply, TokenStoreUnavailableError):
            self._judge_loss(after, child.step.result, self._runs[i].role)
        return after

    def _is_in_time(self, state: State, i: int, step: Send) -> bool:
        return step.since is None or self._now(state, i).since(step.since) <= FENCE

    def _is_current(self, state: State, step: Save) -> bool:
        return not self._compares or step.expected == state.version

    def _saved(self, state: State, step: Save) -> State:
        old, new = state.login, step.login
        if old is not None and old.token_set is not None and new.token_set is not None:
            before, after = old.token_set.refresh_token, new.token_set.refresh_token
            if before != after and before.startswith(after):
                raise Violation(
                    f"{str(before)!r} was overwritten by {str(after)!r}, which was spent for it"
                )
            if old.login_id != new.login_id and not new.taken_over:
                raise Violation(f"a refresh overwrote another login, {old.login_id!r}")
        return state._replace(login=new, version=(state.version or 0) + 1)

    def _arrived(self, state: State, i: int, step: Send) -> tuple[State, Any]:
        """The token request is at the server."""
        node, name = state.nodes[i], step.token_set.refresh_token
        assert node is not None
        books, new, late = self.kind.answer(state.books, name, state.time)
        if late is not None:
            self._judge_replay(state, i, node, name, late)
        else:
            self._judge_rotation(state, i, step)
        state = state._replace(books=books)
        if not new:
            return state, TokenRequestRefusedError("refused", error="invalid_grant", status=400)
        wall = self._now(state, i).wall
        return state, TokenSet(f"A{new}", new, wall + LIFETIME, "", "Bearer", wall)

    # --- what must hold ---

    def _judge_replay(self, state: State, i: int, node: Node, name: str, late: float) -> None:
        """A refresh token arrives that was spent before."""
        sent, lost = (node.sent, node.lost) if node.spent == name else (0, False)
        is_successor_known = self._is_known(state, lambda one: one[:-1] == name)
        is_on_record = self._runs[i].rules.key.hashed(name) in node.journals
        # A program may offer a token again that is lost, and that the server has refused.
        is_offered = name == GIVEN and not is_successor_known
        if not (is_on_record or lost or is_offered):
            raise Violation(f"{str(name)!r} is sent again by a process that knows of no first time")
        if late < 0:
            return
        if sent > (0 if self.kind.grace else 1):
            raise Violation(f"{str(name)!r} was sent again and again, {late:.0f} s after its grace")
        if not state.paused and is_successor_known:
            raise Violation(f"{str(name)!r} was sent after its grace; its successor is known")

    def _judge_rotation(self, state: State, i: int, step: Send) -> None:
        """A refresh token is spent for the first time."""
        token_set, wall = step.token_set, self._now(state, i).wall
        is_rejected = self._runs[i].request.rejected == token_set.access_token
        is_fresh = token_set.access_token and wall < token_set.expires_at - ExpiryPolicy().stale
        if is_fresh and not is_rejected and not state.events[JUMP]:
            raise Violation(
                f"{str(token_set.refresh_token)!r} was spent, although its token is fresh"
            )

    def _is_known(self, state: State, matches: Callable[[str], bool]) -> bool:
        """Whether such a refresh token is in the store, or in the memory of a living process."""
        return any(map(matches, self._known_to(state)))

    def _known_to(self, state: State) -> Iterator[str]:
        for node in state.nodes:
            if node is not None:
                if node.memory.unsaved:
                    yield token_set_of(node.memory.unsaved.login).refresh_token
                if node.memory.snapshot:
                    yield token_set_of(node.memory.snapshot.login).refresh_token
        if state.login and state.login.token_set:
            yield state.login.token_set.refresh_token

    def _judge_end(self, state: State) -> None:
        """No run can go on."""
        for i, node in enumerate(state.nodes):
            if node is None:
                self.outcomes["crashed"] += 1
                continue
            if node.step is not None and not _is_replaced(state, i):
                raise Violation(f"process {i} waits for ever, for {named(node.step)}")
            if not node.answer and node.error is None:
                raise Violation(f"the callers of process {i} have no answer")
            self.outcomes[type(node.error).__name__ if not node.answer else "token set"] += 1
            unsaved = node.memory.unsaved
            if unsaved and state.login and unsaved.login.login_id == state.login.login_id:
                raise Violation(f"process {i} has ended, and its answer is not saved")
        key = (self._logins[state.login], state.version, state.books, state.time)
        if key not in self._judged:
            self._judged.add(key)
            for runs in self._later:
                self._judge_later(state, runs)

    def _judge_later(self, state: State, runs: Runs) -> None:
        """A process comes when all is over, what a 429 has asked for included; and another one an
        hour later.
        """
        alone = Explorer.__new__(Explorer)
        vars(alone).update(vars(self), _runs=[runs])
        for delay in (RETRY_AFTER * state.events[THROTTLE], LIFETIME):
            state = state._replace(time=state.time + delay)
            node = runs.start(Instant(state.time, state.time))
            run = state._replace(nodes=(node,), offsets=(0.0,), holder=-1)
            while (last := run.nodes[0]) is not None and last.step is not None:
                run = alone.done(run, 0)
            assert last is not None
            if isinstance(last.error, LoginRequiredError | TokenRequestRefusedError):
                self._judge_loss(state, last.error, runs.role)
                return
            if not last.answer:
                raise Violation(f"a later process fails: {last.error}")
            state = state._replace(
                login=run.login, version=run.version, books=run.books, time=run.time
            )

    def _judge_loss(self, state: State, error: AtlassianAuthError, role: str) -> None:
        """A person is asked to sign in: only if the server leaves no other way."""
        if self.kind.grace and state.paused >= self.kind.grace:
            self.outcomes["lost by a pause beyond the grace"] += 1
            return
        given_up = (
            state.login.token_set.refresh_token if state.login and state.login.token_set else ""
        )
        if role == "takes over" and isinstance(error, TokenRequestRefusedError):
            given_up = GIVEN
        # A process that was paused may still have a token set that it has not saved.
        nodes = () if state.paused else state.nodes
        for name in {*self._known_to(state._replace(nodes=nodes))}:
            if name[:1] != given_up[:1]:
                continue  # of another grant
            token = next(token for token in state.books if token.name == name)
            is_first = token.spent_at < 0 and token.is_alive
            if is_first or self.kind.is_usable(state.books, name, state.time):
                raise Violation(f"the login is given up, but {str(name)!r} is good: {error}")
        told = not isinstance(error, LoginRequiredError) or error.reason == "answer_lost"
        if not told and not state.events[JUMP]:  # a clock that jumped tells no age
            raise Violation(f"the answer was lost, but the error does not say so: {error}")
        self.outcomes["lost without a way back"] += 1


def _is_replaced(state: State, i: int) -> bool:
    """Whether another login has replaced the one that the run waits to save, without the lock."""
    node, login = state.nodes[i], state.login
    if node is None or not node.waits or state.holder == i:
        return False
    unsaved = node.memory.unsaved
    if unsaved is None or login is None:
        return False
    before = unsaved.before or Login()
    return login.login_id not in (unsaved.login.login_id, before.login_id)


def _counted(event: int, act: Callable[[], State]) -> State:
    state = act()
    return state._replace(events=_with(state.events, event, state.events[event] + 1))


def crashed(state: State, i: int) -> State:
    """The process of a run is gone."""
    return state._replace(
        nodes=_with(state.nodes, i, None),
        offsets=_with(state.offsets, i, 0.0),
        holder=-1 if state.holder == i else state.holder,
    )


def _paused(state: State, i: int, seconds: float) -> State:
    has_lock = state.holder == i
    is_held_up = has_lock or any(node and node.memory.unsaved for node in state.nodes)
    return state._replace(
        time=state.time + seconds,
        holder=-1 if has_lock else state.holder,
        paused=max(state.paused, seconds) if is_held_up else state.paused,
    )


def _with(values: tuple[Any, ...], i: int, value: Any) -> tuple[Any, ...]:
    return (*values[:i], value, *values[i + 1 :])


def named(step: Any) -> str:
    """A step, for people."""
    match step:
        case Save(login, expected):
            what = "the journal" if login.journal else "the record"
            token = login.token_set.refresh_token if login.token_set else None
            return f"save {what} with {str(token)!r} over version {expected}"
        case Send(token_set):
            return f"send {str(token_set.refresh_token)!r}"
        case Sleep(seconds):
            return f"sleep {seconds:g} s"
        case Locked():
            return "take the lock"
        case Release():
            return "free the lock"
    return type(step).__name__.lower()


def _schedule(link: Link) -> str:
    """What has led to a state, a step a line."""
    labels: list[str] = []
    while link is not None:
        label, link = link
        labels.insert(0, f"  {label}".rstrip())
    return "\n".join(labels[:60] + ["  ..."] * (len(labels) > 60))
