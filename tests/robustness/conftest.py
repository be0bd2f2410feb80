"""Array libraries for the whole suite: of the strict ones only the one that lets nothing pass."""

from __future__ import annotations

import pytest

from tests.conftest import HOMES, Backend, home


@pytest.fixture(params=[name for name in HOMES if name != "strict"])
def xp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """As for all tests, without the strict library on its default device."""
    return home(request.param, monkeypatch)
