"""Notices: what a customer is told of, by mail or by whatever the host sends with.

`port` says what a notifier is, `desk` makes notices of signals, `letters` has their words, and
`smtp` sends them as mail.
"""

from gatekeeper.services.notices.desk import (
    FOR_CUSTOMERS,
    RECEIVER,
    AddressOf,
    NoticeDesk,
    topics_for,
)
from gatekeeper.services.notices.letters import Letter, Letters
from gatekeeper.services.notices.port import Notice, NoticeKind, Notifier
from gatekeeper.services.notices.smtp import SmtpNotifier

__all__ = [
    "FOR_CUSTOMERS",
    "RECEIVER",
    "AddressOf",
    "Letter",
    "Letters",
    "Notice",
    "NoticeDesk",
    "NoticeKind",
    "Notifier",
    "SmtpNotifier",
    "topics_for",
]
