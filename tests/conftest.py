"""Fixtures that more than one kind of test needs."""

from __future__ import annotations

import pytest

from undertow.embedding import Embedder, load_embedder
from undertow.model_export import export_default_model


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """The default embedder; its model is exported when this machine does not have it yet."""
    export_default_model()
    return load_embedder()
