"""The reader's files in miniature, under the names that the documents use.

Configs lie at their own paths, reduced as in ``benchmarks/_miniature.py``, with drawn data;
checkpoints have random weights; pictures are noise or drawn people.
"""

import csv
import importlib
import itertools
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from _miniature import reduced, shorten
from _miniature_data import draw, input_poses
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from scipy.io import savemat

from rlepose_ext.datasets.synthetic import write_dataset
from rlepose_ext.models.input_size import dicts
from rlepose_ext.zoo import find

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'
LIP = 'configs/lip/heatmap-sigmoid_res18_1xb32-20e_lip-256x256.py'
RES50 = 'configs/rle/rle_res50_8xb64-210e_coco-256x192.py'
LSP = 'configs/rle/rle_mobilenetv2-050_1xb64-20e_lsp-192x192.py'
CROWD = 'configs/crowdpose/heatmap_hrnet-w32-udp_8xb64-210e_crowdpose-256x192.py'
# Narrower still: thirty epochs are trained with it.
NARROW = {
    LIP: {
        'model.backbone.base_channels': 16,
        'model.backbone.stem_channels': 16,
        'model.head.in_channels': 128,
        'model.head.deconv_out_channels': (16, 16, 16),
    }
}
# Whose weights a checkpoint has, where its command names no config.
OWNERS = {'lip': LIP, 'convert': RES50}
# Who reads a data set that a command checks by its name.
READERS = {'lsp': LSP, 'coco': RES50}
SIZE = (120, 160)  # width, height of noise, px


def noise(number: int = 0) -> np.ndarray:
    """A smooth picture, another one for each number."""
    rough = np.random.default_rng(number).integers(0, 255, (8, 6, 3), dtype=np.uint8)
    return cv2.resize(rough, SIZE, interpolation=cv2.INTER_CUBIC)


