"""What errors say to people, in French."""

from collections.abc import Mapping
from typing import Final

TEXTS: Final[Mapping[str, str]] = {
    "internal_error": "Un problème est survenu de notre côté. Veuillez réessayer plus tard.",
    # What was asked
    "invalid_request": "La demande n'est pas valide.",
    "invalid_id": "Un identifiant de la demande n'est pas valide.",
    "invalid_amount": "Le montant doit être un nombre entier dans les limites admises.",
    "amount_not_chargeable": "Ce montant ne peut pas être payé en une seule fois.",
    "unknown_name": "Ceci n'est pas en vente ici.",
    "return_url_refused": "Il n'est pas possible de revenir à cette adresse.",
    "discount_invalid": "Ce code ne peut pas être utilisé.",
    "body_timeout": "La demande n'est pas arrivée à temps. Veuillez réessayer.",
    "payload_invalid": "La demande n'est pas valide.",
    "payload_too_large": "La demande est trop volumineuse.",
    "method_not_allowed": "Ceci n'est pas possible ici.",
    # Who asked
    "unauthenticated": "Veuillez d'abord vous connecter.",
    "forbidden": "Vous n'avez pas accès à ceci.",
    "origin_refused": "Une page d'un autre site ne peut pas faire ceci.",
    "not_found": "Ceci n'existe pas.",
    "customer_not_found": "Ce client n'est pas connu.",
    "hold_not_found": "Cette réservation n'est pas connue.",
    # What they lack
    "denied": "Il vous manque ce qu'il faut pour cela.",
    "plan_required": "Il faut une autre formule pour cela.",
    "feature_required": "Votre formule ne comprend pas cela.",
    "credits_required": "Vous n'avez pas assez de crédits pour cela.",
    "debt_outstanding": (
        "Des crédits remboursés après leur utilisation doivent d'abord être acquittés."
    ),
    "credits_frozen": "Ces crédits sont bloqués pour le moment. Veuillez nous contacter.",
    # What has happened already
    "conflict": "Ceci contredit ce qui a déjà eu lieu.",
    "idempotency_conflict": "Cette demande a déjà été envoyée avec un autre contenu.",
    "already_settled": "Ceci a déjà été fait.",
    "customer_active": "Quelque chose n'est pas encore terminé.",
    "hold_ended": "Cette réservation est déjà terminée.",
    "hold_overrun": "La consommation dépasse ce qui avait été réservé.",
    "duplicate_grant": "Cet achat a déjà été accordé, avec un autre contenu.",
    "refund_too_large": "Le remboursement dépasse ce qui reste du paiement.",
    "refund_refused": "Le remboursement a été refusé ; aucune somme n'a été versée.",
    "sweep_stopped": "Trop d'abonnements prendraient fin ; rien n'a été modifié.",
    "seller_not_ready": "Ce vendeur ne peut pas être payé pour le moment.",
    "order_closed": "Cette commande ne peut plus être modifiée ni payée.",
    "payment_state": "L'état actuel du paiement ne le permet pas.",
    # What may work later
    "unavailable": "Ceci n'est pas possible pour le moment. Veuillez réessayer.",
    "store_unavailable": "Ceci n'est pas possible pour le moment. Veuillez réessayer.",
    "transaction_conflict": (
        "Ceci n'est pas possible pour le moment ; rien n'a été modifié. Veuillez réessayer."
    ),
    "overloaded": "Il y a trop de demandes pour le moment. Veuillez réessayer.",
    "stripe_unavailable": "Le service de paiement ne répond pas. Veuillez réessayer.",
    "shutting_down": "Nous redémarrons. Veuillez réessayer.",
    "rate_limited": "Trop de demandes. Veuillez réessayer plus tard.",
    # Webhooks, which no person reads
    "webhook_invalid": "Ce webhook ne nous a pas été envoyé par Stripe.",
    "signature_invalid": "La signature ne prouve pas que Stripe a envoyé ceci.",
    # Payments
    "authentication_required": "Votre banque vous demande de confirmer ce paiement.",
    "card_declined": (
        "Votre paiement a été refusé. Veuillez utiliser une autre carte ou contacter votre banque."
    ),
    "card_declined.insufficient_funds": "Le solde de votre carte est insuffisant.",
    "card_declined.expired_card": "Votre carte a expiré. Veuillez en utiliser une autre.",
    "card_declined.incorrect_cvc": "Le code de sécurité de votre carte est incorrect.",
    "card_declined.incorrect_number": "Le numéro de votre carte est incorrect.",
    "card_declined.incorrect_address": (
        "L'adresse ou le code postal ne correspond pas à votre carte."
    ),
    "card_declined.invalid_expiry": "La date d'expiration de votre carte est incorrecte.",
    "card_declined.card_not_supported": (
        "Votre carte ne peut pas être utilisée pour cela. Veuillez en utiliser une autre."
    ),
    "card_declined.currency_not_supported": "Votre carte ne permet pas de payer dans cette devise.",
    "card_declined.limit_exceeded": "Ce montant dépasse le plafond actuel de votre carte.",
    "card_declined.duplicate_transaction": (
        "Vous venez d'effectuer le même paiement. Veuillez patienter."
    ),
    "card_declined.try_again": "Le paiement n'a pas abouti. Veuillez réessayer.",
    "card_declined.authentication_failed": (
        "Le paiement n'a pas été confirmé. Veuillez réessayer."
    ),
    "card_declined.test_card": "Une carte de test ne permet pas de payer réellement.",
}
