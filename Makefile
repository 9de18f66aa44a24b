# tollgate: the gate on the sending side of e-mail
#
#   make            build all            make test    pass every test
#   make demo       see it work          make soak    the same tests at full length
#   make bench      capacity planning    make check   format, layers, clang-tidy, cppcheck
#   make fuzz       fuzz, bounded        make corpus  classifier and log parsers by the corpus
#   make stress     the races alone      make install DESTDIR= PREFIX=/usr
#   make deps       install the packages that all of this needs and that are missing
#   make vm-test    under Debian's own kernel, in a virtual machine
#   make ARCH=aarch64   for another processor, by Debian's cross compiler, in build/aarch64
#
# `make` and `make install` install no packages and need no root. The others call `make deps` for
# what they need. CC, CFLAGS, CPPFLAGS and LDFLAGS are yours: CFLAGS come last.
#
# SAN=asan or SAN=tsan builds a variant in a folder of its own; V=1 shows the commands.

VERSION := 0.1.0
PREFIX  ?= /usr
CFLAGS  ?= -O2 -g
SAN     ?=
# The processor to build for, where it is not this one: `make ARCH=aarch64`.
CROSS   := $(if $(filter command%,$(origin ARCH)),$(filter-out $(shell uname -m),$(ARCH)))
B       := build$(if $(CROSS),/$(CROSS))$(if $(SAN),/$(SAN))

# ---- packages: the one list ----------------------------------------------------------------------
PACKAGES_BUILD := gcc libc6-dev pkg-config python3 liburing-dev libjemalloc-dev libbpf-dev \
	libyaml-dev libvectorscan-dev libpcre2-dev libpsl-dev publicsuffix \
	libc-ares-dev libcap-ng-dev libjansson-dev libmicrohttpd-dev libwslay-dev libssl-dev libhiredis-dev \
	libsqlite3-dev uthash-dev clang llvm bpftool
PACKAGES_TEST  := libcriterion-dev g++ iproute2 libclang-rt-14-dev mandoc netbase openssl python3-yaml
PACKAGES_BENCH := redis-tools
PACKAGES_CHECK := clang-format clang-tidy cppcheck
PACKAGES_CROSS := gcc-aarch64-linux-gnu qemu-user-static
PACKAGES_SOAK  := busybox-static qemu-system-x86

# ---- commands ------------------------------------------------------------------------------------
Q := $(if $(V),,@)
say = @$(if $(V),:,printf '  %-8s%s\n' '$(1)' '$(2)')
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)
OBJCOPY   ?= objcopy
BPF_CLANG ?= clang
BPFTOOL   ?= bpftool -n

# Debian's cross compiler, and libraries that are unpacked below build/, not installed.
ifneq ($(CROSS),)
SYSROOT   := build/$(CROSS)/root
CC        := $(CROSS)-linux-gnu-gcc
AR        := $(CROSS)-linux-gnu-ar
OBJCOPY   := $(CROSS)-linux-gnu-objcopy
export PKG_CONFIG_SYSROOT_DIR := $(SYSROOT)
export PKG_CONFIG_LIBDIR := $(SYSROOT)/usr/lib/$(CROSS)-linux-gnu/pkgconfig:$(SYSROOT)/usr/share/pkgconfig
endif

# What the compiler builds for: `make CC=aarch64-linux-gnu-gcc` needs no more than that architecture's libraries.
# On a bare machine it is only about to be installed, and builds for that machine.
TARGET    := $(shell $(CC) -dumpmachine 2>/dev/null)
ARCH      := $(firstword $(subst -, ,$(TARGET)) $(shell uname -m))
MULTIARCH := $(ARCH)-linux-gnu

SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_tsan := -fsanitize=thread -Wno-tsan -fno-omit-frame-pointer
WARNINGS := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	-Wwrite-strings -Wvla -Wno-unused-parameter -Werror=implicit-function-declaration
TG_CFLAGS = -std=gnu17 -I. -I$(B) -D_GNU_SOURCE -DTG_VERSION='"$(VERSION)"' $(WARNINGS) \
	$(if $(CROSS),--sysroot=$(SYSROOT)) -fvisibility=hidden -fPIC $(SAN_$(SAN)) \
	$(if $(SAN),-DTG_SAN_$(SAN)) $(NEEDED) $(CPPFLAGS) $(CFLAGS)

# pkg-config is asked when the first recipe needs it, which is after the packages are there.
pkg = $(if $(pkg_$(1)),,$(eval pkg_$(1) := $(shell pkg-config $(2) $(1)) ))$(pkg_$(1))
LIBS_sidecar = $(call pkg,liburing,--libs) $(call pkg,libbpf,--libs) \
	$(call pkg,yaml-0.1,--libs) $(call pkg,libhs,--libs) $(call pkg,libpcre2-8,--libs) \
	$(call pkg,libpsl,--libs) $(call pkg,libcares,--libs) $(call pkg,libcap-ng,--libs) \
	$(call pkg,jansson,--libs) $(call pkg,libmicrohttpd,--libs) $(call pkg,hiredis,--libs) $(call pkg,sqlite3,--libs) \
	$(call pkg,libcrypto,--libs) -lwslay \
	$(if $(SAN),,$(call pkg,jemalloc,--libs)) -lm -lpthread
LIBS_test  = $(call pkg,criterion,--libs)

