"""One loader per kind of publication; a card names the one that reads its files."""

from mmlego.data.sources.embedded import load_transbig, load_wdbc
from mmlego.data.sources.images.adni import load_adni
from mmlego.data.sources.images.dermatology import load_ham10000
from mmlego.data.sources.images.enrico import load_enrico
from mmlego.data.sources.images.oasis import load_oasis
from mmlego.data.sources.images.spots import load_spots
from mmlego.data.sources.omics.citeseq import load_citeseq
from mmlego.data.sources.omics.hspc import load_hspc
from mmlego.data.sources.omics.mogonet import load_mogonet
from mmlego.data.sources.omics.tcga import load_tcga
from mmlego.data.sources.records.eicu import load_eicu
from mmlego.data.sources.records.mimic4 import load_mimic4
from mmlego.data.sources.records.physionet import load_physionet
from mmlego.data.sources.request import Request
from mmlego.data.sources.synthetic import load_synthetic
from mmlego.data.sources.tables import load_tables

SOURCES = {
    "tcga": load_tcga,
    "physionet2012": load_physionet,
    "ham10000": load_ham10000,
    "transbig": load_transbig,
    "wdbc": load_wdbc,
    "synthetic": load_synthetic,
    "spots": load_spots,
    "citeseq": load_citeseq,
    "hspc": load_hspc,
    "mogonet": load_mogonet,
    "oasis1": load_oasis,
    "adni": load_adni,
    "mimic4": load_mimic4,
    "eicu": load_eicu,
    "enrico": load_enrico,
    "tables": load_tables,
}

__all__ = ["SOURCES", "Request"]
