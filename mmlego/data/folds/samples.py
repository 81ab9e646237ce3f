"""One part of a fold as tensors, and the batches that models are fed with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmlego.data.cohorts.cohort import check_modalities
from mmlego.errors import DataError, ModalityError

Values = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """What a model is called with, and what its loss needs.

    Attributes:
        inputs: Values by modality: (b, c), (b, n, c), (b, ch, h, w) or (b, ch, d, h, w) float32;
            zeros where absent.
        present: (b,) bool by modality, True = the sample has it.
        masks: (b, n) bool for bags, True = an instance, False = padding. An absent bag keeps one
            zero instance, so that no softmax is over nothing; ``present`` says that it is absent.
        target: "time_bin", "event", "time" for survival; "label" for classification.
        index: Positions of the samples in their part, (b,) int64.
    """

    inputs: dict[str, Tensor]
    present: dict[str, Tensor]
    masks: dict[str, Tensor]
    target: dict[str, Tensor]
    index: Tensor

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.index)

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device."""

        def moved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: t.to(device) for name, t in tensors.items()}

        return Batch(
            inputs=moved(self.inputs),
            present=moved(self.present),
            masks=moved(self.masks),
            target=moved(self.target),
            index=self.index.to(device),
        )


@dataclass(frozen=True, eq=False)
class Samples:
    """Scaled samples of one part (train, val or test) of a fold.

    Attributes:
        ids: (n,) sample ids.
        groups: (n,) patient ids.
        values: Tensor (n, ...) by modality, or a tuple of n tensors (n_i, c) for bags; zeros or
            empty where absent.
        present: (n,) bool tensor by modality.
        kinds: "tabular", "bag", "series", "image" or "volume" by modality.
        widths: Number of features by modality.
        target: Tensors of length n; see ``Batch``.
    """

    ids: np.ndarray
    groups: np.ndarray
    values: dict[str, Values]
    present: dict[str, Tensor]
    kinds: dict[str, str]
    widths: dict[str, int]
    target: dict[str, Tensor]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.ids)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the card."""
        return tuple(self.values)

    def tensor(self, name: str) -> Tensor:
        """Return the values of a modality that is no bag, (n, ...).

        Raises:
            ModalityError: If it is a bag, whose samples differ in length.
        """
        values = self.values[name]
        if isinstance(values, tuple):
            raise ModalityError(
                f"modality '{name}': expected one tensor for all samples, got a bag; read its "
                "instances with `bags`"
            )
        return values

    def bags(self, name: str) -> tuple[Tensor, ...]:
        """Return the instances (n_i, c) of each sample of a bag.

        Raises:
            ModalityError: If the modality is no bag.
        """
        values = self.values[name]
        if not isinstance(values, tuple):
            raise ModalityError(
                f"modality '{name}': expected a bag, got one tensor for all samples; read it with "
                "`tensor`"
            )
        return values

    def subset(self, index: Sequence[int] | np.ndarray | Tensor) -> Samples:
        """Return the samples at the positions ``index``."""
        index = torch.as_tensor(np.asarray(index), dtype=torch.int64)
        rows = index.numpy()
        return replace(
            self,
            ids=self.ids[rows],
            groups=self.groups[rows],
            values={name: _take(v, index) for name, v in self.values.items()},
            present={name: p[index] for name, p in self.present.items()},
            target={name: t[index] for name, t in self.target.items()},
        )

    def select(self, names: Sequence[str]) -> Samples:
        """Return the samples with these modalities only; samples that have none of them stay.

        Raises:
            ModalityError: If a name is unknown or none is given.
        """
        chosen = check_modalities("samples", names, self.names)
        return replace(
            self,
            values={name: self.values[name] for name in chosen},
            present={name: self.present[name] for name in chosen},
            kinds={name: self.kinds[name] for name in chosen},
            widths={name: self.widths[name] for name in chosen},
        )

    def where_present(self, names: Sequence[str] | None = None, how: str = "any") -> Samples:
        """Return the samples that have any (or all) of the named modalities; None names all.

        Raises:
            ModalityError: If a name is unknown, or ``how`` is neither "any" nor "all".
        """
        return self.subset(np.flatnonzero(self.has(names, how).numpy()))

    def has(self, names: Sequence[str] | None = None, how: str = "any") -> Tensor:
        """Return (n,) bool: which samples have any (or all) of the named modalities."""
        chosen = check_modalities("samples", self.names if names is None else names, self.names)
        if how not in ("any", "all"):
            raise ModalityError(f"has: expected how 'any' or 'all', got '{how}'; choose one")
        flags = torch.stack([self.present[name] for name in chosen])
        return flags.any(dim=0) if how == "any" else flags.all(dim=0)

    def batch(self, index: Sequence[int] | np.ndarray | Tensor | None = None) -> Batch:
        """Return the samples at the positions ``index`` (None: all) as one batch; pads bags."""
        index = (
            torch.arange(len(self))
            if index is None
            else torch.as_tensor(np.asarray(index), dtype=torch.int64)
        )
        inputs: dict[str, Tensor] = {}
        masks: dict[str, Tensor] = {}
        for name, values in self.values.items():
            if self.kinds[name] == "bag":
                bags = cast("tuple[Tensor, ...]", _take(values, index))
                inputs[name], masks[name] = _pad(bags, self.widths[name])
            else:
                inputs[name] = values[index]
        return Batch(
            inputs=inputs,
            present={name: p[index] for name, p in self.present.items()},
            masks=masks,
            target={name: t[index] for name, t in self.target.items()},
            index=index,
        )

    def batches(self, batch_size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Yield all samples in batches, in a random order if (and only if) a generator is given.

        Raises:
            DataError: If ``batch_size`` is below 1.
        """
        if batch_size < 1:
            raise DataError(
                f"batches: expected a batch size of 1 or more, got {batch_size}; the usual size is "
                "64"
            )
        n = len(self)
        order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
        for start in range(0, n, batch_size):
            yield self.batch(order[start : start + batch_size])


def _take(values: Values, index: Tensor) -> Values:
    return tuple(values[i] for i in index.tolist()) if isinstance(values, tuple) else values[index]


def _pad(bags: tuple[Tensor, ...], width: int) -> tuple[Tensor, Tensor]:
    """Return bags as (b, n, c), padded with zeros, and the mask (b, n) of what is no padding."""
    if not bags:
        return torch.zeros(0, 1, width), torch.zeros(0, 1, dtype=torch.bool)
    filled = [bag if len(bag) else bag.new_zeros(1, width) for bag in bags]
    lengths = torch.tensor([len(bag) for bag in filled])
    padded = pad_sequence(filled, batch_first=True)
    return padded, torch.arange(padded.shape[1])[None, :] < lengths[:, None]
