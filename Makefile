# SPDX-License-Identifier: GPL-2.0
# Thin: the kernel module is built by kbuild (Kbuild, module/Kbuild), the
# library by userspace/Makefile; packaging/install-module knows DKMS.

PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
BINDIR     ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
DESTDIR    ?=
export PREFIX LIBDIR BINDIR INCLUDEDIR MANDIR DESTDIR

# Not exported unless the user set it: for install it narrows the kernels.
KVER ?= $(shell uname -r)
KDIR ?= /lib/modules/$(KVER)/build
# kbuild has to use the kind of compiler that built the kernel.
LLVM_IF_CLANG = $(if $(shell grep -s '^CONFIG_CC_IS_CLANG=y' '$(KDIR)/.config'),LLVM=1)

# no: without the program droppable, which needs libkmod's header.
WITH_TOOL ?= yes
TOOLS := preload
ifneq ($(WITH_TOOL),no)
TOOLS += tool
endif

all: lib tools

help:
	@echo 'make                 the library, the tool, the shim'
	@echo 'make demo            a stock kernel in a VM, with the module, under pressure'
	@echo 'make demo-cache      a cache server under pressure, beside the same on malloc'
	@echo 'make check           all tests, on all kernels (KERNELS="6.1 7.3" to choose)'
	@echo 'make compare         the device beside native MAP_DROPPABLE, line by line'
	@echo 'make matrix          the tests of reclaim in guests set up otherwise (hours)'
	@echo 'make bench           what a page costs, in instructions'
	@echo 'make fuzz            random operations with a model, for some minutes'
	@echo 'make soak            the same for half an hour on each of three kernels'
	@echo 'make stress          stress-ng beside it, a minute on each of three kernels'
	@echo 'make debug           the tests on kernels with KASAN, lockdep, kmemleak; KCSAN'
	@echo 'make module          the module, for KVER ($(KVER)) or KDIR'
	@echo 'make deb             Debian packages, into build/deb'
	@echo 'make rpm             RPM packages, into build/rpm'
	@echo 'make style           shellcheck, man page lint'
	@echo 'make static          checkpatch, coccinelle, sparse, clang, cppcheck'
	@echo 'make clean'
	@echo
	@echo 'sudo make install    module by DKMS, library, headers, tool, man pages, udev rule'
	@echo 'sudo make uninstall  takes all of it away'
	@echo 'install-lib, install-tools, install-module, and uninstall-...: a part'
	@echo
	@echo 'PREFIX=$(PREFIX) LIBDIR=$(LIBDIR) INCLUDEDIR=$(INCLUDEDIR)'
	@echo 'BINDIR=$(BINDIR) MANDIR=$(MANDIR) DESTDIR=$(DESTDIR)'
	@echo 'DESTDIR set: files only, no DKMS, no modprobe.  WITH_MAN=no: no man pages.'
	@echo 'WITH_TOOL=no: not the program droppable, which needs libkmod to be built.'
	@echo 'KVER="a b" with install: build the module for these kernels only.'

lib:
	$(MAKE) -C userspace

tools: lib
	for part in $(TOOLS); do $(MAKE) -C userspace/$$part || exit; done

module:
	@test -e '$(KDIR)/Makefile' || { \
		echo 'No kernel headers in $(KDIR).  On Debian and Ubuntu:' \
		'apt-get install linux-headers-$(KVER); on Fedora:' \
		'dnf install kernel-devel-$(KVER)' >&2; exit 1; }
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' $(LLVM_IF_CLANG) modules

check:
	tests/check
fuzz:
	tests/fuzz/in-guests
stress:
	tests/stress
debug:
	tests/debug
soak:
	tests/fuzz/in-guests --soak
demo:
	tests/demo/run
demo-cache:
	$(MAKE) -C userspace demo-cache
deb:
	packaging/deb
rpm:
	packaging/rpm/build
compare:
	tests/compare
matrix:
	tests/matrix
bench:
	tests/bench

# What can't work is said before anything is installed.
install:
	packaging/install-module check
	$(MAKE) tools
	$(MAKE) install-lib install-tools
	$(MAKE) install-module

install-lib:
	$(MAKE) -C userspace install
	@packaging/ldconfig '$(LIBDIR)'

install-tools:
	for part in $(TOOLS); do \
		$(MAKE) -C userspace/$$part install || exit; done

install-module:
	packaging/install-module install

uninstall: uninstall-module uninstall-tools uninstall-lib
uninstall-tools:
	for part in preload tool; do \
		$(MAKE) -C userspace/$$part uninstall || exit; done
uninstall-lib:
	$(MAKE) -C userspace uninstall
	@packaging/ldconfig
uninstall-module:
	packaging/install-module uninstall

style:
	packaging/style
static:
	tests/static

clean:
	$(MAKE) -C userspace clean
	$(MAKE) -C userspace/examples clean
	$(MAKE) -C userspace/preload clean
	$(MAKE) -C userspace/tool clean
	rm -rf build
	find module . -maxdepth 1 \( -name '*.o' -o -name '*.ko' -o -name '*.mod' \
		-o -name '*.mod.c' -o -name '.*.cmd' -o -name '.*.o.d' \
		-o -name Module.symvers -o -name modules.order \
		-o -name .module-common.o -o -name built-in.a \) -type f -delete

.PHONY: all help lib tools module check debug fuzz stress soak demo demo-cache deb rpm compare \
	matrix bench install install-lib install-tools install-module \
	uninstall uninstall-lib uninstall-tools uninstall-module style static clean
