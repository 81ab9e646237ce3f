"""A store of finished fits, addressed by everything that decides them.

A fit is found again only if data, settings, seed and code are the same, so that a run that was
killed goes on where it stopped, and a page can be drawn again without training again.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmlego.errors import RunError


@dataclass(frozen=True)
class StoredFit:
    """One fit as it lies on disk.

    The key, tensors by name, facts, and the checksum of the tensors.
    """

    key: str
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    sha256: str


def torch_version() -> str:
    """Minor version of torch, such as ``2.13``."""
    return ".".join(torch.__version__.split(".")[:2])


def fit_key(**parts: Any) -> str:
    """Hash everything that decides a fit, 20 hexadecimal digits.

    The minor version of torch is always part of it: a patch release does not change numbers.
    """
    parts["torch"] = torch_version()
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


Recall = Callable[[str], "dict[str, Any] | None"]


class FitStore:
    """Folder of finished fits, one folder each, written whole or not at all.

    Beside the fits, which hold weights, it may know the outcomes of earlier runs by their keys,
    which hold predictions and metrics: these need neither weights nor training.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        read_only: bool = False,
        recall: Recall | None = None,
        recall_table: Callable[[str], pd.DataFrame | None] | None = None,
        fresh: bool = False,
    ) -> None:
        """Use ``folder``, made on the first write.

        Args:
            folder: Where fits lie.
            read_only: Refuse to add a fit.
            recall: Gives the content of an outcome by its key, or None where no run has it.
            recall_table: Gives what was measured by its key, or None.
            fresh: Take nothing that was there before: neither fits nor outcomes.
        """
        self.folder = Path(folder)
        self.read_only = read_only
        self.fresh = fresh
        self._recall = recall
        self._recall_table = recall_table
        self.tables: dict[str, pd.DataFrame] = {}
        self._written: set[str] = set()
        self._remedy = ""

    def for_reading(self, remedy: str) -> FitStore:
        """The same store, to which nothing may be added, so that all that is there counts.

        Args:
            remedy: What the error of a missing fit tells to do.
        """
        twin = copy.copy(self)
        twin.read_only, twin.fresh, twin._remedy = True, False, f"; {remedy}"
        return twin

    def recall(self, key: str) -> dict[str, Any] | None:
        """Fields of ``Outcome`` by name that an earlier run recorded under a key, or None."""
        return None if self.fresh or self._recall is None else self._recall(key)

    def table(
        self,
        what: str,
        make: Callable[[], pd.DataFrame],
        *,
        parents: Sequence[str],
        code: str,
        **options: Any,
    ) -> pd.DataFrame:
        """Something that was measured on models, as a run recorded it, or measured now.

        Args:
            what: Its name.
            make: Measures it.
            parents: Keys of the models.
            code: Digest of the code that measures.
            options: What else decides it, in JSON types.
        """
        key = fit_key(what=what, parents=list(parents), code=code, options=options)
        known = None if self.fresh or self._recall_table is None else self._recall_table(key)
        self.tables[key] = make() if known is None else known
        return self.tables[key]

    def require_writable(self, what: str) -> None:
        """Refuse at once, before any training, if a fit that is not here may not be made.

        Raises:
            RunError: If the store is read-only.
        """
        if self.read_only:
            raise RunError(
                f"{what}: no stored fit with these settings, data and code{self._remedy}"
            )

    def get(self, key: str) -> StoredFit | None:
        """The fit of this key, or None if there is none.

        Raises:
            RunError: If its files are damaged.
        """
        place = self.folder / key
        if not (place / "fit.json").is_file() or (self.fresh and key not in self._written):
            return None
        weights = place / "tensors.safetensors"
        try:
            facts = json.loads((place / "fit.json").read_text(encoding="utf-8"))
            expected, kept = facts["sha256"], facts["facts"]
            digest = file_digest(weights)
            tensors = load_file(weights)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as problem:
            raise RunError(
                f"stored fit {key}: cannot be read ({problem}); delete {place} and run "
                f"again{self._remedy}"
            ) from None
        if digest != expected:
            raise RunError(
                f"stored fit {key}: its weights differ from their checksum; delete {place} and run "
                f"again{self._remedy}"
            )
        return StoredFit(key, tensors, kept, digest)

    def put(self, key: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> StoredFit:
        """Write a fit in one step: a reader sees either all of it or nothing.

        Raises:
            RunError: If the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.folder))
        except OSError as problem:
            raise RunError(
                f"fit store: cannot write to {self.folder} ({problem.strerror}); "
                "give another place with the parameter 'results'"
            ) from None
        try:
            save_file(
                {name: value.contiguous() for name, value in tensors.items()},
                draft / "tensors.safetensors",
            )
            digest = file_digest(draft / "tensors.safetensors")
            text = json.dumps({"sha256": digest, "facts": facts})
            (draft / "fit.json").write_text(text, encoding="utf-8")
            shutil.rmtree(self.folder / key, ignore_errors=True)
            os.replace(draft, self.folder / key)
        except OSError as problem:
            raise RunError(
                f"fit store: cannot write fit {key} to {self.folder} ({problem})"
            ) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._written.add(key)
        return StoredFit(key, tensors, facts, digest)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
