# Every target does its own set-up on a fresh Debian-like machine, as root.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KERNEL ?= all
CLANG ?= clang-19
LLVM_STRIP ?= llvm-strip-19
BPF := $(patsubst %.c,build/bpf/%.o,$(notdir $(wildcard bpf/*.bpf.c sched_ext/*.bpf.c)))
BPF_TESTS := $(patsubst tests/bpf/%.c,build/bpf-tests/%.o,$(wildcard tests/bpf/*.bpf.c))
BPF_NEEDS := $(wildcard bpf/*.h sched_ext/*.h) Makefile
# A test that fails is run once more and, if it passes then, named at the end (docs/decisions/0019-*).
AGAIN := -p tests.again --reruns 1 --max-suite-reruns 4 --rerun-show-tracebacks

.PHONY: setup acg bpf shim wheel check test lint unit root vm lock reference demo clean clean-coverage soak images bench-calls bench-hooks bench-telemetry bench-top bench-kernel bench-overhead bench-reaction bench-cpu bench-gpu gpu-check

setup: $(VENV)/.stamp acg bpf shim build/syscalls $(BPF_TESTS) build/demo/toucher build/bench/cost build/bench/ramp build/gpu/libnvidia-ml.so.1 build/gpu/libcuda.so.1 build/shim-tests/libcuda.so.1

# uv comes from the index like any tool; the lock pins everything else by hash.
$(VENV)/.stamp: requirements.lock harness.lock
	@tools/bootstrap $(PYTHON) $(VENV)
	@touch $@

acg: build/acg
build/acg: $(wildcard daemon/acg/*.c daemon/acg/*.h) daemon/acg/Makefile agentcg/__init__.py
	@command -v musl-gcc >/dev/null || tools/need musl-tools
	@$(MAKE) --no-print-directory -C daemon/acg OUT=$(CURDIR)/build/acg

# Compiled here and shipped: a host needs libbpf, but no compiler and no headers. -g is for the type
# information (BTF) that libbpf fits programs to a kernel by; the rest of the debug information goes.
bpf: $(BPF)
	@rm -f $(filter-out $(BPF),$(wildcard build/bpf/*))
vpath %.bpf.c bpf sched_ext
build/bpf/%.bpf.o: %.bpf.c $(BPF_NEEDS)
	$(compile-bpf)
# The numbers and names of system calls here: no host has that list without the compiler's headers.
build/syscalls: Makefile
	@command -v $(CLANG) >/dev/null || tools/need clang-19
	@mkdir -p $(@D)
	@unistd() { { echo '#include <asm/unistd.h>'; cat; } | $(CLANG) -idirafter /usr/include/$(shell uname -m)-linux-gnu -E "$$@" -; }; \
	    unistd -dM < /dev/null | sed -n 's/^#define __NR_\([a-z0-9_]*\) .*/__NR_\1 \1/p' | unistd -P | \
	    grep -E '^[0-9]+ [a-z0-9_]+$$' | sort -n > $@.new && test -s $@.new && mv $@.new $@
# Not shipped: what the tests of the loader load.
build/bpf-tests/%.bpf.o: tests/bpf/%.bpf.c $(BPF_NEEDS)
	$(compile-bpf)
# Unused parameters are what libbpf's BPF_PROG makes of every program.
define compile-bpf
	@{ command -v $(CLANG) && command -v $(LLVM_STRIP) && test -e /usr/include/bpf/bpf_helpers.h; } >/dev/null || \
	    tools/need clang-19 llvm-19 libbpf-dev
	@mkdir -p $(@D)
	@$(CLANG) -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -I bpf \
	    -idirafter /usr/include/$(shell uname -m)-linux-gnu -c $< -o $@.new
	@$(LLVM_STRIP) -g $@.new && mv $@.new $@
endef

# A driver's libraries for tests of the GPU guards; not musl's, as a host's Python is to load them. What the loader has before them
# is not to get between their own functions (-Bsymbolic).
build/gpu/libcuda.so.1: tests/gpu/cuda.c
build/gpu/libnvidia-ml.so.1: tests/gpu/nvml.c
build/gpu/libcuda.so.1 build/gpu/libnvidia-ml.so.1:
	@command -v $(CLANG) >/dev/null || tools/need clang-19
	@mkdir -p $(@D)
	@$(CLANG) -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -fPIC -shared -Wl,-Bsymbolic,-soname,$(@F) -o $@ $<

# What stands before libcuda in a call that asks for it (docs/decisions/0025-*): the shim, and the bridge by which
# the loader finds the driver behind it. Neither names a version of glibc: a call's container may have an old one.
SHIM := $(wildcard daemon/shim/*.c)
CUDA_PLACES := $(foreach place,lib/$(shell uname -m)-linux-gnu lib64 lib/wsl/lib local/nvidia/lib64,/usr/$(place)/libcuda.so.1)
shim: build/shim/libcuda.so.1
# The same, before the driver of the tests, wherever both are: a VM has them elsewhere.
build/shim-tests/libcuda.so.1: CUDA_PLACES := /nowhere/libcuda.so.1 '$$ORIGIN/../gpu/libcuda.so.1'
build/shim/libcuda.so.1 build/shim-tests/libcuda.so.1: $(SHIM) $(wildcard daemon/shim/*.h) Makefile
	@command -v $(CLANG) >/dev/null || tools/need clang-19
	@mkdir -p $(@D)
	@$(CLANG) $(SHIM_FLAGS) -Wl,-soname,libagentcg-cuda.so $(CUDA_PLACES:%=-Wl,--auxiliary=%) \
	    -o $(@D)/libagentcg-cuda.so -xc /dev/null
	@$(CLANG) $(SHIM_FLAGS) -Wl,-soname,$(@F),--no-as-needed,-z,nodelete,--enable-new-dtags,-rpath,'$$ORIGIN' \
	    -DBRIDGE='"libagentcg-cuda.so"' -o $@ $(SHIM) -L$(@D) -l:libagentcg-cuda.so
SHIM_FLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -O2 -fPIC -fvisibility=hidden -fno-strict-aliasing -shared -nostdlib -Wl,-Bsymbolic-functions

wheel: setup
	@rm -rf dist && $(BIN)/hatchling build -t wheel -d dist >/dev/null && ls dist/*.whl

# Lint, types, contracts, unit tests: no VM, no root, under two minutes.
check: setup lint unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

unit: setup
	@command -v dbus-daemon >/dev/null || tools/need dbus-daemon
	$(BIN)/coverage run -m pytest -q $(AGAIN) -n logical --dist loadfile tests/unit tests/acg

# The real kernel without a VM: two workers, each in a cgroup namespace with a cgroup2 mount of its own.
root: setup
	@command -v node >/dev/null || tools/need nodejs
	@command -v chromium >/dev/null || tools/need chromium
	$(BIN)/coverage run -m pytest -q $(AGAIN) --tx '2*popen//python=tools/in-cgroup $(BIN)/python' --dist worksteal \
	    tests/root -m root --durations=10

# The full sizes of what `make root` and `make vm` show in small.
soak: wheel
	AGENTCG_SOAK=1 $(BIN)/pytest -q tests/acg/test_fuzz.py
	AGENTCG_SOAK=1 tools/in-cgroup $(BIN)/pytest -q tests/root -m root --durations=10 --timeout 1800
	$(BIN)/python -m vm_tests test --soak --kernel $(if $(filter all,$(KERNEL)),7.2,$(KERNEL))

# What a call costs, here or (VM=1) in the VM beside systemd-run and docker exec, there in
# instructions with COUNTED=1. Figures go to docs/benchmarks by hand: who reads them should have seen them.
bench-calls: $(if $(VM),wheel,setup)
	$(if $(VM),$(BIN)/python -m vm_tests bench calls,tools/in-cgroup $(BIN)/python -m tests.bench.calls)

# What a hook costs, with the daemon there, dead and stopped.
bench-hooks: setup
	tools/in-cgroup $(BIN)/python -m tests.bench.hooks

# What recording traces costs the daemon: CPU, memory, disk, at 10, 100 and 1000 calls; with VM=1
# in instructions, and whether it delays calls.
bench-telemetry: $(if $(VM),wheel,setup)
	$(BIN)/python -m $(if $(VM),vm_tests bench telemetry --kernel $(if $(filter all,$(KERNEL)),7.2,$(KERNEL)),tests.bench.telemetry)

# How long `agentcg top` takes to refresh at 500 calls, and from a key to the screen.
bench-top: setup
	$(BIN)/python -m tests.bench.top

# What the planner, a lease over the API, and the probes on libcuda cost.
bench-gpu: setup
	tools/in-cgroup $(BIN)/python -m tests.bench.gpu

# Eight ways to share a pool compete, in the VM: over two hours at RUNS=20. It goes on where it was
# broken off; `rm build/bench/kernel-*` begins anew. Then tables and pictures from what is there.
bench-kernel: wheel
	$(BIN)/python -m vm_tests bench kernel --kernel $(if $(filter all,$(KERNEL)),7.2,$(KERNEL))
	$(BIN)/python -m tests.bench.kernel.report build/bench/kernel-$(if $(filter all,$(KERNEL)),7.2,$(KERNEL)).jsonl

# Instructions, or (WALL=1) nanoseconds, that the governor adds where the pool has slack.
bench-overhead: wheel
	$(BIN)/python -m vm_tests bench overhead --kernel $(if $(filter all,$(KERNEL)),7.2,$(KERNEL))

# How far past a threshold memory grows, and for how long, until it is held.
bench-reaction: wheel
	$(BIN)/python -m vm_tests bench reaction --kernel $(if $(filter all,$(KERNEL)),7.2,$(KERNEL))

# CPU time: shares, quotas, a fork storm, and how soon a short command is done beside a build.
bench-cpu: wheel
	$(BIN)/python -m vm_tests bench cpu --kernel $(if $(filter all,$(KERNEL)),7.2,$(KERNEL))

# What the GPUs and guards of this host do; without a GPU it says so.
gpu-check: setup
	$(BIN)/python -m tests.gpu.check

vm: wheel
	$(BIN)/python -m vm_tests test --kernel $(KERNEL) $(if $(COVERAGE),--coverage)

# Images for sandboxes, by the local Docker engine; ROOTFS=FOLDER: without a registry, as root.
images: setup
	$(if $(ROOTFS),$(BIN)/python -m sandbox_images rootfs $(ROOTFS))
	$(BIN)/python -m sandbox_images build $(if $(ROOTFS),--rootfs $(ROOTFS))

# Three agents with real workloads, in a VM or (HOST=1) under this host's daemon. PICTURES=FOLDER, in
# a VM: those of the documents, taken there.
demo: setup
	@$(if $(PICTURES),command -v chromium >/dev/null || tools/need chromium)
	@$(BIN)/python -m vm_tests demo $(if $(HOST),--host) $(if $(PICTURES),--pictures $(PICTURES))

build/demo/toucher: vm_tests/demo/toucher.c
build/bench/cost: tests/bench/kernel/cost.c
build/bench/ramp: tests/bench/kernel/ramp.c
build/demo/toucher build/bench/cost build/bench/ramp:
	@command -v musl-gcc >/dev/null || tools/need musl-tools
	@mkdir -p $(@D)
	@musl-gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wconversion -O1 -static -s -o $@ $<

# Coverage is that of this host's tests: in the emulated machines, where COVERAGE=1 adds it, it costs a third of the time.
test: clean-coverage check root vm
	$(BIN)/coverage combine --quiet . $(wildcard build/vm/*/coverage)
	$(BIN)/coverage report --skip-covered --sort=cover

clean-coverage:
	@rm -f .coverage .coverage.* build/vm/*/coverage/.coverage.*

lock:
	uv lock --quiet --upgrade
	uv export --quiet --format requirements.txt --group dev --no-emit-project -o requirements.lock
	uv export --quiet --format requirements.txt --only-group harness -o harness.lock

# docs/reference and the shipped configuration, from the code.
reference: setup
	$(BIN)/python -m tools.reference

clean:
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache
