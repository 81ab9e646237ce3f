"""Metrics of survival and classification, calibration, confidence, and localization."""
