"""MUSE: samples and modalities as a graph, and two views of it that must agree."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlego.errors import DataError
from mmlego.lego.dropout import dropout as drop
from mmlego.lego.profiles import number, yes_or_no
from mmlego.models.checks import check_sizes
from mmlego.models.contract import Loss, Tensors, Terms
from mmlego.models.layers.frontend import Encoded, FusionModel
from mmlego.models.layers.tokenizers import linear

_SLOWEST = 0.1  # share of the newest batch in the running states of modalities


class GraphLayer(nn.Module):
    """One round of messages between samples and modalities, the same weights in both directions.

    Source: Wu et al. 2024 (MUSE), equations of message and update after You et al. 2020 (GRAPE).

    Args:
        width: Width w of nodes and edges.
    """

    def __init__(self, width: int) -> None:
        """Build the layers."""
        super().__init__()
        self.message, self.update = linear(2 * width, width), linear(2 * width, width)

    def forward(
        self, nodes: Tensor, senders: Tensor, edges: Tensor, here: Tensor, dim: int
    ) -> Tensor:
        """Return new nodes: ReLU(W [mean message; node]), messages ReLU(W [sender; edge]).

        Args:
            nodes: (b, w) samples or (m, w) modalities, who listen.
            senders: (b, m, w), who speaks along each edge.
            edges: (b, m, w).
            here: (b, m) bool, True = an edge.
            dim: Axis of the senders: 1 where samples listen, 0 where modalities do.
        """
        messages = torch.relu(self.message(torch.cat([senders, edges], dim=-1)))
        total = (messages * here[:, :, None]).sum(dim=dim)
        mean = total / here.sum(dim=dim).clamp_min(1)[:, None]
        return torch.relu(self.update(torch.cat([mean, nodes], dim=-1)))


class ModalityGraph(nn.Module):
    """A bipartite graph: samples, modalities, and an edge where a sample has a modality.

    Args:
        modalities: Number of modalities m.
        width: Width w of nodes and edges.
        layers: Rounds of messages l.
        dropout: On nodes between rounds, in [0, 1).
    """

    def __init__(self, modalities: int, width: int, layers: int, dropout: float) -> None:
        """Build the parameters; modalities start from N(0, 1)."""
        super().__init__()
        self.dropout = dropout
        self.modalities = nn.Parameter(torch.randn(modalities, width))
        self.layers = nn.ModuleList(GraphLayer(width) for _ in range(layers))
        self.edge_updates = nn.ModuleList(linear(3 * width, width) for _ in range(layers - 1))

    def forward(
        self, edges: Tensor, here: Tensor, states: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return samples (b, w) after all rounds, and modalities (l - 1, m, w) after all but one.

        Args:
            edges: (b, m, w), what each sample has of each modality.
            here: (b, m) bool, True = it has it; at least one in every sample.
            states: (l - 1, m, w), taken for the modalities after each round; None = they listen to
                the samples at hand.
        """
        samples = edges.new_ones(len(edges), edges.shape[2])
        modalities: Tensor = self.modalities
        heard = []
        for turn, (layer, update) in enumerate(zip(self.layers, self.edge_updates, strict=False)):
            listening = samples
            samples = layer(listening, modalities.expand_as(edges), edges, here, dim=1)
            if states is None:
                speaking = listening[:, None].expand_as(edges)
                modalities = layer(modalities, speaking, edges, here, dim=0)
            else:
                modalities = states[turn]
            heard.append(modalities)
            samples = drop(samples, self.dropout, self.training)
            modalities = drop(modalities, self.dropout, self.training)
            ends = [samples[:, None].expand_as(edges), modalities.expand_as(edges)]
            edges = torch.relu(update(torch.cat([*ends, edges], dim=-1)))
        samples = self.layers[-1](samples, modalities.expand_as(edges), edges, here, dim=1)
        return samples, torch.stack(heard) if heard else self.modalities[None][:0]


