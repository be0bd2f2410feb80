"""What is measured about the package: ``python -m benchmarks.NAME`` at the root of a checkout."""
