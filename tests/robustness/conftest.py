"""Array libraries for the whole suite: of the strict ones only the one that lets nothing pass."""

from __future__ import annotations

import pytest

from tests.conftest import BACKENDS, Backend


@pytest.fixture(params=[name for name in BACKENDS if name != "strict"])
def xp(request: pytest.FixtureRequest) -> Backend:
    """As for all tests, without the strict library on its default device."""
    return BACKENDS[request.param]()