class MUSE(FusionModel):
    """MUSE: a graph of samples and modalities, with contrastive losses between two views of it.

    An edge carries the mean token of what a sample has of a modality; what is absent is no edge.
    Rounds of messages end in a vector per sample, which a small network classifies. In training, a
    second view lacks some edges: both views of a sample must agree, and samples of equal label be
    alike.

    As published, modalities listen to the samples of the batch, so that a prediction depends on who
    else is predicted. With ``inductive`` that holds for ``forward_with_auxiliary`` in training mode
    alone, which keeps running averages of what the modalities heard, as batch normalization does;
    ``forward`` reads these, changes nothing, and gives each sample its own prediction.

    Source: Wu et al. 2024 (MUSE) and the authors' code. Departures: ``inductive``; tokens of the
    front end instead of feed-forwards with batch normalization; for survival, samples whose event
    was observed in the same bin are alike, and censored ones are without label. Published: width
    128, dropout .25, batches of 512.

    Args:
        widths: See ``FusionModel``, also for ``n_outputs``, ``kinds``, other options and errors.
        n_outputs: Number of logits k.
        layers: Rounds of messages.
        inductive: Running averages for the modalities, or the batch at hand as published.
        unsupervised_weight: Weight of the loss that both views of a sample agree.
        supervised_weight: Weight of the loss that samples of equal label are alike.
        temperature: Divides similarities; > 0.
        **shared: Options of ``FusionModel``, without ``missing_tokens``.
    """

    states: Tensor
    batches: Tensor

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        layers: int = 2,
        inductive: bool = True,
        unsupervised_weight: float = 0.5,
        supervised_weight: float = 0.5,
        temperature: float = 0.07,
        **shared: Any,
    ) -> None:
        """Build the parameters."""
        super().__init__(widths, n_outputs, missing_tokens="zeros", **shared)
        check_sizes("MUSE", layers=layers)
        number("MUSE: unsupervised_weight", unsupervised_weight, low=0.0)
        number("MUSE: supervised_weight", supervised_weight, low=0.0)
        number("MUSE: temperature", temperature, low=0.0, open_low=True)
        yes_or_no("MUSE: inductive", inductive)
        self.inductive, self.temperature = inductive, temperature
        self.unsupervised_weight = unsupervised_weight
        self.supervised_weight = supervised_weight
        modalities = len(self.names)
        self.graph = ModalityGraph(modalities, self.width, layers, self.dropout)
        self.project = linear(self.width, self.width)
        self.head = nn.Sequential(
            OrderedDict(
                expand=linear(self.width, self.width),
                rectify=nn.ReLU(),
                drop=nn.Dropout(self.dropout),
                linear=linear(self.width, n_outputs),
            )
        )
        if self.inductive:
            self.register_buffer("states", torch.zeros(layers - 1, modalities, self.width))
            self.register_buffer("batches", torch.zeros(modalities, dtype=torch.long))

    def fuse(self, encoded: Encoded) -> tuple[Tensor, Terms]:
        """Return logits (b, k), without terms: these come from ``forward_with_auxiliary``."""
        states = self.states if self.inductive else None
        samples, _ = self.graph(self._edges(encoded), encoded.here, states)
        return self.head(samples), {}

    def predict_with_terms(
        self, batch: Encoded, target: Tensors | None, loss: Loss | None
    ) -> tuple[Tensor, Terms]:
        """Return logits (b, k), and in training the terms ``unsupervised`` and ``supervised``.

        In training mode, modalities listen to the batch, and their running averages move on. Terms
        of weight 0 are left out.

        Args:
            batch: Its tokens.
            target: ``label`` (b,), or ``time_bin`` (b,) and ``event`` (b,), for ``supervised``.
            loss: Not needed.

        Raises:
            DataError: If the target is missing in training and ``supervised_weight`` is not 0.
        """
        if not self.training:
            return self.fuse(batch)
        edges, here = self._edges(batch), batch.here
        samples, heard = self.graph(edges, here)
        if self.inductive:
            self._remember(heard.detach(), here.any(dim=0))
        terms = {}
        if self.unsupervised_weight or self.supervised_weight:
            other, _ = self.graph(edges, drop_edges(here))
            terms = self._terms(self._view(samples), self._view(other), target)
        return self.head(samples), terms

    def _edges(self, encoded: Encoded) -> Tensor:
        return drop(encoded.tokens.mean(dim=2), self.dropout, self.training)

    def _view(self, samples: Tensor) -> Tensor:
        return F.normalize(torch.tanh(self.project(samples)), dim=-1)

    def _terms(self, first: Tensor, second: Tensor, target: Tensors | None) -> Terms:
        terms = {}
        if self.unsupervised_weight:
            agreement = agreement_loss(first, second, self.temperature)
            terms["unsupervised"] = self.unsupervised_weight * agreement
        if self.supervised_weight:
            label, known = known_labels(target)
            alike = likeness_loss(first[known], second[known], label[known], self.temperature)
            terms["supervised"] = self.supervised_weight * alike
        return terms

    @torch.no_grad()
    def _remember(self, heard: Tensor, spoken: Tensor) -> None:
        """Move the running states on to heard (l - 1, m, w) where spoken (m,)."""
        self.batches += spoken
        # The first batches count alike, so that nothing of the start at zero remains.
        rate = (1.0 / self.batches.clamp_min(1)).clamp_min(_SLOWEST) * spoken
        self.states.lerp_(heard.to(self.states.dtype), rate[:, None].to(self.states.dtype))


