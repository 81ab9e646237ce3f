"""MultiModN: modalities update one state in turn, and every state is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mmlego.lego.profiles import choose, number
from mmlego.models.checks import check_dropout, check_sizes
from mmlego.models.contract import AuxiliaryModel, Loss, Part, Tensors, Terms
from mmlego.models.layers.plain import masked_mean, relu_layers

STATE_ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU}
CHANGE_SCALE = 0.01


class MultiModN(AuxiliaryModel):
    """A learned state that the encoder of each modality updates in turn, decoded to logits.

    An update is linear in the features of its modality and the state before it, joined side by
    side. So without an activation, which is the published form, the logits are a sum of one
    function per modality, and no interaction between modalities can be learned, whatever the loss.
    ``state_activation="relu"`` lifts that limit.

    Source: Swamy et al. 2023, section 3; sizes after Hemker et al. 2025, appendix E. The authors'
        code skips a modality for the whole batch if one sample lacks it; here that sample keeps
        its state. Its decoder ends in a sigmoid before a cross-entropy; here in logits. Bags and
        series are our addition: the features of their valid instances are averaged.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        kinds: Mapping[str, str] | None = None,
        state_width: int = 1000,
        hidden: Sequence[int] = (512, 256, 128, 64),
        state_activation: str = "none",
        dropout: float = 0.0,
        err_penalty: float = 1.0,
        state_change_penalty: float = 0.0,
    ) -> None:
        """Build an untrained network.

        Args:
            widths: Number of features by modality; its order is that of the updates.
            n_outputs: Number of logits k: classes or time bins.
            kinds: ``tabular``, ``bag`` or ``series`` by modality; None = tables.
            state_width: Width of the state.
            hidden: Widths of the ReLU layers before the update, in order.
            state_activation: ``none``, or ``relu`` after every update.
            dropout: Dropout on every ReLU layer, in [0, 1); none as published.
            err_penalty: Weight of the mean loss over all states, 0 or more.
            state_change_penalty: Weight of the squared change of the state, 0 or more; as in the
                authors' code it is multiplied by 0.01.

        Raises:
            ModalityError: If there is no modality, or a kind is unknown.
            SettingsError: If an argument is out of range.
        """
        super().__init__(widths, n_outputs, kinds)
        check_sizes("MultiModN", state_width=state_width, layers=len(hidden))
        check_sizes("MultiModN", **{f"hidden[{i}]": width for i, width in enumerate(hidden)})
        check_dropout("MultiModN", dropout)
        choose("MultiModN: state_activation", state_activation, tuple(STATE_ACTIVATIONS))
        number("MultiModN: err_penalty", err_penalty, low=0.0)
        number("MultiModN: state_change_penalty", state_change_penalty, low=0.0)
        self.err_penalty = err_penalty
        self.state_change_penalty = state_change_penalty
        self.state = nn.Parameter(torch.randn(state_width))
        self.encoders = nn.ModuleDict(
            {name: relu_layers(c, *hidden, dropout=dropout) for name, c in widths.items()}
        )
        self.updates = nn.ModuleDict(
            {name: nn.Linear(hidden[-1] + state_width, state_width) for name in widths}
        )
        self.activation = STATE_ACTIVATIONS[state_activation]()
        self.decoder = nn.Linear(state_width, n_outputs)

    def predict(self, batch: Mapping[str, Part]) -> Tensor:
        """Return logits (b, k) of the last state."""
        return self.decoder(self._states(batch)[-1])

    def predict_with_terms(
        self, batch: Mapping[str, Part], target: Tensors, loss: Loss
    ) -> tuple[Tensor, Terms]:
        """Return logits (b, k) of the last state, and what training adds to their loss.

        With states s_0 to s_M and L_m the loss of decoding s_m, the objective is ``err_penalty *
        mean_m L_m + 0.01 * state_change_penalty * mean_m mean((s_m - s_(m-1))^2)``. The caller
        adds L_M, so the term ``states`` is the first part less L_M, and may be negative;
        ``state_change`` is the second part, left out if its weight is 0. Means are over all samples
        of the batch: one that lacks a modality counts with the state that it keeps.
        """
        states = self._states(batch)
        *before, logits = (self.decoder(state) for state in states)
        final = loss(logits, target)
        losses = torch.stack([*(loss(each, target) for each in before), final])
        terms = {"states": self.err_penalty * losses.mean() - final}
        if self.state_change_penalty:
            changes = torch.stack([(new - old).square().mean() for old, new in pairwise(states)])
            terms["state_change"] = CHANGE_SCALE * self.state_change_penalty * changes.mean()
        return logits, terms

    def _states(self, parts: Mapping[str, Part]) -> list[Tensor]:
        """Return the states (b, state_width) before the first modality and after each."""
        batch = len(next(iter(parts.values())).here)
        states = [self.state.expand(batch, -1)]
        for name, part in parts.items():
            states.append(self._update(name, part, states[-1]))
        return states

    def _update(self, name: str, part: Part, state: Tensor) -> Tensor:
        """Return the next state (b, state_width), the same where the modality is absent."""
        if part.values is None:
            return state
        features = self.encoders[name](part.values)
        features = features if part.mask is None else masked_mean(features, part.mask)
        new = self.activation(self.updates[name](torch.cat([features, state], dim=1)))
        return torch.where(part.here[:, None], new, state)
