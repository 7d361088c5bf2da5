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
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from backbones import GRID, IMAGE_SIZE, WINGS, DinoV2, extract
from model import Examined, Model
from published_members import LinearClassifier, SGDScorer
from torch import nn
from torch.nn import functional as F
from wings import GROUND

Maps = Sequence[np.ndarray | None]


def examine(
    model: Model, pictures: torch.Tensor, mapped: bool = True
) -> tuple[Examined, Maps, Maps]:
    """`model.examine` of n pictures of bytes, and their maps (h, w) float16 in log-odds; then those
    of the wings, (GRID, 2 * GRID), the left side first.

    Above 0: speaks for a hybrid. h and w are 16 with DINOv2 and 7 with the light backbone; the map
    covers the whole image. None for all where they are not to be `mapped`, or no member judges what
    a map would be of.
    """
    maps = wing_maps = [None] * len(pictures)
    nobody = nullcontext(())
    of_patches = patch_tokens(model.network) if mapped and model.network else nobody
    of_wings = noted(model.wing_network) if mapped and model.wing_network else nobody
    with of_patches as tokens, of_wings as seen:
        examined = model.examine(pictures)
    if tokens:
        maps = map_patches(model, examined.features, *tokens)
    if seen:
        wing_maps = map_wings(model, *seen)
    return examined, maps, wing_maps


def map_patches(model: Model, features: np.ndarray, tokens: torch.Tensor) -> Maps:
    """The maps (n, h, w) of patch tokens (n, h, w, width), in which the `features` end."""
    members = {name: member for name, member in model.members.items() if name in LOG_ODDS}
    slopes = torch.from_numpy(gradient(members, features)[:, -tokens.shape[-1] :]).to(tokens)
    maps = torch.einsum("nhwc,nc->nhw", tokens, slopes) / (tokens.shape[1] * tokens.shape[2])
    return maps.cpu().numpy().astype(np.float16)


def map_wings(model: Model, seen: torch.Tensor) -> Maps:
    """The maps of the wings (n, GRID, 2 * GRID) of what is seen of their squares (2 * n, d)."""
    bare = torch.full((1, IMAGE_SIZE, IMAGE_SIZE, 3), GROUND, dtype=torch.uint8)
    bare = extract(model.wing_network, bare, WINGS, model.device).cpu().double().numpy()
    wings = seen.cpu().double().numpy().reshape(-1, 2, bare.shape[1])
    slopes = model.members["subspecies"].slopes(wings.mean(axis=1))
    added = (wings - bare) * slopes[:, None] / 2
    added = added.reshape(len(wings), 2, -1, GRID, GRID).sum(axis=2)
    return np.concatenate([added[:, 0], added[:, 1]], axis=2).astype(np.float16)


def patch_tokens(network: nn.Module) -> AbstractContextManager[list[torch.Tensor]]:
    """A list that takes the patch tokens (n, h, w, width) of each pass through `network`.

    Their mean over h and w is the last `width` numbers of the feature.
    """
    if isinstance(network, DinoV2):
        grid = network.vit.patch_embed.grid_size
        return noted(network.vit.norm, lambda _, tokens: tokens[:, 1:].unflatten(1, grid))
    return noted(network.global_pool, lambda tokens, _: tokens.permute(0, 2, 3, 1))


@contextmanager
def noted(
    module: nn.Module,
    what: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda _, output: output,
) -> Iterator[list[torch.Tensor]]:
    """A list that takes, of each pass through `module`, what is told of its input and output."""
    taken: list[torch.Tensor] = []
    hook = module.register_forward_hook(
        lambda _, inputs, output: taken.append(what(inputs[0], output).float())
    )
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

    The score is that of model.combine, the highest probability, restated so that it can be
    differentiated and does not saturate.
    """
    odds = [LOG_ODDS[name](member, features) for name, member in members.items()]
    return torch.stack(odds).max(dim=0).values


def linear_log_odds(member: LinearClassifier, features: torch.Tensor) -> torch.Tensor:
    parameter = next(member.parameters())
    logits = member(features.to(parameter.dtype).to(parameter.device)).cpu().double()
    return logits[:, 1] - logits[:, 0]


def sgd_log_odds(member: SGDScorer, features: torch.Tensor) -> torch.Tensor:
    decisions = features @ as_tensor(member.weights).T + as_tensor(member.intercepts)
    exponents = as_tensor(member.slopes) * decisions + as_tensor(member.offsets)
    return F.logsigmoid(-exponents).logsumexp(dim=1) - F.logsigmoid(exponents).logsumexp(dim=1)


def as_tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float64))


# (n,) by member that judges the features of the backbone.
LOG_ODDS: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "linear": linear_log_odds,
    "sgd": sgd_log_odds,
}
