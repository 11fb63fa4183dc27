"""Telling customers who are looking that something of theirs has changed.

What is looked at is the state, not a stream of what happened to it: each look is compared with what
the looker knows, so that nothing is lost however long somebody was away, and nothing piles up for
those who are slow. One look a second serves everybody who is connected to this process.
"""

from gatekeeper.services.live.desk import LiveDesk, Watch
from gatekeeper.services.live.known import Known, News, news_of
from gatekeeper.services.live.seen import Seen

__all__ = ["Known", "LiveDesk", "News", "Seen", "Watch", "news_of"]
