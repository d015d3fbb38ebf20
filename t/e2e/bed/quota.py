#!/usr/bin/python3
"""quota.py PID RUN-MS PERIOD-MS: lets a process have so much CPU time of each period and stops it for the rest, so
that its capacity is known on any machine. Ends, and lets it go on, on SIGTERM."""
import os
import signal
import sys
import time


def main(pid, run, period):
    clock = (~pid << 3) | 2  # of all threads of that process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    nap = time.sleep
    try:
        while True:
            began, used = time.monotonic(), time.clock_gettime(clock)
            os.kill(pid, signal.SIGCONT)
            while time.clock_gettime(clock) - used < run and time.monotonic() - began < period:
                nap(0.001)
            if time.monotonic() - began < period:
                os.kill(pid, signal.SIGSTOP)
                nap(max(0.0, began + period - time.monotonic()))
    except OSError:  # it is gone
        pass
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except OSError:
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]) / 1e3, float(sys.argv[3]) / 1e3)
