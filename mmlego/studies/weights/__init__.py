"""Merging weights instead of latents."""
