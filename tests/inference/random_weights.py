"""A checkpoint with random weights: ``PoseEstimator`` runs on nothing less."""

import torch
from mmpose.apis import init_model


def random_checkpoint(config, path):
    """Write what a config's model starts from, without what its backbone would be loaded with.

    Args:
        config: path of a config.
        path: the file to write.

    Returns:
        Its path as text.
    """
    torch.manual_seed(0)
    model = init_model(str(config), device='cpu')
    meta = {'dataset_meta': model.dataset_meta}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
    return str(path)