def drop_edges(here: Tensor) -> Tensor:
    """Return (b, m) bool, a second view of a graph: half of the samples lose some of their edges.

    Half of the samples keep all n edges; the others, of those with two or more, a number of them
    that is uniform in 1 to n - 1. Drawn from the global generator.

    Args:
        here: (b, m) bool, True = an edge.
    """
    count = here.sum(dim=1)
    fewer = 1 + (torch.rand(len(here), device=here.device) * (count - 1)).long()
    whole = torch.rand(len(here), device=here.device) < 0.5
    keep = torch.where(whole | (count < 2), count, fewer.minimum((count - 1).clamp_min(1)))
    lot = torch.rand(here.shape, device=here.device).masked_fill(~here, 2.0)
    return lot.argsort(dim=1).argsort(dim=1) < keep[:, None]


def agreement_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return how badly two views (b, w), of unit length, of each sample find each other."""
    table = first @ second.T / temperature
    own = torch.arange(len(first), device=first.device)
    return 0.5 * (F.cross_entropy(table, own) + F.cross_entropy(table.T, own))


def likeness_loss(first: Tensor, second: Tensor, label: Tensor, temperature: float) -> Tensor:
    """Return how badly views (b, w), of unit length, tell which samples have equal labels (b,).

    Binary cross-entropy of all pairs of samples, half of them within the first view and half
    between the views; 0 of fewer than two samples.

    Source: Wu et al. 2024, authors' code.
    """
    if len(label) < 2:
        return 0.0 * first.sum()
    same = (label[:, None] == label).to(first.dtype)
    tables = (first @ first.T / temperature, first @ second.T / temperature)
    # The other way round, the table between the views is transposed, and its mean the same.
    within, between = (F.binary_cross_entropy_with_logits(table, same) for table in tables)
    return 0.5 * (within + between)


def known_labels(target: Tensors | None) -> tuple[Tensor, Tensor]:
    """Return labels (b,), and (b,) bool, which are known: of survival, bins of observed events.

    Raises:
        DataError: If the target has neither classes nor times.
    """
    target = target or {}
    if "label" in target:
        return target["label"], torch.ones_like(target["label"], dtype=torch.bool)
    if "time_bin" in target and "event" in target:
        return target["time_bin"], target["event"]
    raise DataError(
        f"MUSE: expected a target with 'label', or 'time_bin' and 'event', got {sorted(target)}; "
        "pass one, or set supervised_weight to 0"
    )
