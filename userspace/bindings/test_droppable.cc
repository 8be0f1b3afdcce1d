// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Tests, and an example, of droppable.hpp: exits with the number of faults. */
#include <droppable.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>

static int faults;

static void expect(bool good, const char *what)
{
	if (good)
		return;
	std::fprintf(stderr, "wrong: %s\n", what);
	faults++;
}

struct point {
	double x, y;
};

/* Waits for it, but not for ever. */
template <typename True> static void until(True &&yes)
{
	for (int i = 0; i < 20000 && !yes(); i++)
		std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

/* Several threads want the same; the first builds when the others wait. */
static void test_one_builds(const dropmem::memory &mem, std::size_t size)
{
	const unsigned int n = 6;
	dropmem::cache cache(mem, 64 << 20);
	std::atomic<unsigned int> built{ 0 }, got{ 0 };
	std::vector<std::thread> threads;

	auto get = [&] {
		auto value = cache.get_or_build("key", [&](std::string_view) {
			built++;
			until([&] { return cache.stats().waits == n - 1; });
			return dropmem::bytes(size, 'x');
		});
		got += value == dropmem::bytes(size, 'x');
	};
	threads.emplace_back(get);
	until([&] { return built > 0; });
	while (threads.size() < n)
		threads.emplace_back(get);
	for (auto &thread : threads)
		thread.join();
	expect(got == n, "all get it");
	expect(built == 1, "one builds");
	expect(cache.stats().misses == 1 && cache.stats().hits == n - 1,
	       "a miss, and hits");
}

/* It may be made from what isn't so any more. */
static void test_forget_while_it_is_built(const dropmem::memory &mem)
{
	dropmem::cache cache(mem);
	dropmem::cache moved(std::move(cache));
	const dropmem::bytes old(5000, 'o'), fresh(5000, 'f');

	auto value = moved.get_or_build("key", [&](std::string_view key) {
		moved.forget(key);
		return old;
	});
	expect(value == old, "what was forgotten is returned");
	expect(moved.get_or_build("key", [&](std::string_view) {
		return fresh; }) == fresh, "but not kept");
}

int main()
{
	dropmem::memory mem(DROPPABLE_OR_FALLBACK);
	dropmem::pool pool(mem, 1 << 20);
	dropmem::cache cache(mem);
	int built = 0;

	expect(mem.describe().find("backend: ") != std::string::npos,
	       "describe");
	auto ref = pool.put(point{ 1, 2 });
	auto there = pool.read(ref);
	expect(there && there->x == 1 && there->y == 2, "read");
	auto other = pool.put(point{ 3, 4 });
	expect(pool.forget(other) && pool.read(ref), "forget another");
	if (mem.guarantees() & DROPPABLE_G_PIN) {
		auto held = pool.pin(ref);
		auto moved = std::move(held);
		expect(moved && moved->parts().size() == 1 &&
		       static_cast<point *>(moved->parts()[0].iov_base)->y == 2,
		       "pinned");
	} else {
		try {
			pool.pin(ref);
			expect(false, "no pins here");
		} catch (const std::system_error &e) {
			expect(e.code().value() == ENOTSUP, "are ENOTSUP");
		}
	}
	pool.drop();
	expect(!pool.read(ref), "a dropped object is no object");
	expect(!pool.read(dropmem::pool::ref<int>()), "nor is none");

	auto build = [&](std::string_view key) {
		built++;
		return dropmem::bytes(5000, static_cast<unsigned char>(key[0]));
	};
	for (int i = 0; i < 3; i++) {
		auto value = cache.get_or_build("key", build);
		expect(value.size() == 5000 && value[4999] == 'k', "value");
	}
	expect(built == 1, "built once, in spite of a small buffer");
	if (mem.guarantees() & DROPPABLE_G_PIN) {
		auto held = cache.pin("key");
		std::size_t size = 0;

		for (const auto &part : held->parts())
			size += part.iov_len;
		expect(held->parts().size() == 2 && size == 5000, "in parts");
		expect(!cache.pin("none"), "nothing to pin");
	}
	cache.drop();
	expect(cache.get_or_build("key", build).size() == 5000, "built again");
	expect(built == 2 && cache.stats().rebuilt == 1, "and counted");
	expect(cache.forget("key") && !cache.forget("key"), "forgotten");

	try {
		cache.get_or_build("bad", [](std::string_view)
				   -> dropmem::bytes {
			throw std::runtime_error("no such picture");
		});
		expect(false, "an exception goes through");
	} catch (const std::runtime_error &e) {
		expect(std::string(e.what()) == "no such picture", "the same");
	}
	expect(cache.get_or_build("bad", build).size() == 5000,
	       "the key is free again");
	try {
		dropmem::memory bad(3);
		expect(false, "bad flags");
	} catch (const std::system_error &e) {
		expect(e.code().value() == EINVAL, "are EINVAL");
	}
	/* Of memory that nobody but the cache takes back. */
	dropmem::memory kept(DROPPABLE_FALLBACK_ONLY);
	for (std::size_t size : { 4000, 10000, 1 << 20 })
		test_one_builds(kept, size);
	test_forget_while_it_is_built(kept);
	return faults;
}
