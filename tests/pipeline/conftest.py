"""Worker processes import their functions by name: this folder must be where Python looks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
