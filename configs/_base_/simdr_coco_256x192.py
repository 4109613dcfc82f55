# SimDR, SimCC's first form: as SimDR*, but a target is one bin and a little for all others
# (label smoothing) instead of a Gaussian. KLDiscretLoss has the gradient of the cross-entropy then,
# times a constant that Adam does not see; hence no weight decay, as in the paper's code.
_base_ = ['./simdr-star_coco_256x192.py']

optim_wrapper = dict(optimizer=dict(weight_decay=0.0))

codec = dict(_base_.codec, smoothing_type='standard', label_smooth_weight=0.1)

model = dict(head=dict(decoder=codec))

# The base's steps for this codec.
steps = dict(GenerateTarget=dict(type='GenerateTarget', encoder=codec))
train_pipeline = [steps.get(step['type'], step) for step in _base_.train_pipeline]
del steps  # else it becomes a key of the config

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
