"""stalls.py: when the machine stood still: on each CPU a clock that wants to be woken every few milliseconds, and says
when it was not. What a test times in such a moment says nothing of what it tests."""
import gc
import multiprocessing
import os
import time

from . import wait

TICK, LATE = 0.004, 0.02  # seconds


class Stalls:
    """with Stalls() as stalls: ...; afterwards stalls.during(begin, end) by the monotonic clock. Meanwhile no garbage
    is collected: this process, whose threads are back-ends and clients, would stand still for a tenth of a second."""

    def __init__(self):
        fork = multiprocessing.get_context("fork")
        self.over, self.all = fork.Event(), []
        self.clocks = []
        for cpu in os.sched_getaffinity(0):
            at, to = fork.Pipe(False)
            self.clocks.append((fork.Process(target=self.watch, args=(cpu, to), daemon=True), at))

    def watch(self, cpu, to):
        os.sched_setaffinity(0, {cpu})
        late, before = [], time.monotonic()
        while not self.over.is_set():
            wait._pause(TICK)
            now = time.monotonic()
            if now - before > LATE:
                late.append((before, now))
            before = now
        to.send(late)

    def __enter__(self):
        for process, _ in self.clocks:
            process.start()
        gc.collect()
        gc.disable()
        return self

    def __exit__(self, *_):
        gc.enable()
        self.over.set()
        for process, at in self.clocks:
            self.all += at.recv() if at.poll(5) else []
            process.join(5)
            if process.is_alive():
                process.kill()

    def seconds(self, begin, end):
        """How much of that time at least one CPU stood still."""
        total, at = 0.0, begin
        for since, until in sorted(self.all):
            since, until = max(since, at), min(until, end)
            if until > since:
                total, at = total + until - since, until
        return total

    def during(self, begin, end):
        return any(since < end and until > begin for since, until in self.all)
