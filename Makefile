# `make` prints this help. Every target sets up what it needs in .venv first, once.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEED_PYTHON := 3.11
# .venv takes about 600 MB, a demo about 100 MB; the rest is air
NEED_DISK_MB := 1500

# Settings of `make demo`: DATA=file.csv CHECK=1 DEVICES=24 PORT=8000 KEEP=1 CHAOS=1
# ESP32=1 QEMU=qemu-system-xtensa IMAGE=file.bin ROMS=folder: the last three of `make test-esp32` too, with CUTS=50 STEADY=1
DEVICES ?= 24
PORT ?= 8000
# Settings of `make image`: BOARD=name, a profile of firmware/image/boards; STOCK=file.bin, as micropython.org offers it for the board,
# FLASH_SIZE=8MB without a BOARD; FROZEN=1 for an image of `make firmware`; OUT=build/flash-NAME.bin
STOCK ?=
FLASH_SIZE ?=
NAMED_BOARD := $(if $(filter file undefined,$(origin BOARD)),,$(BOARD))
OUT ?= build/flash-$(or $(basename $(notdir $(NAMED_BOARD))),esp32).bin
# Settings of `make firmware`: BOARD=name, IDF=folder of a local ESP-IDF (else its container)
IDF ?=
# Settings of `make budget`: BOARD=name or file.json CONFIG=site.json DATA=file.csv
BOARD ?= esp32-generic
CONFIG ?= firmware/image/site.json

# Settings of `make secure`: PORT=/dev/ttyUSB0 LEVEL=none|signed|guarded|locked KEYS="a.pub b.pub" REVOKE="lost.pub" DO=plan|rehearse|burn|status.
# PORT is the console's port of `make demo` too, which has a default: here it must be named
BOARD_PORT := $(if $(filter file,$(origin PORT)),,$(PORT))
LEVEL ?= signed
KEYS ?=
DO ?= plan

# Settings of `make ports`, `make flash`, `make app`, `make monitor`, `make shell`, `make provision`: PORT=/dev/ttyUSB0, of the first two
# also PORT=all; of `make flash` OUT=file.bin BOARD=name ERASE_IDENTITY=1; of `make provision` ARGS="…", tenfold provision's options
ARGS ?=
NEED_PORT = $(if $(BOARD_PORT),,echo 'make: name the board'"'"'s serial port: make $@ PORT=/dev/ttyUSB0 (make ports lists them)' >&2; exit 2)
# Settings of `make line`: LOT=2026-47 STATION=bench-1 IMAGE=build/flash-esp32.bin PORTS="build/boards/tty*" ONCE=1;
# or DEMO=1, simulated boards into the running demo: PORTS="build/boards/tty*"

# Settings of `make fuzz`: SECONDS=60, for all decoders together
SECONDS ?= 60

.PHONY: help demo test test-slow test-power fuzz test-esp32 bench bench-smoke budget image firmware ports flash app monitor shell provision line secure second-source lint fix lock clean setup dev check-machine

