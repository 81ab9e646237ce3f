"""The error tree of the compendium.

One root, so that a caller can catch everything that mmlego raises on purpose.

Every message names the object, what was expected, what came, and the remedy.
"""

from __future__ import annotations


class MMLegoError(ValueError):
    """Root of all errors that mmlego raises on purpose."""


class ShapeError(MMLegoError):
    """A tensor or array has the wrong shape, type, or contains NaN or infinity."""


class ModalityError(MMLegoError):
    """A modality is unknown, missing where it is needed, or missing altogether for a sample."""


class DataError(MMLegoError):
    """A cohort, split or fold cannot be used as asked."""


class CardError(DataError):
    """A data card does not follow its schema."""


class DownloadError(DataError):
    """A file cannot be fetched, is truncated, or differs from its checksum."""


class SettingsError(MMLegoError):
    """A parameter is unknown, of the wrong type, or out of range."""


class TrainingError(MMLegoError):
    """Training cannot go on, for instance because the loss is no longer finite."""


class MetricError(MMLegoError):
    """A metric is undefined for the given predictions and targets."""


class RunError(MMLegoError):
    """A notebook run cannot start, did not finish, or its record is missing or stale."""
