"""Metainfo of three joints, right and wrong."""

import copy

METAINFO = {
    'dataset_name': 'three joints',
    'keypoint_info': {
        0: {'name': 'nose', 'id': 0, 'swap': ''},
        1: {'name': 'left', 'id': 1, 'swap': 'right'},
        2: {'name': 'right', 'id': 2, 'swap': 'left'},
    },
    'skeleton_info': {0: {'link': ('nose', 'left'), 'id': 0}},
    'joint_weights': [1.0, 1.0, 1.0],
    'sigmas': [0.1, 0.1, 0.1],
}


def changed(*keys, value):
    metainfo = copy.deepcopy(METAINFO)
    target = metainfo
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    return metainfo
