# ResNet-18 simple baseline on LIP as it was first trained: images stretched, sigma 1, sigmoid, MSE
# without weights, Adam 1e-4, 20 epochs of batches of 32. 23,770,704 parameters. Its author gives a
# mean MSE of 2.9e-4 after about 20 epochs and no PCKh; README.md says what that MSE is worth.
_base_ = ['_base_/heatmap-sigmoid_lip-256x256.py']
