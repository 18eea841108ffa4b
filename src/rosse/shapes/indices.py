"""Every index that is measured: its unit, what it is, and what must be known for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Reason(IntEnum):
    """Why an index has no value, or one to be used with care; tables hold its text."""

    NONE = 0
    NO_DATA = 1
    NO_SOURCE = 2
    NO_PETROSIAN = 3
    NO_SKY = 4
    UNDEFINED = 5
    CENTRE = 6
    EXCEEDS_FRAME = 7
    UNCALIBRATED = 8
    UNRESOLVED = 9
    LOST = 10
    SKY_LEFT = 11
    RING = 12
    DARK = 13

    @property
    def text(self) -> str:
        """For people."""
        return TEXT[self]


TEXT = {
    Reason.NONE: "",
    Reason.NO_DATA: "no pixel carries weight",
    Reason.NO_SOURCE: "no source at the centre",
    Reason.NO_PETROSIAN: "no Petrosian radius in the stamp",
    Reason.NO_SKY: "no box of empty sky in the stamp",
    Reason.UNDEFINED: "undefined for these pixels",
    Reason.CENTRE: "the search for the centre did not end",
    Reason.EXCEEDS_FRAME: "the aperture reaches beyond the frame",
    Reason.UNCALIBRATED: "too faint or too small for the correction",
    Reason.UNRESOLVED: "smoothed by a single pixel, so that it is 0 whatever the galaxy",
    Reason.LOST: "too many pixels of its middle are left out",
    Reason.RING: "too low: the sky is taken off for all of a ring of which a part has no data (see whole_ring)",
    Reason.DARK: "too high: many pixels of the map of Gini have no data and count as dark (see dark_gini)",
    Reason.SKY_LEFT: "the sky was not taken off, or is light of the galaxy",
}


@dataclass(frozen=True, kw_only=True)
class Index:
    """One index.

    Parameters
    ----------
    about : one sentence.
    kind : ``"length"``, ``"pixel"`` (a position), ``"angle"``, ``"flux"``, or ``""`` for a pure number.
    radius, sky : whether the Petrosian radius, the box of sky must be known.
    """

    about: str
    kind: str = ""
    radius: bool = True
    sky: bool = False


INDICES = {
    "x": Index(about="centre of least asymmetry", kind="pixel"),
    "y": Index(about="centre of least asymmetry", kind="pixel"),
    "x_centroid": Index(about="centroid of the segment", kind="pixel", radius=False),
    "y_centroid": Index(about="centroid of the segment", kind="pixel", radius=False),
    "ellipticity": Index(about="1 - b/a of the second moments around the centre"),
    "pa": Index(about="position angle of the second moments, east of north", kind="angle"),
    "r_petro": Index(about="Petrosian radius of circles", kind="length"),
    "a_petro": Index(about="Petrosian semi-major axis of ellipses", kind="length"),
    "r20": Index(about="radius of 20 % of the light within 1.5 Petrosian radii", kind="length"),
    "r50": Index(about="radius of 50 % of the light within 1.5 Petrosian radii", kind="length"),
    "r80": Index(about="radius of 80 % of the light within 1.5 Petrosian radii", kind="length"),
    "r_half": Index(about="radius of half the light within r_max", kind="length"),
    "a_half": Index(about="semi-major axis of half the light within a_max", kind="length"),
    "r_max": Index(about="distance of the furthest pixel of the map of shape asymmetry", kind="length"),
    "a_max": Index(about="semi-major axis of the furthest pixel of the map of shape asymmetry", kind="length"),
    "a_kron": Index(about="semi-major axis of the Kron aperture", kind="length"),
    "flux_petro": Index(about="flux within two Petrosian semi-major axes", kind="flux"),
    "flux_petro_circle": Index(about="flux within two Petrosian radii", kind="flux"),
    "flux_kron": Index(about="flux within the Kron aperture", kind="flux"),
    "concentration": Index(about="C = 5 log10(r80 / r20)"),
    "asymmetry": Index(about="asymmetry A, of the sky's taken off", sky=True),
    "smoothness": Index(about="smoothness (clumpiness) S, of the sky's taken off", sky=True),
    "gini": Index(about="Gini coefficient G"),
    "m20": Index(about="M20, log10 of the second moment of the brightest 20 % of the light over that of all"),
    "gini_m20_bulge": Index(about="F(G, M20), large for bulges"),
    "gini_m20_merger": Index(about="S(G, M20), positive for mergers"),
    "snr_pixel": Index(about="mean signal-to-noise of a pixel"),
    "multimode": Index(about="multimode M, area of the second clump over that of the first", radius=False),
    "intensity": Index(about="intensity I, light of the second clump over that of the first", radius=False),
    "deviation": Index(about="deviation D, from centroid to brightest clump", radius=False),
    "outer_asymmetry": Index(about="asymmetry between a_half and a_max", sky=True),
    "shape_asymmetry": Index(about="asymmetry of the map of the galaxy's outline"),
    "rms_asymmetry2": Index(about="square of the RMS asymmetry; negative where noise prevails", sky=True),
}
CORRECTED = ("asymmetry", "concentration")  # those that `correct_shapes` knows the bias of
