"""The block ablations: train, merge, and fuse the blocks of every arm on the same splits."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from mmlego.bench.configurations import Configuration
from mmlego.bench.fold_bench import Bench, benches
from mmlego.bench.inputs import headline_inputs
from mmlego.bench.outcome import Outcome
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import Labels, TrainedModel, assembled
from mmlego.data.folds.fold import Fold
from mmlego.lego import spectrum
from mmlego.lego.block import LegoBlock
from mmlego.methods.names import LEGO_BLOCK
from mmlego.runs.settings import BlockAblationSettings
from mmlego.studies.blocks import odd_target
from mmlego.studies.blocks.configurations import arms, train_block

# What is reported besides the merge: blocks alone, and blocks fused and tuned.
ALONE = frozenset({"A1", "A5", "profiles"})
FUSED = {"A5": ("stack", "weave"), "profiles": ("stack",)}
RESIDUE, SHIFT = "imaginary_residue", "untracked_shift"
_CHECKED = 64  # test samples on which the imaginary part is looked at


def run_all(
    folds: Sequence[Fold],
    settings: BlockAblationSettings,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """Every arm on every fold.

    Encoders are trained once per fold and modality, and all arms wrap them.

    Args:
        folds: The splits.
        settings: Which ablations, and the settings from which arms differ.
        store: Where finished fits lie.
        log: Called with one line per encoder and outcome.
    """
    return [
        outcome
        for bench in benches(folds, settings, store, log)
        for arm in arms(settings)
        for outcome in run_arm(bench, arm)
    ]


def run_arm(bench: Bench, arm: Configuration) -> list[Outcome]:
    """Train the blocks of one arm on one fold, and test the merge and what else is asked for."""
    names = sorted(headline_inputs(bench.fold)[1])
    blocks = {name: train_block(bench, name, arm) for name in names}
    labels: dict[str, Any] = {
        "condition": name_of(arm),
        "headline": False,
        "facts": {"ablation": arm.factor, "level": arm.name, "reference": arm.reference},
    }
    found = []
    if arm.factor in ALONE:
        found += [_alone(bench, name, blocks[name], arm, labels) for name in names]
    found.append(bench.merge(names, blocks=blocks, **labels).outcome)
    for mode in FUSED.get(arm.factor, ()):
        found.append(bench.fuse(names, mode, blocks=blocks, **labels).outcome)
    for outcome in found:
        bench.log(outcome)
    return found


def name_of(arm: Configuration) -> str:
    """Under which condition the blocks of an arm are trained, such as ``A5: depth 2``."""
    return f"{arm.factor}: {arm.name}"


def _alone(
    bench: Bench, name: str, block: TrainedModel, arm: Configuration, labels: Mapping[str, Any]
) -> Outcome:
    """The outcome of a single block, of A1 with facts on its imaginary part."""
    if arm.factor != "A1":
        return block.outcome.relabelled(arm="", **labels)
    fold = bench.fold
    # The block by itself, so that what is measured on it is kept with its outcome.
    return assembled(
        fold,
        bench.store,
        Labels(LEGO_BLOCK, (name,), dict(labels) | {"headline": True}),
        lambda: block.model,
        parents=[block.key],
        code=[imaginary_facts],
        n_train=block.outcome.n_train,
        device=bench.settings.device,
        measure=lambda model, logits: imaginary_facts(block.inner(LegoBlock), fold, name),
    ).outcome


def imaginary_facts(block: LegoBlock, fold: Fold, name: str) -> dict[str, float]:
    """Whether the imaginary part of a trained block holds anything of the data.

    ``imaginary_residue`` is the largest share of a test sample's final imaginary part that is no
    multiple of that of the transformed start latent (of each column, where only channels are
    transformed): 0 if it never sees the data. The passes run as the equations are printed, back
    and forth between the domains. ``untracked_shift`` is the largest change of a logit when
    tracking is switched off in the trained block, in standard deviations of the logits. Nothing is
    returned for a block without an imaginary part.
    """
    if not (block.knobs.frequency_domain and block.knobs.track_imaginary):
        return {}
    part = fold.test.select([name]).where_present([name])
    batch = part.batch(range(min(len(part), _CHECKED)))
    x, mask = batch.inputs[name], batch.masks.get(name)
    block = copy.deepcopy(block).cpu().eval()
    twin = copy.deepcopy(block)
    twin.knobs = dataclasses.replace(block.knobs, track_imaginary=False)
    with torch.no_grad():
        final = block.encode(x, mask, literal=True).imag
        start = spectrum.transform(block.latent[None], block.knobs.fft_axes).imag
        logits, untracked = block(x, mask), twin(x, mask)
    return {
        RESIDUE: _residue(final, start, block.knobs.fft_axes),
        SHIFT: float((logits - untracked).abs().max() / logits.std()),
    }


def _residue(final: torch.Tensor, start: torch.Tensor, axes: str) -> float:
    """Largest share of ``final`` (b, c, d) that is no multiple of ``start`` (1, c, d)."""
    dims = spectrum.AXES[axes]
    product = (final * start).sum(dims, keepdim=True)
    scale = product / spectrum.energy(start, axes).clamp_min(spectrum.TINY)
    left = spectrum.energy(final - scale * start, axes).sum((-2, -1))
    whole = spectrum.energy(final, axes).sum((-2, -1)).clamp_min(spectrum.TINY)
    return float((left / whole).sqrt().max())


def odd_targets(settings: BlockAblationSettings, store: FitStore) -> pd.DataFrame:
    """Blocks on targets that depend on the odd, or the even part of the data only."""
    return store.table(
        "odd_targets",
        lambda: odd_target.scores(settings.seed),
        parents=[],
        code=code_digest(odd_target),
        seed=settings.seed,
    )
