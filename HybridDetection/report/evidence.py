"""Where in a photograph the evidence lies: what each patch adds to the log-odds of the score.

    examined, maps, wing_maps = examine(model, pictures)

A feature vector is a mean over patch tokens (DINOv2: beside the class token). To first order, the
log-odds of the score are g . feature with their gradient g, and the part of g that belongs to the
mean is shared out among the patches: each adds g . token / number of patches (gradient x input,
Shrikumar et al. 2016; for mean-pooled maps, class activation maps, Zhou et al. 2016). What the
class token adds lies nowhere and is not in the map. The score here is that of the members that
judge these features, the published ones.

The member that knows the subspecies has a map of its own, over the wings as it sees them: what each
part of its grid adds to the log-odds of its probability, beside a picture without wings. Not in the
zip: nothing is scored here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from backbones import GRID, IMAGE_SIZE, WINGS, DinoV2, normalise, squares_of
from model import Examined, Model
from published_members import LinearClassifier, SGDScorer
from torch import nn
from torch.nn import functional as F
from wings import GROUND

TINY = np.finfo(np.float64).tiny

Maps = Sequence[np.ndarray | None]


def examine(model: Model, pictures: torch.Tensor) -> tuple[Examined, Maps, Maps]:
    """`model.examine` of n pictures of bytes, and their maps (h, w) float16 in log-odds; then those
    of the wings, (GRID, 2 * GRID), the left side first.

    Above 0: speaks for a hybrid. h and w are 16 with DINOv2 and 7 with the light backbone; the map
    covers the whole image. None for all where no member judges what a map would be of.
    """
    wing_maps = map_wings(model, pictures)
    if model.network is None:
        return model.examine(pictures), [None] * len(pictures), wing_maps
    with patch_tokens(model.network) as taken:
        examined = model.examine(pictures)
    (tokens,) = taken
    members = {name: member for name, member in model.members.items() if name in NO_HYBRID}
    slopes = gradient(members, examined.features)[:, -tokens.shape[-1] :]
    with torch.inference_mode():
        slopes = torch.from_numpy(slopes).to(tokens)
        maps = torch.einsum("nhwc,nc->nhw", tokens, slopes) / (tokens.shape[1] * tokens.shape[2])
    return examined, maps.cpu().numpy().astype(np.float16), wing_maps


@torch.inference_mode()
def map_wings(model: Model, pictures: torch.Tensor) -> Maps:
    """The maps of the wings in n pictures of bytes, (GRID, 2 * GRID) float16 each."""
    if model.wing_network is None:
        return [None] * len(pictures)
    bare = torch.full((1, IMAGE_SIZE, IMAGE_SIZE, 3), GROUND, dtype=torch.uint8)
    squares = squares_of(pictures, True).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 3)
    seen = model.wing_network(normalise(torch.cat([squares, bare]).to(model.device), WINGS))
    seen = seen.cpu().double().numpy()
    wings = seen[:-1].reshape(len(pictures), 2, -1)
    slopes = model.members["subspecies"].slopes(wings.mean(axis=1))
    added = (wings - seen[-1]) * slopes[:, None] / 2
    added = added.reshape(len(pictures), 2, -1, GRID, GRID).sum(axis=2)
    return np.concatenate([added[:, 0], added[:, 1]], axis=2).astype(np.float16)


@contextmanager
def patch_tokens(network: nn.Module) -> Iterator[list[torch.Tensor]]:
    """A list that takes the patch tokens (n, h, w, width) of each pass through `network`.

    Their mean over h and w is the last `width` numbers of the feature.
    """
    taken: list[torch.Tensor] = []
    dinov2 = isinstance(network, DinoV2)

    def take(_module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        if dinov2:
            tokens = output[:, 1:].unflatten(1, network.vit.patch_embed.grid_size)
        else:
            tokens = inputs[0].permute(0, 2, 3, 1)
        taken.append(tokens.float())

    hook = (network.vit.norm if dinov2 else network.global_pool).register_forward_hook(take)
    try:
        yield taken
    finally:
        hook.remove()


def gradient(members: Mapping[str, Any], features: np.ndarray) -> np.ndarray:
    """The slope (n, feature_size) of `log_odds` at (n, feature_size) features, float64."""
    variable = torch.tensor(features, dtype=torch.float64, requires_grad=True)
    total = log_odds(members, variable).sum()  # images do not depend on each other
    return torch.autograd.grad(total, variable)[0].numpy()


def log_odds(members: Mapping[str, Any], features: torch.Tensor) -> torch.Tensor:
    """log(score / (1 - score)), (n,), of (n, feature_size) float64 features on the CPU.

    The score is that of model.combine, restated so that it can be differentiated and does not
    saturate: in logarithms of the chance that a specimen is no hybrid.
    """
    chances = [NO_HYBRID[name](member, features) for name, member in members.items()]
    logs = torch.stack(chances).min(dim=0).values.clamp(max=-TINY)
    return torch.log(-torch.expm1(logs)) - logs


def linear_no_hybrid(member: LinearClassifier, features: torch.Tensor) -> torch.Tensor:
    parameter = next(member.parameters())
    logits = member(features.to(parameter.dtype).to(parameter.device)).cpu().double()
    return F.logsigmoid(logits[:, 0] - logits[:, 1])


def sgd_no_hybrid(member: SGDScorer, features: torch.Tensor) -> torch.Tensor:
    decisions = features @ as_tensor(member.weights).T + as_tensor(member.intercepts)
    exponents = as_tensor(member.slopes) * decisions + as_tensor(member.offsets)
    probabilities = torch.sigmoid(-exponents).mean(dim=1)
    near_one = F.logsigmoid(exponents).logsumexp(dim=1) - np.log(len(member.slopes))
    near_zero = torch.log1p(-probabilities.clamp(max=0.5))  # where the other one cancels to 0
    return torch.where(probabilities > 0.5, near_one, near_zero)


def as_tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float64))


# log(1 - probability), (n,), by member that judges the features of the backbone.
NO_HYBRID: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "linear": linear_no_hybrid,
    "sgd": sgd_no_hybrid,
}
