"""Figures of what happens inside a method: gates, confidences, tokens, spectra."""
