"""Settings of a notebook run.

Validated, frozen, and with the same names as the notebook's parameters.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mmlego.bench.settings import BlockSettings, RunSettings
from mmlego.methods.names import LATE_CONCAT, LOGISTIC, TENSOR_FUSION


class UnimodalSettings(BlockSettings):
    """Settings of the notebook that trains encoders and blocks."""

    notebook: ClassVar[str] = "unimodal"


class MergeSettings(BlockSettings):
    """Settings of the notebook that merges trained blocks."""

    notebook: ClassVar[str] = "merge"
    block_variant: Literal["wrapped", "frozen", "scratch"] = "wrapped"
    train_missing_blocks: bool = True


class FuseSettings(BlockSettings):
    """Settings of the notebook that stacks or weaves trained blocks and tunes them."""

    notebook: ClassVar[str] = "fuse"
    block_variant: Literal["wrapped", "frozen", "scratch"] = "wrapped"
    tune_epochs: list[int] = Field(default_factory=lambda: [0, 1, 2, 5, 10])
    max_orders: int = Field(6, ge=1)
    train_missing_blocks: bool = True


class BenchmarkSettings(BlockSettings):
    """Settings of the notebook that puts every method on the same splits."""

    notebook: ClassVar[str] = "benchmark"
    hyperparameters: Literal["given", "tuned"] = "given"
    inputs: list[Literal["joined", "separate", "tables", "pathways"]] = Field(default_factory=list)
    methods: list[str] = Field(default_factory=list)  # empty: all that suit the data
    pathways: str = ""  # table of gene groups, for the inputs of that name
    tune_epochs: int = Field(2, ge=0)  # of LegoFuse


class TableSettings(RunSettings):
    """Settings of the notebook that draws the main table from results only."""

    notebook: ClassVar[str] = "table1"


class ProtocolSettings(RunSettings):
    """Settings of the notebook on what splits and scores are worth, from results only."""

    notebook: ClassVar[str] = "protocol_worth"


class RobustnessSettings(BlockSettings):
    """Settings of the notebook on missing modalities, imbalance, cardinality and extension."""

    notebook: ClassVar[str] = "robustness"
    hyperparameters: Literal["given", "tuned"] = "given"
    parts: list[Literal["missing", "imbalance", "cardinality", "extension"]] = Field(
        default_factory=list
    )  # empty: all
    rates: list[Annotated[float, Field(ge=0, lt=1)]] = Field(
        default_factory=lambda: [0.0, 0.3, 0.6, 0.9], min_length=1
    )
    draws: int = Field(2, ge=1)


class DisjointSettings(BlockSettings):
    """Settings of the notebook that trains blocks on overlapping to disjoint patients."""

    notebook: ClassVar[str] = "disjoint_training"
    hyperparameters: Literal["given", "tuned"] = "given"
    overlaps: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=lambda: [0.0, 0.5, 1.0], min_length=1
    )


class BlockAblationSettings(BlockSettings):
    """Settings of the notebook that takes the block apart."""

    notebook: ClassVar[str] = "block_ablations"
    ablations: list[Literal["A1", "A5", "A6", "A8", "A9", "profiles"]] = Field(
        default_factory=list
    )  # empty: all
    depths: list[Annotated[int, Field(ge=1)]] = Field(default_factory=lambda: [1, 2, 4, 8])
    latents: list[Annotated[str, Field(pattern=r"^[1-9]\d*x[1-9]\d*$")]] = Field(
        default_factory=lambda: ["8x32", "17x126", "64x64", "128x128"]
    )
    tune_epochs: int = Field(2, ge=0)  # of LegoFuse


class WeightMergingSettings(BlockSettings):
    """Settings of the notebook that merges weights instead of latents."""

    notebook: ClassVar[str] = "weight_merging"
    block_variant: Literal["wrapped", "frozen", "scratch"] = "wrapped"
    second_cohort: str = ""  # another task of the same patients, empty for none
    train_missing_blocks: bool = True


class DynamicsBase(BlockSettings):
    """What the notebooks on MM dynamics share: how it is trained, and its width."""

    learning_rate: float = Field(0.001, gt=0)
    l1: float = Field(0.0, ge=0)
    patience: int = Field(10, ge=0)  # 0: train to the last epoch and keep its weights
    weight_decay: float = Field(0.0001, ge=0)
    schedule: Literal["plateau", "step"] = "plateau"
    criterion: Literal["loss", "macro_f1"] = "loss"
    check_every: int = Field(1, ge=1)
    class_weights: Literal["none", "inverse", "sqrt", "counts"] = "none"
    hidden: int = Field(256, ge=0)  # 0: a quarter of the features
    dropout: float = Field(0.5, ge=0, lt=1)
    arms: list[str] = Field(default_factory=list)  # empty: all that suit the data


class DynamicsSettings(DynamicsBase):
    """Settings of the notebook on MM dynamics, its ablations and rivals."""

    notebook: ClassVar[str] = "mm_dynamics"
    rivals: list[str] = Field(default_factory=lambda: [LATE_CONCAT, LOGISTIC])
    tune_epochs: int = Field(2, ge=0)  # of LegoFuse


class ConfidenceSettings(DynamicsBase):
    """Settings of the notebook on what predicted confidences are worth."""

    notebook: ClassVar[str] = "tcp_confidence"
    cohort: str = "wdbc"


class ImageSettings(DynamicsBase):
    """Settings of the notebook on MM dynamics with images."""

    notebook: ClassVar[str] = "image_dynamics"
    cohort: str = "spots"
    patches: list[Literal[4, 8]] = Field(default=[8], min_length=1)
    shown: int = Field(16, ge=1, le=16)


class AMCBase(BlockSettings):
    """What the notebooks on AMC share: how it is trained, and its sizes."""

    learning_rate: float = Field(0.001, gt=0)
    l1: float = Field(0.0, ge=0)
    patience: int = Field(10, ge=0)  # 0: train to the last epoch and keep its weights
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "plateau", "step"] = "constant"
    warmup: int = Field(1, ge=0)
    warmup_mode: Literal["linear", "modality_order", "no_fusion"] = "linear"
    criterion: Literal["loss", "macro_f1", "accuracy", "c_index"] = "loss"
    class_weights: str = "none"
    tokens: int = Field(8, ge=1)
    width: int = Field(32, ge=1)
    heads: int = Field(8, ge=1)
    layers: int = Field(2, ge=1)
    experts: int = Field(8, ge=1)
    top_k: int = Field(2, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    tokenizer: Literal["auto", "split", "query"] = "auto"
    instance_weight: float = Field(0.1, ge=0)
    token_weight: float = Field(0.1, ge=0)
    balance_weight: float = Field(0.1, ge=0)


class AMCSettings(AMCBase):
    """Settings of the notebook on AMC, its modalities alone, and its rivals."""

    notebook: ClassVar[str] = "amc"
    arms: list[str] = Field(default_factory=list)  # empty: literal, inverse, and one modality each
    rivals: list[str] = Field(default_factory=lambda: [LATE_CONCAT, TENSOR_FUSION])
    tune_epochs: int = Field(2, ge=0)  # of LegoFuse
    timed_steps: int = Field(3, ge=1)


class AMCAblationSettings(AMCBase):
    """Settings of the notebook that takes AMC apart."""

    notebook: ClassVar[str] = "amc_ablations"
    arms: list[str] = Field(
        default_factory=lambda: ["literal", "inverse", "no_fusion"]
    )  # empty: those of the published tables


class TokenSettings(AMCBase):
    """Settings of the notebook that looks at which tokens are replaced."""

    notebook: ClassVar[str] = "token_rebalancing"
    cohort: str = "wdbc"
    rules: list[Literal["literal", "inverse", "retain", "positionwise"]] = Field(
        default=["literal", "inverse"], min_length=1
    )
    shown: int = Field(100, ge=1)  # instances in the map


class AMCOverviewSettings(RunSettings):
    """Settings of the notebook on AMC over all its data sets, from results only."""

    notebook: ClassVar[str] = "amc_overview"


class SignalSettings(RunSettings):
    """Settings of the notebook on signal interference."""

    notebook: ClassVar[str] = "signal_interference"
    n: int = Field(1000, ge=8)
    noise: float = Field(0.1, ge=0)
    draws: int = Field(20, ge=2)
    seed: int = Field(1, ge=0)


class EfficiencySettings(RunSettings):
    """Settings of the notebook on seconds, parameters, memory, and how they grow."""

    notebook: ClassVar[str] = "efficiency"
    n_samples: int = Field(32, ge=2)
    table_widths: list[int] = Field(default_factory=lambda: [1406, 5], min_length=1)
    bag_width: int = Field(64, ge=1)
    tokens: int = Field(8, ge=1)
    latent_channels: int = Field(8, ge=1)
    latent_dim: int = Field(32, ge=1)
    depth: int = Field(1, ge=1)
    batch_size: int = Field(16, ge=1)
    epochs: int = Field(10, ge=1)
    tune_epochs: int = Field(2, ge=1)
    repeats: int = Field(3, ge=1)
    token_counts: list[int] = Field(default_factory=lambda: [4, 8, 16, 32], min_length=3)
    modality_counts: list[int] = Field(default_factory=lambda: [2, 3, 4, 6], min_length=3)
    latent_dims: list[int] = Field(default_factory=lambda: [16, 32, 64], min_length=3)
    scaling_batch: int = Field(4, ge=1)
    threads: int = Field(1, ge=1)
    seed: int = Field(1, ge=0)


class RequirementsSettings(RunSettings):
    """Settings of the notebook that checks requirements on methods by running them."""

    notebook: ClassVar[str] = "requirements"
    n_train: int = Field(192, ge=8)
    n_test: int = Field(400, ge=8)
    width: int = Field(12, ge=2)
    tokens: int = Field(4, ge=1)
    imbalance: float = Field(0.25, gt=0, lt=1)
    latent_channels: int = Field(4, ge=1)
    latent_dim: int = Field(16, ge=1)
    depth: int = Field(1, ge=1)
    hidden: int = Field(32, ge=8, multiple_of=8)
    epochs: int = Field(8, ge=1)
    repeats: int = Field(3, ge=2)
    token_counts: list[int] = Field(default_factory=lambda: [64, 128, 256], min_length=3)
    modality_counts: list[int] = Field(default_factory=lambda: [2, 4, 8], min_length=3)
    seed: int = Field(1, ge=0)


class PropertiesSettings(RunSettings):
    """Settings of the notebook that measures the properties of transform and merge."""

    notebook: ClassVar[str] = "properties"
    latent_channels: int = Field(17, ge=2)
    latent_dim: int = Field(126, ge=2)
    draws: int = Field(10, ge=2)
    pairs: int = Field(100, ge=2)
    seed: int = Field(1, ge=0)


class SummarySettings(RunSettings):
    """Settings of the notebook that reads results only."""

    notebook: ClassVar[str] = "summary"
