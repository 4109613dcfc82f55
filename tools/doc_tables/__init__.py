"""Every generated table of the documents, by its name: ``make docs``.

A document shows one between ``<!-- [[[cog show('NAME') ]]] -->`` and ``<!-- [[[end]]] -->``, where
cog writes it. Its text comes from a file that a program has written or reads:
``benchmarks/results/*.json``, ``rlepose_ext.compat.PATCHES``, ``configs/*/metafile.yml``.
"""

from collections.abc import Callable

from doc_tables.calibration import calibration, calibration_rows, losses, simcc_scores
from doc_tables.common import lowest, measured
from doc_tables.compat import features, mmcv_ops, patches
from doc_tables.configs import BY_HAND, FAMILIES, family_configs
from doc_tables.history import records
from doc_tables.inference import (
    deploy,
    drawn_chain,
    first_picture,
    inference,
    inference_memory,
    inference_stages,
    int8,
    int8_lsp,
    photographs,
    smoothing,
    street_video,
)
from doc_tables.matrix import export_matrix, matrix
from doc_tables.reliability import checkpoint_saving, reliability
from doc_tables.rooms import rooms
from doc_tables.speed import (
    cpu_training,
    cpu_training_accuracy,
    data_path,
    machine,
    quickstart,
    rle_loss,
    skps_codec,
    synthetic,
    training_steps,
)
from doc_tables.systems import (
    faces68,
    family_budget,
    hrnet_lite_variants,
    lsp_finetune,
    overfit,
    posefix,
)
from doc_tables.zoo import weights_files, zoo

TABLES: dict[str, Callable[[], str]] = {
    'rle_loss': measured(
        'rle_loss', 'python benchmarks/rle_loss.py', rle_loss, lowest('times_faster')
    ),
    'cpu_training': measured(
        'cpu_training',
        'python benchmarks/cpu_training.py',
        cpu_training,
        lambda content: next(
            row['ratio_to_stock'] for row in content['rows'] if row['name'] == 'ours'
        ),
    ),
    'cpu_training_accuracy': measured(
        'cpu_training_accuracy',
        'python benchmarks/cpu_training.py --accuracy',
        cpu_training_accuracy,
    ),
    'data_path': measured(
        'data_path',
        'python benchmarks/data_path.py',
        data_path,
        lambda content: min(
            row['times_stock']['median'] for row in content['rows'] if row['side'] == 'ours'
        ),
    ),
    'machine': measured(
        'machine',
        'make bench',
        machine,
        lambda content: min(
            (
                row['ratio']['median']
                for row in content['rows']
                if row['ratio'] and row['part'] != 'scaling'
            ),
            default=0,
        ),
    ),
    'compiled': measured('compiled', 'python benchmarks/compiled.py', training_steps),
    'gpu': measured('gpu', 'python benchmarks/gpu.py', training_steps),
    'quickstart': measured(
        'quickstart',
        'make demo',
        quickstart,
        lambda content: content['rows'][0]['metrics']['coco/AP'],
    ),
    'synthetic': measured(
        'synthetic',
        'python benchmarks/synthetic.py',
        synthetic,
        lowest('images_per_second'),
    ),
    **{f'{family}_configs': family_configs(family) for family in FAMILIES if family not in BY_HAND},
    'inference': measured(
        'inference', 'python benchmarks/inference.py', inference, lowest('times_stock')
    ),
    'street_video': measured('street_video', 'python benchmarks/street_video.py', street_video),
    'inference_stages': measured(
        'inference_stages',
        'python benchmarks/inference_stages.py',
        inference_stages,
        lowest('frames_per_second'),
    ),
    'inference_memory': measured(
        'inference_memory', 'python benchmarks/inference_memory.py', inference_memory
    ),
    'first_picture': measured('first_picture', 'python benchmarks/first_picture.py', first_picture),
    'photographs': measured('photographs', 'python benchmarks/photographs.py', photographs),
    'deploy': measured(
        'deploy', 'python benchmarks/deploy.py --files FOLDER', deploy, lowest('times_ours')
    ),
    'int8': measured('int8', 'python benchmarks/int8.py', int8),
    'int8_lsp': measured('int8_lsp', 'python benchmarks/int8_lsp.py', int8_lsp),
    'smoothing': measured('smoothing', 'python benchmarks/smoothing.py', smoothing),
    'drawn_chain': measured('drawn_chain', 'python benchmarks/drawn_chain.py', drawn_chain),
    **{
        name: measured('calibration', 'python benchmarks/calibration.py', make)
        for name, make in {
            'calibration_rows': calibration_rows,
            'calibration': calibration,
        }.items()
    },
    'simcc_scores': measured(
        'simcc_scores', 'python benchmarks/simcc_scores.py CHECKPOINT', simcc_scores
    ),
    'losses': measured('losses', 'python benchmarks/calibration.py', losses),
    'skps_codec': measured(
        'skps_codec', 'python benchmarks/skps_codec.py', skps_codec, lowest('times_faster')
    ),
    'lsp_finetune': measured('lsp_finetune', 'python benchmarks/lsp_finetune.py', lsp_finetune),
    'faces68': measured('faces68', 'python benchmarks/faces68.py', faces68),
    'hrnet_lite_variants': measured(
        'hrnet_lite_cost', 'python benchmarks/hrnet_lite_cost.py', hrnet_lite_variants
    ),
    'family_budget': measured('family_budget', 'python benchmarks/family_budget.py', family_budget),
    'bfloat16': measured('bfloat16', 'python benchmarks/bfloat16.py', family_budget),
    'export_matrix': measured('export_matrix', 'python benchmarks/export_matrix.py', export_matrix),
    'overfit': measured('overfit', 'python benchmarks/overfit.py', overfit),
    'posefix': measured('posefix', 'python benchmarks/posefix.py', posefix),
    'matrix': measured('matrix', 'python benchmarks/matrix.py --real', matrix),
    'reliability': measured(
        'reliability', 'OMP_NUM_THREADS=1 python benchmarks/reliability.py', reliability
    ),
    'records': records,
    'rooms': rooms,
    'checkpoint_saving': measured(
        'checkpoint_saving', 'python benchmarks/checkpoint_saving.py', checkpoint_saving
    ),
    'zoo': zoo,
    'weights_files': weights_files,
    'patches': patches,
    'features': features,
    'mmcv_ops': mmcv_ops,
}


def show(name: str) -> None:
    """Print a table, for cog."""
    print(f'\n{TABLES[name]().strip()}\n')
