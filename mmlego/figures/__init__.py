"""Figures and tables: each function takes arrays or data frames and returns a figure or a table.

Nothing here trains, reads a file or shows a window. In a notebook, end the line that draws a figure
with a semicolon; in a script, close it with ``matplotlib.pyplot.close``.
"""

from mmlego.figures import style
from mmlego.figures.ablations import ablation_bars, paired_differences, sweep_plot
from mmlego.figures.comparison import method_task_plot, uplift_plot
from mmlego.figures.curves import learning_curves
from mmlego.figures.forest import forest_plot
from mmlego.figures.inside.confidence import (
    confidence_by_state,
    confidence_error_curves,
    confidence_error_histogram,
    confidence_scatter,
)
from mmlego.figures.inside.gates import feature_ranking
from mmlego.figures.inside.heatmaps import heatmap_grid, mean_heatmap
from mmlego.figures.inside.signals import energy_correlation_bars, signals_plot, spectra_plot
from mmlego.figures.inside.tokens import importance_histograms, replaced_histograms
from mmlego.figures.inside.tokens_cases import extreme_cases, replacement_map
from mmlego.figures.inside.tokens_cost import token_cost_bars
from mmlego.figures.inside.tokens_rules import conflict_histograms, digitised_totals, rule_pairs
from mmlego.figures.matrices import pair_matrix
from mmlego.figures.modalities import modality_panels
from mmlego.figures.predictions.classification import confusion_plot, reliability_plot, roc_plot
from mmlego.figures.predictions.missing import class_overview, presence_plot, survival_overview
from mmlego.figures.predictions.survival import kaplan_meier_plot, survival_calibration
from mmlego.figures.ranking import critical_difference_plot
from mmlego.figures.scaling import power_law, rate_curves, scaling_plot
from mmlego.figures.search import importance_bars, search_history
from mmlego.figures.tables.plain import cohort_table, results_table, to_html
from mmlego.figures.tables.ranked import ranked_table

__all__ = [
    "ablation_bars",
    "class_overview",
    "cohort_table",
    "confidence_by_state",
    "confidence_error_curves",
    "confidence_error_histogram",
    "confidence_scatter",
    "conflict_histograms",
    "confusion_plot",
    "critical_difference_plot",
    "digitised_totals",
    "energy_correlation_bars",
    "extreme_cases",
    "feature_ranking",
    "forest_plot",
    "heatmap_grid",
    "importance_bars",
    "importance_histograms",
    "kaplan_meier_plot",
    "learning_curves",
    "mean_heatmap",
    "method_task_plot",
    "modality_panels",
    "pair_matrix",
    "paired_differences",
    "power_law",
    "presence_plot",
    "ranked_table",
    "rate_curves",
    "reliability_plot",
    "replaced_histograms",
    "replacement_map",
    "results_table",
    "roc_plot",
    "rule_pairs",
    "scaling_plot",
    "search_history",
    "signals_plot",
    "spectra_plot",
    "style",
    "survival_calibration",
    "survival_overview",
    "sweep_plot",
    "to_html",
    "token_cost_bars",
    "uplift_plot",
]
