"""Options of train.py."""

import argparse

from util.errors import InputError

from options.base_options import (
    generator_parser,
    momentum,
    not_negative,
    parse,
    positive,
    rooted,
    seed,
    share,
    whole,
)
from options.published import BOTH, TRAIN, add_published


def train_options(arguments: list[str] | None = None) -> argparse.Namespace:
    about = "Train a generator to paint one photo's colours on an edge map."
    parser = generator_parser(about, phase="train")
    add = parser.add_argument
    micro = "images computed at once, per GPU; the gradients of a batch are summed"
    add("--micro_batch", type=positive, default=8, help=micro)
    add("--niter", type=whole, default=8000, help="epochs at the full learning rate")
    add("--niter_decay", type=whole, default=8000, help="epochs over which it falls to zero")
    add("--lr", type=not_negative, default=0.0002, help="learning rate of both Adams")
    add("--beta1", type=momentum, default=0.5, help="first momentum of both Adams")
    feat = "weight of the feature and VGG losses"
    add("--lambda_feat", type=not_negative, default=10.0, help=feat)
    add("--no_ganFeat_loss", action="store_true", help="train without feature matching")
    add("--no_vgg_loss", action="store_true", help="train without VGG19's perceptual loss")
    add("--ndf", type=positive, default=64, help="discriminator: channels of its first layer")
    add("--n_layers_D", type=positive, default=3, help="discriminator: strided layers")
    add("--num_D", type=positive, default=2, help="discriminator: scales")
    add("--tps_aug", type=int, choices=[0, 1], default=0, help="1: warp the samples; 0: do not")
    add("--tps_percent", type=share, default=0.99, help="chance of each of a sample's two warps")
    block = "black outside a window, half of the time"
    add("--block_aug", action=argparse.BooleanOptionalAction, default=False, help=block)
    add("--no_flip", action="store_true", help="never flip a sample")
    add("--serial_batches", action="store_true", help="in the list's order, not in a random one")
    gentle = "for little time: small warps, and the plain distance to the target among the losses"
    add("--gentle", action="store_true", help=gentle)
    add("--seed", type=seed, default=0, help="of the weights, the order and the augmentation")
    add("--continue_train", action="store_true", help="go on exactly where training stopped")
    pretrain = "start from the networks in this folder; --continue_train goes before it"
    add("--load_pretrain", type=lambda text: rooted(text) if text else None, help=pretrain)
    add("--which_epoch", default="latest", help="which networks of --load_pretrain")
    add("--print_freq", type=positive, default=100, help="images between rows of the loss log")
    add("--display_freq", type=positive, default=100, help="images between pictures of samples")
    latest = "images between writings of the latest networks and the resume file"
    add("--save_latest_freq", type=positive, default=20000, help=latest)
    kept = "epochs between networks that are kept under their epoch's number"
    add("--save_epoch_freq", type=positive, default=20000, help=kept)
    add("--debug", action="store_true", help="ten lines for one epoch, each of them reported")
    add_published(parser, BOTH, TRAIN)
    options = parse(parser, arguments)
    if options.debug:
        once = {"niter": 1, "niter_decay": 0, "max_dataset_size": 10}
        vars(options).update(once, print_freq=1, display_freq=1)
    if not options.niter + options.niter_decay:
        raise InputError("--niter 0 --niter_decay 0: no epoch to train; give one of them more")
    return options
