"""How many parameters a model has at inference."""

from torch import nn

# Modules that only the loss uses: the flow of RLE and AdaptivePose's joint heatmaps are gone once
# training ends.
TRAINING_ONLY = frozenset({'loss_module', 'flow', 'flow_model', 'joint_maps'})


def count_parameters(model: nn.Module) -> int:
    """Number of parameter values, without modules that only training uses.

    A module is left out if it, or one it lies in, is named as one of :data:`TRAINING_ONLY`.
    Shared parameters count once, buffers not at all. These are the totals that papers and model
    zoos quote.
    """
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if TRAINING_ONLY.isdisjoint(name.split('.'))
    )
