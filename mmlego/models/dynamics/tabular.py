"""Multimodal dynamics: each feature and each modality gets a weight of its own in every sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.lego.profiles import choose
from mmlego.models.contract import AuxiliaryModel, Loss, Part, Tensors, Terms
from mmlego.models.dynamics.branch import BranchedModel, Reading, affine
from mmlego.models.dynamics.confidence import true_confidence
from mmlego.models.dynamics.options import loss_weights as checked_weights

VARIANTS = ("both", "feature", "modality", "none")
GATED = ("both", "feature")
CONFIDENT = ("both", "modality")
ACTIVATIONS = {"none": nn.Identity, "sigmoid": nn.Sigmoid}
WEIGHTINGS = ("predicted", "oracle")


@dataclass(frozen=True)
class Explanation:
    """What a model weighed in a batch, without gradients; by modality unless said otherwise.

    A sample that lacks a modality has entries too, of what stood in for it.

    Attributes:
        logits: (b, k), of the whole model.
        gates: Weights of features in (0, 1): (b, c) of tables, (b, n, c) of bags and series, NaN at
            padding, and (b, 1, h, w) of images. Empty without a gate.
        unimodal: Logits (b, k) of each modality alone; empty without confidences.
        confidence: Predicted confidence t_m (b,), unbounded unless it has a sigmoid; empty without.
        hidden: Hidden features (b, w), before they are weighted.
    """

    logits: Tensor
    gates: dict[str, Tensor]
    unimodal: dict[str, Tensor]
    confidence: dict[str, Tensor]
    hidden: dict[str, Tensor]


class MMDynamics(BranchedModel, AuxiliaryModel):
    """A gate on the features, a predicted confidence on each modality, then one affine classifier.

    For each modality g = sigmoid(Wg x + bg), h = Dropout(ReLU(We (g * x) + be)), o_m = Wc h + bc,
    t = Wt h + bt and f = t h; all f side by side are classified. The same dropped-out h is read by
    all three. In training t is pulled to the probability that o_m gives to the truth, o_m to the
    truth, and g to zero.

    Each t h depends on one modality, and the classifier is affine, so the logits of every variant
    are a constant plus one function per modality: no interaction between modalities can be learned.

    Source: Han et al. 2022 (CVPR) and its code; ablations, image parts and class weights after
        Wenderoth 2024 (arXiv 2411.00725) and its code. As in both codes t has no sigmoid, and the
        target of t is not detached, so that its error moves o_m too. The replication multiplies
        the running loss by the weight of the final part once per modality; here it acts once. Bags
        and series (gate and encoder act on every instance, h is the mean over them), absent
        modalities in training and survival are our additions.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        variant: str = "both",
        tcp_activation: str = "none",
        detach_tcp: bool = False,
        weighting: str = "predicted",
        loss_weights: Mapping[str, float] | None = None,
        tcp_events_only: bool = False,
        **branches: Any,
    ) -> None:
        """Build an untrained network.

        Args:
            widths: See ``BranchedModel``, also for ``n_outputs``, ``kinds``, and further options.
            n_outputs: Number of logits k: classes, time bins, or 1 for a Cox risk.
            variant: ``both``; ``feature``, gate and its loss only; ``modality``, confidence and its
                loss only; ``none``. A part that a variant lacks is not built.
            tcp_activation: What bounds a confidence: ``none``, as published, or ``sigmoid``.
            detach_tcp: Keep the error of the confidence from moving the unimodal classifiers.
            weighting: ``predicted``, or ``oracle``: the true confidence weighs the modality, which
                takes the target to predict, so that what it reaches is never a result.
            loss_weights: Weights of the parts ``final``, ``feature`` and ``modality`` of the loss,
                0 or more; 1 where not given.
            tcp_events_only: Train confidences on samples with an observed event only (survival).
            **branches: Options of ``BranchedModel``, without ``gated``, which follows ``variant``.

        Raises:
            ModalityError: If there is no modality, or a name is unknown or cannot name a module.
            SettingsError: If an argument is out of range or does not go with another.
        """
        choose("MMDynamics: variant", variant, VARIANTS)
        choose("MMDynamics: tcp_activation", tcp_activation, ACTIVATIONS)
        choose("MMDynamics: weighting", weighting, WEIGHTINGS)
        super().__init__(widths, n_outputs, gated=variant in GATED, **branches)
        _check_oracle(weighting, variant, n_outputs)
        self.variant = variant
        self.detach_tcp = detach_tcp
        self.weighting = weighting
        self.loss_weights = checked_weights("MMDynamics", loss_weights)
        self.tcp_events_only = tcp_events_only
        self.activation = ACTIVATIONS[tcp_activation]()
        sizes = self.hidden if variant in CONFIDENT else {}
        self.classifiers = nn.ModuleDict({n: affine(w, n_outputs) for n, w in sizes.items()})
        self.regressors = nn.ModuleDict({n: affine(w, 1) for n, w in sizes.items()})

    def predict(self, batch: Mapping[str, Part]) -> Tensor:
        """Return logits (b, k) of the parts of a batch.

        Raises:
            SettingsError: If true confidences weigh the modalities.
        """
        if self.weighting == "oracle":
            raise SettingsError(
                "MMDynamics: expected weighting 'predicted' to predict without a target, got "
                "'oracle'; call explain(inputs, present, masks, target=...).logits"
            )
        readings = self._readings(batch, noisy=self.training)
        return self._fuse(readings, self._weights({}, self._confidences(readings), None))

    def predict_with_terms(
        self, batch: Mapping[str, Part], target: Tensors, loss: Loss
    ) -> tuple[Tensor, Terms]:
        """Return logits (b, k), and what training adds to their loss, as scalars by name.

        * ``features``: per modality the mean of the gate, summed.
        * ``confidence``: per modality the mean squared difference of predicted and true
          confidence, summed.
        * ``unimodal``: per modality the loss of its own logits, summed.
        * ``final``: the weight of the final part less 1, times the loss; left out at a weight of 1.

        Each is multiplied by the weight of its part, once; a part that the variant lacks is left
        out. Means are over the samples that have the modality, 0 if none has.

        Raises:
            SettingsError: If the target does not go with the number of outputs or the options.
            ShapeError: If the target has a wrong shape or type.
        """
        readings = self._readings(batch, noisy=self.training)
        unimodal, confidence = self._unimodal(readings), self._confidences(readings)
        logits = self._fuse(readings, self._weights(unimodal, confidence, target))
        terms = self._terms(readings, unimodal, confidence, target, loss)
        surplus = self.loss_weights["final"] - 1.0
        if surplus:
            terms["final"] = surplus * loss(logits, target)
        return logits, terms

    @torch.no_grad()
    def explain(
        self,
        inputs: Tensors,
        present: Tensors | None = None,
        masks: Tensors | None = None,
        target: Tensors | None = None,
    ) -> Explanation:
        """Return what the model weighs in a batch, without dropout or flips in any mode.

        Args:
            inputs: As for ``forward``.
            present: As for ``forward``.
            masks: As for ``forward``.
            target: Target of the batch by name, read only where true confidences weigh the
                modalities.

        Raises:
            ModalityError: As for ``forward``.
            SettingsError: If a target is needed and there is none, or it does not fit.
            ShapeError: As for ``forward``.
        """
        readings = self._readings(self.read(inputs, present, masks), noisy=False)
        unimodal, confidence = self._unimodal(readings), self._confidences(readings)
        return Explanation(
            logits=self._fuse(readings, self._weights(unimodal, confidence, target)),
            gates={n: r.shown_gate() for n, r in readings.items() if r.gate is not None},
            unimodal=unimodal,
            confidence=confidence,
            hidden={name: reading.hidden for name, reading in readings.items()},
        )

    def _unimodal(self, readings: Mapping[str, Reading]) -> dict[str, Tensor]:
        return {name: layer(readings[name].hidden) for name, layer in self.classifiers.items()}

    def _confidences(self, readings: Mapping[str, Reading]) -> dict[str, Tensor]:
        return {
            name: self.activation(layer(readings[name].hidden))[:, 0]
            for name, layer in self.regressors.items()
        }

    def _weights(
        self, unimodal: Tensors, confidence: Tensors, target: Tensors | None
    ) -> dict[str, Tensor]:
        """Return what multiplies the hidden features, (b, 1) by modality."""
        if self.weighting == "oracle":
            if target is None:
                raise SettingsError(
                    "MMDynamics: expected a target for weighting 'oracle', got None; pass target="
                )
            confidence = {n: true_confidence(o.detach(), target) for n, o in unimodal.items()}
        return {name: weight[:, None] for name, weight in confidence.items()}

    def _terms(
        self,
        readings: Mapping[str, Reading],
        unimodal: Tensors,
        confidence: Tensors,
        target: Tensors,
        loss: Loss,
    ) -> dict[str, Tensor]:
        """Return the terms of gates, confidences and unimodal classifiers that the variant has."""
        parts: dict[str, list[Tensor]] = {}
        if self.variant in GATED:
            parts["features"] = [reading.gate_mean() for reading in readings.values()]
        if self.variant in CONFIDENT:
            parts |= {"confidence": [], "unimodal": []}
        for name, own in unimodal.items():
            here = readings[name].here
            if bool(here.any()):
                rows = {key: values[here] for key, values in target.items()}
                error = self._confidence_error(own[here], confidence[name][here], rows)
                parts["confidence"].append(error)
                parts["unimodal"].append(loss(own[here], rows))
        zero = next(iter(readings.values())).hidden.new_zeros(())
        return {
            name: self.loss_weights["feature" if name == "features" else "modality"]
            * sum(values, start=zero)
            for name, values in parts.items()
        }

    def _confidence_error(self, logits: Tensor, confidence: Tensor, target: Tensors) -> Tensor:
        """Return the mean squared error of a confidence where there is a true one; 0 if nowhere."""
        truth = true_confidence(logits, target)
        known = ~truth.isnan()
        if self.tcp_events_only:
            known = known & _events(target)
        if self.detach_tcp:
            truth = truth.detach()
        errors = (confidence - truth)[known].square()
        return errors.mean() if len(errors) else confidence.new_zeros(())


def _events(target: Tensors) -> Tensor:
    if "event" not in target:
        raise SettingsError(
            f"MMDynamics: expected a target with event for tcp_events_only, got {sorted(target)}; "
            "set it to False"
        )
    return target["event"]


def _check_oracle(weighting: str, variant: str, n_outputs: int) -> None:
    if weighting == "oracle" and variant not in CONFIDENT:
        raise SettingsError(
            f"MMDynamics: expected variant 'both' or 'modality' for weighting 'oracle', got "
            f"'{variant}'; no other weighs modalities"
        )
    if weighting == "oracle" and n_outputs == 1:
        raise SettingsError(
            "MMDynamics: expected two outputs or more for weighting 'oracle', got 1; the true "
            "confidence of a risk depends on the batch"
        )
