"""Do the wings tell the subspecies apart in your photographs, or does the background?

    python scripts/check_shortcuts.py --photographs FOLDER        a subfolder for each subspecies

The check is HybridDetection/train/shortcuts.py; this is its name among the scripts.
"""

import subprocess
import sys
from pathlib import Path

SHORTCUTS = Path(__file__).resolve().parents[1] / "HybridDetection/train/shortcuts.py"

if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, SHORTCUTS, *sys.argv[1:]], check=False).returncode)
