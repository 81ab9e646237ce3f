"""The LegoBlock taken apart."""
