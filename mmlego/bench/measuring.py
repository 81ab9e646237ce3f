"""Wall time, memory and operations of a call."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def median_seconds(*calls: Callable[[], object], repeats: int = 9) -> list[float]:
    """Median wall times of calls that are run in turn, so that a busy machine slows all alike."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for call, column in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            if turn:  # the first turn warms up
                column.append(time.perf_counter() - begin)
    return [statistics.median(column) for column in times]


def peak_bytes(call: Callable[[], object]) -> int:
    """Largest number of bytes that torch held at once during ``call``, beyond the start."""
    with torch.profiler.profile(profile_memory=True, record_shapes=False) as record:
        call()
    held = peak = 0
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def flops(step: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products of a step.

    Fourier transforms and elementwise operations are not counted, whose cost is linear in the size
    of what they run over, up to the logarithm of a fast Fourier transform.
    """
    # Fused attention on a CPU is not in the counter's list, products of matrices are.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads, and give back what it had."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Drop what compiled code writes to standard error, as torch's profiler does when it starts."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
