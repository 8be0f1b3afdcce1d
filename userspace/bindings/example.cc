// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * An example of droppable.hpp: words that are counted, and counted again only
 * when the kernel has dropped the result.
 *
 *	c++ -std=c++17 -o example example.cc \
 *		$(pkg-config --cflags --libs libdroppable)
 *	./example FILE...
 */
#include <droppable.hpp>

#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>

/* Slow, so worth keeping; and can be had again, so fit to be dropped. */
static dropmem::bytes count_words(std::string_view path)
{
	std::map<std::string, unsigned int> counts;
	std::ifstream file{ std::string(path) };
	std::ostringstream text;

	if (!file)
		throw std::runtime_error(std::string(path) + ": can't be read");
	for (std::string word; file >> word; )
		counts[word]++;
	for (const auto &[word, count] : counts)
		text << count << ' ' << word << '\n';
	const std::string s = text.str();
	return { s.begin(), s.end() };
}

/*
 * 0, as much as the machine has, is for memory that the kernel takes back.  What
 * stands in for that on other machines would fill memory and swap.
 */
static std::size_t capacity(const dropmem::memory &mem)
{
	return mem.guarantees() & DROPPABLE_G_DROPPABLE ? 0 : 64 << 20;
}

int main(int argc, char **argv)
{
	try {
		dropmem::memory mem(DROPPABLE_OR_FALLBACK);
		dropmem::cache cache(mem, capacity(mem));

		/* The first line says what kind of memory that is. */
		const std::string what = mem.describe();
		std::cerr << what.substr(0, what.find('\n')) << '\n';
		for (int i = 1; i < argc; i++) {
			auto text = cache.get_or_build(argv[i], count_words);

			std::cout.write(reinterpret_cast<char *>(text.data()),
					static_cast<std::streamsize>(text.size()));
		}
		std::cerr << cache.stats().hits << " of " << argc - 1
			  << " were there\n";
	} catch (const std::exception &e) {
		std::cerr << "example: " << e.what() << '\n';
		return 1;
	}
	return 0;
}
