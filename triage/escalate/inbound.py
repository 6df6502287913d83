"""Outcomes that come from elsewhere: a review tool of somebody else's tells how a case ended."""

from __future__ import annotations

from collections.abc import Mapping

from triage.database.engine import serialised, writing
from triage.database.store import failing
from triage.errors import Unauthorised
from triage.escalate.casebook import Casebook
from triage.escalate.records import SENDER, Case, Ending, Move, Order, State
from triage.escalate.roster import Roster
from triage.escalate.rows import case_of, has_outcome

LONGEST_KEY = 200  # characters of a message's id


def verified(content: bytes, headers: Mapping[str, str], roster: Roster) -> str:
    """Who signed a message (Standard Webhooks): within five minutes, with a secret of the roster.

    Returns:
        The sender's name.

    Raises:
        Unauthorised: Nobody whom the roster knows.
    """
    from standardwebhooks import Webhook, WebhookVerificationError

    if 0 < len(headers.get("webhook-id", "")) <= LONGEST_KEY:
        for name, secret in roster.senders.items():
            try:
                Webhook(secret.get_secret_value()).verify(content, dict(headers), json_parse=False)
            except (WebhookVerificationError, ValueError):  # a ValueError by what is no base64
                continue
            return name
    raise Unauthorised(
        "The message isn't signed by a sender of the roster, or more than five minutes ago. Sign "
        "it as Standard Webhooks has it, with a secret that the roster names."
    )


def outcome(
    book: Casebook,
    sender: str,
    key: str,
    id: str,
    ending: Ending,
    heard: tuple[str, ...] | None,
    reason: str,
) -> Case:
    """Resolves a case in the sender's name, once for each message.

    Args:
        book: The cases.
        sender: Who tells.
        key: Of the message; one that came before changes nothing.
        id: Of the case.
        ending: How it ended.
        heard: What was heard; None if that isn't said.
        reason: In the sender's words.

    Raises:
        NoSuchCase: There is none.
        MoveRefused: Somebody has it, or it is resolved already, by another message.
        BadField: What was said can't be.
        StoreFailed: It can't be written.
    """
    actor, once = f"{SENDER}{sender}", f"in_{sender}_{key}"
    with failing("can't be written"), writing(book.opened) as connection:
        serialised(connection, [once])
        case = case_of(connection, id, locked=True)
        if has_outcome(connection, once):
            return case
        if case.state is not State.RESOLVED:  # refused where somebody else has it
            case = book.moved(connection, case, Order(Move.CLAIM, actor))
        order = Order(Move.RESOLVE, actor, reason=reason, ending=ending, heard=heard, key=once)
        return book.moved(connection, case, order)
