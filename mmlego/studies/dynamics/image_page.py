"""Tables, figures and sentences of the notebook `image_dynamics`."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.outcome import Outcome
from mmlego.figures import style
from mmlego.learning.metrics.scores import main_metric
from mmlego.learning.statistics import pairing
from mmlego.methods.names import CONVNET, MM_DYNAMICS, MM_STATIC
from mmlego.reporting import answers, outcomes, sentences, tables
from mmlego.runs.session import Session
from mmlego.runs.settings import ImageSettings
from mmlego.studies.dynamics.images import image_of
from mmlego.studies.dynamics.page import metrics_of, name_of
from mmlego.studies.dynamics.published import published_dynamics
from mmlego.studies.dynamics.run import ARMS, BOTH, NONE


def label_of(outcome: Outcome, image: str) -> str:
    """What readers call the model of an outcome, with what it sees."""
    arm = outcome.facts.get("configuration", outcome.arm)
    name = ARMS[arm].title if arm in ARMS else name_of(outcome)
    rest = [outcome.facts.get("patch", ""), outcome.condition]
    name = ", ".join([name, *filter(None, rest)])
    if arm and outcome.modalities == (image,):
        return f"{name}, image only"
    return f"{name}, trained without images" if image not in outcome.modalities else name


def table(session: Session[ImageSettings]) -> pd.DataFrame:
    """Every model on every metric: mean ± standard deviation."""
    image = image_of(session.folds[0])
    seen = {label_of(o, image): " + ".join(o.modalities) for o in reversed(session.outcomes)}
    found = tables.metric_table(session.outcomes, metrics_of(session), lambda o: label_of(o, image))
    found.insert(1, "sees", found["model"].map(seen))
    return found


def published_table(session: Session[ImageSettings]) -> pd.DataFrame:
    """The published runs with images: the gap between models, as far as tasks can be compared."""
    known = published_dynamics(
        session.cohort.name,
        session.settings.split_unit,
        modalities=session.folds[0].names,
        whole=session.cohort.capped_from is None,
        repeats=session.settings.repeats,
        images=True,
    )
    names = {
        (CONVNET, ""): "convolutional network, image only",
        (MM_STATIC, "static"): ARMS["static"].title,
        (MM_DYNAMICS, "both"): ARMS[BOTH].title,
        (MM_DYNAMICS, "both, rna and images"): f"{ARMS[BOTH].title}, RNA and images",
        (MM_DYNAMICS, "both, protein and images"): f"{ARMS[BOTH].title}, protein and images",
        (MM_STATIC, "static, gray"): f"{ARMS['static'].title}, image gray",
        (MM_DYNAMICS, "both, gray"): f"{ARMS[BOTH].title}, image gray",
        (MM_DYNAMICS, "both, without images"): f"{ARMS[BOTH].title}, trained without images",
    }
    known["model"] = [names[key] for key in zip(known["method"], known["arm"], strict=True)]
    rows = []
    for model, part in known.groupby("model", sort=False):
        row = {"model": model}
        for found in part.itertuples():
            row[style.title(found.metric)] = tables.mean_with_sd(
                found.published, found.published_sd
            )
        why = part["why"].iloc[0]
        rows.append(row | {"comparable": f"no: {why}" if why else "yes"})
    return pd.DataFrame(rows)


def forest(session: Session[ImageSettings]) -> Figure:
    """Every model that saw everything it was trained for, on the main metric."""
    image = image_of(session.folds[0])
    shown = [o for o in session.outcomes if "fill" not in o.facts]
    return figures.forest_plot(
        outcomes.value_table(shown, main_metric(session.cohort), lambda o: label_of(o, image)),
        metric=main_metric(session.cohort),
        test_train_ratio=sentences.ratio(session),
        order="value",
    )


def masked_text(session: Session[ImageSettings]) -> str:
    """What replacing every test image by gray costs each model."""
    metric, image = main_metric(session.cohort), image_of(session.folds[0])
    rows = outcomes.value_table(session.outcomes, metric, lambda o: label_of(o, image))
    pairs = []
    for name in dict.fromkeys(rows["label"]):
        gray, real = f"{name}, {image} gray", f"{name}, {image} real"
        if {gray, real} <= set(rows["label"]):
            pairs.append(pairing.compare(rows, gray, real))
    return pairing.sentences(pairs) if pairs else "There is no second modality to fall back on."


def answer(session: Session[ImageSettings]) -> str:
    """MM dynamics with images beside the plain model and the best other one, in two sentences."""
    metric, image = main_metric(session.cohort), image_of(session.folds[0])
    shown = [o for o in session.outcomes if "fill" not in o.facts]
    rows = outcomes.value_table(shown, metric, lambda o: label_of(o, image))
    both, none = ARMS[BOTH].title, ARMS[NONE].title
    best = pairing.means(rows).index[:1]
    rivals = [none, f"{both}, trained without images", *best]
    return answers.against(rows, metric, both, rivals, fixed=sentences.fixed_test(session))


def conclusion(session: Session[ImageSettings], found: str) -> str:
    """What the page says: the best model, then what was said about places."""
    metric, image = main_metric(session.cohort), image_of(session.folds[0])
    shown = [o for o in session.outcomes if "fill" not in o.facts]
    rows = outcomes.value_table(shown, metric, lambda o: label_of(o, image))
    ranked = pairing.means(rows)
    labels = set(rows["label"])
    both = ARMS[BOTH].title
    others = [ARMS[NONE].title, ARMS["static"].title, f"{both}, image only"]
    pairs = [pairing.compare(rows, both, other) for other in others if {both, other} <= labels]
    return (
        f"* Highest mean {style.word(metric)}: **{ranked.index[0]}** "
        f"({ranked['mean'].iloc[0]:.3f}).\n\n{pairing.sentences(pairs)}\n\n{found}"
    )
