"""Heat-maps of the image gate on test images, and how well they find the lesion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.trained import TrainedModel
from mmlego.learning.metrics.localization import centre_prior, heat_auc, heat_share, lesion_mask
from mmlego.methods.names import MM_DYNAMICS
from mmlego.reporting import sentences
from mmlego.runs.session import Session
from mmlego.runs.settings import ImageSettings
from mmlego.studies.dynamics.run import BOTH, FEATURE, explain_part

MAP, PRIOR = "heat-map", "distance from the center"
GATED = (BOTH, FEATURE)
EVEN = 1e-6  # below this spread, a map says nothing about places


@dataclass(frozen=True)
class Heat:
    """The heat-maps of one trained model on its test images.

    Attributes:
        arm: Title of the arm.
        repeat: Number of the split.
        ids: (n,) samples.
        images: (n, 3, h, w) in [0, 1].
        maps: (n, h, w) in [0, 1].
    """

    arm: str
    repeat: int
    ids: np.ndarray
    images: np.ndarray
    maps: np.ndarray


def heats(runs: Iterable[TrainedModel]) -> list[Heat]:
    """The heat-maps of every model that has an image gate."""
    found = []
    for trained in runs:
        if (trained.chosen_configuration.reference or trained.arm) not in GATED:
            continue
        told = explain_part(trained.model, trained.test).gates
        for name in told:
            if trained.fold.kinds[name] != "image":
                continue
            here = trained.test.present[name].numpy()
            found.append(
                Heat(
                    trained.chosen_configuration.title,
                    trained.fold.repeat,
                    trained.test.ids[here],
                    trained.test.tensor(name).numpy()[here],
                    told[name][:, 0].numpy()[here],
                )
            )
    return found


def localization(found: Sequence[Heat]) -> pd.DataFrame:
    """How well a heat-map tells pixels of the lesion from the rest, beside the center's own score.

    Lesions are found by a threshold on color, since the data have no outlines; images in which that
    fails are left out.

    Returns:
        arm, repeat, id, score (heat-map, or distance from the center), auc, share.
    """
    rows = []
    masks: dict[str, np.ndarray | None] = {}
    for heat in found:
        prior = centre_prior(*heat.maps.shape[1:])
        for name, image, map_ in zip(heat.ids, heat.images, heat.maps, strict=True):
            if name not in masks:
                masks[name] = lesion_mask(np.moveaxis(image, 0, -1))
            mask = masks[name]
            if mask is None:
                continue
            for score, values in ((MAP, map_), (PRIOR, prior)):
                rows.append(
                    {
                        "arm": heat.arm,
                        "repeat": heat.repeat,
                        "id": name,
                        "score": score,
                        "auc": heat_auc(values, mask),
                        "share": heat_share(values, mask),
                    }
                )
    columns = ["arm", "repeat", "id", "score", "auc", "share"]
    return pd.DataFrame(rows, columns=columns)


def localization_values(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over the images of each split: label, method, repeat, value."""
    means = table.groupby(["arm", "score", "repeat"], sort=False)["auc"].mean().reset_index()
    prior = means["score"] == PRIOR
    means["label"] = means["arm"].where(~prior, PRIOR)
    means["method"] = np.where(prior, "prior", MM_DYNAMICS)
    means = means.drop_duplicates(["label", "repeat"])
    return means.rename(columns={"auc": "value"})[["label", "method", "repeat", "value"]]


def localization_forest(session: Session[ImageSettings], table: pd.DataFrame) -> Figure | None:
    """Means over the images of each split; None where no lesion was found."""
    if table.empty:
        return None
    return figures.forest_plot(
        localization_values(table), metric="auc", test_train_ratio=sentences.ratio(session)
    )


def localization_record(table: pd.DataFrame) -> list[dict[str, object]]:
    """Means over images by arm, split and score, for the record of a run."""
    keys = ["arm", "repeat", "score"]
    return table.groupby(keys, sort=False)[["auc", "share"]].mean().reset_index().to_dict("records")


def localization_text(table: pd.DataFrame) -> str:
    """Whether heat-maps find lesions better than the knowledge that they lie in the middle."""
    if table.empty:
        return "No heat-map to judge: no arm of this run has an image gate, or no lesion was found."
    lines = [f"{table['id'].nunique()} test images with an outline."]
    for arm, part in table.groupby("arm", sort=False):
        wide = part.pivot_table(index=["repeat", "id"], columns="score", values="auc")
        wins = float((wide[MAP] > wide[PRIOR]).mean())
        share = part[part["score"] == MAP]["share"].mean()
        lines.append(
            f"* {arm}: a pixel of the lesion is hotter than one outside with probability "
            f"{wide[MAP].mean():.3f} (0.5 is chance), and nearer to the center with "
            f"{wide[PRIOR].mean():.3f}; the heat-map does better in {wins:.0%} of the images. "
            f"Lesions get {share:.2f} times the heat of their area."
        )
    return "\n".join(lines)


def gallery(found: Sequence[Heat], shown: int) -> Figure | None:
    """Heat-maps over the first test images of the first split; None where there is none."""
    if not found:
        return None
    heat = found[0]
    count = min(shown, len(heat.ids))
    pictures = [np.moveaxis(image, 0, -1) for image in heat.images[:count]]
    masks = [lesion_mask(picture) for picture in pictures]
    return figures.heatmap_grid(
        pictures, list(heat.maps[:count]), titles=list(heat.ids[:count]), masks=masks
    )


def average(found: Sequence[Heat]) -> Figure | None:
    """The mean heat-map of the first arm over all test images, beside the mean image."""
    chosen = [heat for heat in found if heat.arm == found[0].arm]
    if not chosen:
        return None
    maps = np.concatenate([heat.maps for heat in chosen]).mean(axis=0)
    image = np.concatenate([heat.images for heat in chosen]).mean(axis=0)
    return figures.mean_heatmap(maps, np.moveaxis(image, 0, -1))


def spread_text(found: Sequence[Heat]) -> str:
    """How hot maps are, and whether they differ from image to image."""
    lines = []
    for heat in found:
        within = heat.maps.std(axis=(1, 2)).mean()
        even = heat.maps.std() < EVEN
        between = heat.maps.std(axis=0).mean()
        lines.append(
            f"* {heat.arm}, split {heat.repeat}: mean heat {heat.maps.mean():.3f}; standard "
            f"deviation within an image {within:.3f}, of the same pixel between images "
            f"{between:.3f}."
            + (" The map is even everywhere: this gate was born dead or has died." if even else "")
        )
    return "\n".join(lines) or "No heat-map to describe: no arm of this run has an image gate."
