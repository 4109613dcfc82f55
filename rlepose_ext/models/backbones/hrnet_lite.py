"""HRNet that stops after its third stage, or its first, and keeps the finest map.

Sun, Xiao, Liu, Wang, *Deep High-Resolution Representation Learning for Human Pose
Estimation*, CVPR 2019, arXiv 1902.09212.

HRNet keeps a branch at 1/4 of the input's resolution from the first layer to the last and
opens a coarser branch at each stage. With w = ``width`` (W32: 32):

    stem      two 3x3 convolutions, stride 2 each         64 channels   1/4
    layer1    4 bottlenecks                              256            1/4
    stage 2   1 module,  branches of w, 2w                              1/4, 1/8
    stage 3   4 modules, branches of w, 2w, 4w                          1/4, 1/8, 1/16
    stage 4   3 modules, branches of w, 2w, 4w, 8w                      1/4 ... 1/32

A module runs four residual blocks on each branch and then *fuses*: each branch becomes the
sum of all branches, brought to its resolution and width (by 3x3 convolutions of stride 2
downwards, by a 1x1 convolution and nearest neighbours upwards). A pose head reads only the
finest branch after stage 4.

HRNetLite drops stage 4 and the transition to it. Then only the finest branch of the last
module of stage 3 is read, so the fuse layers towards its two coarser branches go too. Of
W32's 28,535,552 parameters 7,685,632 remain:

    28,535,552 - 20,407,232 (stage 4) - 295,424 (transition 3) - 147,264 (fuse layers)

With ``num_stages=1`` it is the stem and layer1 alone, 256 channels at 1/4: 325,056 parameters.

The layers are MMPose's own, with its names, so weights of a whole HRNet load here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.logging import print_log
from mmpose.models.backbones import HRNet
from torch import Tensor, nn

from rlepose_ext.errors import UserError
from rlepose_ext.registry import MODELS

STEM_CHANNELS = 64
LAYER1_CHANNELS = 256  # 64 times the expansion of a bottleneck
ACTIVATIONS = {'ReLU': nn.ReLU, 'HardSwish': nn.Hardswish}
TAPS = ('stem', 'stage3_input0', 'stage3_input1', 'stage3_input2')
# The input is halved four times and the coarse maps are enlarged to the fine ones again.
COARSEST_STRIDE = 16

# Parts of a whole HRNet that do not exist here: the rest of the backbone, and what a
# network that was trained on ImageNet has behind it to classify.
DROPPED_PARTS = ('transition3', 'stage4')
AFTER_LAYER1 = ('transition1', 'stage2', 'transition2', 'stage3')
CLASSIFIER_PARTS = ('incre_modules', 'downsamp_modules', 'final_layer', 'classifier', 'head')


@MODELS.register_module()
class HRNetLite(HRNet):
    """HRNet up to stage 3 or 1, output at 1/4 of the input's resolution.

    Any state dict of an HRNet of the same width loads, strictly too: entries of parts that
    are not built here are left out, and one line of the log says which. What the file lacks
    or has in another shape is reported by MMEngine as for every model.

    Args:
        in_channels: channels of the image.
        width: channels w of the finest branch; the others have 2w and 4w.
        num_stages: 3, or 1 to end after layer1, where ``width`` means nothing.
        act_cfg: ``dict(type='ReLU')`` (default) or ``dict(type='HardSwish')``, which stands
            in for every ReLU. The state dict is the same.
        taps: names out of :data:`TAPS` of maps that ``forward`` also returns. ``'stem'`` is
            the map before ``layer1``, ``'stage3_inputI'`` what enters stage 3 on branch I; with
            one stage there is only ``'stem'``.
        norm_cfg: normalisation layers, default ``dict(type='BN')``.
        norm_eval: keep the running statistics of batch normalisation as they are.
        with_cp: recompute blocks in the backward pass to save memory.
        zero_init_residual: let residual blocks start as the identity.
        frozen_stages: 0 freezes the stem, n also layer1 to stage n; -1 (default) nothing.
        init_cfg: default: convolutions drawn with std 0.001, as in MMPose's HRNet.

    Raises:
        UserError: unknown tap or activation, a width that is not a positive integer,
            ``num_stages`` other than 1 or 3, or ``frozen_stages`` outside of -1 to ``num_stages``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: int = 32,
        act_cfg: dict | None = None,
        taps: Sequence[str] = (),
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        with_cp: bool = False,
        zero_init_residual: bool = False,
        frozen_stages: int = -1,
        init_cfg: dict | list[dict] | None = None,
        num_stages: int = 3,
    ) -> None:
        _require_positive(width=width, in_channels=in_channels)
        activation = _activation(act_cfg)
        if num_stages not in (1, 3):
            raise UserError(f'HRNetLite: num_stages must be 1 or 3, got {num_stages!r}')
        self.taps = _checked_taps(taps, TAPS if num_stages == 3 else TAPS[:1])
        if frozen_stages not in range(-1, num_stages + 1):
            raise UserError(
                f'HRNetLite: frozen_stages must be -1 to {num_stages}, got {frozen_stages!r}'
            )
        # HRNet's own __init__ would build stage 4; everything it sets is set here.
        super(HRNet, self).__init__(init_cfg=init_cfg or _default_init())
        self.width = width
        self.num_stages = num_stages
        self.conv_cfg = None
        self.norm_cfg = dict(norm_cfg or {'type': 'BN'})
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.zero_init_residual = zero_init_residual
        self.frozen_stages = frozen_stages
        self.upsample_cfg = {'mode': 'nearest', 'align_corners': None}

        self._build_stem(in_channels)
        self.layer1 = self._make_layer(
            self.blocks_dict['BOTTLENECK'], STEM_CHANNELS, LAYER1_CHANNELS, blocks=4
        )
        if num_stages == 3:
            widths = [width, 2 * width, 4 * width]
            self.transition1 = self._make_transition_layer([LAYER1_CHANNELS], widths[:2])
            self.stage2, _ = self._make_stage(_stage(1, widths[:2]), widths[:2])
            self.transition2 = self._make_transition_layer(widths[:2], widths)
            self.stage3, _ = self._make_stage(
                _stage(4, widths), list(widths), multiscale_output=False
            )
        if activation is not nn.ReLU:
            _replace_relu(self, activation)
        self.register_load_state_dict_pre_hook(_leave_out_surplus)
        self._freeze_stages()

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Channels of the maps that ``forward`` returns, in their order."""
        w = self.width
        channels = dict(zip(TAPS, (STEM_CHANNELS, w, 2 * w, 4 * w), strict=True))
        final = w if self.num_stages == 3 else LAYER1_CHANNELS
        return (*(channels[tap] for tap in self.taps), final)

    @property
    def out_strides(self) -> tuple[int, ...]:
        """Input px per map px of the maps that ``forward`` returns, in their order."""
        strides = dict(zip(TAPS, (4, 4, 8, 16), strict=True))
        return (*(strides[tap] for tap in self.taps), 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run the network.

        Args:
            x: images, shape (N, in_channels, H, W); H and W are multiples of 16.

        Returns:
            The tapped maps in the order of ``taps``, and then the final one, shape
            (N, width, H/4, W/4); after one stage (N, 256, H/4, W/4).

        Raises:
            UserError: H or W is not a multiple of 16.
        """
        _require_divisible(x.shape[-2], x.shape[-1])
        tapped = {}
        x = self.relu(self.norm1(self.conv1(x)))
        x = tapped['stem'] = self.relu(self.norm2(self.conv2(x)))
        x = self.layer1(x)
        if self.num_stages == 1:
            return (*(tapped[tap] for tap in self.taps), x)
        # A transition is None where the width stays the same.
        maps = self.stage2([x if layers is None else layers(x) for layers in self.transition1])
        # Branches 0 and 1 go on as they are, branch 2 grows out of branch 1.
        maps = [maps[0], maps[1], self.transition2[2](maps[1])]
        maps = self.refine_stage3_inputs(maps)
        tapped |= {f'stage3_input{branch}': m for branch, m in enumerate(maps)}
        # A copy, because HRNet's modules overwrite the entries of the list they are given.
        (final,) = self.stage3(list(maps))
        return (*(tapped[tap] for tap in self.taps), final)

    def refine_stage3_inputs(self, maps: list[Tensor]) -> list[Tensor]:
        """Change what enters stage 3; the identity here, a place for subclasses.

        Called once per forward pass, before the taps read the maps.

        Args:
            maps: shapes (N, w, H/4, W/4), (N, 2w, H/8, W/8), (N, 4w, H/16, W/16).

        Returns:
            Maps of the same shapes.
        """
        return maps

    def train(self, mode: bool = True) -> HRNetLite:
        """Frozen stages, and with ``norm_eval`` all normalisation, stay in eval mode.

        Returns:
            Itself, as every module of torch does; HRNet's method returns nothing.
        """
        super().train(mode)
        return self

    def _build_stem(self, in_channels: int) -> None:
        for index, channels in ((1, in_channels), (2, STEM_CHANNELS)):
            name, norm = build_norm_layer(self.norm_cfg, STEM_CHANNELS, postfix=index)
            conv = build_conv_layer(
                self.conv_cfg, channels, STEM_CHANNELS, 3, stride=2, padding=1, bias=False
            )
            self.add_module(f'conv{index}', conv)
            self.add_module(name, norm)
            setattr(self, f'norm{index}_name', name)
        self.relu = nn.ReLU(inplace=True)

    def _freeze_stages(self) -> None:
        """As in HRNet, for the parts that exist here; called again by every ``train()``."""
        frozen = []
        if self.frozen_stages >= 0:
            frozen += [self.conv1, self.norm1, self.conv2, self.norm2]
        parts = (('layer1', 'transition1'), ('stage2', 'transition2'), ('stage3',))
        for names in parts[: max(self.frozen_stages, 0)]:
            frozen += [getattr(self, name) for name in names if hasattr(self, name)]
        for module in frozen:
            module.eval()
            module.requires_grad_(False)


