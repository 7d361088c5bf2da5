"""What computes a trained network: PyTorch, or on CPUs OpenVINO, which takes less time.

OpenVINO (scripts/setup.sh --with cpu) is given a network from memory. Painted values and edge maps
differ from PyTorch's by a grey level at the most.
"""

import warnings
from importlib.util import find_spec

import torch
from torch import nn

from util.errors import InputError

ENGINES = ("openvino", "torch")
WORTH = 64  # images that regain the seconds in which OpenVINO takes over a network


def choose_engine(wanted: str | None, device: torch.device, images: int) -> str:
    """The one of ENGINES that is `wanted`; None: OpenVINO where it is installed, for many `images`
    on a CPU. InputError where OpenVINO is wanted and cannot be had.
    """
    there, on_cpu = find_spec("openvino") is not None, device.type == "cpu"
    if wanted == "openvino" and not there:
        raise InputError("--engine openvino: not installed; scripts/setup.sh --with cpu does it")
    if wanted == "openvino" and not on_cpu:
        raise InputError(f"--engine openvino: it computes on a CPU, not on {device}")
    return wanted or ("openvino" if there and on_cpu and images >= WORTH else "torch")


class InOpenVino:
    """A network in evaluation mode, on a CPU, in as many threads as PyTorch would take."""

    def __init__(self, network: nn.Module, example: torch.Tensor, bfloat16: bool = False):
        """`example` is an input (1, C, H, W); others may be of another number and size."""
        import openvino
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        # What openvino.convert_model does, in a quarter of its time: it also traces once more, to
        # compare, and sends statistics of its use to Intel.
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # PyTorch's, of tracing
            how = {"check_trace": False}
            decoder = TorchScriptPythonDecoder(network, example_input=example, trace_kwargs=how)
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
        model.reshape([-1, example.shape[1], -1, -1])
        options = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        }
        self.model = openvino.Core().compile_model(model, "CPU", options)

    def __call__(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """What the network gives of `images` (N, C, H, W) float32."""
        found = self.model(images.contiguous().numpy())
        parts = tuple(torch.from_numpy(found[place]) for place in range(len(found)))
        return parts if len(parts) > 1 else parts[0]
