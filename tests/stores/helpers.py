"""What several tests of stores need: errors, locks, kills and new processes."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest

import atlassian_auth_adapter
from atlassian_auth_adapter.errors import TokenStoreError, TokenStoreUnavailableError
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE, begin_child, forking
from atlassian_auth_adapter.testing.contracts.stores import NAME, assert_no_secret

PACKAGE = str(Path(atlassian_auth_adapter.__file__).parent)


def refused(work, *words, kind=None):
    """The error of `work()`: of this kind, with these words, and nothing leads to a secret."""
    with pytest.raises(TokenStoreError if kind is None else kind) as raised:
        work()
    error = raised.value
    kinds = (TokenStoreError, TokenStoreUnavailableError) if kind is None else (kind,)
    assert type(error) in kinds
    for word in words:
        assert str(word) in str(error)
    assert_no_secret(error)
    return error


def locking(store, timeout=0.0):
    """Take the lock of NAME, and leave it."""
    with store.lock(NAME, timeout=timeout):
        pass


def until(condition):
    """Wait until it is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def variables_of(error):
    """Names and values of the variables in the package's frames: error reporters print them."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if frame.f_code.co_filename.startswith(PACKAGE)]
    return [item for frame in ours for item in frame.f_locals.items()]


def in_new_process(script, *stores):
    """What a new interpreter prints for a script in which these are unpickled: a, b, ..."""
    names = "".join(f"{name}, " for name in "abcdef"[: len(stores)])
    code = f"import pickle, sys\n({names}) = pickle.load(sys.stdin.buffer)\n{script}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        input=pickle.dumps(stores),
        capture_output=True,
        timeout=PATIENCE,
    )
    assert not done.stderr, done.stderr.decode()
    return done.stdout.decode().splitlines()


#: Tries each method of the store `a`, and prints the errors.
TRY_EVERYTHING = """
from atlassian_auth_adapter.errors import TokenStoreError
for store in (a, pickle.loads(pickle.dumps(a))):
    for work in (
        lambda: store.load("x"),
        lambda: store.save("x", "", expected=None),
        lambda: store.lock("x", timeout=1e6).__enter__(),
        lambda: store.delete("x"),
    ):
        try:
            work()
        except TokenStoreError as error:
            print(f"{store!r}: {error}")
"""


class Failpoint:
    """Kills the process with signal 9 before the n-th line of these files runs, in any thread."""

    def __init__(self, number, files):
        self.left, self.files = itertools.count(number, -1), files

    def __call__(self, frame, event, argument):
        """Count a line, as the trace function."""
        if frame.f_code.co_filename not in self.files:
            return None
        if event == "line" and next(self.left) == 0:
            self.stop()
        return self

    def stop(self):
        """End what runs."""
        os.kill(os.getpid(), signal.SIGKILL)


def killed_before_line(number, files, work):
    """Whether `work()` in a child was killed before its n-th line in these files, and not done."""
    with forking():
        child = os.fork()
    if not child:
        begin_child()
        try:
            failpoint = Failpoint(number, files)
            threading.settrace(failpoint)
            sys.settrace(failpoint)
            work()
        finally:
            sys.settrace(None)
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)
