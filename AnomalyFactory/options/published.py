"""Options of the published programs that nothing here reads.

Each is accepted with the values that mean what is done anyway, and refused, saying why, with any
other. Options that this project has, too, are in the files beside.
"""

import argparse
import math

ANY = object()  # every value: what it would fine-tune is not done
# By the names of options: the values that are accepted, or ANY; of a switch True where it is
# accepted, False where it is refused; and why.
Rows = dict[str, tuple[object, str]]

NO_CANNY = "edge maps come from files: nothing is drawn by Canny"
NO_CUTMIX = "no parts of photos are exchanged"
NO_FEATURES = "the generator reads no encoded features"
NO_LOCAL = "the generator has no local enhancers"
PAINTING = "it is about training, and test.py only paints"

BOTH: Rows = {
    "model": (["pix2pixHD"], "there is one model"),
    "netG": (["AFsplitglobal"], "the generator is one encoder with two decoders"),
    "norm": (["instance"], "the networks normalise by instance"),
    "train_mode": (["BootAF_I2DE"], "a photo is rebuilt from its edge map and its warped self"),
    "mask_loss_weight": ([1, 10], "in BootAF_I2DE, the one --train_mode, no loss is the mask's"),
    "use_dropout": (False, "the generator has no dropout"),
    "use_clipvfeat": (False, "the generator reads no features of CLIP"),
    "use_LR_fake": (False, "results have one resolution"),
    "data_type": ([32], "weights are read as float32; --amp computes in bfloat16"),
    "local_rank": ([0], "torchrun says in the environment which process is which"),
    "primitive": (["seg_edges"], "the structure is an edge map"),
    "label_nc": ([0], "there are no label maps"),
    "input_nc encoder_nc": ([6], "an edge map and a reference are read, both RGB"),
    "decoder_nc": ([3], "the decoders end in RGB"),
    "output_nc": ([3], "results are RGB"),
    "kRef": ([1, 2], "each structure has one reference, as in the published BootAF_I2DE"),
    "no_instance": (True, "there are no instance maps"),
    "use_edgemask": ([0, 1], "BootAF_I2DE, the one --train_mode, has no masks of edge maps"),
    "anomaly_source_paths": (ANY, "no program reads it"),
    "resize_or_crop": (["none"], "photos are resized to --loadSize, never cropped"),
    "affine_aug": (["none"], "photos are not sheared, shifted or turned"),
    "tps_points_per_dim": ([3], "a warp moves a grid of 3x3 points"),
    "cutmix_aug": ([0], NO_CUTMIX),
    "cutmix_min_size cutmix_max_size": (ANY, NO_CUTMIX),
    "canny_aug": ([0], NO_CANNY),
    "canny_color test_canny_sigma": (ANY, NO_CANNY),
    "canny_sigma_l_bound canny_sigma_u_bound canny_sigma_step": (ANY, NO_CANNY),
    "display_winsize": (ANY, "pages choose the size of their pictures"),
    "n_blocks_local n_local_enhancers": (ANY, NO_LOCAL),
    "niter_fix_global": ([0], NO_LOCAL),
    "instance_feat label_feat load_features": (False, NO_FEATURES),
    "feat_num n_downsample_E nef n_clusters": (ANY, NO_FEATURES),
}
TRAIN: Rows = {
    "reflect_aug": (True, "margins are added half of the time, always"),
    "tf_log": (True, "losses are in loss_log.csv, not in TensorBoard"),
    "no_lsgan": (False, "the adversarial loss is that of least squares"),
    "pool_size": ([0], "the discriminator judges the images of the step, no earlier ones"),
}
TEST: Rows = {
    "test_mode": (["BootAF_I2DE"], "an edge map is painted in the colours of one reference"),
    "aspect_ratio": ([1], "results are square"),
    "ntest": ([math.inf], "--how_many says how many lines are painted"),
    "refImgExt": (["png", "jpg", "JPG"], "the list names each reference with its own ending"),
    "serial_batches": (True, "a list is painted in its order"),
    "tps_aug": ([0], "painting warps nothing"),
    "tps_percent": (ANY, "painting warps nothing"),
    "no_flip block_aug reflect_aug tf_log continue_train": (True, PAINTING),
    "save_latest_freq display_freq": (ANY, PAINTING),
    "load_pretrain": ([""], "painting takes the generator of --name in --checkpoints_dir"),
    "use_encoded_image": (False, NO_FEATURES),
    "cluster_path": (ANY, NO_FEATURES),
    "export_onnx onnx": ([], "the generator paints as it is: there is no ONNX file of it"),
    "vid_mode vid_input": ([0], "results are images, not a video"),
}


class Unread(argparse.Action):
    """Checks an option, which leaves nothing behind."""

    def __init__(self, accepted: object, help: str, **names: object):
        switch = isinstance(accepted, bool)
        form = {"nargs": 0 if switch else None, "metavar": None if switch else "VALUE"}
        super().__init__(default=argparse.SUPPRESS, help=help, **form, **names)
        self.accepted = accepted

    def __call__(self, _parser: object, _options: object, given: str, _name: object = None) -> None:
        if self.accepted is False:
            raise argparse.ArgumentError(self, f"leave it out: {self.help}")
        if isinstance(self.accepted, list) and not any(spells(given, one) for one in self.accepted):
            expected = " or ".join(map(repr, self.accepted)) or "nothing, leave it out"
            raise argparse.ArgumentError(self, f"{given!r}: expected {expected}: {self.help}")


def spells(text: str, value: object) -> bool:
    """Whether `text` is `value`; 0, 0.0 and 0e0 are one number."""
    try:
        return text == value if isinstance(value, str) else float(text) == value
    except ValueError:
        return False


def add_published(parser: argparse.ArgumentParser, *tables: Rows) -> None:
    group = parser.add_argument_group("of the published programs, for what is done anyway")
    for names, (accepted, why) in [row for table in tables for row in table.items()]:
        for name in names.split():
            group.add_argument(f"--{name}", action=Unread, accepted=accepted, help=why)
