"""Fixtures and the hypothesis profile that every test shares.

Dials, all of them environment variables:

* ``MAX_EXAMPLES``: how many examples each property test tries (default 60).
* ``BYTETOK_FUZZ_EXAMPLES``: the same for a nightly run, which tries other examples each time.
* ``BYTETOK_LONG``: set to 1, the parity suite compares whole corpora.
* ``BYTETOK_SHARED_DATA``: the folder with the large corpora and peers' tokenizers (default ``../shared/data`` beside
  the checkout). Tests that need it skip where it is absent.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# A shell that starts this in the background makes it deaf to Ctrl-C, and all its children; the tests send that signal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

FUZZING = os.environ.get("BYTETOK_FUZZ_EXAMPLES")

settings.register_profile(
    "bytetok",
    max_examples=int(FUZZING or os.environ.get("MAX_EXAMPLES", "60")),
    deadline=None,
    # The same examples on every machine and every run: a red run is red for the reader, too.
    derandomize=FUZZING is None,
    print_blob=FUZZING is not None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("bytetok")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of large corpora; the test is skipped where it is absent."""
    named = os.environ.get("BYTETOK_SHARED_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no corpora in {folder.name!r}: set BYTETOK_SHARED_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT
