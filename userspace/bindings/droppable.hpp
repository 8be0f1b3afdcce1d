/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * libdroppable for C++17: header only, owns what it opens.
 *
 * Nothing here gives a pointer into droppable memory but to what is pinned: it is
 * read by copying, whole or not at all.  std::nullopt means that it is gone and
 * has to be made again; anything else that fails is a std::system_error.  Thread
 * safety is that of libdroppable_pool(3) and libdroppable_cache(3).
 */
#ifndef LIBDROPPABLE_HPP
#define LIBDROPPABLE_HPP

#include <droppable.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/uio.h>

namespace dropmem { /* "droppable" is the C library's handle */

/* What a value consists of. */
using bytes = std::vector<unsigned char>;

inline void check(int err, const char *what)
{
	if (err < 0)
		throw std::system_error(-err, std::generic_category(), what);
}

/* A source of droppable memory; outlives what is made from it. */
class memory {
public:
	explicit memory(unsigned int flags = 0)
	{
		::droppable *ctx;

		check(droppable_open(&ctx, flags), "droppable_open");
		ctx_.reset(ctx);
	}

	::droppable *get() const { return ctx_.get(); }
	std::uint64_t guarantees() const
	{
		return droppable_guarantees(get());
	}
	/* Backend, and what it has and lacks: for whoever starts a program. */
	std::string describe() const
	{
		std::string text(static_cast<std::size_t>(
			droppable_describe(get(), nullptr, 0)) + 1, '\0');

		droppable_describe(get(), &text[0], text.size());
		text.pop_back();
		return text;
	}

private:
	struct closer {
		void operator()(::droppable *p) const { droppable_close(p); }
	};
	std::unique_ptr<::droppable, closer> ctx_;
};

/*
 * Bytes that stay where they are until this ends, for code that can't copy, such
 * as writev(2).  To be read only; in one part or several, which don't join.  Ends
 * before the pool or cache that it is of does.
 */
class pinned {
public:
	const std::vector<iovec> &parts() const { return parts_; }

private:
	friend class pool;
	friend class cache;

	std::vector<iovec> parts_;
	std::unique_ptr<struct droppable_pool_pin,
			std::function<void(struct droppable_pool_pin *)>> pin_;

	template <typename Unpin>
	explicit pinned(Unpin unpin)
		: parts_(1), pin_(new struct droppable_pool_pin(),
				  [unpin](struct droppable_pool_pin *p) {
					  unpin(p);
					  delete p;
				  })
	{
	}

	/* pin(parts, nr, to) and unpin(to) as the library's. */
	template <typename Pin, typename Unpin>
	static std::optional<pinned> make(Pin pin, Unpin unpin)
	{
		pinned p(unpin);
		std::size_t nr = p.parts_.size();
		int err;

		while ((err = pin(p.parts_.data(), &nr, p.pin_.get())) ==
		       -ENOBUFS)
			p.parts_.resize(nr);
		if (err == -ENODATA)
			return std::nullopt;
		check(err, "pin");
		p.parts_.resize(nr);
		return p;
	}
};

/* Objects.  T is copied byte by byte, and holds no pointers. */
class pool {
public:
	template <typename T> class ref {
		friend class pool;
		droppable_ref ref_ = {};
	};

	/* A temporary would not outlive it. */
	explicit pool(const memory &&, std::size_t = 0) = delete;
	explicit pool(const memory &mem, std::size_t size = 0)
	{
		droppable_pool *p;

		check(droppable_pool_open(mem.get(), size, 0, &p),
		      "droppable_pool_open");
		pool_.reset(p);
	}

	template <typename T> ref<T> put(const T &value)
	{
		static_assert(std::is_trivially_copyable<T>::value,
			      "only what is copied byte by byte");
		static_assert(!std::is_pointer<T>::value, "no pointers");
		ref<T> r;

		check(droppable_pool_put(pool_.get(), &value, sizeof(value),
					 &r.ref_),
		      "droppable_pool_put");
		return r;
	}

	template <typename T> std::optional<T> read(const ref<T> &r) const
	{
		T value;
		int err = droppable_pool_read(pool_.get(), &r.ref_, 0, &value,
					      sizeof(value));

		if (err == -ENODATA)
			return std::nullopt;
		check(err, "droppable_pool_read");
		return value;
	}

	/* Where guarantees() lack DROPPABLE_G_PIN it is ENOTSUP. */
	template <typename T> std::optional<pinned> pin(const ref<T> &r)
	{
		droppable_pool *p = pool_.get();

		return pinned::make(
			[&](iovec *parts, std::size_t *nr,
			    struct droppable_pool_pin *to) {
				return droppable_pool_pin(p, &r.ref_, parts,
							  nr, to);
			},
			[p](struct droppable_pool_pin *to) {
				droppable_pool_unpin(p, to);
			});
	}