def _drawing(name: str):
    """A module that draws, of the tests of annotations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / 'tests/annotations')
        return importlib.import_module(name)


def _photo(path: Path) -> None:
    cv2.imwrite(str(path), noise(len(path.name)))


def _clip(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, SIZE)
    for number in range(3):
        writer.write(noise(number))
    writer.release()


def _photos(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ('first.jpg', 'second.jpg'):
        _photo(folder / name)


def _boxes(path: Path) -> None:
    """For every picture below the folder: one box, x1, y1, x2, y2, score."""
    names = {each.name for each in path.parent.rglob('*.jpg')}
    path.write_text(json.dumps({name: [[10, 10, 90, 150, 0.9]] for name in sorted(names)}))


def _detections(path: Path) -> None:
    """As ``rlepose detect`` writes them: those that were drawn for COCO."""
    path.parent.mkdir(exist_ok=True)
    (drawn,) = path.parents[1].glob('data/coco/person_detection_results/*val2017*.json')
    shutil.copy(drawn, path)


def _lip_csv(path: Path) -> None:
    split = path.stem.split('_')[1]
    drawn = _drawing('lip_drawn').draw_lip(path.parent / f'drawn_{split}')
    shutil.copy(drawn / f'lip_{split}.csv', path)
    target = path.parent / f'data/lip/{split}_images'
    if not target.exists():
        shutil.copytree(drawn / f'{split}_images', target)


def _aic(path: Path) -> None:
    people = {'human_annotations': {'human1': [0, 0, 100, 100]}}
    people |= {'keypoint_annotations': {'human1': [50, 50, 1] * 14}}
    path.write_text(json.dumps([{'image_id': 'first', **people}]))


def _wflw(path: Path) -> None:
    _photo(_below(path, 'data/wflw/images/a.jpg'))
    landmarks = np.column_stack([np.linspace(20, 80, 98), np.linspace(40, 140, 98)])
    numbers = ' '.join(f'{number:.2f}' for number in landmarks.ravel())
    path.write_text(f'{numbers} 20 40 80 140 1 0 0 0 0 0 a.jpg\n')


def _lsp(path: Path) -> None:
    """Four people as LSP has them, two to train and two held out, not converted yet."""
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    for number in range(1, 5):
        _photo(_below(path, f'images/im{number:04d}.jpg'))
    i, k = np.meshgrid(np.arange(4), np.arange(14), indexing='ij')
    people = np.stack([10.0 + i + 3 * k, 20.0 + 6 * k, k == 3], axis=-1)
    savemat(path, {'joints': np.transpose(people, (2, 1, 0))})


def _faces(path: Path) -> None:
    name = f'{path.stem}.jpg'
    _photo(_below(path, f'data/faces68/images/{name}'))
    k = np.arange(68.0)
    with open(path, 'w', newline='') as file:
        rows = csv.writer(file)
        rows.writerow(['', *range(136)])
        rows.writerow([name, *np.stack([20 + k / 2, 40 + k], axis=1).ravel()])


def _puppets(path: Path) -> None:
    _drawing('puppets').write(path.parent)
    metainfo = ROOT / 'tests/annotations/puppets_metainfo.py'
    shutil.copy(metainfo, path.parents[2] / 'puppets.py')


def _labels(path: Path) -> None:
    """Some 180 drawn people, whom calibration needs, and the folder of their pictures."""
    data = write_dataset(path.parent / 'drawn_labels', 1, 140, seed=5)
    shutil.copy(data.val_json, path)
    (path.parent / 'my_pictures').symlink_to(data.val_images)


def _quickstart(path: Path) -> None:
    """What ``rlepose quickstart`` draws."""
    folder = next(parent for parent in path.parents if parent.name == 'synthetic')
    shutil.rmtree(folder)  # empty
    write_dataset(folder, 1, 4, seed=0)


def _people_of_lsp(path: Path) -> None:
    """Drawn people, whose joints have names."""
    data = write_dataset(path.parents[1] / 'drawn_lsp', 1, 4, seed=1)
    path.parent.mkdir(exist_ok=True)
    shutil.copy(data.val_json, path)
    shutil.copytree(data.val_images, path.parent / 'images', dirs_exist_ok=True)


def _crowd(path: Path) -> None:
    """Annotations of CrowdPose, and results that lie a few px beside them."""
    draw(load(CROWD), path.parent / 'data')
    (drawn,) = path.parent.glob('data/crowdpose/annotations/*test.json')
    shutil.copy(drawn, path)
    poses = input_poses(json.loads(drawn.read_text()))
    (path.parent / 'RESULTS.json').write_text(json.dumps(poses))


def _resnet(path: Path) -> None:
    from torchvision.models import resnet50

    torch.save(resnet50(weights=None).state_dict(), path)


def _hrnet(path: Path) -> None:
    from mmpose.registry import MODELS

    init_default_scope('mmpose')
    backbone = load('configs/hrnet/heatmap_hrnet-w32_8xb64-210e_coco-256x192.py').model.backbone
    backbone.pop('init_cfg')
    torch.save(MODELS.build(backbone).state_dict(), path)


def _run_log(folder: Path) -> None:
    """What MMEngine logs of a run of three epochs."""
    log = folder / '20260101_000000/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    rows = []
    for epoch in (1, 2, 3):
        step = {'epoch': epoch, 'iter': epoch, 'step': epoch}
        rows.append({'lr': 1e-3, 'loss': 1 / epoch, 'images/s': 80.0, **step})
        rows.append({'coco/AP': 0.1 * epoch, 'step': epoch})
    log.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def _predicted(folder: Path) -> None:
    """What a demo of one picture leaves there."""
    from rlepose_ext.cli.main import main

    here = folder.parent
    config, checkpoint = here / QUICKSTART, here / 'epoch_6.pth'
    miniature(QUICKSTART, here)
    random_weights(QUICKSTART, here, checkpoint)
    _photos(here / 'FOLDER')
    command = ['demo', str(here / 'FOLDER'), '--det', 'full', '--pose', str(config)]
    command += [str(checkpoint), '--output-root', str(folder), '--save-predictions']
    assert main(command) == 0


# What a document names, and what puts it into the reader's folder.
FILES = {
    **dict.fromkeys(('photo.jpg', 'street.jpg', 'a.jpg', 'b.jpg'), _photo),
    **dict.fromkeys(('street.mp4', 'match.mp4'), _clip),
    **dict.fromkeys(('photos', 'keypoint_train_images_20170902'), _photos),
    'boxes.json': _boxes,
    'work_dirs/boxes.json': _detections,
    'lip_train_set.csv': _lip_csv,
    'lip_val_set.csv': _lip_csv,
    'keypoint_train_annotations_20170909.json': _aic,
    'list_98pt_rect_attr_train.txt': _wflw,
    'list_98pt_rect_attr_test.txt': _wflw,
    'data/lsp/joints.mat': _lsp,
    'data/lsp/lsp_val.json': _people_of_lsp,
    'work_dirs/quickstart/data/synthetic/annotations/val.json': _quickstart,
    'work_dirs/quickstart/data/synthetic/images/val': _quickstart,
    'training_frames_keypoints.csv': _faces,
    'test_frames_keypoints.csv': _faces,
    'data/puppets/train.json': _puppets,
    'my_labels.json': _labels,
    'mmpose_crowdpose_test.json': _crowd,
    'resnet50-0676ba61.pth': _resnet,
    'hrnet_w32-36af842e.pth': _hrnet,
    'OUT': _predicted,
    'work_dirs/seed0': _run_log,
    'work_dirs/seed1': _run_log,
}


def _below(path: Path, name: str) -> Path:
    """A path in the folder of ``path``, which is made if needed."""
    target = path.parent / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def load(config: str) -> Config:
    DefaultScope._instance_dict.clear()
    init_default_scope('mmpose')
    return Config.fromfile(ROOT / config)


def starting_files(config: Config) -> list[tuple[dict, dict]]:
    """Parts of a model that start from a file of the reader's, with their ``init_cfg``."""
    found = []
    for part in dicts(config.model):
        init = part.get('init_cfg')
        if isinstance(init, dict) and str(init.get('checkpoint')).startswith('weights/'):
            found.append((part, dict(init)))
    return found