# ---- what there is -------------------------------------------------------------------------------
SHM_SRC     := $(wildcard shm/*.c)
SIDECAR_SRC := $(filter-out sidecar/daemon/main.c,$(wildcard sidecar/*.c sidecar/*/*.c))
# BPF where clang and bpftool can make it and the kernel headers are there, else the stub.
EBPF        := $(if $(NO_BPF),,$(wildcard ebpf/gate.bpf.c))
EBPF_SRC    := $(if $(EBPF),$(filter-out ebpf/%.bpf.c ebpf/gate_stub.c,$(wildcard ebpf/*.c)),$(wildcard ebpf/gate_stub.c))
TEST_SRC    := $(wildcard tests/test_*.c)
STRESS_SRC  := $(wildcard tests/stress_*.c)
FUZZ_SRC    := $(wildcard tests/fuzz_*.c)
BENCH_LIB   := $(wildcard bench/lib/*.c)
BENCH_SRC   := $(wildcard bench/*.c)
DATA        := $(wildcard sidecar/data/*)

obj = $(patsubst %.c,$(B)/%.o,$(1))
PROGRAMS := $(B)/tollgated $(B)/tollgate
LIBRARY  := $(B)/libtollgate.a $(B)/libtollgate.so $(B)/tollgate_exim.so
TESTS    := $(patsubst tests/%.c,$(B)/tests/%,$(TEST_SRC))
STRESS   := $(patsubst tests/%.c,$(B)/tests/%,$(STRESS_SRC))
BENCHES  := $(patsubst bench/%.c,$(B)/bench/%,$(BENCH_SRC))
FUZZERS  := $(patsubst tests/%.c,build/fuzz/%,$(FUZZ_SRC))

.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all programs tests benches deps test soak vm-test stress demo bench check fuzz corpus install clean

all: programs $(LIBRARY) $(B)/tollgate.pc
programs: $(PROGRAMS)
tests: $(TESTS) $(STRESS)
benches: $(BENCHES) $(B)/bench/live $(B)/bench/python

# ---- packages: installed where missing -----------------------------------------------------------
# Only for these goals; what else is made is only told.
INSTALLING := $(filter deps test vm-test soak stress demo bench check fuzz corpus,$(MAKECMDGOALS))
deps = $(patsubst %,build/.deps-%$(if $(INSTALLING),,-told),$(1))

deps: $(call deps,build test bench check $(if $(CROSS),cross))

missing = for p in $(PACKAGES_$(shell echo $(1) | tr a-z A-Z)); do \
		dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done
# One at a time, also of several checkouts: apt waits for nobody who has its lists locked.
apt = flock /var/lib/apt sh -ec 'apt-get update -qq; \
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "$$@"' apt
build/.deps-%: Makefile
	@mkdir -p build; missing=; $(call missing,$*); \
	if [ -n "$$missing" ]; then \
		command -v apt-get >/dev/null || { echo "missing packages:$$missing" >&2; exit 1; }; \
		printf '  %-8s%s\n' INSTALL "$$missing"; \
		$(SUDO) $(apt) $$missing >$@.log 2>&1 || { cat $@.log >&2; exit 1; }; \
	fi; touch $@
# The libraries may be there by another way: no error.
build/.deps-%-told: Makefile
	@mkdir -p build; missing=; if command -v dpkg-query >/dev/null; then $(call missing,$*); fi; \
	if [ -n "$$missing" ]; then echo "not installed:$$missing (make deps installs them)" >&2; else touch $@; fi

# Those of another architecture.
ifneq ($(CROSS),)
$(SYSROOT)/.there: tests/cross.sh Makefile | $(call deps,build cross)
	$(call say,SYSROOT,$(SYSROOT))
	$(Q)tests/cross.sh $(CROSS) $(SYSROOT) $(filter-out libclang%,$(filter %-dev,$(PACKAGES_BUILD) $(PACKAGES_TEST) $(PACKAGES_BENCH)))
	$(Q)touch $@
endif

# ---- compile -------------------------------------------------------------------------------------
# Flags that changed make all anew; a Makefile that changed elsewhere does not.
$(B)/.flags: force
	@mkdir -p $(@D); echo '$(subst ','\'',$(CC) $(TG_CFLAGS))' | cmp -s - $@ || \
		echo '$(subst ','\'',$(CC) $(TG_CFLAGS))' > $@
.PHONY: force

$(B)/%.o: %.c $(B)/.flags | $(call deps,build) $(if $(CROSS),$(SYSROOT)/.there)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TG_CFLAGS) -MMD -MP -c -o $@ $<

$(call obj,$(TEST_SRC) $(STRESS_SRC) $(BENCH_SRC) $(BENCH_LIB)): | $(call deps,test bench)

# The rate and the hour's count are swapped at once, which every x86-64 since 2006 can.
ifeq ($(ARCH),x86_64)
$(B)/shm/decide.o $(B)/shm/admit.o $(B)/tests/test_explore_change.o: NEEDED := -mcx16
endif

# The files that are compiled in (.incbin) are found by name from the top of the tree.
$(B)/sidecar/data/embedded.o: $(DATA)

# What our own programs link, and what others do: one object, of which only tg_* can be seen.
$(B)/shm.a: $(call obj,$(SHM_SRC))
	$(call say,AR,$@)
	$(Q)rm -f $@; $(AR) rcs $@ $^

$(B)/libtollgate.o: $(call obj,$(SHM_SRC))
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -r -nostdlib -o $@ $^
	$(Q)$(OBJCOPY) --localize-hidden $@

$(B)/libtollgate.a: $(B)/libtollgate.o
	$(call say,AR,$@)
	$(Q)rm -f $@; $(AR) rcs $@ $^

$(B)/libtollgate.so: $(call obj,$(SHM_SRC)) shm/tollgate.map
	$(call say,LD,$@)
	$(Q)$(CC) $(TG_CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libtollgate.so.0 \
		-Wl,--version-script=shm/tollgate.map -o $@ $(filter %.o,$^) -lpthread

# With the library in it: Exim loads one file. Of its symbols its own functions alone are seen.
$(B)/tollgate_exim.so: $(B)/shm/bindings/exim/tollgate_exim.o $(B)/libtollgate.a
	$(call say,LD,$@)
	$(Q)$(CC) $(TG_CFLAGS) $(LDFLAGS) -shared -Wl,--exclude-libs,ALL -o $@ $^ -lpthread

$(B)/sidecar.a: $(call obj,$(SIDECAR_SRC) $(EBPF_SRC))
	$(call say,AR,$@)
	$(Q)rm -f $@; $(AR) rcs $@ $^

link = $(Q)$(CC) $(TG_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^)

$(B)/tollgated: $(B)/sidecar/daemon/main.o $(B)/sidecar.a $(B)/shm.a
	$(call say,LD,$@)
	$(link) $(LIBS_sidecar)

# One program, two names: called as tollgate it is the command line.
$(B)/tollgate: $(B)/tollgated
	$(Q)ln -sf tollgated $@

$(B)/tests/test_%: $(B)/tests/test_%.o $(B)/sidecar.a $(B)/shm.a
	$(call say,LD,$@)
	$(link) $(LIBS_test) $(LIBS_sidecar)

# What the benches build on.
$(B)/tests/test_bench_fixed: $(B)/bench.a

$(B)/tests/stress_%: $(B)/tests/stress_%.o $(B)/bench.a $(B)/sidecar.a $(B)/shm.a
	$(call say,LD,$@)
	$(link) $(LIBS_sidecar)

# It keeps stacks and puts them back, of which the sanitizer's marks on them know nothing.
$(B)/tests/test_explore_change.o: NEEDED += -ftrivial-auto-var-init=zero \
	$(if $(filter asan,$(SAN)),--param asan-stack=0)

$(B)/bench.a: $(call obj,$(BENCH_LIB))
	$(call say,AR,$@)
	$(Q)rm -f $@; $(AR) rcs $@ $^

$(B)/bench/%: $(B)/bench/%.o $(B)/bench.a $(B)/sidecar.a $(B)/shm.a
	$(call say,LD,$@)
	$(link) $(LIBS_sidecar)

$(B)/bench/live: bench/live.py $(B)/bench/receiver $(B)/bench/sender $(PROGRAMS)
	@install -m 755 $< $@

$(B)/bench/python: bench/python.py $(B)/libtollgate.so $(PROGRAMS)
	@install -m 755 $< $@

$(B)/tollgate.pc: Makefile
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'Name: tollgate' 'Description: pacing of outbound mail per source and destination' \
		'Version: $(VERSION)' 'Cflags: -I$${prefix}/include' 'Libs: -L$${prefix}/lib -ltollgate' 'Libs.private: -lpthread' > $@

# ---- eBPF ----------------------------------------------------------------------------------------
ifneq ($(EBPF),)
# Freestanding: the C library's stdint.h asks for a processor that BPF is not.
$(B)/ebpf/%.bpf.o: ebpf/%.bpf.c $(B)/.flags | $(call deps,build) $(if $(CROSS),$(SYSROOT)/.there)
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(BPF_CLANG) -g -O2 -target bpf -mcpu=v3 -ffreestanding \
		-D__TARGET_ARCH_$(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(ARCH))) \
		-I. -I$(SYSROOT)/usr/include/$(MULTIARCH) -Wall -MMD -MP -MT $@ -MF $(@:.o=.d) -c -o $@ $<

$(B)/ebpf/%.skel.h: $(B)/ebpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(call obj,$(EBPF_SRC)): $(B)/ebpf/gate.skel.h
# Those who run the program by hand.
$(B)/tests/test_gcra_bpf.o $(B)/tests/test_gate_change.o $(B)/bench/gate.o: $(B)/ebpf/gate_test.skel.h
endif

# ---- run -----------------------------------------------------------------------------------------
test: all tests benches
	$(Q)python3 tests/run.py --build $(B)

soak: all tests benches | build/.deps-soak
	$(Q)python3 tests/run.py --build $(B) --soak
	$(Q)tests/vm/run.sh $(B)
	$(Q)$(MAKE) deps ARCH=aarch64
	$(Q)$(MAKE) all tests ARCH=aarch64

# Not in `make test`: where there is no KVM it takes ten minutes.
vm-test: all tests benches | build/.deps-soak
	$(Q)tests/vm/run.sh $(B) $(VM_ARGS)

stress: all $(STRESS)
	$(Q)python3 tests/run.py --build $(B) 'stress_*'

demo: all benches
	$(Q)bench/demo.sh $(B)

bench: all benches
	$(Q)bench/run.sh $(B) $(BENCH_ARGS)

corpus: all
	$(Q)python3 tests/corpus.py $(B)
	$(Q)python3 tests/corpus_logs.py $(B)

FUZZ_FLAGS := -std=gnu17 -I. -Ibuild -D_GNU_SOURCE -DTG_VERSION='"$(VERSION)"' -DTG_SAN_asan -g -O1 \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all $(if $(filter x86_64,$(ARCH)),-mcx16)
FUZZ_OBJECTS := $(patsubst %.c,build/fuzz/%.o,$(SHM_SRC) $(SIDECAR_SRC) ebpf/gate_stub.c)

build/fuzz/%.o: %.c | $(call deps,build test)
	@mkdir -p $(@D)
	$(Q)clang $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<
build/fuzz/sidecar/data/embedded.o: $(DATA)

build/fuzz/%: build/fuzz/tests/%.o $(FUZZ_OBJECTS)
	$(call say,FUZZ,$@)
	$(Q)clang -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $^ $(LIBS_sidecar)

fuzz: $(FUZZERS)
	$(Q)python3 tests/run.py --fuzz $(FUZZERS)

check: all | $(call deps,test bench check)
	$(Q)tests/check.sh

install: all
	$(Q)install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include \
		$(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/lib/tmpfiles.d $(DESTDIR)$(PREFIX)/lib/tollgate \
		$(DESTDIR)$(PREFIX)/share/tollgate/haraka/config
	$(Q)install -d $(DESTDIR)/etc/tollgate $(DESTDIR)$(PREFIX)/lib/python3/dist-packages
	$(Q)install -m 755 $(B)/tollgated $(DESTDIR)$(PREFIX)/sbin/tollgated
	$(Q)ln -sf ../sbin/tollgated $(DESTDIR)$(PREFIX)/bin/tollgate
	$(Q)install -m 644 shm/tollgate.h $(DESTDIR)$(PREFIX)/include/tollgate.h
	$(Q)install -m 644 $(B)/libtollgate.a $(DESTDIR)$(PREFIX)/lib/libtollgate.a
	$(Q)install -m 755 $(B)/libtollgate.so $(DESTDIR)$(PREFIX)/lib/libtollgate.so.$(VERSION)
	$(Q)ln -sf libtollgate.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libtollgate.so.0
	$(Q)ln -sf libtollgate.so.0 $(DESTDIR)$(PREFIX)/lib/libtollgate.so
	$(Q)install -m 755 $(B)/tollgate_exim.so $(DESTDIR)$(PREFIX)/lib/tollgate/tollgate_exim.so
	$(Q)install -m 644 shm/bindings/python/tollgate.py $(DESTDIR)$(PREFIX)/lib/python3/dist-packages/tollgate.py
	$(Q)install -m 644 shm/bindings/haraka/*.js* $(DESTDIR)$(PREFIX)/share/tollgate/haraka
	$(Q)install -m 644 shm/bindings/haraka/config/*.ini $(DESTDIR)$(PREFIX)/share/tollgate/haraka/config
	$(Q)sed 's|^prefix=.*|prefix=$(PREFIX)|' $(B)/tollgate.pc > $(DESTDIR)$(PREFIX)/lib/pkgconfig/tollgate.pc
	$(Q)sed 's|/usr/sbin/|$(PREFIX)/sbin/|' sidecar/data/tollgated.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/tollgated.service
	$(Q)install -m 644 sidecar/data/tollgate.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/tollgate.conf
	$(Q)for m in $(wildcard shm/*.[1-8] sidecar/man/*.[1-8] ebpf/*.[1-8]); do s=$${m##*.}; \
		install -D -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$$s/$${m##*/}; done

clean:
	$(Q)rm -rf build

-include $(shell [ -d $(B) ] && find $(B) -type d \( -name 'mta*' -o -name npm \) -prune -o -name '*.d' -type f -print)
