# The commands of this repository. A newcomer needs `make demo` and `make test`; Python 3.11 or later, a Rust toolchain and
# make are all they ask for.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CACHE  ?= $(HOME)/.cache/bytetok
RUST   := $(wildcard $(addprefix rust_ext/src/,*.rs */*.rs */*/*.rs */*/*/*.rs)) rust_ext/Cargo.toml rust_ext/Cargo.lock

.PHONY: demo test check rust-test python-test fuzz bench bench-bytes vocab docs clean

demo: $(VENV)/.installed  ## build, train a legal tokenizer on the shipped corpus, compare it, show it
	$(BIN)/bytetok train vocab/corpora/legal-train.jsonl.zst --recipe legal --vocab-size 16384 -o out/legal-16k
	$(BIN)/bytetok eval out/legal-16k $(wildcard vocab/*/tokenizer.json) --on vocab/corpora/legal-heldout.jsonl.zst \
	    --html out/legal-16k.html
	$(BIN)/bytetok show out/legal-16k "The Licensee shall indemnify and hold harmless the Licensor. See 17 U.S.C. § 107(a)."
	@echo
	@echo "The tokenizer is in out/legal-16k, the comparison as a page in out/legal-16k.html."

test: check rust-test python-test  ## everything that CI runs

check: $(VENV)/.test-installed  ## lint, types, floors
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest bytetok._core
	$(BIN)/lint-imports
	cargo clippy --manifest-path rust_ext/Cargo.toml --all-targets --features python -- -D warnings

rust-test:  ## the engine alone; needs no Python
	cargo test --manifest-path rust_ext/Cargo.toml --quiet

python-test: $(VENV)/.test-installed
	$(BIN)/pytest

fuzz: $(VENV)/.test-installed  ## random vocabularies and text for half an hour; needs a nightly toolchain and cargo-fuzz
	cd rust_ext && cargo +nightly fuzz run encode -- -max_total_time=600 -max_len=600 -timeout=60
	cd rust_ext && cargo +nightly fuzz run split -- -max_total_time=600 -max_len=400 -timeout=60
	BYTETOK_FUZZ_EXAMPLES=2000 $(BIN)/pytest --timeout 0 tests/property/test_encode_property.py \
	    tests/property/test_encode_streaming_property.py tests/parity/test_encode_damaged_json.py

bench: $(VENV)/.test-installed  ## the claims of the README; see benchmarks/README.md for the corpora they need
	$(BIN)/python benchmarks/train_speed.py
	$(BIN)/python benchmarks/heldout.py
	$(BIN)/python benchmarks/startup.py

bench-bytes: $(VENV)/.test-installed  ## quality of byte models: hours on one core, goes on where it was interrupted
	$(BIN)/python benchmarks/bytes_cut_prompts.py && $(BIN)/python benchmarks/bytes_ensembles.py && $(BIN)/python benchmarks/bytes_infilling.py

vocab: $(VENV)/.test-installed  ## rebuild the shipped tokenizers from their corpora
	BYTETOK_CACHE=$(CACHE) $(BIN)/python vocab/build.py

docs: $(VENV)/.test-installed
	$(BIN)/pip install --quiet --group docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) out build dist site rust_ext/target bytetok/*.so

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# The demo installs no more than a user would.
$(VENV)/.installed: pyproject.toml $(RUST) | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable ".[domain]"
	@touch $@

$(VENV)/.test-installed: pyproject.toml $(RUST) | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable ".[domain,plot,hf,spm,tiktoken,ray,torch]" --group test --group check
	@# The oracle of the split patterns has the tables of Unicode 16; transformers asks for a newer `regex`
	$(BIN)/pip install --quiet --no-deps --target $(VENV)/regex16 --upgrade regex==2025.9.18
	@touch $@ $(VENV)/.installed
