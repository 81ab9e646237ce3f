"""Tests, intervals and ranks by which results are compared."""
