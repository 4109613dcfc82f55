"""Loggers are silent for as long as they should be, and no longer."""

import logging

import pytest
from mmengine.logging import MMLogger, print_log

from rlepose_ext.quiet import without_logs


@pytest.mark.parametrize('before', [[], ['before']])
def test_mmengines_loggers_speak_again(caplog, before):
    logger = MMLogger('own', log_level='INFO')
    MMLogger._instance_dict['own'] = logger
    logger.addHandler(caplog.handler)
    try:
        for text in before:
            print_log(text, 'own')
        with without_logs(logging.INFO):
            print_log('meanwhile', 'own')
            print_log('a warning', 'own', logging.WARNING)
        print_log('after', 'own')
    finally:
        del MMLogger._instance_dict['own']
    assert [record.getMessage() for record in caplog.records] == [*before, 'a warning', 'after']