def is_surplus(name: str, num_stages: int = 3) -> str | None:
    """The part of a whole HRNet that a parameter is of, if HRNetLite does not have it.

    Args:
        name: relative to the backbone, such as ``'stage4.0.branches.0.0.conv1.weight'``.
        num_stages: of the HRNetLite.

    Returns:
        ``'stage4'``, ``'classifier'``, ..., ``'stage3.3.fuse_layers'``; ``None`` for a
        parameter that is not known to be surplus.
    """
    part = name.split('.', 1)[0]
    if part in DROPPED_PARTS or part in CLASSIFIER_PARTS:
        return part
    if num_stages == 1:
        return part if part in AFTER_LAYER1 else None
    fuse = 'stage3.3.fuse_layers'
    return fuse if name.startswith((f'{fuse}.1.', f'{fuse}.2.')) else None


def _leave_out_surplus(module: nn.Module, state_dict: dict, prefix: str, *_) -> None:
    """Hook of loading: drop the entries of parts that are not built, and say so once."""
    counts: Counter[str] = Counter()
    for name in [name for name in state_dict if name.startswith(prefix)]:
        part = is_surplus(name.removeprefix(prefix), module.num_stages)
        # A subclass may well have a part of such a name.
        if part is not None and part not in module._modules:
            del state_dict[name]
            counts[part] += 1
    if not counts:
        return
    parts = ', '.join(f'{part} ({n})' for part, n in sorted(counts.items()))
    text = (
        f'{type(module).__name__} ends after stage {module.num_stages} and ignores '
        f'{counts.total()} entries of the checkpoint: {parts}.'
    )
    level = logging.INFO
    if prefix:  # a whole model: there is a head, and it was trained on stage 4
        level = logging.WARNING
        text += ' It is of a whole HRNet: a start for training, not a model to test.'
    print_log(text, logger='current', level=level)


