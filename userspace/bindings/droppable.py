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
import threading
import weakref

__all__ = ["Buffer", "Cache", "Dropped", "Memory", "DEVICE_ONLY",
           "NATIVE_ONLY", "OR_FALLBACK", "FALLBACK_ONLY"]

DEVICE_ONLY, NATIVE_ONLY, OR_FALLBACK, FALLBACK_ONLY = 1, 2, 4, 8

_lib = ctypes.CDLL("libdroppable.so.0")
_size, _void = ctypes.c_size_t, ctypes.c_void_p


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
_cache_get = _function("cache_get", _void, ctypes.c_char_p, _size,
                       ctypes.c_char_p, _size, ctypes.POINTER(_size))
_cache_put = _function("cache_put", _void, ctypes.c_char_p, _size,
                       ctypes.c_char_p, _size)
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
    """Some bytes, at least one.  Not a bytes-like object, on purpose.

    A little less than 16 MiB at most: 4096 pages, less 8 bytes each.  More is
    OSError, EFBIG, "File too large", and has to go into several buffers.
    """

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
        """Takes the place of what was there; one thread at a time.

        There is room for as many bytes as it was made with.  More may be
        OSError, EFBIG: then what was there stays; make another Buffer.
        """
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


class _Flight:
    """A thread looks for a value, and builds it if it isn't there."""

    def __init__(self, key):
        self.key, self.thread = key, threading.get_ident()
        self.over = threading.Lock()  # held by that thread until it is
        self.building, self.value = False, None
        self.keep = threading.RLock()  # held to store it, and to set this
        self.stale = False


class Cache:
    """A cache that the kernel may empty.

    For any number of threads.  Not to be called by a signal handler, but one
    may raise: that ends the call that it came into, and nothing else.
    """

    # Who builds is seen to here and not by droppable_cache_get_or_build(3):
    # Python runs signal handlers whenever C calls it back, and ctypes loses
    # what they raise and returns an arbitrary int for the builder.
    #
    # What a handler raises can come after any call, also in a finally.  But
    # "with" and a lock are C: nothing comes between taking it and the body,
    # or the body and releasing it.  So what others wait for is such a lock,
    # and a flight that was kept from its _end() is known by that.

    def __init__(self, memory, capacity=0):
        self._memory, self._cache = memory, _void()
        _check(_cache_open(memory._ctx, capacity, 0,
                           ctypes.byref(self._cache)), "droppable_cache_open")
        self._lock = threading.RLock()  # of what follows
        self._flights = []
        self._counts = dict.fromkeys(
            ("hits", "failed", "unstored", "waits", "absent"), 0)
        _caches.add(self)

    def __del__(self):
        if self._cache:
            _cache_close(self._cache)

    def get_or_build(self, key, build):
        """The bytes for a key, from the cache or from build(key).

        What build() raises is raised here.  While it runs, other threads that
        want the same wait and get the same; if it raises, one of them builds.
        It may use the cache for other keys, and then doesn't wait for others
        who build them; for its own key that is OSError, EDEADLK.
        """
        key = _copy(key)
        while True:
            mine = _Flight(key)
            with mine.over:
                other = self._begin(mine)
                if not other:
                    try:
                        return self._fly(mine, build)
                    finally:
                        self._end(mine)
            with other.over:  # waits
                pass
            if other.value is not None and not other.stale:
                self._count("hits")
                return other.value

    def _begin(self, mine):
        """None; or who is at it already, to be waited for."""
        with self._lock:
            # Without those that were kept from their _end().
            self._flights = [f for f in self._flights if f.over.locked()]
            own = [f for f in self._flights if f.thread == mine.thread]
            same = [f for f in self._flights
                    if f.key == mine.key and not f.stale]
            if any(f.building and f.key == mine.key for f in own):
                _check(-errno.EDEADLK, "get_or_build")
            # Two threads that build could wait for each other.
            if same and not own:
                self._counts["waits"] += same[0].building
                return same[0]
            self._flights.append(mine)
            return None

    def _end(self, mine):
        with self._lock:
            if mine in self._flights:
                self._flights.remove(mine)

    def _fly(self, mine, build):
        value = self._look_up(mine.key)
        if value is None:
            self._count("absent")
            value = self._build(mine, build)
            self._store(mine, value)
        mine.value = value
        return value

    def _look_up(self, key):
        """None if it isn't there."""
        size = 4096
        while True:
            buf, length = ctypes.create_string_buffer(size), _size()
            err = _cache_get(self._cache, key, len(key), buf, size,
                             ctypes.byref(length))
            if err == -errno.ENODATA:
                return None
            if err != -errno.ENOBUFS:
                _check(err, "droppable_cache_get")
                return buf.raw[:length.value]
            size = length.value

    def _build(self, mine, build):
        try:
            mine.building = True
            return _copy(build(mine.key))
        except BaseException:
            self._count("failed")
            raise
        finally:
            mine.building = False

    def _store(self, mine, value):
        """Unless it was forgotten meanwhile, or can't be kept."""
        with mine.keep:
            err = mine.stale or _cache_put(self._cache, mine.key,
                                           len(mine.key), value, len(value))
        if err:
            self._count("unstored")

    def _count(self, what):
        with self._lock:
            self._counts[what] += 1

    def _in_child(self):
        """After fork(2): the threads that others wait for aren't here."""
        self._lock, me = threading.RLock(), threading.get_ident()
        for flight in self._flights:
            if flight.thread != me and flight.over.locked():
                flight.over.release()
        self._flights = [f for f in self._flights if f.thread == me]

    def forget(self, key):
        """Whether it was there.  What is being built for it isn't kept."""
        key = _copy(key)
        with self._lock:
            flights = [f for f in self._flights if f.key == key]
        for flight in flights:
            with flight.keep:
                flight.stale = True
        return _cache_forget(self._cache, key, len(key)) == 0

    def drop(self):
        """Drops all values, as the kernel could."""
        _check(_cache_drop(self._cache), "droppable_cache_drop")

    def stats(self):
        """Counts, as a dict; libdroppable_cache(3) explains them.

        Who waited and got what another thread built is a hit, also if that
        couldn't be kept; waits leaves out who came while that still looked
        whether it has to.  A call that ended by what a signal handler raised
        may be a miss though it built nothing, and rebuilt is one too low then.
        """
        stats = _CacheStats()
        with self._lock:
            counts = dict(self._counts)
        _check(_cache_stats(self._cache, ctypes.byref(stats),
                            ctypes.sizeof(stats)), "droppable_cache_stats")
        found = {name: getattr(stats, name) for name, _ in stats._fields_}
        # The library only knows what was looked up: never there is a miss.
        absent = counts.pop("absent")
        found["rebuilt"] = max(absent - found["misses"], 0)
        for name, count in counts.items():
            found[name] += count
        return found


_caches = weakref.WeakSet()


def _in_child():
    for cache in _caches:
        cache._in_child()


os.register_at_fork(after_in_child=_in_child)
