"""The block ablations: train, merge, and fuse the blocks of every arm on the same splits."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch

from mmlego.bench.fold_bench import Bench, benches
from mmlego.bench.fusing import tuned_outcomes
from mmlego.bench.inputs import JOINED, SEPARATE, input_sets
from mmlego.bench.merging import merge_outcome
from mmlego.bench.outcome import Outcome
from mmlego.bench.store.fits import FitStore
from mmlego.data.folds.fold import Fold
from mmlego.errors import ModalityError
from mmlego.lego import spectrum
from mmlego.lego.block import LegoBlock
from mmlego.models.encoders.unimodal import Unimodal
from mmlego.runs.settings import BlockAblationSettings
from mmlego.studies.blocks import odd_target
from mmlego.studies.blocks.configurations import Arm, arms, train_arm

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


def modalities_of(fold: Fold) -> tuple[str, ...]:
    """The published set of modalities where the fold offers it, else every modality by itself.

    Raises:
        ModalityError: If there is nothing to merge.
    """
    offered = input_sets(fold)
    names = offered.get(JOINED, offered.get(SEPARATE))
    if names is None:
        raise ModalityError(
            f"block ablations: expected two modalities or more in {fold.cohort}, got "
            f"{list(fold.names)}; name more, or leave 'modalities' empty"
        )
    return tuple(sorted(names))


def run_arm(bench: Bench, arm: Arm) -> list[Outcome]:
    """Train the blocks of one arm on one fold, and test the merge and what else is asked for."""
    fold, settings, names = bench.fold, bench.settings, modalities_of(bench.fold)
    trained = {
        name: train_arm(fold, name, arm, settings, bench.store, bench.encoder(name))
        for name in names
    }
    found = []
    if arm.ablation in ALONE:
        found += [_alone(fold, name, arm, *trained[name]) for name in names]
    blocks = {name: model.model for name, (_, model) in trained.items()}
    found.append(merge_outcome(fold, blocks, names, variant=arm.variant, device=settings.device))
    parents = {name: outcome.key for name, (outcome, _) in trained.items()}
    found += [_fused(bench, arm, blocks, parents, mode) for mode in FUSED.get(arm.ablation, ())]
    for outcome in found:
        bench.log(outcome)
    return found


def _alone(fold: Fold, name: str, arm: Arm, outcome: Outcome, model: Unimodal) -> Outcome:
    """The outcome of a single block under the name of its arm, with facts on its imaginary part."""
    facts = imaginary_facts(model.model, fold, name) if arm.ablation == "A1" else {}
    return dataclasses.replace(
        outcome, variant=arm.variant, headline=False, facts=outcome.facts | facts
    )


def _fused(
    bench: Bench,
    arm: Arm,
    blocks: Mapping[str, LegoBlock],
    parents: Mapping[str, str],
    mode: str,
) -> Outcome:
    (found,) = tuned_outcomes(
        bench.fold,
        blocks,
        list(blocks),
        bench.settings,
        bench.store,
        mode=mode,
        tune_epochs=[bench.settings.tune_epochs],
        parents=parents,
    )
    return dataclasses.replace(found, variant=f"{arm.variant}, {mode}")


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
    part = fold.test.select([name]).having([name])
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


def odd_targets(settings: BlockAblationSettings) -> pd.DataFrame:
    """Blocks on targets that depend on the odd, or the even part of the data only."""
    return odd_target.scores(settings.seed)
