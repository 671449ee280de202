"""Hearing SIGTERM beside whoever else does, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

PRELUDE = """
import os, signal, socket, sys, threading, time
from edgeflow_lambda import _hearing
from edgeflow_lambda._hearing import Hearing

class Guard:
    heard, durable = [], threading.Event()

    def hear(self, number):
        self.heard.append(number)

    def wait(self, timeout):
        return self.durable.wait(timeout)

def leave(code):
    print("heard", guard.heard, "leaves with", code, flush=True)
    os._exit(code)

def terminate():
    os.kill(os.getpid(), signal.SIGTERM)

def work(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass

guard, hearing = Guard(), Hearing(leave)
"""


def run(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + dedent(script)],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


HEARD = "heard [<Signals.SIGTERM: 15>] leaves with 0"


def test_the_process_ends_once_all_is_durable_though_the_main_thread_is_busy() -> None:
    # P-09: as where it waits in C
    lines = run(
        """
        hearing.begin(guard)
        terminate()
        threading.Timer(0.05, guard.durable.set).start()
        work(10)
        """
    )

    assert lines == [HEARD]


def test_who_heard_before_hears_too() -> None:
    # P-09: a handler in Python, and a pipe like that of an event loop
    lines = run(
        """
        signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
        theirs, ours = socket.socketpair()
        ours.setblocking(False)
        signal.set_wakeup_fd(ours.fileno())
        hearing.begin(guard)
        terminate()
        print("their pipe has", list(theirs.recv(1)), flush=True)
        guard.durable.set()
        threading.Event().wait()
        """
    )

    assert sorted(lines) == sorted(["mine", "their pipe has [15]", HEARD])


def test_a_file_that_has_the_number_of_an_older_pipe_is_left_alone() -> None:
    lines = run(
        """
        import tempfile
        theirs, ours = socket.socketpair()
        ours.setblocking(False)
        signal.set_wakeup_fd(ours.fileno())
        hearing.begin(guard)
        number = ours.detach()
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), number)
            terminate()
            while not guard.heard:
                pass
            print("the file has", file.seek(0, 2), "bytes", flush=True)
        guard.durable.set()
        threading.Event().wait()
        """
    )

    assert lines == ["the file has 0 bytes", HEARD]


def test_a_pipe_that_somebody_else_has_set_since_is_taken_back_at_the_next_call() -> (
    None
):
    lines = run(
        """
        import asyncio
        hearing.begin(guard)

        async def listen():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, print)
            loop.remove_signal_handler(signal.SIGUSR1)  # leaves no pipe at all

        asyncio.run(listen())
        with hearing.calling():
            pass
        terminate()
        guard.durable.set()
        threading.Event().wait()
        """
    )

    assert lines == [HEARD]


def test_a_call_in_flight_gets_a_moment_to_be_answered() -> None:
    lines = run(
        """
        _hearing.ANSWER_SECONDS = 5
        _hearing.SEND_SECONDS = 0.5
        hearing.begin(guard)
        guard.durable.set()
        with hearing.calling():
            terminate()
            while not guard.heard:
                pass
            work(0.6)  # more than what there is to send an answer
        work(0.01)  # as it takes the runtime to send it
        print("answered", flush=True)
        threading.Event().wait()
        """
    )

    assert lines == ["answered", HEARD]


def test_a_call_that_is_not_answered_is_not_waited_for() -> None:
    lines = run(
        """
        hearing.begin(guard)
        guard.durable.set()
        with hearing.calling():
            terminate()
            threading.Event().wait()
        """
    )

    assert lines == [HEARD]


def test_who_computes_lets_others_have_a_turn_sooner() -> None:
    lines = run(
        """
        hearing.begin(guard)
        terminate()
        while not guard.heard:
            pass
        print(sys.getswitchinterval(), flush=True)
        guard.durable.set()
        threading.Event().wait()
        """
    )

    assert lines == ["0.0005", HEARD]


def test_what_does_not_become_durable_is_left_to_the_watchdog() -> None:
    lines = run(
        """
        # Not `print`: it may happen while the interpreter ends.
        guard.wait = lambda timeout: not os.write(1, b"waits %.1f\\n" % timeout)
        hearing.begin(guard)
        for _ in range(2):
            terminate()
            while not guard.heard:
                pass
            guard.heard.clear()
        """
    )

    assert lines[0] == "waits 2.0"


FORK = """import warnings
        from multiprocessing import get_context
        warnings.simplefilter("ignore")  # 3.12 warns of a fork beside threads
        fork = get_context("fork")
        guard.durable.set()"""


def test_a_child_that_is_ended_at_once_does_not_end_its_parent() -> None:
    lines = run(
        f"""
        {FORK}
        os.register_at_fork(after_in_child=terminate)
        hearing.begin(guard)
        child = fork.Process(target=time.sleep, args=(60,))
        child.start()
        child.join()
        print("child", child.exitcode, "heard", guard.heard)
        """
    )

    assert lines == ["child -15 heard []"]


def test_a_child_that_hears_by_itself_does_not_end_its_parent() -> None:
    lines = run(
        f"""
        {FORK}
        hearing.begin(guard)

        def live(ready):
            signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
            ready.set()
            time.sleep(60)

        ready = fork.Event()
        child = fork.Process(target=live, args=(ready,))
        child.start()
        ready.wait()
        child.terminate()
        child.join()
        print("child", child.exitcode, "heard", guard.heard)
        """
    )

    assert lines == ["child 7 heard []"]


def test_it_begins_once() -> None:
    lines = run("print(hearing.begin(guard), hearing.begin(guard))")

    assert lines == ["True False"]
