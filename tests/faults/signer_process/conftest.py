"""Where a signer lives."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Short, as a socket's path must be."""
    return tmp_path
