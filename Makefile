# Every recipe is one or two lines; `make help` lists them.
PROFILE ?= profiles/example.toml
SOURCE  ?= build/demo-source.iso
DEMO    := $(findstring build/demo-source.iso,$(SOURCE))
OUT     ?= build/$(if $(DEMO),demo-)$(basename $(notdir $(PROFILE))).iso
BIN     := .venv/bin
LAB     ?= uml
LABS    := $(if $(filter qemu,$(LAB)),lab-qemu,lab)
export LAB
LOCK    := uv pip compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header

.DEFAULT_GOAL := help
.PHONY: help setup iso try lab drill drills test test-media test-slow bench lint types golden docs wheel lock clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup:  ## make .venv from the hash-locked lists (never escalates)
	@./setup.sh run

iso: $(DEMO) setup  ## build OUT from PROFILE= and SOURCE= with SHA256= or CHECKSUM= (default: a demonstration)
	@mkdir -p $(dir $(OUT)) && $(BIN)/ksbuild iso $(PROFILE) --source $(SOURCE) --output $(OUT) \
	  $(if $(SHA256),--sha256 $(SHA256)) $(if $(CHECKSUM),--checksum-file $(CHECKSUM)) $(if $(DEMO),--force)

build/demo-source.iso: $(wildcard builder/demo/*)
	@mkdir -p build && ./setup.sh demo && $(BIN)/ksbuild demo-source --output $@ --force

try:  ## boot the demonstration medium in QEMU as NODE= (or with a stranger's SERIAL=)
	@test -e $(OUT) || $(MAKE) --no-print-directory iso
	@$(BIN)/ksbuild try $(PROFILE) $(OUT) $(if $(NODE),--node $(NODE)) $(if $(SERIAL),--serial $(SERIAL))

lab drill drills: PROFILE = profiles/lab.toml
lab drill drills: OUT = lab/out

lab:  ## bring a pair up without hardware: medium, two servers, mounted (STAY=1 keeps it)
	@./setup.sh $(LABS) && $(BIN)/python -m tests.lab up --profile $(PROFILE) --out $(OUT) $(if $(STAY),--stay)

drill:  ## bring a pair up and do to it what D= says (docs/lab.md)
	@./setup.sh $(LABS) && $(BIN)/python -m tests.lab drill $(D) --profile $(PROFILE) --out $(OUT)

drills:  ## every drill, in random order (SEED=)
	@./setup.sh $(LABS) && $(BIN)/python -m tests.lab drills --profile $(PROFILE) --out $(OUT) $(if $(SEED),--seed $(SEED))

test:  ## every check and test, with its own set-up
	@./setup.sh test && $(MAKE) --no-print-directory lint types docs
	@$(BIN)/pytest -n 3 -m "not slow"

test-media:  ## the whole boot matrix, every firmware and layout (half an hour)
	@./setup.sh test && $(BIN)/pytest -m "qemu or slow" tests/media

test-slow:  ## every crash at every effect, a rejoin, what humans type on a pair (hours)
	@./setup.sh test && $(BIN)/pytest -m slow tests/pair tests/lab tests/uml tests/qemu

bench:  ## patching beside xorriso + implantisomd5; a boot storm; a tree for 200 pairs; the agent on 10 GiB and 10 TiB
	@./setup.sh test && $(BIN)/python -m bench.cli && $(BIN)/python -m bench.patch
	@$(BIN)/python -m bench.serve && $(BIN)/python -m bench.pxe && $(BIN)/python -m bench.agent

lint:  ## ruff, shellcheck, and the agent's Python floor
	@$(BIN)/ruff check -q && $(BIN)/ruff format -q --check && shellcheck setup.sh .ci/run builder/demo/init.sh
	@$(BIN)/vermin -q -t=3.9- --violations --no-tips --eval-annotations firstboot

types:  ## mypy --strict
	@$(BIN)/mypy

golden:  ## write the golden trees anew; read the diff
	@$(BIN)/pytest -q -p no:randomly tests/golden --regenerate

docs:  ## HTML manual and man pages, warnings are errors
	@$(BIN)/sphinx-build -q -W -b html docs build/docs
	@$(BIN)/sphinx-build -q -W -b man docs build/man

wheel:  ## build/ksbuild-*.whl
	@$(BIN)/python -m pip --quiet wheel --no-deps --no-build-isolation -w build .

lock:  ## renew requirements/*.txt (needs uv)
	@for f in bootstrap run test; do $(LOCK) --universal --python-version 3.11 requirements/$$f.in -o requirements/$$f.txt; done
	@$(LOCK) --python-platform linux --python-version 3.9 requirements/agent.in -o requirements/agent.txt

clean:  ## remove what make made
	@rm -rf build .venv