help: ## this help
	@printf 'Tenfold: a fleet in one repository. Start with:  make demo\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nmake demo takes  DATA=file.csv (replay your readings)  CHECK=1 (headless, judged)  PORT=8000 (console)\n'
	@printf '                 KEEP=1 (run on until Ctrl-C)  CHAOS=1 (kill random processes)  DEVICES=24\n'
	@printf '                 ESP32=1 QEMU=qemu-system-xtensa IMAGE=file.bin (one emulated ESP32 more)  ROMS=folder (its ROM files)\n'
	@printf 'make test-esp32 takes  QEMU=qemu-system-xtensa  IMAGE=file.bin  ROMS=folder  CUTS=50 (power cuts)  STEADY=1 (on a loaded machine)\n'
	@printf 'make image takes BOARD=name  STOCK=file.bin  FLASH_SIZE=4MB (without BOARD)  FROZEN=1 (of make firmware)  OUT=build/flash-NAME.bin\n'
	@printf 'make ports, flash, app, monitor, shell, provision take PORT=/dev/ttyUSB0; ports and flash also PORT=all\n'
	@printf 'make flash takes BOARD=esp32-generic  OUT=build/flash-NAME.bin  ERASE_IDENTITY=1 (give up the device key on it)\n'
	@printf 'make provision takes ARGS="--site site.json --ca root.der …" (.venv/bin/tenfold provision --help)\n'
	@printf 'make line takes  LOT=2026-47  STATION=bench-1  IMAGE=build/flash-esp32.bin  PORTS="/dev/ttyUSB0 …"  ONCE=1\n'
	@printf '                 DEMO=1 (simulated boards of `tenfold sim board`, into the fleet of `make demo KEEP=1`)\n'
	@printf 'make firmware takes BOARD=name  IDF=path/to/esp-idf (else docker or podman)\n'
	@printf 'make second-source takes BOARD=wt32-eth01  CONFIG=site.json\n'
	@printf 'make secure takes PORT=/dev/ttyUSB0  LEVEL=none|signed|guarded|locked  KEYS="a.pub b.pub"  REVOKE=lost.pub  DO=plan|rehearse|burn|status\n'
	@printf 'make budget takes BOARD=esp32-generic  CONFIG=site.json  DATA=file.csv\n'

demo: $(VENV)/.demo ## a whole fleet on this machine: broker, servers, console, 24 devices, a rollout
	@$(BIN)/tenfold demo --devices $(DEVICES) --port $(PORT) $(if $(DATA),--data "$(DATA)") $(if $(CHECK),--check) \
	  $(if $(KEEP),--keep) $(if $(CHAOS),--chaos) $(if $(ESP32),--qemu "$(QEMU)" --image "$(IMAGE)" $(if $(ROMS),--roms "$(ROMS)"))

test: $(VENV)/.dev build/umqtt/simple.py ## all fast tests, on CPython and on real MicroPython
	@$(BIN)/pytest -n 3 --dist worksteal --durations=10 -m "not slow"

test-slow: $(VENV)/.dev build/umqtt/simple.py ## the long tiers: every power cut, end to end
	@$(BIN)/pytest -n 3 --dist worksteal --durations=10 -m slow

test-power: $(VENV)/.demo ## every power cut of the ring, and every one again during recovery: some minutes
	@$(BIN)/tenfold bench powercut --exhaustive

fuzz: $(VENV)/.fuzz ## coverage-guided fuzzing of the decoders for SECONDS=60; says so and skips where atheris is not installed
	@$(BIN)/python -m tests.fuzz.fuzz --seconds $(SECONDS)

bench: $(VENV)/.demo ## our figures beside our peers': DATA="a.csv b.csv" for bytes a reading
	@$(if $(DATA),$(BIN)/tenfold bench codec $(DATA),echo 'make: bytes a reading are left out: name recordings: make bench DATA="a.csv b.csv"' >&2)
	@$(BIN)/tenfold bench ring
	@$(BIN)/tenfold bench encode
	@$(BIN)/tenfold bench heap
	@$(BIN)/tenfold bench powercut
	@$(BIN)/tenfold bench herd
	@$(BIN)/tenfold bench drain
	@$(BIN)/tenfold bench checkin
	@$(BIN)/tenfold bench ingest
	@$(BIN)/tenfold bench faults --quick
	@$(BIN)/tenfold bench line

bench-smoke: $(VENV)/.demo ## the plant's benches, briefly: each must end, and nothing be lost or stored twice: DATA="a.csv b.csv"
	@$(BIN)/tenfold bench ingest --quick --json
	@$(BIN)/tenfold bench faults --quick --json
	@$(BIN)/tenfold bench anomaly $(if $(wildcard ../shared/data/nab-office),nab-office,synthetic --weeks 4) --json
	@$(if $(DATA),$(BIN)/tenfold bench store $(DATA) --quick --json,echo 'make: bytes on disk are left out: name recordings: make bench-smoke DATA="a.csv b.csv"' >&2)

