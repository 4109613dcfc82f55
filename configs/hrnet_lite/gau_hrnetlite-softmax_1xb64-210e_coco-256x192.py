# "Superlite": a gated attention unit over the 17 tokens of 3072 numbers. It is not light: the
# unit alone has 57,016,576 parameters. Quoted: AP 74.0 (the founding notebook). The
# notebook probably measured on ground-truth boxes; this config evaluates on detected ones.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

model = dict(head=dict(blocks=[dict(type='GAU', expansion=2, attention='softmax')]))
