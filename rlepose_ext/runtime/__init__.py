"""Poses from a file of ``rlepose export`` with numpy, OpenCV and onnxruntime alone.

    from rlepose_ext.runtime import OnnxPeople, OnnxPose

    pose = OnnxPose('model.onnx')
    result = pose('street.jpg', boxes=[[10, 20, 110, 320]])
    result.keypoints, result.scores, result.sigma_px

    people = OnnxPeople('movenet-multipose.onnx')  # a model that finds everybody by itself
    result = people('street.jpg')

Importing this imports neither torch nor MMEngine nor MMPose. Pillow is used to read files if it is
there, else OpenCV reads them.
"""

from rlepose_ext.inference.onnx_people import OnnxPeople
from rlepose_ext.inference.onnx_pose import OnnxPose
from rlepose_ext.inference.types import PoseResult

__all__ = ['OnnxPeople', 'OnnxPose', 'PoseResult']
