"""What all runs say together: the main table, claims, protocol, and the first page."""
