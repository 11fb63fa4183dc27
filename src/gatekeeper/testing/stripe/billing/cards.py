"""Stripe's test cards and test bank accounts, and what each of them does.

Source: Stripe's pages "Test card numbers" and "SEPA Direct Debit: test your integration".
"""

from dataclasses import dataclass
from typing import Literal

Aftermath = Literal[
    "fraudulent", "product_not_received", "inquiry", "preventable", "warning", "review"
]


@dataclass(frozen=True, slots=True)
class Card:
    """A test card.

    `decline` is the (code, decline code, message) of every charge; `attachable` says whether a
    customer can keep it. `authentication`: when the cardholder has to confirm (3-D Secure): never;
    once, at set-up; whenever they are there; or at every payment. `refund` is how a refund goes:
    at once, pending first, or failed in the end. `aftermath` is what follows a charge: a dispute
    for that reason, an inquiry, a dispute that is prevented where the settings say so, an early
    fraud warning, or a review.
    """

    number: str
    brand: str = "visa"
    funding: str = "credit"
    country: str = "US"
    decline: tuple[str, str | None, str] | None = None
    attachable: bool = True
    authentication: Literal["never", "once", "on_session", "always"] = "never"
    refund: Literal["succeeded", "pending", "failed"] = "succeeded"
    aftermath: Aftermath | None = None

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self.number[-4:]


@dataclass(frozen=True, slots=True)
class BankAccount:
    """A test IBAN for SEPA Direct Debit: a payment is pending, then succeeds or fails."""

    iban: str
    succeeds: bool = True

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self.iban[-4:]


def _declined(decline_code: str, message: str) -> tuple[str, str, str]:
    return ("card_declined", decline_code, message)


_GENERIC = _declined("generic_decline", "Your card was declined.")
_FUNDS = _declined("insufficient_funds", "Your card has insufficient funds.")

CARDS = {
    card.number: card
    for card in (
        Card("4242424242424242"),
        Card("4000056655665556", funding="debit"),
        Card("5555555555554444", "mastercard"),
        Card("5200828282828210", "mastercard", "debit"),
        Card("378282246310005", "amex"),
        Card("6011111111111117", "discover"),
        Card("4000002500001001", country="FR"),
        Card("4000000000000002", decline=_GENERIC, attachable=False),
        Card("4000000000009995", decline=_FUNDS, attachable=False),
        Card(
            "4000000000009987",
            decline=_declined("lost_card", "Your card was declined."),
            attachable=False,
        ),
        Card(
            "4000000000009979",
            decline=_declined("stolen_card", "Your card was declined."),
            attachable=False,
        ),
        Card(
            "4000000000000069",
            decline=("expired_card", None, "Your card has expired."),
            attachable=False,
        ),
        Card(
            "4000000000000127",
            decline=("incorrect_cvc", None, "Your card's security code is incorrect."),
            attachable=False,
        ),
        Card(
            "4000000000000119",
            decline=(
                "processing_error",
                None,
                "An error occurred while processing your card. Try again in a little bit.",
            ),
            attachable=False,
        ),
        Card("4000000000000341", decline=_GENERIC),
        Card("4000002500003155", authentication="once"),
        Card("4000000000003220", authentication="once"),
        Card("4000003800000446", authentication="on_session"),
        Card("4000002760003184", authentication="always"),
        Card("4000008260003178", authentication="always", decline=_FUNDS),
        Card("4000000000007726", refund="pending"),
        Card("4000000000005126", refund="failed"),
        Card("4000000000000259", aftermath="fraudulent"),
        Card("4000000000002685", aftermath="product_not_received"),
        Card("4000000000001976", aftermath="inquiry"),
        Card("4000000404004816", aftermath="preventable"),
        Card("4000000000005423", aftermath="warning"),
        Card("4000000000009235", aftermath="review"),
    )
}

# Stripe's ready-made payment methods, and a few spellings of them that are in use.
_TOKENS = {
    "visa": "4242424242424242",
    "visa_debit": "4000056655665556",
    "mastercard": "5555555555554444",
    "mastercard_debit": "5200828282828210",
    "amex": "378282246310005",
    "discover": "6011111111111117",
    "fr": "4000002500001001",
    "chargeDeclined": "4000000000000002",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "chargeDeclinedLostCard": "4000000000009987",
    "chargeDeclinedStolenCard": "4000000000009979",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "chargeDeclinedIncorrectCvc": "4000000000000127",
    "chargeDeclinedProcessingError": "4000000000000119",
    "chargeCustomerFail": "4000000000000341",
    "authenticationRequiredOnSetup": "4000002500003155",
    "authenticationRequired": "4000002760003184",
    "authenticationRequiredSetupForOffSession": "4000003800000446",
    "authenticationRequiredChargeDeclinedInsufficientFunds": "4000008260003178",
    "threeDSecure2Required": "4000000000003220",
    "pendingRefund": "4000000000007726",
    "refundFail": "4000000000005126",
    "createDispute": "4000000000000259",
    "createDisputeProductNotReceived": "4000000000002685",
    "createDisputeInquiry": "4000000000001976",
    "createRapidDisputeResolutionDispute": "4000000404004816",
    "createIssuerFraudRecord": "4000000000005423",
    "riskLevelElevated": "4000000000009235",
}

TOKENS = {
    **{f"pm_card_{name}": CARDS[number] for name, number in _TOKENS.items()},
    **{
        f"pm_card_visa_{name}": CARDS[number]
        for name, number in _TOKENS.items()
        if name.startswith("charge")
    },
}

BANK_ACCOUNTS = {
    account.iban: account
    for account in (
        BankAccount("DE89370400440532013000"),
        BankAccount("DE08370400440532013002"),
        BankAccount("DE62370400440532013001", succeeds=False),
        BankAccount("DE78370400440532013003", succeeds=False),
    )
}


def card_of(number: str) -> Card | None:
    """The test card with this number, written with or without spaces."""
    return CARDS.get(number.replace(" ", "").replace("-", ""))


def bank_account_of(iban: str) -> BankAccount | None:
    """The test account with this IBAN, written with or without spaces."""
    return BANK_ACCOUNTS.get(iban.replace(" ", "").upper())
