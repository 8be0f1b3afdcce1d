# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Tests of droppable.py: python3 -m unittest, with libdroppable.so.0 found."""
import errno
import os
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
            with self.assertRaises(OSError):
                buffer.read(3, 3)
            with self.assertRaises(ValueError):
                buffer.read(-1)

    def test_buffer_gives_no_view(self):
        buffer = droppable.Buffer(self.memory, b"secret")
        for view in memoryview, bytes, bytearray:
            with self.assertRaises(TypeError):
                view(buffer)

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
