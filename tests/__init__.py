"""A package, so that tests can share helpers: ``from tests.strategies import ...``."""
