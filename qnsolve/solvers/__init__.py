"""Outer loops, each written as the printed algorithm."""
