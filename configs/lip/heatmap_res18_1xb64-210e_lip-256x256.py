# The same network, 23,770,704 parameters, with today's recipe: proportions kept, sigma 2, weights
# for absent joints, flip, half body, rotation, scale, a schedule and flip test. No quoted figure.
_base_ = ['_base_/heatmap_lip-256x256.py']
