"""Unimodal encoders, and the adapters that give them the interface of a multimodal model."""

from __future__ import annotations

from mmlego.models.encoders.amil import ABMIL, ABMILEncoder, GatedAttention
from mmlego.models.encoders.snn import SNN, SNNEncoder
from mmlego.models.encoders.unimodal import ConcatTabular, Unimodal
from mmlego.models.encoders.vision import ConvEncoder, ConvNet
from mmlego.models.presence import check_batch

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
