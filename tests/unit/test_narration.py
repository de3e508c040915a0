"""Every event can be told."""

from perennial import events
from perennial.narration import _SENTENCES


def test_every_event_has_its_sentence():
    assert set(_SENTENCES) == set(events.catalogue().values())