budget: $(VENV)/.demo ## flash life, ring depth, traffic, memory of a configuration: BOARD=esp32-generic CONFIG=site.json
	@$(BIN)/tenfold budget --board "$(BOARD)" --config "$(CONFIG)" $(if $(DATA),--data "$(DATA)")

test-esp32: $(VENV)/.dev build/umqtt/simple.py ## on an emulated ESP32: QEMU=qemu-system-xtensa IMAGE=ESP32_GENERIC.bin
	@$(if $(and $(QEMU),$(IMAGE)),,echo 'make: every check will be skipped: name your emulator and image: make test-esp32 QEMU=… IMAGE=…' >&2)
	@TENFOLD_QEMU="$(QEMU)" TENFOLD_IMAGE="$(IMAGE)" TENFOLD_ROMS="$(ROMS)" TENFOLD_CUTS="$(CUTS)" TENFOLD_STEADY="$(STEADY)" \
	  $(BIN)/pytest -q -s tests/esp32/check_*.py

image: $(VENV)/.demo ## a board's flash image out of a stock MicroPython image: BOARD=wt32-eth01 STOCK=ESP32_GENERIC.bin
	@$(BIN)/tenfold image build $(if $(NAMED_BOARD),--board "$(NAMED_BOARD)") $(if $(STOCK),--stock "$(STOCK)") --out "$(OUT)" \
	  $(if $(FLASH_SIZE),--flash-size "$(FLASH_SIZE)") $(if $(FROZEN),--frozen)

ports: $(VENV)/.demo ## the boards that are plugged in: port, chip, MAC, what runs on each
	@$(BIN)/tenfold ports $(BOARD_PORT:%=--port "%")

flash: $(VENV)/.demo ## erase, write, verify the image of `make image`: PORT=/dev/ttyUSB0 (or all) BOARD=esp32-generic
	@$(NEED_PORT)
	@$(BIN)/tenfold flash "$(OUT)" $(BOARD_PORT:%=--port "%") $(if $(NAMED_BOARD),--board "$(NAMED_BOARD)") \
	  $(if $(ERASE_IDENTITY),--erase-identity)

app: $(VENV)/.demo ## copy to a flashed board at its prompt what changed of the firmware: PORT=/dev/ttyUSB0
	@$(NEED_PORT)
	@$(BIN)/tenfold app --port "$(BOARD_PORT)"

monitor: $(VENV)/.demo ## what a board says, with times, until Ctrl-C: PORT=/dev/ttyUSB0
	@$(NEED_PORT)
	@$(BIN)/tenfold monitor --port "$(BOARD_PORT)"

shell: $(VENV)/.demo ## MicroPython's prompt of a board: PORT=/dev/ttyUSB0
	@$(NEED_PORT)
	@$(BIN)/tenfold shell --port "$(BOARD_PORT)"

provision: $(VENV)/.demo ## make a flashed board a device of a lot: PORT=/dev/ttyUSB0 ARGS="--site site.json …"
	@$(NEED_PORT)
	@$(BIN)/tenfold provision --port "$(BOARD_PORT)" $(ARGS)

line: $(VENV)/.demo ## the production line, many ports, until the lot is done: LOT=2026-47 STATION=bench-1 IMAGE=build/flash-esp32.bin
	@$(if $(or $(DEMO),$(and $(LOT),$(STATION))),,echo 'make: name lot and station, after tenfold line open: make line LOT=2026-47 STATION=bench-1; or DEMO=1' >&2; exit 2)
	@$(BIN)/tenfold line $(if $(DEMO),demo,run --lot "$(LOT)" --station "$(STATION)" --image "$(or $(IMAGE),build/flash-esp32.bin)") \
	  $(PORTS:%=--ports "%") $(if $(DEMO),,$(if $(ONCE),--once))

firmware: $(VENV)/.demo ## our own MicroPython with the agent frozen in, by ESP-IDF or its container: BOARD=esp32-s3
	@$(if $(NAMED_BOARD),,echo 'make: name the board: make firmware BOARD=esp32-s3 (tenfold boards list)' >&2; exit 2)
	@$(BIN)/tenfold firmware build --board "$(NAMED_BOARD)" $(if $(IDF),--idf "$(IDF)")

