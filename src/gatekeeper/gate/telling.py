"""What the gate tells the outside, by its outbox."""

from collections.abc import Callable, Collection
from typing import TypeVar

from gatekeeper.errors import ConfigurationError
from gatekeeper.gate.wired import Wired
from gatekeeper.services import analytics as counting
from gatekeeper.services import notices
from gatekeeper.services.analytics import Analytics, AnalyticsDesk, PostHogAnalytics
from gatekeeper.services.notices import (
    AddressOf,
    Letters,
    NoticeDesk,
    NoticeKind,
    Notifier,
    SmtpNotifier,
)
from gatekeeper.services.outbox import Receiver
from gatekeeper.settings import Settings

R = TypeVar("R", bound=Receiver)


class TellingMethods(Wired):
    """Who is told of what happens to customers. All of it is registered before the gate opens."""

    def on(self, *topics: str, name: str | None = None) -> Callable[[R], R]:
        """Have a coroutine function called with each signal of these topics, at least once and in
        the order of each customer: `@gate.on("credits.low")`.

        `name` is stored with what it is to receive; by default it is where the function stands.

        Raises:
            RegistrationError: there is no such topic, the name is taken, the function is no
                coroutine function, or delivery has begun.
        """
        return self.signals.on(*topics, name=name)

    def notify(
        self,
        notifier: Notifier | None = None,
        *,
        kinds: Collection[NoticeKind] = notices.FOR_CUSTOMERS,
        address: AddressOf | None = None,
        letters: Letters | None = None,
    ) -> None:
        """Tell customers of receipts, failed payments, low credits and the like.

        Args:
            notifier: what sends them; None is mail by GATEKEEPER_SMTP_*.
            kinds: which notices.
            address: the host's function that knows where a customer is told of things; by default
                it is the address that `gate.customers.ensure` was given.
            letters: the words of mail by GATEKEEPER_SMTP_*.

        Raises:
            RegistrationError: there is no such kind, or this was called before.
            ConfigurationError: GATEKEEPER_SMTP_* are not set.
            MissingExtraError: the extra `smtp` is not installed.
        """
        topics = notices.topics_for(kinds)
        sends = notifier or smtp_notifier(self.settings, letters)
        desk = NoticeDesk(self._parts.store, self.catalog, sends, kinds=kinds, address=address)
        self.signals.on(*topics, name=notices.RECEIVER)(desk.receive)

    def analyse(
        self,
        analytics: Analytics | None = None,
        *,
        events: Collection[str] = tuple(counting.EVENTS),
    ) -> None:
        """Have what happens to customers counted, without who they are.

        Args:
            analytics: what counts; None is PostHog by GATEKEEPER_POSTHOG_*.
            events: which events, by their names.

        Raises:
            RegistrationError: there is no such event, or this was called before.
            ConfigurationError: GATEKEEPER_POSTHOG_KEY is not set.
        """
        names = counting.check_events(events)
        desk = AnalyticsDesk(analytics or posthog(self.settings))
        self.signals.on(*names, name=counting.RECEIVER)(desk.receive)


def smtp_notifier(settings: Settings, letters: Letters | None) -> SmtpNotifier:
    """The notifier of GATEKEEPER_SMTP_*.

    Raises:
        ConfigurationError: they are not set.
        MissingExtraError: `aiosmtplib` is not installed.
    """
    if settings.smtp_host is None or settings.smtp_from is None:
        raise ConfigurationError(
            "Mail needs GATEKEEPER_SMTP_HOST and GATEKEEPER_SMTP_FROM, or a notifier of your own."
        )
    password = settings.smtp_password
    return SmtpNotifier(
        settings.smtp_host,
        settings.smtp_from,
        port=settings.smtp_port,
        tls=settings.smtp_tls,
        username=settings.smtp_username,
        password=None if password is None else password.get_secret_value(),
        letters=letters,
    )


def posthog(settings: Settings) -> PostHogAnalytics:
    """The analytics of GATEKEEPER_POSTHOG_*.

    Raises:
        ConfigurationError: there is no key.
    """
    if settings.posthog_key is None:
        raise ConfigurationError(
            "PostHog needs GATEKEEPER_POSTHOG_KEY; or hand over an analytics of your own."
        )
    return PostHogAnalytics(settings.posthog_key.get_secret_value(), host=settings.posthog_host)
