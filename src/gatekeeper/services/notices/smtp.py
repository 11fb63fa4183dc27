"""Notices as mail, by SMTP (RFC 5321), with `aiosmtplib`: the extra `smtp`.

Every header is written as one line, so that nothing that comes from outside can begin another one.
A letter has a Message-ID that follows from its notice: one that is sent twice, after a crash or a
lost answer, is the same letter to whoever stores it.
"""

import email.policy
import logging
import re
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING, Final, Literal

from gatekeeper.errors import (
    ConfigurationError,
    MissingExtraError,
    UnavailableError,
    UndeliverableError,
)
from gatekeeper.services.notices.letters import Letters
from gatekeeper.services.notices.port import Notice, Notifier

if TYPE_CHECKING:
    from aiosmtplib import SMTP

logger = logging.getLogger("gatekeeper.notices")

SmtpTls = Literal["starttls", "tls", "none"]
"""Encrypted after a STARTTLS that must succeed, encrypted from the start, or in the clear."""

MAX_SUBJECT_CHARS: Final = 200
MAX_ADDRESS_CHARS: Final = 254
"""RFC 5321, section 4.5.3.1.3, less the angle brackets."""

_ADDRESS: Final = re.compile(r"([!#-'*+/-9=?A-Z^-~.-]+)@([^\s\x00-\x1f\x7f-\x9f\"(),:;<>@\[\\\]]+)")
"""RFC 5321, section 4.1.2, less quoted strings and literals; the domain may be of other letters."""
_NOT_IN_A_LINE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NOT_IN_AN_ID: Final = re.compile(r"[^A-Za-z0-9._-]+")
_SHUTTING_DOWN: Final = 421
_PERMANENT: Final = range(500, 600)


class SmtpNotifier(Notifier):
    """Sends notices as mail, each by a connection of its own.

    Args:
        sender: "Acme <billing@acme.example>", or the address alone.
        username, password: to log in with, if the server asks for it.
        timeout_seconds: for the connection and for each answer. All of it together has the time
            of one receiver of the outbox, 30 seconds.
        tls_context: for a server whose certificate is not of a public authority.

    Raises:
        MissingExtraError: `aiosmtplib` is not installed.
        ConfigurationError: the sender is no address.
    """

    def __init__(
        self,
        host: str,
        sender: str,
        *,
        port: int = 587,
        tls: SmtpTls = "starttls",
        username: str | None = None,
        password: str | None = None,
        timeout_seconds: float = 10.0,
        tls_context: ssl.SSLContext | None = None,
        letters: Letters | None = None,
    ) -> None:
        try:
            import aiosmtplib
        except ImportError as error:
            raise MissingExtraError("aiosmtplib", extra="smtp") from error
        self._smtp = aiosmtplib
        name, address = parseaddr(sender)
        try:
            if _NOT_IN_A_LINE.search(sender):
                raise ValueError("more than one line")
            self._address = checked_address(address)
            self._sender = Address(name, addr_spec=self._address)
        except (UndeliverableError, ValueError) as error:
            raise ConfigurationError("The sender of mail is no mail address.") from error
        self._connection = {
            "hostname": host,
            "port": port,
            "use_tls": tls == "tls",
            "start_tls": tls == "starttls",
            "username": username,
            "password": password,
            "timeout": timeout_seconds,
            "tls_context": tls_context,
        }
        self._letters = letters or Letters()

    async def notify(self, notice: Notice) -> None:
        message = self.message_of(notice)
        to = str(message["To"])
        errors = self._smtp.errors
        try:
            async with self._client() as client:
                await client.send_message(message, sender=self._address, recipients=[to])
        except errors.SMTPAuthenticationError as error:
            # A setting that somebody will mend, and no fault of the letter's: it waits till then.
            raise UnavailableError(
                f"The mail server does not let us in ({error.code}): check the user name and the "
                "password."
            ) from error
        except (errors.SMTPConnectError, errors.SMTPServerDisconnected, OSError) as error:
            # TimeoutError is an OSError, and SMTPTimeoutError is a TimeoutError.
            raise UnavailableError(
                f"The mail server can't be reached: {type(error).__name__}."
            ) from error
        except errors.SMTPRecipientsRefused as error:
            raise _refused(error.recipients[0].code, error.recipients[0].message, to) from error
        except errors.SMTPResponseException as error:
            raise _refused(error.code, error.message, to) from error
        except errors.SMTPException as error:
            raise ConfigurationError(
                f"The mail server can't do what is asked of it: {one_line(str(error))}"
            ) from error
        logger.debug("a notice of %s was handed to the mail server", notice.kind)

    def message_of(self, notice: Notice) -> EmailMessage:
        """The mail of a notice.

        Raises:
            UndeliverableError: there is no such address.
        """
        to = checked_address(notice.to)
        letter = self._letters.letter(notice)
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"] = self._sender
        message["To"] = Address(addr_spec=to)
        message["Subject"] = one_line(letter.subject)[:MAX_SUBJECT_CHARS]
        message["Date"] = format_datetime(notice.at)
        message["Message-ID"] = (
            f"<gatekeeper.{_NOT_IN_AN_ID.sub('-', notice.id)}@{self._address.partition('@')[2]}>"
        )
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
        message.set_content(letter.text)
        if letter.html is not None:
            message.add_alternative(letter.html, subtype="html")
        return message

    def _client(self) -> "SMTP":
        return self._smtp.SMTP(**self._connection)  # type: ignore[arg-type]


def checked_address(text: str) -> str:
    """A mail address as SMTP takes it; a domain of other letters in its ASCII form (RFC 5891).

    Raises:
        UndeliverableError: it is none. The text is not repeated: errors are stored and logged.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or len(text) > MAX_ADDRESS_CHARS or not text.isprintable():
        raise UndeliverableError("There is no such mail address.")
    try:
        address = f"{found[1]}@{found[2].encode('idna').decode('ascii')}"
        return Address(addr_spec=address).addr_spec
    except ValueError as error:  # UnicodeError and the defects of `email` are ValueErrors
        raise UndeliverableError("There is no such mail address.") from error


def one_line(text: str) -> str:
    """Text that fits one line of a header."""
    return " ".join(_NOT_IN_A_LINE.sub(" ", text).split())


def _refused(code: int, said: str, to: str) -> Exception:
    """What a refusal is: for ever (5xx), for now (4xx, counted), or the server is on its way out.
    The address is taken out of what the server said: errors are stored and logged."""
    text = one_line(said.replace(to, "the address"))[:300]
    if code == _SHUTTING_DOWN:
        return UnavailableError(f"The mail server is shutting down ({code}).")
    if code in _PERMANENT:
        return UndeliverableError(f"The mail server refuses it ({code}): {text}")
    return RuntimeError(f"the mail server refuses it for now ({code}): {text}")
