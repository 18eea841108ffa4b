"""Measure shapes without a model: `measure_shapes` and its result."""

from rosse.shapes.correction import correct_shapes as correct_shapes
from rosse.shapes.options import ShapeOptions as ShapeOptions
from rosse.shapes.result import Shapes as Shapes
from rosse.shapes.shapes import measure_shapes as measure_shapes