	/* Whether it was there; once for each. */
	template <typename T> bool forget(const ref<T> &r)
	{
		return !droppable_pool_forget(pool_.get(), &r.ref_);
	}
	void drop() { check(droppable_pool_drop(pool_.get(), nullptr),
			    "droppable_pool_drop"); }

private:
	struct closer {
		void operator()(droppable_pool *p) const
		{
			droppable_pool_close(p);
		}
	};
	std::unique_ptr<droppable_pool, closer> pool_;
};

/* A cache that the kernel may empty. */
class cache {
public:
	explicit cache(const memory &&, std::size_t = 0) = delete;
	explicit cache(const memory &mem, std::size_t capacity = 0)
		: forgets_(new forgets())
	{
		droppable_cache *c;

		check(droppable_cache_open(mem.get(), capacity, 0, &c),
		      "droppable_cache_open");
		cache_.reset(c);
	}

	/*
	 * build() gives bytes.  What it throws is thrown here, after the
	 * library, which is C, has returned.  stats() count a build of more
	 * than 4096 bytes as failed, though it is kept, and never as unstored.
	 */
	template <typename Build>
	bytes get_or_build(std::string_view key, Build &&build)
	{
		call<Build> how{ this, &build, {}, {}, false };
		bytes buf(4096);
		std::size_t len = 0;
		int err;

		for (;;) {
			err = droppable_cache_get_or_build(
				cache_.get(), key.data(), key.size(),
				&call<Build>::trampoline, &how, buf.data(),
				buf.size(), &len);
			if (how.thrown)
				std::rethrow_exception(how.thrown);
			if (how.built)
				return std::move(how.value);
			if (err != -ENOBUFS)
				break;
			buf.resize(len);
		}
		check(err, "droppable_cache_get_or_build");
		buf.resize(len);
		return buf;
	}

	/* The same. */
	std::optional<pinned> pin(std::string_view key)
	{
		droppable_cache *c = cache_.get();

		return pinned::make(
			[&](iovec *parts, std::size_t *nr,
			    struct droppable_pool_pin *to) {
				return droppable_cache_pin(c, key.data(),
							   key.size(), parts,
							   nr, to);
			},
			[c](struct droppable_pool_pin *to) {
				droppable_cache_unpin(c, to);
			});
	}

	/* Whether it was there.  What is being built for it isn't kept. */
	bool forget(std::string_view key)
	{
		++forgets_of(key);
		return !droppable_cache_forget(cache_.get(), key.data(),
					       key.size());
	}
	void drop() { check(droppable_cache_drop(cache_.get()),
			    "droppable_cache_drop"); }
	struct droppable_cache_stats stats() const
	{
		struct droppable_cache_stats st;

		check(::droppable_cache_stats(cache_.get(), &st, sizeof(st)),
		      "droppable_cache_stats");
		return st;
	}

private:
	template <typename Build> struct call {
		cache *self;
		std::remove_reference_t<Build> *build;
		std::exception_ptr thrown;
		bytes value;
		bool built;

		static int trampoline(const void *key, std::size_t key_len,
				      void *buf, std::size_t size,
				      std::size_t *len, void *arg) noexcept
		{
			auto *how = static_cast<call *>(arg);
			const std::string_view name(
				static_cast<const char *>(key), key_len);
			const unsigned int was = how->self->forgets_of(name);

			try {
				how->value = (*how->build)(name);
				how->built = true;
			} catch (...) {
				how->thrown = std::current_exception();
				return -ECANCELED;
			}
			*len = how->value.size();
			if (*len > size) {
				how->self->keep(name, how->value, was);
				return -ENOBUFS;
			}
			std::copy(how->value.begin(), how->value.end(),
				  static_cast<unsigned char *>(buf));
			return 0;
		}
	};

	/*
	 * The library keeps nothing of a build that says -ENOBUFS, and who
	 * waits for it would build it again, one after the other.  So it is put
	 * in while they still wait: a builder is called without any lock.
	 *
	 * Not if it was forgotten meanwhile.  After the first look here, either
	 * forget() finds what was put, or the second look finds that there was
	 * a forget(); who asks between these two can get the old value.
	 */
	void keep(std::string_view key, const bytes &value, unsigned int was)
	{
		if (forgets_of(key) == was &&
		    !droppable_cache_put(cache_.get(), key.data(), key.size(),
					 value.data(), value.size()) &&
		    forgets_of(key) != was)
			droppable_cache_forget(cache_.get(), key.data(),
					       key.size());
	}

	/*
	 * Calls of forget().  No lock, or a child of fork() might find it held.
	 * Keys share a count, so it can say that one was forgotten that wasn't.
	 */
	using forgets = std::array<std::atomic<unsigned int>, 256>;
	std::atomic<unsigned int> &forgets_of(std::string_view key)
	{
		return (*forgets_)[std::hash<std::string_view>()(key) %
				   forgets_->size()];
	}

	struct closer {
		void operator()(droppable_cache *c) const
		{
			droppable_cache_close(c);
		}
	};
	std::unique_ptr<droppable_cache, closer> cache_;
	std::unique_ptr<forgets> forgets_; /* so that a cache can be moved */
};

} // namespace dropmem

#endif /* LIBDROPPABLE_HPP */
