"""Feed-forwards: a sparse mixture of experts with noisy routing, and a dense one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlego.errors import SettingsError
from mmlego.lego.profiles import choose
from mmlego.models.checks import check_sizes

GATE_NORMS = ("softmax_all", "softmax_topk")
_NOISE_FLOOR = 0.01
_EPS = 1e-10


@dataclass(frozen=True)
class Routing:
    """Where tokens go.

    Attributes:
        gates: (t, e) weights of the experts, zero where not chosen.
        chosen: (t, k) indices of the experts, highest logit first.
        clean: (t, e) logits without noise.
        noisy: (t, e) logits that were ranked; ``clean`` itself without noise.
        scale: (t, e) standard deviation of the noise; None without noise.
    """

    gates: Tensor
    chosen: Tensor
    clean: Tensor
    noisy: Tensor
    scale: Tensor | None


def noisy_top_k(
    clean: Tensor,
    top_k: int,
    *,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
    gate_norm: str = "softmax_all",
) -> Routing:
    """Choose the k experts with the highest noisy logits for every token.

    Equal logits go to the lowest index, so that what an untrained router does is defined.

    Args:
        clean: (t, e) logits.
        top_k: Number of experts per token.
        scale: (t, e) standard deviations of the noise; None for no noise.
        noise: (t, e) standard normal draws; None draws them.
        gate_norm: ``softmax_all``: softmax over all experts, the k largest kept as they are;
            ``softmax_topk``: softmax over the kept logits, so that gates sum to 1.

    Source: Shazeer et al. 2017, equations 3 to 5; ``softmax_all`` is AMC's equation, which prints
        no noise although its load loss needs it.
    """
    choose("gate_norm", gate_norm, GATE_NORMS)
    noisy = clean
    if scale is not None:
        noise = torch.randn_like(clean) if noise is None else noise
        noisy = clean + noise * scale
    # torch.topk leaves open which of equal values it takes.
    chosen = noisy.argsort(dim=-1, descending=True, stable=True)[:, :top_k]
    kept = noisy.softmax(dim=-1).gather(1, chosen)
    if gate_norm == "softmax_topk":
        kept = noisy.gather(1, chosen).softmax(dim=-1)
    gates = torch.zeros_like(kept.new_empty(clean.shape)).scatter(1, chosen, kept)
    return Routing(gates, chosen, clean, noisy, scale)


def chosen_probability(routing: Routing) -> Tensor:
    """Return (t, e): how probable it is that fresh noise on one logit would keep that expert.

    The threshold of an expert is the k-th largest noisy logit of the others: the (k+1)-th largest
    of all where the expert was chosen, else the k-th.

    Source: Shazeer et al. 2017, equations 8 and 9.
    """
    assert routing.scale is not None, "only noisy routing has chances"
    top_k = routing.chosen.shape[1]
    highest = routing.noisy.topk(top_k + 1, dim=-1).values
    inside = torch.zeros_like(routing.noisy, dtype=torch.bool).scatter(1, routing.chosen, True)
    threshold = torch.where(inside, highest[:, top_k, None], highest[:, top_k - 1, None])
    return torch.special.ndtr((routing.clean - threshold) / routing.scale)


def squared_variation(values: Tensor, ddof: int = 1) -> Tensor:
    """Return the squared coefficient of variation of a vector, var / (mean^2 + 1e-10).

    0 for a single value. ``ddof`` 1 is that of the published libraries, 0 that of Shazeer et al.
    """
    if len(values) < 2:
        return values.new_zeros(())
    return values.var(correction=ddof) / (values.mean().square() + _EPS)


def balance_loss(routing: Routing, ddof: int = 1, valid: Tensor | None = None) -> Tensor:
    """Return the importance loss plus the load loss, a scalar.

    Args:
        routing: Of training, with noise.
        ddof: See ``squared_variation``.
        valid: (t,) bool, True = a token that counts; None = all.

    Source: Shazeer et al. 2017, equations 6 to 11; the load loss is 0 where every expert is always
        chosen.
    """
    counted = slice(None) if valid is None else valid
    gates = routing.gates[counted]
    if len(gates) == 0:
        return routing.gates.new_zeros(())
    loss = squared_variation(gates.sum(dim=0), ddof)
    if routing.scale is None or routing.chosen.shape[1] == gates.shape[1]:
        return loss
    return loss + squared_variation(chosen_probability(routing)[counted].sum(dim=0), ddof)


class SparseExperts(nn.Module):
    """A mixture of feed-forwards of which every token sees k.

    Each expert is Linear(w, 2w), GELU, Linear(2w, w); no expert has a limit on its tokens. Router
    weights start at zero, so that before training every token goes to the first k experts, unless
    noise decides.

    Source: AMC, section 3 and appendix; sizes after Flex-MoE, which its code is likely to follow.

    Args:
        width: Width w of a token.
        experts: Number of experts e.
        top_k: Experts per token k, at most e.
        gate_norm: See ``noisy_top_k``.
        ddof: See ``squared_variation``.

    Raises:
        SettingsError: If a size is out of range or an option unknown.
    """

    def __init__(
        self,
        width: int,
        experts: int = 8,
        top_k: int = 2,
        *,
        gate_norm: str = "softmax_all",
        ddof: int = 1,
    ) -> None:
        """Build the parameters."""
        super().__init__()
        check_sizes("experts", width=width, experts=experts, top_k=top_k)
        choose("experts: gate_norm", gate_norm, GATE_NORMS)
        if top_k > experts:
            raise SettingsError(
                f"experts: expected top_k of at most {experts} experts, got {top_k}; lower it"
            )
        if ddof not in (0, 1):
            raise SettingsError(f"experts: expected ddof 0 or 1, got {ddof!r}")
        self.top_k, self.gate_norm, self.ddof = top_k, gate_norm, ddof
        self.router = nn.Parameter(torch.zeros(width, experts))
        self.noise = nn.Parameter(torch.zeros(width, experts))
        self.experts = nn.ModuleList(DenseFeedForward(width) for _ in range(experts))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (t, w) of tokens (t, w), and the balance loss, zero outside training.

        Args:
            x: Tokens.
            valid: (t,) bool, True = a token that counts in the loss; all are routed.
        """
        routing = self.route(x)
        out = self.mix(x, routing)
        loss = balance_loss(routing, self.ddof, valid) if self.training else x.new_zeros(())
        return out, loss

    def route(self, x: Tensor) -> Routing:
        """Return where tokens (t, w) go; with noise in training only."""
        scale = F.softplus(x @ self.noise) + _NOISE_FLOOR if self.training else None
        return noisy_top_k(x @ self.router, self.top_k, scale=scale, gate_norm=self.gate_norm)

    def routed(self, x: Tensor) -> tuple[Tensor, Routing]:
        """Return tokens (..., w) of tokens (..., w), and where all of them went, in a row."""
        flat = x.flatten(0, -2)
        routing = self.route(flat)
        return self.mix(flat, routing).view_as(x), routing

    def mix(self, x: Tensor, routing: Routing) -> Tensor:
        """Return the weighted sum (t, w) of what the chosen experts make of tokens (t, w)."""
        # Tokens are sorted by expert once, so that each expert is one product of matrices.
        order = routing.chosen.flatten().argsort(stable=True)
        token = order // self.top_k
        sizes = torch.bincount(routing.chosen.flatten(), minlength=len(self.experts)).tolist()
        parts = [
            expert(part)
            for expert, part in zip(
                self.experts, x.index_select(0, token).split(sizes), strict=True
            )
            if len(part)
        ]
        weights = routing.gates.gather(1, routing.chosen).flatten()[order]
        return torch.zeros_like(x).index_add(0, token, torch.cat(parts) * weights[:, None])


class DenseFeedForward(nn.Module):
    """Linear(w, 2w), GELU, Linear(2w, w): one expert, or what stands in for all of them.

    Args:
        width: Width w of a token.
    """

    def __init__(self, width: int) -> None:
        """Build the parameters: Xavier uniform, zero bias."""
        super().__init__()
        self.expand, self.contract = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        for layer in (self.expand, self.contract):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., w) of tokens (..., w)."""
        return self.contract(F.gelu(self.expand(x)))
