# `make demo` and `make test` need Python ≥ 3.11 and make; everything else is installed in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
REVIEWS := saved_models/reviews

.PHONY: help demo serve compare test test-slow test-tf2.20 lint format docs docs-serve lock clean

help: ## Show what can be made
	@grep -hE '^[a-z0-9.%-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

demo: $(VENV)/installed ## Train an LSTM on the bundled reviews, export it, and ask the SavedModel
	$(BIN)/keras-seqzoo train examples/data/reviews.csv --model lstm --text review --label sentiment \
	  --epochs 5 --seed 0 --out $(REVIEWS)
	$(BIN)/python examples/ask_saved_model.py $(REVIEWS) \
	  "The waiter was never rude and the soup was lovely." \
	  "Great cast, but the story fell flat." \
	  "The phone was not bad at all."

serve: $(VENV)/installed ## Answer http://127.0.0.1:8501/v1/models/reviews with what is in saved_models
	$(BIN)/keras-seqzoo serve saved_models

compare: $(VENV)/installed ## Compare an LSTM, a GRU and a small ELECTRA on the bundled reviews: report.html
	$(BIN)/keras-seqzoo compare examples/data/reviews.csv --models lstm,gru,electra_small \
	  -o electra_small.weights=None -o electra_small.num_layers=2 -o electra_small.hidden_dim=128 \
	  -o electra_small.num_heads=2 -o electra_small.intermediate_dim=512 \
	  --text review --label sentiment --seeds 1 --epochs 5 --report report.html

test: $(VENV)/installed-dev ## Run the tests of all that a change can break
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 -m "not slow"

test-slow: $(VENV)/installed-dev ## Run the others: kills, several processes, fuzz, notebooks, full matrices
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 -m slow

test-python%: ## Run lint and `make test` with another Python, as test-python3.12, in .venv-3.12
	$(MAKE) lint test PYTHON=python$* VENV=.venv-$*

# Exports are made with the TensorFlow of the lock file, and asked in the oldest that we support.
test-tf2.20: $(VENV)/installed-dev ## Ask exports of every kind in TensorFlow 2.20, installed in .venv-tf2.20
	test -d $(VENV)-tf2.20 || $(PYTHON) -m venv $(VENV)-tf2.20
	$(VENV)-tf2.20/bin/pip install --quiet --disable-pip-version-check 'tensorflow==2.20.*' 'tensorflow-text==2.20.*'
	rm -rf $(VENV)-tf2.20/artifacts
	$(BIN)/python -W ignore tests/compatibility/make_artifacts.py $(VENV)-tf2.20/artifacts
	cd $(VENV)-tf2.20 && bin/python ../tests/compatibility/check_artifacts.py artifacts

lint: $(VENV)/installed-dev ## Check style, types and that no layer looks up
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Warnings, links that lead nowhere among them, are errors.
docs: $(VENV)/installed-docs ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/installed-docs ## Show the documentation at http://127.0.0.1:8000 while it is written
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

lock: $(VENV)/installed-dev ## Write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --upgrade \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements.lock

clean: ## Remove the virtual environments and the built documentation
	rm -rf $(VENV) $(VENV)-tf2.20 .venv-3.* site

$(VENV)/installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 1; }
	@echo "Installing TensorFlow and the package into $(VENV): 2 to 3 GB, some minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[server]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing what tests and checks need"
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev,client,server,tensorboard,search,mlflow,notebook,crf,vectors,excel,onnx,openvino,litert]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	@echo "Installing what the documentation needs"
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[docs]'
	@touch $@
