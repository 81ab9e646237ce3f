"""The steps from a publisher's official files to the form that a card names, by loader."""

from __future__ import annotations

from mmlego.data.sources.images.dermatology_raw import prepare_ham10000
from mmlego.data.sources.records.physionet_raw import prepare_physionet

# each takes a folder of official files, a folder to write to, and log=
PREPARE = {"physionet2012": prepare_physionet, "ham10000": prepare_ham10000}