secure: $(VENV)/.demo ## secure boot of a board, eFuses for ever: PORT=/dev/ttyUSB0 LEVEL=signed KEYS="a.pub b.pub" DO=plan|rehearse|burn|status
	@$(if $(BOARD_PORT),,echo 'make: name the board'"'"'s serial port: make secure PORT=/dev/ttyUSB0 LEVEL=signed KEYS=key-1.pub' >&2; exit 2)
	@$(BIN)/tenfold secure $(DO) --port "$(BOARD_PORT)" $(if $(filter status,$(DO)),,--level "$(LEVEL)" $(KEYS:%=--key "%") $(REVOKE:%=--revoke "%"))

second-source: $(VENV)/.demo ## what a board and its sensors depend on and what replaces them: BOARD=wt32-eth01 CONFIG=site.json
	@$(BIN)/tenfold sensors second-source $(if $(NAMED_BOARD),--board "$(NAMED_BOARD)") $(if $(CONFIG),--config "$(CONFIG)")

lint: $(VENV)/.dev ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/mypy

fix: $(VENV)/.dev ## let ruff mend what it can
	@$(BIN)/ruff check --fix .

setup: $(VENV)/.demo ## only set up .venv for the demo

dev: $(VENV)/.dev ## only set up .venv for working on Tenfold

lock: $(VENV)/.dev ## write locks/ anew from pyproject.toml (needs the network)
	@$(BIN)/pip install --quiet --group lock
	@for part in ota postgresql provisioning host demo; do $(LOCK) --extra $$part -o locks/$$part.txt; done
	@$(LOCK) --extra demo --group dev -o locks/dev.txt
	@$(LOCK) --extra demo --group dev --group fuzz -o locks/fuzz.txt
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version $(NEED_PYTHON) --upgrade \
	--generate-hashes --no-emit-index-url --no-header --group build

clean: ## remove build/ and .venv/
	rm -rf build $(VENV)

check-machine:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed; install Python $(NEED_PYTHON) or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; ok = sys.version_info >= (3, 11); ok or sys.stderr.write("make: %s is Python %d.%d, Tenfold needs $(NEED_PYTHON) or newer; name another: make PYTHON=/path/to/python3.11\n" % ((sys.executable,) + sys.version_info[:2])); sys.exit(0 if ok else 2)'
	@free=$$(df -Pk . | awk 'NR == 2 {print int($$4 / 1024)}'); test "$$free" -ge $(NEED_DISK_MB) || { \
	  echo "make: only $$free MB free in $$(pwd), set-up needs $(NEED_DISK_MB) MB; free some space" >&2; exit 2; }

$(VENV)/bin/python: | check-machine
	@echo "Setting up $(VENV) (once) …"
	@$(PYTHON) -m venv $(VENV) >build-venv.log 2>&1 || { cat build-venv.log >&2; rm -rf build-venv.log $(VENV); \
	  echo "make: $(PYTHON) cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@rm -f build-venv.log

$(VENV)/.demo: locks/demo.txt pyproject.toml | $(VENV)/bin/python
	@$(call install,locks/demo.txt)
	@touch $@

$(VENV)/.dev: locks/dev.txt pyproject.toml | $(VENV)/bin/python
	@$(call install,locks/dev.txt)
	@touch $@ $(VENV)/.demo

$(VENV)/.fuzz: locks/fuzz.txt pyproject.toml | $(VENV)/bin/python
	@$(call install,locks/fuzz.txt)
	@touch $@ $(VENV)/.dev $(VENV)/.demo

define install
	echo "Installing $$(grep -c == $(1)) packages by hash from $(1) …"; \
	{ $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(1) && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; } || { \
	  echo "make: installing failed; the network is needed once. Check the connection and run the same command again" >&2; exit 2; }
endef

build/umqtt/simple.py: | $(VENV)/.demo
	@$(BIN)/python -m provisioning.line.fetch
