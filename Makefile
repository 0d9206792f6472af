# Emberring
#
#   make                 build everything into build/bin
#   make run             start a replicated demo cluster on loopback, with data (Ctrl-C ends it)
#   make test            install what is missing, build, run unit, sim and cluster tests and tidy
#   make test-all        what `make test` is not: sanitizers, interop, fuzz smoke, bench smoke
#   make long            the long forms of simulations, kills and fuzzing (hours)
#   make unit|sim|cluster|tidy        one suite alone; unit takes T=module or T=module/test_x
#   make bench           the ratios of the README's table
#   make fuzz            build the fuzz targets with libFuzzer (clang-14, libclang-rt-14-dev)
#   make reference       docs/reference.md, from what the binaries print
#   make deps            install what is missing (scripts/install-deps)
#   make format          clang-format over the tree
#   make install         PREFIX=/usr/local DESTDIR=
#   make clean
#   make opts            print the effective settings
#
# Settings: SAN=address|undefined|thread  CC=clang-14  WERROR=0  OPT=-O2  BUILD=build  V=1
# A module is a folder of common/, an archive of its own, and links only archives to its left in
# MODULES; see README.md, "Source tour".

MODULES  := base conf metrics wire alloy proto profile net disco gossip ring rpc store app
SERVICES := $(notdir $(patsubst %/main.c,%,$(wildcard services/*/main.c)))

SAN     ?=
WERROR  ?= 1
OPT     ?= -O2
PREFIX  ?= /usr/local
DESTDIR ?=
PYTHON  ?= /usr/bin/python3
T       ?=
BUILD   ?= build
V       ?=
Q       := $(if $(V),,@)

VERSION  := $(shell cat VERSION)
REVISION := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

include deps.mk

CCNAME  := $(if $(findstring clang,$(CC)),clang,gcc)
FLAVOUR := $(if $(SAN),$(SAN),plain)$(if $(filter clang,$(CCNAME)),-clang)
B       := $(BUILD)/$(FLAVOUR)
BIN     := $(if $(filter plain,$(FLAVOUR)),$(BUILD)/bin,$(B)/bin)
GEN     := $(BUILD)/gen

comma := ,
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wswitch-enum -Wstrict-prototypes \
        -Wmissing-prototypes -Wpointer-arith -Wvla -Wformat=2 $(if $(filter 1,$(WERROR)),-Werror)
HARDEN := $(if $(SAN),,-D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection \
          $(if $(filter x86_64,$(shell uname -m)),-fcf-protection))
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN)$(if $(filter address,$(SAN)),$(comma)undefined) \
            -fno-sanitize-recover=all)

CFLAGS_ALL := -std=c11 -D_GNU_SOURCE -Icommon -I$(GEN) $(OPT) -g -fno-omit-frame-pointer -fPIE \
              $(WARN) $(HARDEN) $(SANFLAGS) $(DEPS_CFLAGS) $(CFLAGS)
CXXFLAGS_ALL := -std=c++17 -D_GNU_SOURCE -Icommon $(OPT) -g -fno-omit-frame-pointer -fPIE -Wall -Wextra \
              $(if $(filter 1,$(WERROR)),-Werror) $(HARDEN) $(SANFLAGS) $(CXXFLAGS)
LDFLAGS_ALL := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(SANFLAGS) $(LDFLAGS)

.DEFAULT_GOAL := all
.PRECIOUS: $(B)/obj/%.o $(B)/obj/gen/%.o $(GEN)/%.msg.c $(GEN)/%.pb.c $(GEN)/%.pb.h
.SUFFIXES:
.PHONY: all help run test test-all long unit sim cluster tidy bench fuzz deps format install clean \
        reference opts interop build-unit build-sim build-bench build-fuzz

# --- generated messages -------------------------------------------------------------------------
# proto/rpc: field tables of wire/msg.h, for protobuf and JSON. proto/gossip: nanopb.
MSG_PROTOS := $(wildcard proto/rpc/*.proto)
MSG_C := $(patsubst proto/rpc/%.proto,$(GEN)/%.msg.c,$(MSG_PROTOS))
PB_PROTOS  := $(wildcard proto/gossip/*.proto)
PB_C  := $(patsubst proto/gossip/%.proto,$(GEN)/%.pb.c,$(PB_PROTOS))
GEN_H := $(MSG_C:.c=.h) $(PB_C:.c=.h) $(GEN)/build_version.h

ifneq ($(MSG_PROTOS),)
$(MSG_C) $(MSG_C:.c=.h) &: $(MSG_PROTOS) scripts/gen-messages
	@mkdir -p $(GEN)
	$(Q)$(PYTHON) scripts/gen-messages --out $(GEN) $(MSG_PROTOS)
endif

$(GEN)/%.pb.c $(GEN)/%.pb.h &: proto/gossip/%.proto $(wildcard proto/gossip/*.options)
	@mkdir -p $(GEN)
	$(NANOPB) -q -I proto/gossip -D $(GEN) -f proto/gossip/$*.options $*.proto

# The files of a folder page/, as one table: those of common/app, here, and of a service, below.
$(GEN)/app_page.c: scripts/embed $(wildcard common/app/page/*)
	@mkdir -p $(@D)
	$(Q)$(PYTHON) scripts/embed --out $@ --name app_page --at static common/app/page

$(GEN)/build_version.h: VERSION Makefile
	@mkdir -p $(GEN)
	@printf '#define EMBERRING_VERSION "%s"\n' '$(VERSION)' > $@

# --- archives, one a module ---------------------------------------------------------------------
srcs = $(if $(filter proto,$1),$(MSG_C) $(PB_C),$(sort $(wildcard common/$1/*.c) $(wildcard common/$1/*.cc))) \
       $(if $(wildcard common/$1/page),$(GEN)/$1_page.c)
objs = $(patsubst $(GEN)/%.c,$(B)/obj/gen/%.o,$(patsubst %.cc,$(B)/obj/%.o,$(patsubst %.c,$(B)/obj/%.o,$1)))
LIVE := $(foreach m,$(MODULES),$(if $(call srcs,$m),$m))
lib  = $(B)/lib/lib$1.a

define module
$(call lib,$1): $(call objs,$(call srcs,$1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$(Q)$(AR) rcs $$@ $$^
endef
$(foreach m,$(LIVE),$(eval $(call module,$m)))

reverse = $(if $1,$(call reverse,$(wordlist 2,$(words $1),$1)) $(firstword $1))
upto    = $(if $(filter $1,$(firstword $2)),$1,$(firstword $2) $(call upto,$1,$(wordlist 2,$(words $2),$2)))
libs_upto = $(foreach m,$(call reverse,$(filter $(LIVE),$(call upto,$1,$(MODULES)))),$(call lib,$m))
LIBS_ALL := $(call libs_upto,app)

$(B)/obj/gen/%.o: $(GEN)/%.c | $(GEN_H)
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC $<")
	$(Q)$(CC) $(filter-out -Wpedantic -Wconversion,$(CFLAGS_ALL)) -MMD -MP -c $< -o $@

$(B)/obj/%.o: %.c | $(GEN_H)
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC $<")
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$(B)/obj/%.o: %.cc
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CXX $<")
	$(Q)$(CXX) $(CXXFLAGS_ALL) -MMD -MP -c $< -o $@

# The commit is linked in only here, so that a new commit does not rebuild the tree.
$(B)/obj/common/app/version.o: CFLAGS_ALL += -DEMBERRING_REVISION='"$(REVISION)"'
$(B)/obj/common/app/version.o: $(GEN)/revision
.PHONY: always
$(GEN)/revision: always
	@mkdir -p $(@D)
	@echo '$(REVISION)' | cmp -s - $@ || echo '$(REVISION)' > $@

# --- services -----------------------------------------------------------------------------------
# A service with a folder page/ has its files linked in, as one generated table.
page_c = $(if $(wildcard services/$1/page),$(GEN)/$1_page.c)
service_srcs = $(wildcard services/$1/*.c) $(call page_c,$1)

define page
$(GEN)/$1_page.c: scripts/embed $(wildcard services/$1/page/*)
	@mkdir -p $$(@D)
	$(Q)$(PYTHON) scripts/embed --out $$@ --name $1_page --at assets services/$1/page
endef
$(foreach s,$(SERVICES),$(if $(call page_c,$s),$(eval $(call page,$s))))

define service
$(BIN)/$1: $(call objs,$(call service_srcs,$1)) $(LIBS_ALL)
	@mkdir -p $$(@D)
	@$(if $(V),,echo "  LD $$(@F)")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $$@ $(call objs,$(call service_srcs,$1)) $(LIBS_ALL) $(DEPS_LIBS)
endef
$(foreach s,$(SERVICES),$(eval $(call service,$s)))

all: $(SERVICES:%=$(BIN)/%)

# --- tests --------------------------------------------------------------------------------------
TESTLIB_SRC := $(wildcard tests/lib/*.c)
TESTLIB := $(if $(TESTLIB_SRC),$(B)/lib/libtest.a)
ifneq ($(TESTLIB_SRC),)
$(TESTLIB): $(call objs,$(TESTLIB_SRC))
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
endif

UNIT := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/*/test_*.c))
UNIT_WANTED := $(if $(T),$(filter $(B)/tests/unit/$(T)% ,$(UNIT)),$(UNIT))
SIM  := $(patsubst tests/sim/%.c,$(B)/tests/sim/%,$(wildcard tests/sim/sim_*.c))
BENCH := $(patsubst tests/bench/%.c,$(B)/tests/bench/%,$(wildcard tests/bench/bench_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

define unit_rules
$(B)/tests/unit/$1/%: $(B)/obj/tests/unit/$1/%.o $(TESTLIB) $(call libs_upto,$1)
	@mkdir -p $$(@D)
	@$(if $(V),,echo "  LD $$(@F)")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $$@ $$< $(TESTLIB) $(call libs_upto,$1) $(DEPS_LIBS) -lcmocka
endef
$(foreach m,$(MODULES),$(eval $(call unit_rules,$m)))

# A service's tests and fuzz targets (tests/unit/<service>/, tests/fuzz/fuzz_<service>_*.c) link all
# of it but its main.c, and include its headers as it does itself.
SERVICE_DIRS := $(notdir $(wildcard services/*))
service_lib = $(B)/lib/service-$1.a

define service_test_rules
$(call service_lib,$1): $(call objs,$(filter-out services/$1/main.c,$(call service_srcs,$1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$(Q)$(AR) rcs $$@ $$^
$(B)/obj/tests/unit/$1/%.o: CFLAGS_ALL += -Iservices/$1
$(B)/obj/tests/fuzz/fuzz_$1_%.o: CFLAGS_ALL += -Iservices/$1
$(B)/tests/unit/$1/%: $(B)/obj/tests/unit/$1/%.o $(call service_lib,$1) $(TESTLIB) $(LIBS_ALL)
	@mkdir -p $$(@D)
	@$(if $(V),,echo "  LD $$(@F)")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $$@ $$< $(call service_lib,$1) $(TESTLIB) $(LIBS_ALL) \
	  $(DEPS_LIBS) -lcmocka
$(B)/tests/fuzz/fuzz_$1_%: $(B)/obj/tests/fuzz/fuzz_$1_%.o $(B)/obj/tests/fuzz/replay.o \
    $(call service_lib,$1) $(TESTLIB) $(LIBS_ALL)
	@mkdir -p $$(@D)
	@$(if $(V),,echo "  LD $$(@F)")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $$@ $$< $(B)/obj/tests/fuzz/replay.o $(call service_lib,$1) \
	  $(TESTLIB) $(LIBS_ALL) $(DEPS_LIBS)
$(BUILD)/bin/fuzz_$1_%: $(B)/obj/tests/fuzz/fuzz_$1_%.o $(call service_lib,$1) $(TESTLIB) $(LIBS_ALL)
	@mkdir -p $$(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $$@ $$< $(call service_lib,$1) $(TESTLIB) $(LIBS_ALL) $(DEPS_LIBS)
endef
$(foreach s,$(SERVICE_DIRS),$(eval $(call service_test_rules,$s)))

$(B)/tests/sim/%: $(B)/obj/tests/sim/%.o $(TESTLIB) $(LIBS_ALL)
	@mkdir -p $(@D)
	@$(if $(V),,echo "  LD $(@F)")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(TESTLIB) $(LIBS_ALL) $(DEPS_LIBS)

$(B)/tests/bench/%: $(B)/obj/tests/bench/%.o $(TESTLIB) $(LIBS_ALL)
	@mkdir -p $(@D)
	@$(if $(V),,echo "  LD $(@F)")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(TESTLIB) $(LIBS_ALL) $(DEPS_LIBS)

$(B)/tests/interop/%: $(B)/obj/tests/interop/%.o $(TESTLIB) $(LIBS_ALL)
	@mkdir -p $(@D)
	@$(if $(V),,echo "  LD $(@F)")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(TESTLIB) $(LIBS_ALL) $(DEPS_LIBS)

# A target is LLVMFuzzerTestOneInput(); replay.c is a main() that runs the corpus through it, so that
# gcc and the sanitizers can too. `make fuzz` links libFuzzer instead.
$(B)/tests/fuzz/%: $(B)/obj/tests/fuzz/%.o $(B)/obj/tests/fuzz/replay.o $(TESTLIB) $(LIBS_ALL)
	@mkdir -p $(@D)
	@$(if $(V),,echo "  LD $(@F)")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(B)/obj/tests/fuzz/replay.o $(TESTLIB) $(LIBS_ALL) $(DEPS_LIBS)

build-unit: $(UNIT_WANTED)
build-sim: $(SIM)
build-bench: $(BENCH)
build-fuzz: $(FUZZ)

unit: build-unit
	$(PYTHON) tests/lib/run.py unit --build $(B) $(if $(T),--only '$(T)')
sim: build-sim
	$(PYTHON) tests/lib/run.py sim --build $(B)
tidy:
	$(PYTHON) tests/lib/run.py tidy --build $(B)
cluster: all
	$(PYTHON) tests/lib/run.py cluster --build $(B)
bench: all build-bench
	$(PYTHON) tests/lib/run.py bench --build $(B)

test: deps
	@$(MAKE) --no-print-directory -j$(shell nproc) all build-unit build-sim
	$(PYTHON) tests/lib/run.py test --build $(B)
test-all: deps
	@$(MAKE) --no-print-directory -j$(shell nproc) all build-bench
	$(PYTHON) tests/lib/run.py test-all --build $(B)
long: deps
	@$(MAKE) --no-print-directory -j$(shell nproc) all build-sim
	$(PYTHON) tests/lib/run.py long --build $(B)
interop: all
	$(PYTHON) tests/lib/run.py interop --build $(B)
# The demo is Python, which a bare machine does not have before install-deps.
run:
	@[ -x $(PYTHON) ] || scripts/install-deps
	@scripts/demo

fuzz:
	$(PYTHON) tests/lib/run.py fuzz-build
.PHONY: fuzz-link
fuzz-link: $(FUZZ:$(B)/tests/fuzz/%=$(BUILD)/bin/%)
$(BUILD)/bin/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(TESTLIB) $(LIBS_ALL)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(TESTLIB) $(LIBS_ALL) $(DEPS_LIBS)

deps:
	@scripts/install-deps

reference: $(BIN)/querier
	$< -config.reference > docs/reference.md.new
	@mv docs/reference.md.new docs/reference.md

format:
	clang-format-14 -i $$(git ls-files '*.c' '*.h')

install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(SERVICES:%=$(BIN)/%) $(DESTDIR)$(PREFIX)/bin

help:
	@sed -n 's/^# \{0,1\}//; 1,/^$$/p; 2,20p' Makefile | awk '!seen[$$0]++' | head -24

opts:
	@printf '%s\n' 'CC=$(CC)' 'FLAVOUR=$(FLAVOUR)' 'VERSION=$(VERSION)' 'modules=$(LIVE)' \
	  'services=$(SERVICES)' 'CFLAGS=$(CFLAGS_ALL)' 'LDFLAGS=$(LDFLAGS_ALL)' 'LIBS=$(DEPS_LIBS)'

clean:
	rm -rf $(BUILD)

ALL_OBJS := $(foreach m,$(LIVE),$(call objs,$(call srcs,$m))) $(call objs,$(wildcard services/*/*.c)) \
  $(call objs,$(wildcard tests/unit/*/*.c) $(wildcard tests/sim/*.c) $(wildcard tests/bench/*.c) \
  $(wildcard tests/fuzz/*.c tests/interop/*.c) $(TESTLIB_SRC))
-include $(ALL_OBJS:.o=.d)
