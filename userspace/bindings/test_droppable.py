# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Tests of droppable.py: python3 -m unittest, with libdroppable.so.0 found."""
import errno
import os
import threading
import unittest

import droppable


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


if __name__ == "__main__":
    unittest.main()