def _stage(num_modules: int, widths: Sequence[int]) -> dict:
    """A stage as HRNet's ``_make_stage`` takes it: four basic blocks on each branch."""
    return {
        'num_modules': num_modules,
        'num_branches': len(widths),
        'block': 'BASIC',
        'num_blocks': (4,) * len(widths),
        'num_channels': tuple(widths),
    }


def _default_init() -> list[dict]:
    return [
        {'type': 'Normal', 'std': 0.001, 'layer': ['Conv2d']},
        {'type': 'Constant', 'val': 1, 'layer': ['_BatchNorm', 'GroupNorm']},
    ]


def _replace_relu(module: nn.Module, activation: type[nn.Module]) -> None:
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU):
                setattr(parent, name, activation(inplace=child.inplace))


def _activation(act_cfg: dict | None) -> type[nn.Module]:
    act_cfg = {'type': 'ReLU'} if act_cfg is None else act_cfg
    if not isinstance(act_cfg, dict) or set(act_cfg) != {'type'}:
        raise UserError(f"HRNetLite: act_cfg must be dict(type='NAME'), got {act_cfg!r}")
    if act_cfg['type'] not in ACTIVATIONS:
        raise UserError(
            f'HRNetLite: act_cfg has type {act_cfg["type"]!r}, expected one of '
            f'{", ".join(ACTIVATIONS)}'
        )
    return ACTIVATIONS[act_cfg['type']]


def _checked_taps(taps: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    fit = not isinstance(taps, str) and all(tap in known for tap in taps)
    if not fit or len(set(taps)) != len(taps):
        raise UserError(
            f'HRNetLite: taps must be a list of different names out of {", ".join(known)}; '
            f'got {taps!r}'
        )
    return tuple(taps)


def _require_positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f'HRNetLite: {name} must be a positive integer, got {value!r}')


def _require_divisible(height: int, width: int) -> None:
    if height % COARSEST_STRIDE or width % COARSEST_STRIDE:
        raise UserError(
            f'HRNetLite: height and width of the input must be multiples of {COARSEST_STRIDE}, '
            f'got {height} x {width}; choose another codec.input_size'
        )
