# AdaptivePose on HRNet-W48 at 640 px, trained and tested on CrowdPose.
# Aim: AP 71.0 with flip test, 70.4 without (the authors' repository).
_base_ = ['_base_/adaptivepose_crowdpose-640x640.py']
