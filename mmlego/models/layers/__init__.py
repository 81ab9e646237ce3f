"""Layers and front ends that several networks are made of."""
