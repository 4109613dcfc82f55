# HRNet-w32 on COCO test-dev2017: a test writes the file that COCO's server takes. Training and
# validation are those of the base, on train2017 and val2017.
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py'
custom_imports = dict(imports=['rlepose_ext'])

data_root = 'data/coco/'
test_dataloader = dict(
    dataset=dict(
        ann_file='annotations/image_info_test-dev2017.json',
        bbox_file=f'{data_root}person_detection_results/'
        'COCO_test-dev2017_detections_AP_H_609_person.json',
        data_prefix=dict(img='test2017/'),
    )
)
test_evaluator = dict(
    _delete_=True,
    type='rlepose_ext.CocoSubmission',
    ann_file=f'{data_root}annotations/image_info_test-dev2017.json',
    # ends in the name of the submission
    outfile_prefix='work_dirs/coco_testdev/person_keypoints_test-dev2017_hrnet-w32',
)
