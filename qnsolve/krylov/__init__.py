"""Subproblems of a matrix that is known by its products with vectors."""
