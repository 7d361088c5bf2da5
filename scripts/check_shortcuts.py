"""Do the wings tell the subspecies apart in your photographs, or does the background?

python scripts/check_shortcuts.py --photographs FOLDER        a subfolder for each subspecies
"""

from common.program import become

if __name__ == "__main__":
    become("HybridDetection/train/shortcuts.py")
