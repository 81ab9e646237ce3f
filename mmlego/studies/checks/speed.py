"""Cost of the method against its own floor; ``make bench`` prints a table.

The floor of a training step is three times the forward time of the matrix products that the
equations cannot do without (one forward product has two backward ones), each computed once where
weights are shared.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlego.bench.measuring import median_seconds, peak_bytes
from mmlego.bench.trained import as_kind
from mmlego.lego import LegoBlock, LegoMerge
from mmlego.lego.attention import CrossAttention, FeedForward
from mmlego.models.amc import AMCOptions, Rule, rebalance
from mmlego.models.amc.block import SharedBlock
from mmlego.models.amc.rebalancing import token_scores

CASES = ((24, 12, 512), (100, 256, 64), (1, 512, 512))  # tokens, width, batch


def products(block: LegoBlock, tokens: int, batch: int) -> Callable[[], None]:
    """The matrix products of one forward of a block with shared weights, on random operands.

    With a single token the attention weights are 1, so queries, keys and scores are left out, and
    the output projection is needed once per sample.
    """
    attention = as_kind(block.attention[0], CrossAttention)
    feed_forward = as_kind(block.feed_forward[0], FeedForward)
    channels, width = block.latent.shape
    heads, inner = attention.heads, attention.to_query.out_features
    latent = torch.randn(batch * channels, width)
    context = torch.randn(batch * tokens, block.enc_dim)
    query = torch.randn(batch * heads, channels, attention.dim_head)
    keys = torch.randn(batch * heads, tokens, attention.dim_head)
    weights = torch.randn(batch * heads, channels, tokens)
    found = torch.randn(batch * (1 if tokens == 1 else channels), inner)
    hidden = torch.randn(batch * channels, feed_forward.contract.in_features)

    @torch.no_grad()
    def run() -> None:
        F.linear(context, attention.to_value.weight)
        if tokens > 1:
            F.linear(context, attention.to_key.weight)
        for index in range(block.depth):
            if tokens > 1:
                F.linear(latent, attention.to_query.weight)
                torch.bmm(query, keys.mT)
                torch.bmm(weights, keys)
            if tokens > 1 or index == 0:
                F.linear(found, attention.project.weight)
            F.linear(latent, feed_forward.expand.weight)
            F.linear(hidden, feed_forward.contract.weight)

    return run


def training_step(block: LegoBlock, x: Tensor) -> Callable[[], None]:
    """One forward and backward of a block in training mode."""

    def run() -> None:
        block.zero_grad(set_to_none=True)
        block(x).square().mean().backward()

    return run


def step_against_floor(
    tokens: int, width: int, batch: int, *, repeats: int = 9
) -> dict[str, float]:
    """Seconds of the floor and of a training step of a default block, and their ratio."""
    block = LegoBlock(width, 4).train()
    x = torch.randn(batch, tokens, width)
    forward, step = median_seconds(
        products(block, tokens, batch), training_step(block, x), repeats=repeats
    )
    return {"floor": 3 * forward, "step": step, "ratio": step / (3 * forward)}


def merge_memory(batch: int = 64) -> dict[str, int]:
    """Peak bytes of a three-block merge without gradients, and what it may need.

    The allowance is the peak of the largest block plus one complex latent per block.
    """
    shapes = {"table": (1, 512), "series": (24, 12), "bag": (100, 256)}
    blocks = {name: LegoBlock(width, 4).eval() for name, (_, width) in shapes.items()}
    inputs = {name: torch.randn(batch, *shape) for name, shape in shapes.items()}
    merged = LegoMerge(blocks).eval()
    with torch.no_grad():
        largest = max(peak_bytes(partial(blocks[n].encode, inputs[n])) for n in blocks)
        peak = peak_bytes(lambda: merged(inputs))
    latent = batch * 8 * blocks["table"].latent.numel()
    return {"peak": peak, "largest_block": largest, "allowance": largest + len(blocks) * latent}


@torch.no_grad()
def rebalancing_share(
    batch: int = 64, modalities: int = 3, tokens: int = 32, width: int = 64, *, repeats: int = 9
) -> float:
    """Seconds of re-balancing tokens over those of the shared block in front of it.

    Both in evaluation mode; re-balancing counts from the attention map to the new tokens.
    """
    block = SharedBlock(width, 0, AMCOptions(tokens=tokens, width=width)).eval()
    x = torch.randn(batch, modalities, tokens, width)
    here = torch.ones(batch, modalities, dtype=torch.bool)
    rule = Rule()

    def forward() -> Tensor:
        return block(x.flatten(0, 1), here.flatten(), need_map=True).attention

    attention = forward()

    def exchange() -> None:
        rebalance(x, token_scores(attention).view(x.shape[:3]), here, rule)

    block_seconds, seconds = median_seconds(forward, exchange, repeats=repeats)
    return seconds / block_seconds


def import_seconds(statement: str, repeats: int = 5) -> float:
    """Median wall time of ``statement`` in fresh interpreters that have imported torch already."""
    script = (
        f"import time, torch; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        for _ in range(repeats)
    ]
    return statistics.median(float(run.stdout) for run in runs)


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'tokens x width, batch':>24}  {'floor ms':>9}  {'step ms':>9}  {'ratio':>6}")
    for tokens, width, batch in CASES:
        row = step_against_floor(tokens, width, batch)
        label = f"{tokens} x {width}, {batch}"
        print(
            f"{label:>24}  {row['floor'] * 1e3:9.1f}  {row['step'] * 1e3:9.1f}  {row['ratio']:6.2f}"
        )
    memory = merge_memory()
    print(
        "merge of three blocks: " + ", ".join(f"{k} {v / 2**20:.1f} MiB" for k, v in memory.items())
    )
    print(f"re-balancing tokens, share of a block's forward: {rebalancing_share(repeats=31):.1%}")
    for statement in ("import mmlego", "import mmlego.lego"):
        print(f"{statement}, after torch: {import_seconds(statement) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
