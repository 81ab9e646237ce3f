"""Loaders of health records and intensive-care series."""
