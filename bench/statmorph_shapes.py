"""statmorph (Rodriguez-Gomez et al. 2019) on galaxies of a file: `python statmorph_shapes.py FILE OUT FIRST STEP`.

Says "ready" when a first galaxy has been measured, and begins when a line comes in. Its Sersic fit, which cannot be
left out, is timed by itself.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import statmorph

NAMES = {
    "x": "xc_asymmetry", "y": "yc_asymmetry", "ellipticity": "ellipticity_asymmetry", "r_petro": "rpetro_circ",
    "a_petro": "rpetro_ellip", "r20": "r20", "r50": "r50", "r80": "r80", "r_half": "rhalf_circ",
    "a_half": "rhalf_ellip",
    "r_max": "rmax_circ", "a_max": "rmax_ellip", "flux_petro": "flux_ellip", "flux_petro_circle": "flux_circ",
    "concentration": "concentration", "asymmetry": "asymmetry", "smoothness": "smoothness", "gini": "gini",
    "m20": "m20",
    "gini_m20_bulge": "gini_m20_bulge", "gini_m20_merger": "gini_m20_merger", "snr_pixel": "sn_per_pixel",
    "multimode": "multimode", "intensity": "intensity", "deviation": "deviation", "outer_asymmetry": "outer_asymmetry",
    "shape_asymmetry": "shape_asymmetry", "rms_asymmetry2": "rms_asymmetry2",
}  # fmt: skip


def main(file: str, out: str, first: int, step: int) -> None:
    warnings.simplefilter("ignore")
    with np.load(file) as data:
        image, sigma, segment = (data[name] for name in ("image", "sigma", "segment"))
    measure(image[0], sigma[0], segment[0])
    print("ready", flush=True)
    sys.stdin.readline()
    rows = [{"i": i, **measure(image[i], sigma[i], segment[i])} for i in range(first, len(image), step)]
    Path(out).write_text(json.dumps(rows))


def measure(image: np.ndarray, sigma: np.ndarray, segment: np.ndarray) -> dict[str, float]:
    begin, cpu = time.perf_counter(), time.process_time()
    label = int(segment[segment.shape[0] // 2, segment.shape[1] // 2])
    try:
        m = statmorph.SourceMorphology(image.astype(float), segment.astype(int), label, weightmap=sigma.astype(float))
    except Exception as err:  # whatever it raises is a failure of the peer
        return {
            "flag": 9,
            "seconds": time.perf_counter() - begin,
            "cpu": time.process_time() - cpu,
            "sersic": 0.0,
            "error": str(err)[:100],
        }
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    values = {ours: float(m[theirs]) for ours, theirs in NAMES.items()}
    values |= {"masked": float((m._segmap_gini & m._mask_stamp).sum())}
    return {
        "flag": int(m.flag),
        "seconds": seconds,
        "cpu": cpu,
        "sersic": float(getattr(m, "sersic_runtime", 0.0)),
        **values,
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
