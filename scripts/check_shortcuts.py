"""Do the wings tell the subspecies apart in your photographs, or does the background?"""

from common.program import become

if __name__ == "__main__":
    become("HybridDetection/train/shortcuts.py")
