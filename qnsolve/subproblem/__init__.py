"""Exact minimisers of quadratic models over regions, in the coordinates of a partial spectrum."""
