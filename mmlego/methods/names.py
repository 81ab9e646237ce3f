"""Names of the methods that code speaks of, so that each is typed once.

Most code asks the registry for methods of a kind or role, and needs none of these. A method that
nothing names has no constant here.
"""

from __future__ import annotations

SNN, ABMIL, CONVNET = "snn", "abmil", "convnet"
LEGO_BLOCK, LEGO_MERGE, LEGO_FUSE = "lego_block", "lego_merge", "lego_fuse"
ENSEMBLE = "ensemble"
LATE_CONCAT = "late_concat"
HEALNET = "healnet"
MM_DYNAMICS, MM_STATIC = "mm_dynamics", "mm_static"
AMC = "amc"
TENSOR_FUSION = "tensor_fusion"
WEIGHT_MERGING = "weight_merging"
LOGISTIC = "logistic"
