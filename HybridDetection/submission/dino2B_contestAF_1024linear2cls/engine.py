"""What computes the frozen networks: PyTorch, or on CPUs OpenVINO, which takes less time.

OpenVINO (scripts/setup.sh --with cpu) is given a network from memory. Features differ from
PyTorch's by a few millionths of the largest one.
"""

import warnings
from importlib.util import find_spec

import torch
from backbones import IMAGE_SIZE, in_pytorch
from torch import nn

WORTH = 128  # images that regain the second in which OpenVINO takes over the networks


def choose_engine(wanted: str | None, device: torch.device, images: int) -> str:
    """The one of ENGINES that is `wanted`; None: OpenVINO where it is installed, for many `images`
    on a CPU. ValueError where OpenVINO is wanted and cannot be had.
    """
    there, on_cpu = find_spec("openvino") is not None, device.type == "cpu"
    if wanted == "openvino" and not there:
        raise ValueError("--engine openvino: not installed; scripts/setup.sh --with cpu does it")
    if wanted == "openvino" and not on_cpu:
        raise ValueError(f"--engine openvino: it computes on a CPU, not on {device}")
    return wanted or ("openvino" if there and on_cpu and images >= WORTH else "torch")


class InOpenVino:
    """A frozen network on a CPU, in as many threads as PyTorch would take."""

    def __init__(self, network: nn.Module, bfloat16: bool = False) -> None:
        import openvino
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        example = torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)
        # What openvino.convert_model does, in a quarter of its time: it also traces once more, to
        # compare, and sends statistics of its use to Intel.
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # PyTorch's, of tracing
            how = {"check_trace": False}
            decoder = TorchScriptPythonDecoder(network, example_input=example, trace_kwargs=how)
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
        model.reshape([-1, *example.shape[1:]])
        options = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        }
        self.model = openvino.Core().compile_model(model, "CPU", options)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, 224, 224) float32 -> (n, feature_size) float32."""
        return torch.from_numpy(self.model(images.numpy())[0])


ENGINES = {"openvino": InOpenVino, "torch": in_pytorch}
