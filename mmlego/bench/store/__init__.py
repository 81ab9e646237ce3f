"""Finished fits, found again by everything that decides them: data, settings and code."""
