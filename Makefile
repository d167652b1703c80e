# make demo | check | test | bench | lint: each sets up all it needs in .venv, and works offline once it has.
#
#   make demo      train spiking networks on handwritten digits and on voices; pictures in out/demo
#   make check     run some tests seconds after an edit of Python or C++: make check T=tests/spike/test_contract.py
#   make test      the test-suite
#   make bench     measure against jax.numpy and braintools; tables, JSON and plots in out/bench (20 minutes)
#   make lint      ruff, mypy, clang-format
#   make libraries the spike in braintools, brainpy.state, BrainPy, spyx, equinox and flax, in two environments of their own
#   make torch     lif against SpikingJelly and snnTorch, spike by spike, with torch for CPUs beside the tests' environment
#   make cuda      what can be shown of the CUDA module without a GPU: its machine code, and XLA compiling for an H100
#   make counts    write the tables of docs/machine_code.md from the built CUDA module
#   make docs      build the documentation site in out/docs; each link and each page is checked
#   make gallery   draw each surrogate for docs/gallery.md
#   make gpu-dry-run  the check of a GPU, on a CPU: its selections, time limits and report, with tiny sizes (1 minute)
#   make installs  what a build refuses, needs and leaves alone: compiler flags, each Python's jaxlib, a read-only source tree
#   make versions  the test-suite on the oldest jax that serves and on the newest there is
#   make policies  the primitives' rules with the default kernel policy, sharding and threads without kernels too
#   make asan      the kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   make tsan      the threading tests under ThreadSanitizer
#   make clang     build and test with clang++ (which has to be installed)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: demo check test gpu-dry-run bench docs gallery lint format libraries torch cuda counts installs versions policies environments asan tsan clang clean

comma := ,

# A Python by its version: the one on PATH if it runs (pyenv's stand-ins may not), or wherever pyenv keeps it.
find-python = $(firstword $(shell python$(1) -c 'import sys; print(sys.executable)' 2>/dev/null || \
	ls -d $$(pyenv root 2>/dev/null)/versions/$(1).*/bin/python 2>/dev/null))
PYTHON311 ?= $(call find-python,3.11)
PYTHON312 ?= $(call find-python,3.12)
PYTHON313 ?= $(call find-python,3.13)

SOURCES := $(shell find csrc python cmake tests/csrc -type f -not -name '*.pyc') CMakeLists.txt pyproject.toml README.md LICENSE
# Prints build-system.requires.
BUILD_NEEDS := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
# As the build of the CUDA module from wheels requires (pyproject.toml).
CUDA_NEEDS := $(foreach package,cuda-nvcc cuda-crt nvvm cuda-runtime cuda-cccl,"nvidia-$(package)==13.0.*")
PIP := -m pip install --quiet --disable-pip-version-check

# .venv/build-V: all that the build of a wheel for Python V needs, with the module for the tests. .venv/wheel-V/done: that wheel.
# The machine code is looked at in the first one alone, so the other has one architecture and is built in half the time.
.venv/build-%/done: pyproject.toml
	python=$(PYTHON$(subst .,,$*)); test -n "$$python" || { echo "needs Python $*"; exit 1; }; "$$python" -m venv $(@D)
	$(@D)/bin/python -c '$(BUILD_NEEDS)' > $(@D)/requirements.txt
	$(@D)/bin/python $(PIP) -r $(@D)/requirements.txt pybind11 cmake ninja $(CUDA_NEEDS)
	touch $@

build-wheel = rm -rf $(1) && SPIKEGRAD_CUDA=$(4) .venv/build-$(2)/bin/python -m pip wheel --quiet --disable-pip-version-check \
	--no-build-isolation --no-deps --wheel-dir $(1) -Cbuild-dir=build/$(notdir $(1)) -Ccmake.define.SPIKEGRAD_TESTING=ON $(3) . \
	&& touch $(1)/done

.venv/wheel-%/done: .venv/build-%/done $(SOURCES)
	$(call build-wheel,$(@D),$*,$(if $(filter 3.13,$*),-Ccmake.define.CMAKE_CUDA_ARCHITECTURES=90-real),ON)

