"""Fixtures that more than one kind of test needs."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from undertow.embedding import Embedder, load_embedder
from undertow.model_export import export_default_model

# How long an example takes tells of the machine and its load, not of the code.
settings.register_profile("undertow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("undertow")


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """The default embedder; its model is exported when this machine does not have it yet."""
    export_default_model()
    return load_embedder()
