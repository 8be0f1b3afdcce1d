#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""droppable top in a terminal that is ours: terminal.py TOOL CHECK.

Without arguments it lists the checks.  DROPPABLE_ROOT has three processes, the
smallest of which is called small and the one before closed.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

SCREEN, BACK = b"\x1b[?1049h", b"\x1b[?1049l"
HOME = b"\x1b[H\x1b[J"


class Top:
    """A running top; what it has written is in self.said."""

    def __init__(self, rows, columns, *options):
        self.master, slave = pty.openpty()
        self.slave, self.said = slave, b""
        self.size(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.pid = os.fork()
        if not self.pid:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for fd in 0, 1, 2:
                os.dup2(slave, fd)
            os.execv(sys.argv[1], ["droppable", "top", *options])

    def size(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, enough, what):
        """Reads until enough(said)."""
        end = time.monotonic() + 20
        while not enough(self.said):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                sys.exit(f"no {what} in: {self.said!r}")
            self.said += os.read(self.master, 65536)

    def key(self, key):
        os.write(self.master, key)

    def end(self, want=0):
        self.until(lambda said: said.endswith(BACK), "end of the screen")
        _, status = os.waitpid(self.pid, 0)
        expect(os.waitstatus_to_exitcode(status), want)
        expect(termios.tcgetattr(self.slave), self.before)


def expect(got, want):
    if got != want:
        sys.exit(f"got {got!r}, want {want!r}")


def draws(count, row=b" small\r\n"):
    """So many screens have come, the last of them down to this row."""
    return lambda said: said.count(HOME) >= count and said.endswith(row)


def last(top):
    return top.said.split(HOME)[-1].decode().replace("\r", "").splitlines()


def processes(top):
    return [line for line in last(top) if re.match(r" *\d+ +\d+K", line)]


def it_redraws_until_q():
    top = Top(24, 80, "-d", "0.1")
    top.until(draws(4), "four screens")
    expect(top.said.startswith(SCREEN), True)
    expect(len(processes(top)) > 0, True)
    expect([line for line in last(top) if re.search(r"\bq\b", line)],
           ["Press q to end it."])
    top.key(b"x")
    top.key(b"q")
    top.end()


def interrupted_it_leaves_the_terminal_as_it_was():
    # ^C, ^\, and a signal from elsewhere.
    for key in b"\x03", b"\x1c", None:
        top = Top(24, 80, "-d", "60")
        top.until(draws(1), "screen")
        expect(termios.tcgetattr(top.slave)[3] & termios.ECHO, 0)
        if key:
            top.key(key)
        else:
            os.kill(top.pid, signal.SIGTERM)
        top.end()


def stopped_too_and_then_it_goes_on():
    top = Top(24, 80, "-d", "60")
    top.until(draws(1), "screen")
    # To itself: ^Z doesn't stop a session's leader that has no shell.
    os.kill(top.pid, signal.SIGTSTP)
    expect(os.WIFSTOPPED(os.waitpid(top.pid, os.WUNTRACED)[1]), True)
    top.until(lambda said: said.endswith(BACK), "end of the screen")
    expect(termios.tcgetattr(top.slave), top.before)
    os.kill(top.pid, signal.SIGCONT)
    top.until(lambda said: said.count(SCREEN) == 2 and draws(2)(said),
              "second screen")
    expect(termios.tcgetattr(top.slave)[3] & termios.ECHO, 0)
    top.key(b"q")
    top.end()


def it_keeps_to_the_window():
    # 8 lines: two more than what is above the processes and the last line.
    top = Top(8, 80, "-d", "60")
    top.until(draws(1, b" closed\r\n"), "screen with two processes")
    if len(last(top)) >= 8:
        sys.exit(f"too many lines: {last(top)}")
    expect(len(processes(top)), 2)
    # Lines that are too wide are cut off by the terminal: told not to wrap.
    expect(top.said.startswith(SCREEN + b"\x1b[?7l"), True)
    top.size(24, 80)
    os.kill(top.pid, signal.SIGWINCH)
    top.until(draws(2), "screen of another size, long before the delay is over")
    expect(len(processes(top)) > 2, True)
    top.key(b"q")
    top.end()
    expect(top.said.endswith(b"\x1b[?7h" + BACK), True)


def of_so_many_looks_the_last_one_stays():
    for count in "1", "3":
        # The window has room for two processes.
        top = Top(8, 80, "-d", "0.1", "-n", count)
        top.until(lambda said: BACK in said and said.endswith(b" waits/s\r\n"),
                  "totals after the end of the screen")
        expect(os.waitstatus_to_exitcode(os.waitpid(top.pid, 0)[1]), 0)
        expect(termios.tcgetattr(top.slave), top.before)
        expect(top.said.count(SCREEN), 1)
        expect(top.said.count(BACK), 1)
        shown, stays = top.said.split(BACK)
        # One at once, and one for each look but the last.
        expect(shown.count(HOME), int(count))
        header, *rows = stays.decode().splitlines()
        expect(header.split()[::8], ["PID", "COMMAND"])
        expect([row.split()[0] for row in rows],
               ["200", "300", "100", "all", "0"])


def without_a_module_it_says_so_afterwards():
    os.environ["DROPPABLE_ROOT"] = "/nowhere"
    top = Top(24, 80)
    top.until(lambda said: b"there is no /dev/droppable" in said, "complaint")
    expect(top.said.index(BACK) < top.said.index(b"there is no"), True)
    expect(os.waitstatus_to_exitcode(os.waitpid(top.pid, 0)[1]), 3)


CHECKS = (it_redraws_until_q, interrupted_it_leaves_the_terminal_as_it_was,
          stopped_too_and_then_it_goes_on, it_keeps_to_the_window,
          of_so_many_looks_the_last_one_stays,
          without_a_module_it_says_so_afterwards)
if len(sys.argv) == 1:
    print("\n".join(check.__name__ for check in CHECKS))
else:
    {check.__name__: check for check in CHECKS}[sys.argv[2]]()
