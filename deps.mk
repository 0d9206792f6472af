# deps.mk - every library we link, in one place: pkg-config where its name is stable, -l elsewhere.
# Differences between versions live here and in one compat header per library.
PKGS := libuv libmicrohttpd gnutls libcurl libcares libcjson liblz4 libdeflate zlib yaml-0.1 libxxhash
DEPS_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)

# The C++ libraries are linked statically: 1.2 MiB less resident, two packages less in an image.
# Where no static archive exists (a distribution's choice) the shared ones are taken.
static = $(if $(wildcard $(shell $(CC) -print-file-name=lib$1.a 2>/dev/null)),-l:lib$1.a,-l$1)
SAN_CXX := $(if $(SAN),-lstdc++,$(call static,stdc++))
DEPS_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lmbedtls -lmbedx509 -lmbedcrypto \
             -lprotobuf-nanopb $(call static,re2) $(call static,snappy) $(SAN_CXX) -lpthread -lm

# Debian 12 has only the name with .py.
NANOPB := $(firstword $(shell command -v nanopb_generator nanopb_generator.py 2>/dev/null) nanopb_generator.py)
