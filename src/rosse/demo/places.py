"""What lies where in the directory of a demo."""

from __future__ import annotations

IMAGES = "images"  # the simulated field, its truth, and Hubble's picture
HUBBLE = "hubble"  # catalogue and contact sheet of the real field
CUTOUTS = "cutouts"  # the galaxies of the contact sheet, as files
SHEET = "contact-sheet.png"
RECOVERED = "recovered.png"
SUMMARY = "demo.json"
MARK = ".rosse-demo"  # says that the directory is a demo's, and of which options and version
STAGE = ".unfinished"  # runs of the pipeline before they are put in place
