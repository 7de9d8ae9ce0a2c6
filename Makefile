# SPDX-License-Identifier: Apache-2.0
# Two commands, each from nothing on a fresh Debian 12 as root:
#   make run    build all, boot redis in a Lupine guest, talk to it, print its boot report
#   make test   build all, run every test
# Everything else is meson's (build/), guest/'s and tests/run's.

PACKAGES := meson ninja-build gcc libc6-dev pkg-config clang clang-format libclang-rt-14-dev ccache \
	libcmocka-dev libseccomp-dev liburing-dev zlib1g-dev liblzma-dev libzstd-dev liblz4-dev \
	libjson-c-dev make python3 iproute2 linux-source-6.12 bc bison flex libelf-dev libssl-dev \
	xz-utils zstd lz4 rsync cpio kmod gawk dpkg-dev musl-tools e2fsprogs erofs-utils python3-kconfiglib skopeo umoci \
	redis-tools curl passt acpica-tools busybox-static qemu-system-x86 procps util-linux

.PHONY: run test setup build clean

run: build
	guest/demo redis

test: setup
	tests/run

build: setup
	[ -f build/build.ninja ] || meson setup build
	ninja -C build

# Installs what is missing, and nothing when nothing is.
setup:
	@missing=""; for p in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; [ -z "$$missing" ] || { apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing; }
	@grep -qwE 'vmx|svm' /proc/cpuinfo || tests/rig/setup

clean:
	rm -rf build
