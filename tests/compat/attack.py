"""Checkpoints that would run code if a loader let them."""

import os

import torch


class Payload:
    """What an attacker pickles: loading it creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def malicious(tmp_path, **kwargs):
    """A checkpoint whose pickle makes the folder ``executed``."""
    file, executed = tmp_path / 'bad.pth', tmp_path / 'executed'
    content = {'state_dict': {'w': torch.ones(2)}, 'meta': Payload(executed)}
    torch.save(content, file, **kwargs)
    return file, executed
