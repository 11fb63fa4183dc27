"""What every example app stands on: serving it with the simulator, people, the clock, its story."""

from examples.stage.app import App, Stage
from examples.stage.command import main
from examples.stage.hearing import Heard, hearing
from examples.stage.people import Customer, People
from examples.stage.running import Running, running
from examples.stage.story import DECLINED_CARD, GOOD_CARD, Story, StoryError

__all__ = [
    "DECLINED_CARD",
    "GOOD_CARD",
    "App",
    "Customer",
    "Heard",
    "People",
    "Running",
    "Stage",
    "Story",
    "StoryError",
    "hearing",
    "main",
    "running",
]
