# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Tests of droppable.py: python3 -m unittest, with libdroppable.so.0 found."""
import errno
import linecache
import os
import signal
import sys
import threading
import time
import unittest

import droppable
import example


class Interrupted(BaseException):
    """What a signal handler raises."""


def interrupt(*_):
    raise Interrupted


def until(true):
    """Waits for it, but not for ever."""
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.001)


class Getter(threading.Thread):
    """Gets a value in a thread of its own."""

    def __init__(self, cache, key, build):
        super().__init__(daemon=True)
        self.args, self.got, self.raised = (key, build), None, None
        self.cache = cache
        self.start()

    def run(self):
        try:
            self.got = self.cache.get_or_build(*self.args)
        except BaseException as error:
            self.raised = error

    def result(self):
        self.join(20)
        return "still there" if self.is_alive() else self.raised or self.got


class Test(unittest.TestCase):
    def setUp(self):
        self.memory = droppable.Memory(droppable.OR_FALLBACK)

    def test_memory(self):
        self.assertIn("wiped-on-fork", self.memory.guarantees)
        self.assertIn("backend: ", self.memory.describe())
        with self.assertRaises(OSError) as caught:
            droppable.Memory(3)
        self.assertEqual(caught.exception.errno, errno.EINVAL)

    def test_buffer(self):
        for size in 1, 4088, 4089, 100000:
            data = os.urandom(size)
            buffer = droppable.Buffer(self.memory, data)
            self.assertEqual(buffer.read(), data)
            self.assertEqual(buffer.read(size // 2), data[size // 2:])
            self.assertEqual(len(buffer), size)
            buffer.drop()
            with self.assertRaises(droppable.Dropped):
                buffer.read()
            buffer.write(b"again")
            self.assertEqual(buffer.read(1, 3), b"gai")
            self.assertEqual(buffer.read(5), b"")
            for start, length in (3, 3), (-1, 1), (0, -1), (6, None):
                with self.assertRaises(ValueError):
                    buffer.read(start, length)

    def test_buffer_is_full(self):
        """As many bytes as it was made with fit; what is too long changes
        nothing."""
        # Of memory that nobody but the buffer takes back.
        memory = droppable.Memory(droppable.FALLBACK_ONLY)
        most = 4096 * (os.sysconf("SC_PAGESIZE") - 8)
        for size in 1, 100000, most:
            buffer = droppable.Buffer(memory, b"0" * size)
            for digit in b"1", b"2", b"3":
                buffer.write(digit * size)
                self.assertEqual(buffer.read(), digit * size)
            with self.assertRaises(OSError) as caught:
                buffer.write(b"4" * (most + 1))
            self.assertEqual(caught.exception.errno, errno.EFBIG)
            self.assertEqual(buffer.read(), b"3" * size)
        with self.assertRaises(OSError) as caught:
            droppable.Buffer(memory, b"0" * (most + 1))
        self.assertEqual(caught.exception.errno, errno.EFBIG)

    def test_buffer_gives_no_view(self):
        buffer = droppable.Buffer(self.memory, b"secret")
        for view in memoryview, bytes, bytearray:
            with self.assertRaises(TypeError):
                view(buffer)

    def test_what_is_no_bytes(self):
        buffer = droppable.Buffer(self.memory, bytearray(b"secret"))
        cache = droppable.Cache(self.memory)
        for wrong in 5, "text", None, [1]:
            with self.assertRaises(TypeError):
                droppable.Buffer(self.memory, wrong)
            with self.assertRaises(TypeError):
                buffer.write(wrong)
            with self.assertRaises(TypeError):
                cache.get_or_build(wrong, lambda key: b"")
            with self.assertRaises(TypeError):
                cache.get_or_build(b"key", lambda key, what=wrong: what)
            with self.assertRaises(TypeError):
                cache.forget(wrong)
        with self.assertRaises(ValueError):
            droppable.Buffer(self.memory, b"")
        self.assertEqual(buffer.read(), b"secret")

    def test_threads(self):
        """Who reads finds one of the values written, all the time."""
        # Of memory that nobody but the buffer takes back.
        memory = droppable.Memory(droppable.FALLBACK_ONLY)
        buffer, over = droppable.Buffer(memory, b"0" * 5000), []

        def write():
            for i in range(3000):
                buffer.write(b"%d" % (i % 10) * (5000 + i % 7))
            over.append(True)

        thread = threading.Thread(target=write)
        thread.start()
        found = 0
        while not over:
            self.assertEqual(len(set(buffer.read())), 1)
            found += 1
        thread.join()
        self.assertGreater(found, 0)

    def test_child(self):
        buffer = droppable.Buffer(self.memory, b"secret")
        pid = os.fork()
        if not pid:
            try:
                buffer.read()
            except droppable.Dropped:
                os._exit(0)
            os._exit(1)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.assertEqual(buffer.read(), b"secret")

    def test_cache(self):
        cache, calls = droppable.Cache(self.memory), []

        def build(key):
            calls.append(key)
            return key * 3000

        for _ in range(3):
            for key in b"", b"a", b"some key":
                self.assertEqual(cache.get_or_build(key, build), key * 3000)
        self.assertEqual(len(calls), 3)
        cache.drop()
        self.assertEqual(cache.get_or_build(b"a", build), b"a" * 3000)
        self.assertEqual(cache.stats()["rebuilt"], 1)
        self.assertTrue(cache.forget(b"a"))
        self.assertFalse(cache.forget(b"a"))

    def test_exception(self):
        cache = droppable.Cache(self.memory)
        with self.assertRaises(ZeroDivisionError):
            cache.get_or_build(b"x", lambda key: 1 // 0)
        self.assertEqual(cache.get_or_build(b"x", lambda key: b"y"), b"y")

    def assertCounts(self, cache, **want):
        stats = cache.stats()
        self.assertEqual({name: stats[name] for name in want}, want)

    def herd(self, cache, n, ends):
        """n threads that want the same; the first build waits for the rest,
        then ends() says how it does, as do all others."""
        calls = []

        def build(key):
            calls.append(key)
            until(lambda: cache.stats()["waits"] >= n - 1)
            return ends(len(calls))

        first = Getter(cache, b"key", build)
        until(lambda: calls)
        others = [Getter(cache, b"key", build) for _ in range(n - 1)]
        return [t.result() for t in [first] + others], len(calls)

    def test_one_builds(self):
        """Of several threads, and the others get what it built."""
        for size in 0, 4000, 10000, 1 << 20:
            cache = droppable.Cache(self.memory, 64 << 20)
            got, calls = self.herd(cache, 6, lambda nr: b"x" * size)
            self.assertEqual(set(got), {b"x" * size})
            self.assertEqual(calls, 1)
            self.assertCounts(cache, hits=5, misses=1, rebuilt=0, failed=0,
                              unstored=0, waits=5)

    def test_one_builds_what_is_too_large(self):
        cache = droppable.Cache(self.memory, 1 << 16)
        got, calls = self.herd(cache, 4, lambda nr: b"x" * (1 << 20))
        self.assertEqual(set(got), {b"x" * (1 << 20)})
        self.assertEqual(calls, 1)
        self.assertCounts(cache, hits=3, misses=1, unstored=1)

    def test_builder_dies(self):
        """One of those who wait builds in its place."""
        def ends(nr):
            if nr == 1:
                raise SystemExit
            return b"value"

        cache = droppable.Cache(self.memory)
        got, calls = self.herd(cache, 4, ends)
        self.assertIsInstance(got[0], SystemExit)
        self.assertEqual(got[1:], [b"value"] * 3)
        self.assertEqual(calls, 2)
        self.assertCounts(cache, hits=2, misses=2, failed=1)

    def test_signal_while_it_waits(self):
        """The handler's exception comes out of get_or_build()."""
        cache = droppable.Cache(self.memory)
        was = signal.signal(signal.SIGUSR1, interrupt)
        self.addCleanup(signal.signal, signal.SIGUSR1, was)
        building = threading.Event()

        def build(key):
            building.set()
            until(lambda: cache.stats()["waits"])
            os.kill(os.getpid(), signal.SIGUSR1)
            raise OSError(errno.EIO, "no disk")

        other = Getter(cache, b"key", build)
        building.wait(20)
        with self.assertRaises(Interrupted):
            cache.get_or_build(b"key", lambda key: b"right")
        self.assertIsInstance(other.result(), OSError)
        self.assertEqual(cache.get_or_build(b"key", lambda key: b"right"),
                         b"right")

    def test_signal_at_any_time(self):
        """Whatever line it comes before, nobody hangs or gets wrong bytes."""
        left = 0

        def trace(frame, event, _arg):
            nonlocal left
            if frame.f_code.co_filename != droppable.__file__:
                return None
            # None comes between a lock and what its "with" undoes.
            line = linecache.getline(droppable.__file__, frame.f_lineno)
            if event == "line" and line.split()[0] not in ("with", "try:"):
                left -= 1
                if not left:
                    raise Interrupted
            return trace

        cache, n, got = droppable.Cache(self.memory), 0, None
        while not got:
            n, key = n + 1, b"%d" % n
            left = n
            old = sys.gettrace()
            sys.settrace(trace)
            try:
                got = cache.get_or_build(key, lambda key: b"value of " + key)
            except Interrupted:
                pass
            finally:
                sys.settrace(old)
            for _ in range(2):
                again = Getter(cache, key, lambda key: b"value of " + key)
                self.assertEqual(again.result(), b"value of " + key)
        self.assertEqual(got, b"value of " + key)
        self.assertGreater(n, 10)

    def test_builder_that_asks(self):
        """For its own key it can't have it; for others it doesn't wait."""
        cache = droppable.Cache(self.memory)
        with self.assertRaises(OSError) as caught:
            cache.get_or_build(b"a", lambda key: cache.get_or_build(
                b"b", lambda _: cache.get_or_build(key, lambda _: b"")))
        self.assertEqual(caught.exception.errno, errno.EDEADLK)

        both = threading.Barrier(2)

        def build(key):
            both.wait(20)
            other = b"b" if key == b"a" else b"a"
            value = key + cache.get_or_build(other, lambda key: key)
            both.wait(20)
            return value

        threads = [Getter(cache, key, build) for key in (b"a", b"b")]
        self.assertEqual([t.result() for t in threads], [b"ab", b"ba"])

    def test_forget_while_it_is_built(self):
        """It may be made from what isn't so any more: returned, not kept,
        and who asks from then on doesn't wait for it."""
        # Of memory that nobody but the cache takes back.
        memory = droppable.Memory(droppable.FALLBACK_ONLY)
        cache, others = droppable.Cache(memory), []

        def build(key):
            cache.forget(key)
            other = Getter(cache, key, lambda key: b"new")
            others.append(other.result())
            return b"old"

        self.assertEqual(cache.get_or_build(b"key", build), b"old")
        self.assertEqual(others, [b"new"])
        self.assertEqual(cache.get_or_build(b"key", lambda key: b"newer"),
                         b"new")
        self.assertCounts(cache, hits=1, misses=2, unstored=1)

    def test_child_while_it_is_built(self):
        """Of what other threads are building it knows nothing."""
        cache, building = droppable.Cache(self.memory), threading.Event()
        go_on = threading.Event()

        def build(key):
            building.set()
            go_on.wait(20)
            return b"parent's"

        other = Getter(cache, b"key", build)
        building.wait(20)
        pid = os.fork()
        if not pid:
            signal.alarm(10)
            got = cache.get_or_build(b"key", lambda key: b"child's")
            os._exit(got != b"child's")
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        go_on.set()
        self.assertEqual(other.result(), b"parent's")

    def test_builder_that_forks(self):
        """The child goes on building, and is as good a builder."""
        cache, pids = droppable.Cache(self.memory), []

        def build(key):
            pids.append(os.fork())
            if not pids[0]:
                signal.alarm(10)
            return b"value"

        try:
            got = cache.get_or_build(b"key", build)
            got += cache.get_or_build(b"key", lambda key: b"wrong")
        finally:
            if not pids[0]:
                os._exit(got != b"value" * 2)
        self.assertEqual(got, b"value" * 2)
        self.assertEqual(os.waitpid(pids[0], 0)[1], 0)

    def test_example(self):
        """Its cache has an end where the kernel takes nothing back."""
        memory = droppable.Memory(droppable.FALLBACK_ONLY)
        self.assertLessEqual(example.open_cache(memory).stats()["capacity"],
                             64 << 20)


if __name__ == "__main__":
    unittest.main()
