#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""An example of droppable.py: files that stay in memory compressed, as long as
the kernel has room for them.

    python3 example.py FILE...
"""
import sys
import zlib

import droppable


def pack(path):
    """Slow, so worth keeping; and can be had again, so fit to be dropped."""
    with open(path, "rb") as file:
        return zlib.compress(file.read(), 9)


def open_cache(memory):
    """One that grows until the kernel takes some of it back: if it does.  What
    stands in for that on other machines fills memory and swap."""
    return droppable.Cache(
        memory, 0 if "droppable" in memory.guarantees else 64 << 20)


def main(paths):
    memory = droppable.Memory(droppable.OR_FALLBACK)
    cache = open_cache(memory)
    # The first line says what kind of memory that is.
    print(memory.describe().splitlines()[0], file=sys.stderr)
    for path in paths:
        packed = cache.get_or_build(path.encode(), pack)
        sys.stdout.buffer.write(zlib.decompress(packed))
    print(cache.stats()["hits"], "of", len(paths), "were there",
          file=sys.stderr)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.exit(f"example: {error}")
