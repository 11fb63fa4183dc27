"""What errors say to people, in Dutch."""

from collections.abc import Mapping
from typing import Final

TEXTS: Final[Mapping[str, str]] = {
    "internal_error": "Er is bij ons iets misgegaan. Probeer het later opnieuw.",
    # What was asked
    "invalid_request": "Het verzoek is niet geldig.",
    "invalid_id": "Een id in het verzoek is niet geldig.",
    "invalid_amount": "Het bedrag moet een geheel getal binnen de toegestane grenzen zijn.",
    "amount_not_chargeable": "Dit bedrag kan niet in één betaling worden betaald.",
    "unknown_name": "Dit is hier niet te koop.",
    "return_url_refused": "Naar dit adres kunt u niet worden teruggestuurd.",
    "discount_invalid": "Deze code kan niet worden gebruikt.",
    "body_timeout": "Het verzoek is niet op tijd aangekomen. Probeer het opnieuw.",
    "payload_invalid": "Het verzoek is niet geldig.",
    "payload_too_large": "Het verzoek is te groot.",
    "method_not_allowed": "Dit kan hier niet.",
    # Who asked
    "unauthenticated": "Meld u eerst aan.",
    "forbidden": "U hebt hier geen toegang toe.",
    "origin_refused": "Een pagina van een andere site mag dit niet doen.",
    "not_found": "Dit bestaat niet.",
    "customer_not_found": "Deze klant is niet bekend.",
    "hold_not_found": "Deze reservering is niet bekend.",
    # What they lack
    "denied": "U hebt niet wat hiervoor nodig is.",
    "plan_required": "Hiervoor is een ander abonnement nodig.",
    "feature_required": "Dit zit niet in uw abonnement.",
    "credits_required": "U hebt hiervoor niet genoeg tegoed.",
    "debt_outstanding": "Tegoed dat na gebruik is terugbetaald, moet eerst worden vereffend.",
    "credits_frozen": "Dit tegoed is voorlopig geblokkeerd. Neem contact met ons op.",
    # What has happened already
    "conflict": "Dit is in strijd met wat al is gebeurd.",
    "idempotency_conflict": "Dit verzoek is al met een andere inhoud verstuurd.",
    "already_settled": "Dit is al gedaan.",
    "customer_active": "Er is nog iets niet afgerond.",
    "hold_ended": "Deze reservering is al afgelopen.",
    "hold_overrun": "Er is meer verbruikt dan was gereserveerd.",
    "duplicate_grant": "Deze aankoop is al toegekend, met een andere inhoud.",
    "refund_too_large": "Er wordt meer terugbetaald dan er van de betaling over is.",
    "refund_refused": "De terugbetaling is geweigerd; er is geen geld overgemaakt.",
    "sweep_stopped": "Er zouden te veel abonnementen eindigen; er is niets gewijzigd.",
    "seller_not_ready": "Deze verkoper kan op dit moment niet worden betaald.",
    "order_closed": "Deze bestelling kan niet meer worden gewijzigd of betaald.",
    "payment_state": "Dit kan niet met de betaling zoals die nu is.",
    # What may work later
    "unavailable": "Dit kan op dit moment niet. Probeer het opnieuw.",
    "store_unavailable": "Dit kan op dit moment niet. Probeer het opnieuw.",
    "transaction_conflict": (
        "Dit kan op dit moment niet; er is niets gewijzigd. Probeer het opnieuw."
    ),
    "overloaded": "Het is op dit moment te druk. Probeer het opnieuw.",
    "stripe_unavailable": "De betaaldienst is niet bereikbaar. Probeer het opnieuw.",
    "shutting_down": "We starten opnieuw op. Probeer het opnieuw.",
    "rate_limited": "Dat was te vaak. Probeer het later opnieuw.",
    # Webhooks, which no person reads
    "webhook_invalid": "Dit is geen webhook die Stripe ons heeft gestuurd.",
    "signature_invalid": "De handtekening bewijst niet dat Stripe dit heeft gestuurd.",
    # Payments
    "authentication_required": "Uw bank vraagt u deze betaling te bevestigen.",
    "card_declined": (
        "Uw betaling is geweigerd. Gebruik een andere kaart of neem contact op met uw bank."
    ),
    "card_declined.insufficient_funds": "Er staat niet genoeg geld op uw kaart.",
    "card_declined.expired_card": "Uw kaart is verlopen. Gebruik een andere kaart.",
    "card_declined.incorrect_cvc": "De beveiligingscode van uw kaart klopt niet.",
    "card_declined.incorrect_number": "Het nummer van uw kaart klopt niet.",
    "card_declined.incorrect_address": "Het adres of de postcode hoort niet bij uw kaart.",
    "card_declined.invalid_expiry": "De vervaldatum van uw kaart klopt niet.",
    "card_declined.card_not_supported": (
        "Uw kaart kan hiervoor niet worden gebruikt. Gebruik een andere kaart."
    ),
    "card_declined.currency_not_supported": "Met uw kaart kan niet in deze munt worden betaald.",
    "card_declined.limit_exceeded": "Dit is meer dan uw kaart op dit moment mag betalen.",
    "card_declined.duplicate_transaction": "U hebt zojuist dezelfde betaling gedaan. Even geduld.",
    "card_declined.try_again": "De betaling is niet gelukt. Probeer het opnieuw.",
    "card_declined.authentication_failed": "De betaling is niet bevestigd. Probeer het opnieuw.",
    "card_declined.test_card": "Met een testkaart kan niet echt worden betaald.",
}
