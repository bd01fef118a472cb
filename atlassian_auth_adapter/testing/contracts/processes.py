"""Threads, forks and processes for the tests of stores."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import pytest

__all__ = [
    "PATIENCE",
    "begin_child",
    "fork",
    "forking",
    "in_forked_child",
    "needs_fork",
    "process",
    "together",
]

T = TypeVar("T")

#: Held while a thread forks: filelock (4.3.1, on Python 3.12 and later) raises RuntimeError
#: in a thread that forks at the same instant, and filters of warnings belong to all threads.
_fork_lock = threading.RLock()

#: Seconds to wait for what must happen; only a failing test waits that long.
PATIENCE = 30.0

#: What tests of stores use: to load it takes a new interpreter most of its time.
_LOADED_ONCE = [
    "atlassian_auth_adapter.testing.contracts.stores",
    *(f"atlassian_auth_adapter.stores.{kind}" for kind in ("encrypted", "file", "redis", "sql")),
]


def together(count: int, work: Callable[[int], T]) -> list[T]:
    """What `work(0)` ... `work(count - 1)` return when as many threads start them at once."""
    barrier = threading.Barrier(count)

    def run(number: int) -> T:
        barrier.wait(PATIENCE)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def in_forked_child(work: Callable[[], T]) -> T:
    """What `work()` returns in a forked child; an error of the child is raised here, as pickled.

    The child is not traced, and is killed at its end: coverage and the like belong to the parent. A
    child that hangs is killed as well.
    """
    read, write = os.pipe()
    with forking():
        child = fork()
    if not child:
        begin_child()
        try:
            answer = pickle.dumps((True, work()))
        except BaseException as error:  # noqa: BLE001 - it is raised in the parent
            answer = _pickled(error)
        try:
            with os.fdopen(write, "wb") as pipe:
                pipe.write(answer)
        finally:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        pickled = pipe.read()
    os.waitpid(child, 0)
    succeeded, value = pickle.loads(pickled)
    if not succeeded:
        raise value
    result: T = value
    return result


def begin_child() -> None:
    """What a forked child of a test does first: it is not traced, and ends if it hangs."""
    sys.settrace(None)
    threading.settrace(None)
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(2 * PATIENCE))  # the end of a child that hangs, and of its parent's wait


def _pickled(error: BaseException) -> bytes:
    try:
        return pickle.dumps((False, error))
    except Exception:  # noqa: BLE001 - whatever the pickling of an error raises
        return pickle.dumps((False, AssertionError(f"in the child: {error!r}")))


@contextmanager
def forking() -> Iterator[None]:
    """The calling thread may fork within the context, and no other.

    Nothing is traced meanwhile: another thread may have the tracer's lock at that instant, and the
    child would wait for it for ever in the hooks that run before its first line.
    """
    parent, tracer = os.getpid(), sys.gettrace()
    with _fork_lock, warnings.catch_warnings():
        # Python 3.12 and later warn when other threads run, which is what these tests are about.
        warnings.simplefilter("ignore", DeprecationWarning)
        sys.settrace(None)
        try:
            yield
        finally:
            if os.getpid() == parent:
                sys.settrace(tracer)


@contextmanager
def process(work: Callable[..., None], *arguments: Any, killed: bool = False) -> Iterator[Any]:
    """The connection to `work(*arguments, connection)`, which runs in a process of its own.

    That process gets pickles of the arguments and has nothing else of this one: it is forked from a
    server that has loaded the modules, or is a new interpreter where there is no fork. In the end
    it is killed, or ends by itself once the connection is closed.
    """
    near, far = multiprocessing.Pipe()
    child = _new_process(work, (*arguments, far))
    child.start()
    far.close()
    try:
        yield near
    finally:
        if killed:
            child.kill()
        near.close()
        child.join(PATIENCE)
        child.kill()


def _new_process(work: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
    child: BaseProcess
    if sys.platform == "win32":
        child = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    else:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_LOADED_ONCE)
        child = context.Process(target=work, args=arguments)
    return child


def needs_fork() -> None:
    """Skip the test on systems that have none."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")


def fork() -> int:
    """As os.fork, where there is one."""
    if sys.platform != "win32":
        return os.fork()
    raise NotImplementedError("this system has no fork")
