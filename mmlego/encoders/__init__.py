"""Unimodal encoders, and the adapters that give them the interface of a multimodal model."""

from __future__ import annotations

from mmlego.encoders.amil import ABMIL, ABMILEncoder, GatedAttention
from mmlego.encoders.presence import check_batch
from mmlego.encoders.snn import SNN, SNNEncoder
from mmlego.encoders.unimodal import ConcatTabular, Unimodal
from mmlego.encoders.vision import ConvEncoder, ConvNet

__all__ = [
    "ABMIL",
    "SNN",
    "ABMILEncoder",
    "ConcatTabular",
    "ConvEncoder",
    "ConvNet",
    "GatedAttention",
    "SNNEncoder",
    "Unimodal",
    "check_batch",
]
