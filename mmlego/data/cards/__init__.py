"""Data cards: their schema, where they lie, and whether their files are here."""
