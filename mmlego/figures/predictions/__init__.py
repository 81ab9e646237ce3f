"""Figures of outcomes and of predictions against them."""
