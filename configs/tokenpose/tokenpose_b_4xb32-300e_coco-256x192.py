# TokenPose-B: HRNet-W32 up to stage 3. Aim: AP 74.7, quoted.
_base_ = ['_base_/tokenpose_coco-256x192.py']
