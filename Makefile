# SPDX-License-Identifier: Apache-2.0
#
#   make            the three programs in build/
#   make check      all tests (root for the ones on real cgroups); installs what is missing
#   make demo       the whole loop on this machine, about a minute; installs what is missing
#   make bench      measurements behind docs/measurements.md
#   make help       the rest

VERSION := 0.1.0
BUILD   ?= build
PREFIX  ?= /usr/local
prefix  ?= $(PREFIX)
sbindir ?= $(prefix)/sbin
bindir  ?= $(prefix)/bin
mandir  ?= $(prefix)/share/man
docdir  ?= $(prefix)/share/doc/ebb
unitdir ?= $(prefix)/lib/systemd/system
sysusersdir ?= $(prefix)/lib/sysusers.d
sysconfdir  ?= /etc
completionsdir ?= $(prefix)/share/bash-completion/completions

ifeq ($(V),1)
  Q =
  msg =
else
  Q = @
  msg = @printf '  %-8s %s\n' "$(1)" "$(patsubst $(CURDIR)/%,%,$(2))"
endif

ifeq ($(origin CC),default)
  CC := gcc
endif
# Ubuntu's /usr/sbin/bpftool works only with the tools of the running kernel.
BPFTOOL ?= $(lastword bpftool $(wildcard /usr/bin/bpftool /usr/sbin/bpftool /usr/lib/linux-tools/*/bpftool))
# The newest clang: from 16 on it emits the type tags that mark a held cgroup reference (kptr).
CLANG   ?= $(firstword $(foreach v,22 21 20 19 18 17 16,$(wildcard /usr/bin/clang-$(v))) clang)

PKGS    := libbpf libelf zlib libcurl jansson libmicrohttpd gnutls sqlite3 inih
# Sanitizers: lines in their reports, and half the time to compile.
CFLAGS  ?= $(if $(SAN),-O1 -g1,-O2 -g)
# CFLAGS, CPPFLAGS and LDFLAGS are the caller's and come last.
WARN    := -Wall -Wextra -Werror -Wno-unused-parameter -Wstrict-prototypes -Wmissing-prototypes \
           -Wshadow -Wpointer-arith -Wvla
HARDEN  := -fstack-protector-strong -fPIE

# What gcc says of values it follows less far there is not so, and the usual build has been asked.
ifneq ($(SAN),)
  WARN += $(if $(findstring clang,$(CC)),,-Wno-format-truncation -Wno-maybe-uninitialized)
endif
ifeq ($(SAN),1)
  SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
  override BUILD := $(BUILD)-san
else ifeq ($(SAN),thread)
  # gcc's warning says that it cannot follow the fences of the seqlock.
  SANFLAGS := -fsanitize=thread -fno-omit-frame-pointer $(if $(findstring clang,$(CC)),,-Wno-tsan)
  override BUILD := $(BUILD)-tsan
else ifeq ($(SAN),fuzz)
  SANFLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer
  override BUILD := $(BUILD)-fuzz
else ifneq ($(SAN),)
  $(error SAN is 1, thread or fuzz)
else ifneq ($(filter -O1 -O2 -O3 -Os,$(CFLAGS)),)
  # It needs an optimizing compiler, and some distributions set it for theirs.
  HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif

ALL_CPPFLAGS = -D_GNU_SOURCE -DEBB_VERSION='"$(VERSION)"' -Iinclude -I$(BUILD)/skel $(PKG_CFLAGS) \
               $(CPPFLAGS)
ALL_CFLAGS   = -std=gnu11 $(WARN) -pthread $(HARDEN) $(SANFLAGS) $(CFLAGS)
ALL_LDFLAGS  = -pthread -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANFLAGS) $(LDFLAGS)

# Asked at first use, then remembered: `make check` may only just have installed the packages.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS) 2>/dev/null))$(PKG_CFLAGS)
LIBS       = $(eval LIBS := $$(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm)$(LIBS)

# Only the agent gives privileges up.
AGENT_LIBS = $(eval AGENT_LIBS := $$(shell pkg-config --libs libcap libseccomp 2>/dev/null))$(AGENT_LIBS)

# Only the controller allocates for 100,000 containers (controller/main.c). Sanitizers have an allocator of their own.
CONTROLLER_LIBS = $(eval CONTROLLER_LIBS := $$(if $$(SAN),,$$(shell pkg-config --libs jemalloc 2>/dev/null)))$(CONTROLLER_LIBS)

# Only ebb reads YAML.
YAML_LIBS  = $(eval YAML_LIBS := $$(shell pkg-config --libs yaml-0.1 2>/dev/null))$(YAML_LIBS)

ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/; s/ppc64le/powerpc/; s/riscv64/riscv/')
BPF_CFLAGS := -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -O2 -g -Wall -Werror -Ivmlinux -Iinclude -Ibpf \
              -idirafter /usr/include/$(shell uname -m)-linux-gnu

BPF_SRC  := $(wildcard bpf/*.bpf.c)
SKEL     := $(BPF_SRC:bpf/%.bpf.c=$(BUILD)/skel/%.skel.h)

lib_SRC        := $(wildcard lib/*.c)
agent_SRC      := $(filter-out agent/main.c,$(wildcard agent/*.c))
controller_SRC := $(filter-out controller/main.c,$(wildcard controller/*.c))
cli_SRC        := $(filter-out cli/main.c,$(wildcard cli/*.c))
objs = $(1:%.c=$(BUILD)/%.o)

PROGRAMS := $(BUILD)/ebb-agent $(BUILD)/ebb-controller $(BUILD)/ebb

.PHONY: all
all: $(PROGRAMS)

.DELETE_ON_ERROR:
.SECONDARY:

# --- BPF: object, then skeleton ---------------------------------------------------------------
BPF_OBJ := $(BPF_SRC:%.c=$(BUILD)/%.o)
$(BPF_OBJ:.o=.tmp.o): $(BUILD)/%.tmp.o: %.c
	$(call msg,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(BPF_OBJ): $(BUILD)/%.o: $(BUILD)/%.tmp.o
	$(call msg,BPFOBJ,$@)
	$(Q)$(BPFTOOL) gen object $@ $<

$(BUILD)/skel/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(call msg,SKEL,$@)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf > $@

# --- The API's description: as YAML for people, as bytes for the controller --------------------------
$(BUILD)/yaml_to_json: packaging/yaml_to_json.c $(BUILD)/flags
	$(call msg,LINK,$@)
	$(Q)$(CC) -std=gnu11 $(WARN) -O1 -o $@ $< $$(pkg-config --cflags --libs yaml-0.1 jansson)

$(BUILD)/skel/openapi_bytes.h: docs/openapi.yaml $(BUILD)/yaml_to_json
	$(call msg,JSON,$@)
	@mkdir -p $(@D)
	$(Q)$(BUILD)/yaml_to_json --bytes $< > $@

$(BUILD)/controller/openapi.o: | $(BUILD)/skel/openapi_bytes.h

# --- C ----------------------------------------------------------------------------------------
# Only the agent reads the skeletons.
$(call objs,$(agent_SRC) agent/main.c $(wildcard tests/*/agent/*.c)): | $(SKEL)

$(BUILD)/%.o: %.c $(BUILD)/flags
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -MMD -MP -iquote $(firstword $(subst /, ,$<)) -iquote . $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c $< -o $@

# Changes when the compiler, the flags or the version do, and rebuilds everything then.
FLAGS = $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(LIBS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS))' > $@.new
	@cmp -s $@.new $@ || cp $@.new $@; rm -f $@.new
.PHONY: FORCE
FORCE:

define archive
$(BUILD)/$(1).a: $(call objs,$($(1)_SRC))
	$$(call msg,AR,$$@)
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^
endef
$(foreach a,lib agent controller cli,$(eval $(call archive,$(a))))

define program
$(BUILD)/$(1): $(BUILD)/$(2)/main.o $(BUILD)/$(2).a $(3) $(BUILD)/lib.a
	$$(call msg,LINK,$$@)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS) $(if $(filter cli,$(2)),$$(YAML_LIBS)) $(if $(filter agent,$(2)),$$(AGENT_LIBS)) \
	    $(if $(filter controller,$(2)),$$(CONTROLLER_LIBS))
endef
$(eval $(call program,ebb-agent,agent))
$(eval $(call program,ebb-controller,controller))
# Verbs that work on the state itself use the controller's own code.
$(eval $(call program,ebb,cli,$(BUILD)/controller.a))

# The demo's load is a program of its own: it needs nothing of ours.
$(BUILD)/demo_load: $(BUILD)/packaging/demo_load.o
	$(call msg,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lm

# Connections without end, for the test of the agent under them.
$(BUILD)/flood: $(BUILD)/tests/e2e/flood.o
	$(call msg,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

# Runs the packaged programs with the system calls that their units leave them.
$(BUILD)/filtered: $(BUILD)/tests/e2e/filtered.o
	$(call msg,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lseccomp

# --- Tests: tests/KIND/PART/NAME.c becomes build/tests/KIND/PART/NAME, linked with PART.a ----------
test_bins = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/$(1)/*/*.c))
UNIT_TESTS  := $(call test_bins,unit)
INTEG_TESTS := $(call test_bins,integration)
BENCHES     := $(call test_bins,bench)
FUZZERS     := $(call test_bins,fuzz)
SCRIPTS     := $(sort $(wildcard tests/integration/*.sh))
E2E         := $(sort $(wildcard tests/e2e/*.sh))
# One script a kernel; what runs there is in tests/vm/guest.sh.
VM_TESTS    := $(sort $(wildcard tests/vm/test_*.sh))

define test_program
$(BUILD)/tests/$(1)/$(2)/%: $(BUILD)/tests/$(1)/$(2)/%.o $(if $(filter-out lib,$(2)),$(BUILD)/$(2).a) \
    $(if $(filter cli,$(2)),$(BUILD)/controller.a) $(BUILD)/lib.a
	$$(call msg,LINK,$$@)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS) $(if $(filter cli,$(2)),$$(YAML_LIBS)) \
	    $(if $(filter agent,$(2)),$$(AGENT_LIBS))
endef
$(foreach part,lib agent controller cli,$(foreach kind,unit integration bench,\
  $(eval $(call test_program,$(kind),$(part)))))

# tests/fuzz/PART/fuzz_NAME.c: with our own runner, or (SAN=fuzz) with libFuzzer's.
define fuzz_program
$(BUILD)/tests/fuzz/$(1)/%: $(BUILD)/tests/fuzz/$(1)/%.o $(if $(filter fuzz,$(SAN)),,$(BUILD)/tests/fuzz/replay.o) \
    $(if $(filter-out lib,$(1)),$(BUILD)/$(1).a) $(BUILD)/lib.a
	$$(call msg,LINK,$$@)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) $(if $(filter fuzz,$(SAN)),-fsanitize=fuzzer) -o $$@ $$^ $$(LIBS) $(if $(filter cli,$(1)),$$(YAML_LIBS)) \
	    $(if $(filter agent,$(1)),$$(AGENT_LIBS))
endef
$(foreach part,lib agent controller cli,$(eval $(call fuzz_program,$(part))))

$(BUILD)/tests/%.o: tests/%.c $(BUILD)/flags
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -MMD -MP -iquote tests -iquote $(word 3,$(subst /, ,$<)) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c $< -o $@

.PHONY: tests
tests: $(UNIT_TESTS) $(INTEG_TESTS) $(BENCHES) $(FUZZERS)

# One command on a fresh machine shall not compile on one CPU.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: check
check: deps-missing peers
	$(Q)$(MAKE) --no-print-directory $(JOBS) check-built

# A second make, so that packages which `deps` just installed are seen. gcc has built it; clang has
# an opinion too, which it has without optimizing.
.PHONY: check-built
check-built: all generated tests $(BUILD)/demo_load $(BUILD)/flood $(BUILD)/filtered
ifeq ($(SAN),)
	$(Q)$(MAKE) --no-print-directory SAN=1 unit-tests fuzzers
	$(Q)$(MAKE) --no-print-directory CC=$(CLANG) BUILD=$(BUILD)-clang CFLAGS=-O0 all tests
endif
	$(Q)BUILD=$(BUILD) tests/run $(UNIT_TESTS) $(if $(SAN),$(FUZZERS),$(UNIT_TESTS:$(BUILD)/%=$(BUILD)-san/%) $(FUZZERS:$(BUILD)/%=$(BUILD)-san/%)) \
	    $(INTEG_TESTS) $(SCRIPTS) $(E2E) $(VM_TESTS)

.PHONY: unit-tests fuzzers
unit-tests: $(UNIT_TESTS)
fuzzers: $(FUZZERS)

# Everything with every compiler that is here, each in a directory of its own.
COMPILERS = $(notdir $(wildcard /usr/bin/gcc /usr/bin/clang-14 $(CLANG)))
.PHONY: compilers
compilers:
	$(Q)set -e; for cc in $(COMPILERS); do \
	    echo "$$cc:"; $(MAKE) --no-print-directory CC=$$cc BUILD=build-$$cc all tests; done

.PHONY: check-unit check-integration check-e2e vmtest
check-unit: $(UNIT_TESTS)
	$(Q)BUILD=$(BUILD) tests/run $^
check-integration: all $(INTEG_TESTS)
	$(Q)BUILD=$(BUILD) tests/run $(INTEG_TESTS) $(SCRIPTS)
check-e2e: all generated $(BUILD)/demo_load $(BUILD)/flood $(BUILD)/filtered
	$(Q)BUILD=$(BUILD) tests/run $(E2E)

# On other kernels, with cgroup v2, in machines of QEMU's.
vmtest: deps-missing
	$(Q)$(MAKE) --no-print-directory $(JOBS) vmtest-built
.PHONY: vmtest-built
vmtest-built: all generated $(INTEG_TESTS) $(BUILD)/demo_load
	$(Q)BUILD=$(BUILD) EBB_VM_ALL=1 tests/run $(VM_TESTS)

# New inputs are kept in build-fuzz/corpus; what crashes is left in build-fuzz.
FUZZ_SECONDS ?= 60
# The newest clang whose libFuzzer is installed (libclang-rt-N-dev, or part of clang).
FUZZ_CC = $(shell ls -d /usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.fuzzer*.a 2>/dev/null | \
                  sed 's|/lib/clang/.*|/bin/clang|' | sort -V | tail -n 1)
.PHONY: fuzz
fuzz:
	$(Q)$(MAKE) --no-print-directory $(JOBS) CC=$(or $(FUZZ_CC),$(CLANG)) SAN=fuzz fuzzers
	$(Q)set -e; for f in $(FUZZERS:$(BUILD)/%=$(BUILD)-fuzz/%); do name=$$(basename $$f); name=$${name#fuzz_}; \
	    mkdir -p $(BUILD)-fuzz/corpus/$$name; \
	    $$f -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(BUILD)-fuzz/$$name- -print_final_stats=1 \
	        $(BUILD)-fuzz/corpus/$$name tests/fuzz/corpus/$$name; done

.PHONY: bench demo demo-programs
demo-programs: all $(BUILD)/demo_load
	@:
bench: deps-missing peers
	$(Q)$(MAKE) --no-print-directory $(JOBS) all $(BENCHES)
	$(Q)BUILD=$(BUILD) tests/bench/run
demo: deps-missing-demo
	$(Q)$(MAKE) --no-print-directory $(JOBS) demo-programs
	$(Q)BUILD=$(BUILD) packaging/demo.sh

# --- Dependencies -------------------------------------------------------------------------------
.PHONY: deps deps-missing
deps:
	$(Q)packaging/deps.sh
deps-missing:
	$(Q)packaging/deps.sh --if-missing
# It needs nothing that only the tests do.
.PHONY: deps-missing-demo
deps-missing-demo:
	$(Q)packaging/deps.sh --if-missing --no-tests
# The servers that the tests talk to, in build-peers; what cannot be had is skipped.
.PHONY: peers
peers: deps-missing
	$(Q)tests/peers/install.sh

# --- Style, install, the rest ---------------------------------------------------------------------
# Other versions break lines elsewhere.
CLANG_FORMAT ?= $(firstword $(wildcard /usr/bin/clang-format-14) clang-format)
C_FILES = $(shell git ls-files '*.c' '*.h' 2>/dev/null | grep -v '^vmlinux/')
.PHONY: format format-check
format:
	$(Q)$(CLANG_FORMAT) -i $(C_FILES)
format-check:
	$(Q)$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)

# What the programs say of themselves, as manual pages, the example of ebb.conf, and bash's completion.
MAN       := $(patsubst packaging/%.in,$(BUILD)/%,$(wildcard packaging/man/*.in))
GENERATED := $(MAN) $(BUILD)/etc/ebb.conf $(BUILD)/completion/ebb
$(MAN) $(BUILD)/etc/ebb.conf: $(BUILD)/%: packaging/%.in packaging/man.sh $(PROGRAMS)
	$(call msg,GEN,$@)
	@mkdir -p $(@D)
	$(Q)packaging/man.sh $< $(BUILD) > $@
$(BUILD)/completion/ebb: packaging/completion.sh $(PROGRAMS)
	$(call msg,GEN,$@)
	@mkdir -p $(@D)
	$(Q)packaging/completion.sh $(BUILD) > $@

EXAMPLES := $(wildcard packaging/examples/*)
UNITS    := $(wildcard packaging/systemd/*)
.PHONY: generated install install-built uninstall
generated: $(GENERATED)
install: all generated
	$(Q)$(MAKE) --no-print-directory install-built

# What is built already, and nothing else. An ebb.conf that is there stays.
install-built:
	$(Q)install -d $(DESTDIR)$(sbindir) $(DESTDIR)$(bindir) $(DESTDIR)$(completionsdir) $(DESTDIR)$(docdir)/examples \
	    $(DESTDIR)$(unitdir) $(DESTDIR)$(sysusersdir) $(DESTDIR)$(sysconfdir)/ebb $(foreach n,1 5 8,$(DESTDIR)$(mandir)/man$(n))
	$(Q)install -m 755 $(BUILD)/ebb-agent $(BUILD)/ebb-controller $(DESTDIR)$(sbindir)/
	$(Q)install -m 755 $(BUILD)/ebb $(DESTDIR)$(bindir)/
	$(Q)for page in $(MAN); do install -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/; done
	$(Q)install -m 644 $(BUILD)/completion/ebb $(DESTDIR)$(completionsdir)/
	$(Q)for name in ebb-agent ebb-controller; do ln -sf ebb $(DESTDIR)$(completionsdir)/$$name; done
	$(Q)install -m 644 $(EXAMPLES) $(DESTDIR)$(docdir)/examples/
	$(Q)for unit in $(UNITS); do sed 's|@sbindir@|$(sbindir)|' $$unit > $(DESTDIR)$(unitdir)/$${unit##*/} && \
	    chmod 644 $(DESTDIR)$(unitdir)/$${unit##*/} || exit; done
	$(Q)install -m 644 packaging/sysusers.conf $(DESTDIR)$(sysusersdir)/ebb.conf
	$(Q)[ -e $(DESTDIR)$(sysconfdir)/ebb/ebb.conf ] || install -m 644 $(BUILD)/etc/ebb.conf $(DESTDIR)$(sysconfdir)/ebb/

# Configuration, token and state are the operator's.
uninstall:
	$(Q)rm -f $(addprefix $(DESTDIR)$(sbindir)/,ebb-agent ebb-controller) $(DESTDIR)$(bindir)/ebb \
	    $(addprefix $(DESTDIR)$(completionsdir)/,ebb ebb-agent ebb-controller) $(DESTDIR)$(sysusersdir)/ebb.conf \
	    $(addprefix $(DESTDIR)$(unitdir)/,$(notdir $(UNITS))) $(foreach p,$(notdir $(MAN)),$(DESTDIR)$(mandir)/man$(lastword $(subst ., ,$(p)))/$(p))
	$(Q)rm -rf $(DESTDIR)$(docdir)/examples
	$(Q)rmdir $(DESTDIR)$(docdir) 2>/dev/null || true
	@[ ! -e $(DESTDIR)$(sysconfdir)/ebb ] || echo '$(DESTDIR)$(sysconfdir)/ebb is left as it is'

# A Debian package, out of a clean copy of the tree: build/deb/*.deb.
.PHONY: deb
deb:
	$(Q)packaging/deb.sh $(BUILD)/deb

.PHONY: clean help
clean:
	$(Q)rm -rf build build-*
help:
	@printf '%s\n' 'make [all]        build/ebb-agent, build/ebb-controller, build/ebb' \
	  'make check        every test; as root also those on real cgroups' \
	  'make check-unit   unit tests only (also: check-integration, check-e2e)' \
	  'make vmtest       the tests of what depends on the kernel, on Debian'"'"'s 6.1 and 6.12 in QEMU (root)' \
  'make demo         the loop, live, on this machine (root)' \
	  'make bench        the numbers of docs/measurements.md (root)' \
	  'make deps         install what building and testing needs (root)' \
	  'make peers        get the servers that the tests talk to, in build-peers' \
	  'make install      DESTDIR=, prefix=$(prefix); make uninstall' \
  'make deb          Debian packages, in build/deb' \
	  'make fuzz         libFuzzer on every harness, FUZZ_SECONDS=$(FUZZ_SECONDS) each (clang)' \
	  'make compilers    everything with gcc and clang, in build-COMPILER' \
	  'make format       clang-format 14 on every file; format-check only looks' \
	  'make clean' \
	  'V=1 shows commands; SAN=1 ASan+UBSan in build-san; SAN=thread TSan in build-tsan; CC=clang'

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