# An environment: $(call environment,name,python,wheel,jax,extras). The wheel of 3.13 is for 3.12 too, without the tests' modules.
define environment
.venv/$(1)/packages: .venv/wheel-$(3)/done pyproject.toml
	test -n "$$(PYTHON$(subst .,,$(2)))" || { echo "needs Python $(2)"; exit 1; }
	test -x .venv/$(1)/bin/python || $$(PYTHON$(subst .,,$(2))) -m venv .venv/$(1)
	cmp -s pyproject.toml .venv/$(1)/pyproject.toml || { \
	  .venv/$(1)/bin/python $$(PIP) "$$$$(ls .venv/wheel-$(3)/*.whl)[$(5)]" $(4) && cp pyproject.toml .venv/$(1)/pyproject.toml; }
	touch $$@
.venv/$(1)/done: .venv/$(1)/packages .venv/wheel-$(3)/done
	.venv/$(1)/bin/python $$(PIP) --no-deps --force-reinstall .venv/wheel-$(3)/*.whl
	touch $$@
endef
$(eval $(call environment,main,3.11,3.11,jax==0.10.2 jaxlib==0.10.2,test$(comma)demo$(comma)bench$(comma)lint))
$(eval $(call environment,oldest,3.11,3.11,jax==0.8.0 jaxlib==0.8.0,test))
$(eval $(call environment,newest,3.13,3.13,,test))
$(eval $(call environment,libraries,3.11,3.11,jax==0.10.2 jaxlib==0.10.2,test$(comma)libraries))
$(eval $(call environment,libraries-newest,3.12,3.13,jax==0.12.0.1 jaxlib==0.12.0.1,test$(comma)libraries-newest))

RUN := .venv/main/bin/python
PYTEST := -m pytest -q -n auto

# Prints the extras test and lint.
CHECK_NEEDS := import tomllib; extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
	print(*extras["test"], *extras["lint"], sep="\n")
# CMake finds the FFI headers of the oldest jaxlib before the jaxlib that runs the tests.
WITH_HEADERS := PYTHONPATH=$(CURDIR)/.venv/check/headers

# The environment for work on the code: an editable installation, and a CPU module that ninja rebuilds in build/check.
# A debug build compiles in a fifth of the time. scikit-build-core could rebuild at each import
# (editable.rebuild); then every process that a test starts would do so.
.venv/check/done: pyproject.toml
	test -n "$(PYTHON311)" || { echo "needs Python 3.11"; exit 1; }
	test -x $(@D)/bin/python || "$(PYTHON311)" -m venv $(@D)
	$(@D)/bin/python -c '$(BUILD_NEEDS)' > $(@D)/build.txt
	grep '^jaxlib' $(@D)/build.txt > $(@D)/headers.txt
	{ grep -v '^jaxlib' $(@D)/build.txt; $(@D)/bin/python -c '$(CHECK_NEEDS)'; } > $(@D)/requirements.txt
	rm -rf $(@D)/headers && $(@D)/bin/python $(PIP) --no-deps --no-compile --target $(@D)/headers -r $(@D)/headers.txt
	$(@D)/bin/python $(PIP) -r $(@D)/requirements.txt pybind11 cmake ninja jax==0.10.2 jaxlib==0.10.2
	$(WITH_HEADERS) $(@D)/bin/python $(PIP) --no-deps --no-build-isolation -Cbuild-dir=build/check -Ccmake.build-type=Debug \
	  -Ccmake.define.SPIKEGRAD_CUDA=OFF -Ccmake.define.SPIKEGRAD_TESTING=ON -Cbuild.targets=_cpu -Cinstall.components=_cpu \
	  --editable .
	touch $@

# A pytest selection: files, folders, test::names and options.
T ?= tests/spike/test_contract.py tests/neurons/test_lif.py -k "documented or docstring or special_values and float32"
# Only tests of kernels use the modules for tests, which take a minute to build.
NEEDS_TEST_MODULES := $(findstring tests/kernels,$(T))
check: export SPIKEGRAD_REQUIRE_TEST_MODULES := $(if $(NEEDS_TEST_MODULES),1)
check: .venv/check/done
	$(WITH_HEADERS) .venv/check/bin/cmake --build build/check --target $(if $(NEEDS_TEST_MODULES),all,_cpu)
	site=$$(.venv/check/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))'); \
	  for component in _cpu $(if $(NEEDS_TEST_MODULES),testing); do \
	    .venv/check/bin/cmake --install build/check --component $$component --prefix "$$site" > /dev/null; done
	.venv/check/bin/python -m pytest -q $(T)

demo: .venv/main/done
	$(RUN) examples/digits.py --out out/demo
	$(RUN) examples/vowels.py --out out/demo

# In the wheels of these environments there is a CUDA module, or its tests fail.
test versions: export SPIKEGRAD_REQUIRE_CUDA := 1
# Of these, the environment with what the benchmarks need.
test: export SPIKEGRAD_REQUIRE_BENCHMARKS := 1
# The builds with the modules for tests.
test versions asan tsan clang: export SPIKEGRAD_REQUIRE_TEST_MODULES := 1

test: .venv/main/done
	$(RUN) $(PYTEST)

# The pages of the documentation whose code needs these libraries, which `make test` skips.
libraries torch: export SPIKEGRAD_REQUIRE_LIBRARIES := 1

# The releases for Python 3.11, and the newest ones, which need 3.12. Those libraries' own warnings are theirs.
libraries: .venv/libraries/done .venv/libraries-newest/done
	.venv/libraries/bin/python $(PYTEST) -W default tests/with_libraries
	.venv/libraries-newest/bin/python $(PYTEST) -W default tests/with_libraries
	.venv/libraries/bin/python -m pytest -q -W default tests/process/test_docs.py -k "braintools or spyx"
	.venv/libraries-newest/bin/python -m pytest -q -W default tests/process/test_docs.py -k "braintools or spyx"

# Without what else they depend on, of which most is for more than neurons; what is needed .venv/main has. PyPI's torch is for
# CUDA and does not load so: where pip knows of no other, PIP_EXTRA_INDEX_URL has to name PyTorch's index of CPU builds.
.venv/torch/done: .venv/main/done pyproject.toml
	rm -rf $(@D)
	$(RUN) $(PIP) --no-deps --no-compile --target $(@D)/site $$(sed -n 's/^torch-libraries = \[\(.*\)\]/\1/p' pyproject.toml | tr -d '",')
	touch $@

torch: .venv/torch/done
	PYTHONPATH=.venv/torch/site $(RUN) $(PYTEST) -W default tests/with_torch
	PYTHONPATH=.venv/torch/site $(RUN) -m pytest -q -W default tests/process/test_docs.py -k "snntorch or spikingjelly"

# XLA:GPU by itself, which needs ptxas and libdevice of the compiler's wheels and no other library of CUDA's.
.venv/cuda/done: .venv/main/done pyproject.toml
	rm -rf $(@D)
	$(RUN) $(PIP) --no-deps --no-compile --target $(@D)/site jax-cuda13-pjrt==0.10.2 jax-cuda13-plugin==0.10.2 \
	  $(filter %nvcc==13.0.*" %nvvm==13.0.*",$(CUDA_NEEDS)) nvidia-cuda-cuobjdump==13.2.51 nvidia-cuda-nvdisasm==13.2.51 \
	  auditwheel==6.8.2 pyelftools==0.33
	touch $@

# Without the two variables jax looks for a GPU, and for all of CUDA's libraries. One file, one
# worker: the module is disassembled once.
cuda: .venv/cuda/done
	JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 SPIKEGRAD_WHEEL=$$(ls .venv/wheel-3.11/*.whl) PYTHONPATH=.venv/cuda/site \
	  $(RUN) $(PYTEST) --dist loadfile tests/with_cuda_tools

counts: .venv/cuda/done
	JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 PYTHONPATH=.venv/cuda/site $(RUN) tests/with_cuda_tools/counts_page.py

installs: .venv/main/done .venv/build-3.11/done
	SPIKEGRAD_BUILD_PYTHON=.venv/build-3.11/bin/python $(RUN) $(PYTEST) tests/with_installs

gpu-dry-run: .venv/main/done
	$(RUN) -m benchmarks.gpu_check --dry-run --out out/gpu_dry_run

bench: .venv/main/done
	$(RUN) -m benchmarks --out out/bench

# The API's pages come from the sources, so the site needs neither jax nor a compiled module.
DOCS_NEEDS := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")
.venv/docs/done: pyproject.toml
	test -n "$(PYTHON311)" || { echo "needs Python 3.11"; exit 1; }
	test -x $(@D)/bin/python || "$(PYTHON311)" -m venv $(@D)
	$(@D)/bin/python -c '$(DOCS_NEEDS)' > $(@D)/requirements.txt
	$(@D)/bin/python $(PIP) -r $(@D)/requirements.txt
	touch $@

docs: .venv/docs/done
	NO_MKDOCS_2_WARNING=1 .venv/docs/bin/python -m mkdocs build --strict --quiet
	@echo "built: out/docs/index.html"

gallery: .venv/main/done
	$(RUN) examples/gallery.py --out docs/gallery

lint: .venv/check/done
	.venv/check/bin/ruff check .
	.venv/check/bin/ruff format --check .
	.venv/check/bin/mypy
	.venv/check/bin/clang-format --dry-run --Werror $$(find csrc tests/csrc -name '*.h' -o -name '*.cc' -o -name '*.cu')

format: .venv/check/done
	.venv/check/bin/ruff check --fix .
	.venv/check/bin/ruff format .
	.venv/check/bin/clang-format -i $$(find csrc tests/csrc -name '*.h' -o -name '*.cc' -o -name '*.cu')

# One surrogate, as the rules are the same for all. Compiled without optimising, which saves a quarter of the time: neither a
# version of jax nor a kernel policy changes what the optimisation is for.
ONE_SURROGATE := -k "not multi_gaussian and not MultiGaussian and not sigmoid"

versions policies: export XLA_FLAGS := --xla_backend_optimization_level=0
versions: .venv/oldest/done .venv/newest/done
	.venv/oldest/bin/python $(PYTEST) tests/spike tests/neurons tests/process $(ONE_SURROGATE)
	.venv/newest/bin/python $(PYTEST) tests/spike tests/neurons tests/process $(ONE_SURROGATE)

# `make test` has every kernel and none by turns. Here the default policy takes their place: for small arrays it calls some.
# A layer of the tests' sizes always has its kernel.
policies: .venv/main/done
	SPIKEGRAD_KERNELS=auto $(RUN) $(PYTEST) -m each_policy $(ONE_SURROGATE)
	SPIKEGRAD_KERNELS=0 $(RUN) $(PYTEST) tests/spike/test_partitioning.py tests/process/test_threads.py $(ONE_SURROGATE)

# Installing waits for the network and for one core: CI lets two environments at a time be made (make -j2).
environments: .venv/check/done .venv/main/done .venv/libraries/done .venv/libraries-newest/done .venv/oldest/done \
  .venv/newest/done .venv/cuda/done .venv/asan/done .venv/tsan/done .venv/torch/done .venv/docs/done

# The sanitizers see the project's own code only; their runtimes have to be in the process before Python is.
.venv/asan/done: .venv/build-3.11/done .venv/main/done $(SOURCES)
	$(call build-wheel,$(@D),3.11,-Ccmake.define.SPIKEGRAD_SANITIZE=address$(comma)undefined -Cinstall.strip=false,OFF)
	$(RUN) $(PIP) --no-deps --target $(@D)/site $(@D)/*.whl

.venv/tsan/done: .venv/build-3.11/done .venv/main/done $(SOURCES)
	$(call build-wheel,$(@D),3.11,-Ccmake.define.SPIKEGRAD_SANITIZE=thread -Cinstall.strip=false,OFF)
	$(RUN) $(PIP) --no-deps --target $(@D)/site $(@D)/*.whl

preload = LD_PRELOAD="$$(gcc -print-file-name=lib$(1).so) $$(g++ -print-file-name=libstdc++.so)"

asan: .venv/main/done .venv/asan/done
	PYTHONPATH=.venv/asan/site ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 $(call preload,asan) \
	  $(RUN) $(PYTEST) tests/kernels

tsan: .venv/main/done .venv/tsan/done
	PYTHONPATH=.venv/tsan/site TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1 $(call preload,tsan) \
	  $(RUN) $(PYTEST) tests/process/test_threads.py tests/kernels/test_handlers.py $(ONE_SURROGATE)

.venv/clang/done: .venv/build-3.11/done .venv/main/done $(SOURCES)
	CC=clang CXX=clang++ $(call build-wheel,$(@D),3.11,,OFF)
	$(RUN) $(PIP) --no-deps --target $(@D)/site $(@D)/*.whl

clang: .venv/main/done .venv/clang/done
	PYTHONPATH=.venv/clang/site $(RUN) $(PYTEST) tests/kernels/test_accuracy.py tests/kernels/test_handlers.py tests/spike/test_contract.py

clean:
	rm -rf .venv build out
