# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Memory that the kernel may take back at any time: libdroppable by ctypes.

    mem = droppable.Memory()
    cache = droppable.Cache(mem)
    data = cache.get_or_build(b"key", lambda key: expensive(key))

Nothing here gives a view or an address of droppable memory: it is read by
copying, whole or not at all.  What is gone raises Dropped, and has to be made
again; other errors raise OSError.  libdroppable(3) has the whole story.
"""
import ctypes
import errno
import os

__all__ = ["Buffer", "Cache", "Dropped", "Memory", "DEVICE_ONLY",
           "NATIVE_ONLY", "OR_FALLBACK", "FALLBACK_ONLY"]

DEVICE_ONLY, NATIVE_ONLY, OR_FALLBACK, FALLBACK_ONLY = 1, 2, 4, 8

_lib = ctypes.CDLL("libdroppable.so.0")
_size, _void = ctypes.c_size_t, ctypes.c_void_p
_BUILD = ctypes.CFUNCTYPE(ctypes.c_int, _void, _size, _void, _size,
                          ctypes.POINTER(_size), _void)


class Dropped(LookupError):
    """What was asked for is gone: make it again."""


class _Ref(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("gen", "at", "len")]


class _CacheStats(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "hits", "misses", "dropped", "rebuilt", "failed", "unstored", "waits",
        "entries", "index", "capacity", "used", "recycled")]


def _function(name, *argtypes, restype=ctypes.c_int):
    function = getattr(_lib, "droppable_" + name)
    function.argtypes, function.restype = argtypes, restype
    return function


_open = _function("open", ctypes.POINTER(_void), ctypes.c_uint)
_close = _function("close", _void, restype=None)
_guarantees = _function("guarantees", _void, restype=ctypes.c_uint64)
_guarantee_name = _function("guarantee_name", ctypes.c_uint64,
                            restype=ctypes.c_char_p)
_describe = _function("describe", _void, ctypes.c_char_p, _size)
_pool_open = _function("pool_open", _void, _size, ctypes.c_uint,
                       ctypes.POINTER(_void))
_pool_close = _function("pool_close", _void, restype=None)
_pool_put = _function("pool_put", _void, ctypes.c_char_p, _size,
                      ctypes.POINTER(_Ref))
_pool_read = _function("pool_read", _void, ctypes.POINTER(_Ref), _size,
                       ctypes.c_char_p, _size)
_pool_forget = _function("pool_forget", _void, ctypes.POINTER(_Ref))
_pool_drop = _function("pool_drop", _void, ctypes.POINTER(_Ref))
_cache_open = _function("cache_open", _void, _size, ctypes.c_uint,
                        ctypes.POINTER(_void))
_cache_close = _function("cache_close", _void, restype=None)
_cache_get = _function("cache_get_or_build", _void, ctypes.c_char_p, _size,
                       _BUILD, _void, ctypes.c_char_p, _size,
                       ctypes.POINTER(_size))
_cache_forget = _function("cache_forget", _void, ctypes.c_char_p, _size)
_cache_drop = _function("cache_drop", _void)
_cache_stats = _function("cache_stats", _void, ctypes.POINTER(_CacheStats),
                         _size)


def _check(err, what):
    if err == -errno.ENODATA:
        raise Dropped(what)
    if err < 0:
        raise OSError(-err, os.strerror(-err), what)


def _copy(data):
    """Of what is bytes-like only: bytes(5) would be five zeros."""
    return bytes(memoryview(data))


class Memory:
    """A source of droppable memory; kept by what is made from it."""

    def __init__(self, flags=0):
        self._ctx = _void()
        _check(_open(ctypes.byref(self._ctx), flags), "droppable_open")

    def __del__(self):
        _close(self._ctx)

    @property
    def guarantees(self):
        """Names of what the memory is guaranteed to be, as a set."""
        bits = _guarantees(self._ctx)
        return {_guarantee_name(1 << i).decode()
                for i in range(64) if bits >> i & 1 and _guarantee_name(1 << i)}

    def describe(self):
        """Backend, and what it has and lacks, as text."""
        text = ctypes.create_string_buffer(
            _describe(self._ctx, None, 0) + 1)
        _describe(self._ctx, text, len(text))
        return text.value.decode()


class Buffer:
    """Some bytes, at least one.  Not a bytes-like object, on purpose."""

    def __init__(self, memory, data):
        self._memory, self._pool, self._ref = memory, _void(), _Ref()
        data = _copy(data)
        _check(_pool_open(memory._ctx, 2 * len(data) + (1 << 16), 0,
                          ctypes.byref(self._pool)), "droppable_pool_open")
        self.write(data)

    def __del__(self):
        if self._pool:
            _pool_close(self._pool)

    def __len__(self):
        return self._ref.len

    def write(self, data):
        """Takes the place of what was there; one thread at a time."""
        data, ref = _copy(data), _Ref()
        if not data:
            raise ValueError("a buffer has at least one byte")
        _check(_pool_put(self._pool, data, len(data), ctypes.byref(ref)),
               "droppable_pool_put")
        was, self._ref = self._ref, ref
        if was.gen:
            _pool_forget(self._pool, ctypes.byref(was))

    def read(self, start=0, length=None):
        """A copy of it, or of a part; Dropped if it isn't there any more."""
        while True:
            ref = self._ref
            try:
                return self._read(ref, start, length)
            except Dropped:
                if ref is self._ref:  # not replaced by another thread
                    raise

    def _read(self, ref, start, length):
        if length is None:
            length = ref.len - start
        if start < 0 or length < 0 or start + length > ref.len:
            raise ValueError("not within the buffer")
        if length == 0:
            return b""
        copy = ctypes.create_string_buffer(length)
        _check(_pool_read(self._pool, ctypes.byref(ref), start, copy,
                          length), "droppable_pool_read")
        return copy.raw

    def drop(self):
        """Drops it, as the kernel could."""
        _check(_pool_drop(self._pool, None), "droppable_pool_drop")


class Cache:
    """A cache that the kernel may empty."""

    def __init__(self, memory, capacity=0):
        self._memory, self._cache = memory, _void()
        _check(_cache_open(memory._ctx, capacity, 0,
                           ctypes.byref(self._cache)), "droppable_cache_open")

    def __del__(self):
        if self._cache:
            _cache_close(self._cache)

    def get_or_build(self, key, build):
        """The bytes for a key, from the cache or from build(key)."""
        key, built, raised = _copy(key), [], []

        def call(_key, _key_len, buf, size, length, _arg):
            try:
                if not built:
                    built.append(_copy(build(key)))
                length[0] = len(built[0])
                if len(built[0]) > size:
                    return -errno.ENOBUFS
                ctypes.memmove(buf, built[0], len(built[0]))
                return 0
            except BaseException as error:  # passed on below
                raised.append(error)
                return -errno.ECANCELED

        size, call = 4096, _BUILD(call)
        while True:
            buf, length = ctypes.create_string_buffer(size), _size()
            err = _cache_get(self._cache, key, len(key), call, None, buf, size,
                             ctypes.byref(length))
            if raised:
                raise raised[0]
            if err != -errno.ENOBUFS:
                _check(err, "droppable_cache_get_or_build")
                return buf.raw[:length.value]
            size = length.value

    def forget(self, key):
        """Whether it was there."""
        key = _copy(key)
        return _cache_forget(self._cache, key, len(key)) == 0

    def drop(self):
        """Drops all values, as the kernel could."""
        _check(_cache_drop(self._cache), "droppable_cache_drop")

    def stats(self):
        """Counts, as a dict; droppable_cache_stats(3) explains them."""
        stats = _CacheStats()
        _check(_cache_stats(self._cache, ctypes.byref(stats),
                            ctypes.sizeof(stats)), "droppable_cache_stats")
        return {name: getattr(stats, name) for name, _ in stats._fields_}
