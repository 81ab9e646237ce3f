"""Loaders of images, screens and scans."""