def miniature(config: str, folder: Path) -> None:
    """Write a reduced copy of a config, and draw its data."""
    loaded = load(config)
    draw(loaded, folder / 'data')
    checkpoints = loaded.default_hooks.checkpoint.to_dict()
    loaded, _ = reduced(loaded)
    starts = starting_files(loaded)
    shorten(loaded, folder, Path(config).stem)
    for part, init in starts:
        part['init_cfg'] = init
    loaded.merge_from_dict(NARROW.get(config, {}))
    content = loaded.to_dict()
    for name in ('work_dir', 'experiment_name', 'launcher'):
        del content[name]
    content['default_hooks']['checkpoint'] = {**checkpoints, 'interval': 1}
    content['visualizer']['vis_backends'] = [{'type': 'LocalVisBackend'}]
    path = folder / config
    path.parent.mkdir(parents=True, exist_ok=True)
    # laid out as MMEngine does it would take seconds
    path.write_text(''.join(f'{key} = {value!r}\n' for key, value in content.items()))


def random_weights(config: str, folder: Path, path: Path) -> None:
    """Write a checkpoint of a config's model, reduced if the folder has it so."""
    from mmpose.apis import init_model

    DefaultScope._instance_dict.clear()
    source = folder / config if (folder / config).is_file() else ROOT / config
    loaded = Config.fromfile(source)
    for part, _ in starting_files(loaded):
        del part['init_cfg']
    model = init_model(loaded, device='cpu')
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # as if it were trained: sigmas that differ from person to person
            if 'flow_model' in name:
                parameter.normal_(std=0.15)
            if name == 'head.fc.weight':
                parameter.normal_(std=0.01)
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = {'dataset_meta': dict(model.dataset_meta), 'epoch': 1}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)


def configs_in(words: list[str]) -> list[str]:
    """Configs of the project that a command names by their path."""
    return [word for word in words if word.startswith('configs/') and word.endswith('.py')]


def checkpoints_in(words: list[str]) -> list[tuple[str, str]]:
    """The checkpoints that a command reads, each behind the config or the name of its model.

    Of ``rlepose convert`` only the project's own model: the files of others are in ``FILES``.
    """
    found, owner = [], OWNERS.get(words[1], '')
    for before, word in itertools.pairwise(words):
        if word.startswith('configs/') or before == '--pose':
            owner = word
        behind = before == owner and word.endswith('.pth')
        if word.startswith('load_from='):
            found.append((owner, word.partition('=')[2]))
        elif behind or word == 'CHECKPOINT' or before in ('-C', '--checkpoint', '--weights-path'):
            found.append((owner, word))
    return found


def provide(words: list[str], folder: Path) -> None:
    """Put what a command reads into the reader's folder, unless it is there already.

    Not the files that a config starts from: those the page itself must have made.
    """
    if words[1] == 'calibrate':  # a hundred labels of each joint are the least
        write_dataset(folder / 'data/synthetic', 1, 140, seed=5)
    if words[1:3] == ['data', 'check'] and words[3] in READERS:
        draw(load(READERS[words[3]]), folder / 'data')
    for config in [*configs_in(words), *([LIP] if words[1] == 'lip' else [])]:
        if not (folder / config).exists():
            miniature(config, folder)
    for word in (part.rstrip('/') for each in words for part in each.split(',')):
        if word in FILES and not (folder / word).exists():
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            FILES[word](folder / word)
    for owner, checkpoint in checkpoints_in(words):
        if not checkpoint.startswith('$(') and not (folder / checkpoint).exists():
            config = owner if owner.endswith('.py') else find(owner).config
            random_weights(config, folder, folder / checkpoint)
