"""A config's text, which is formatted once for as long as it stays the same."""

from mmengine.config import Config


def test_it_follows_every_change():
    config = Config({'model': {'depth': 18}})
    first = config.pretty_text
    assert first.strip() == 'model = dict(depth=18)'
    config.model.depth = 50
    assert config.pretty_text.strip() == 'model = dict(depth=50)'
    config.model.depth = 18
    assert config.pretty_text == first
