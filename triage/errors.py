"""The one tree of errors.

Every message says what was wrong, with the value and the limit, and what to do. None of them
ever holds a word of a transcript, a name or a path that a caller could have put a name into:
an error is logged, and a log is read by people who may not know whose recording it was.

Each class names the problem once (`slug`, `title`) and the HTTP status that tells it
(RFC 9457, problem details), so that the service, the command line and a batch say the same.
"""

from __future__ import annotations


class TriageError(Exception):
    """Anything that Triage refuses or cannot do.

    Args:
        detail: What was wrong and what to do, for a person.
        limit: The limit that was passed, where there is one, as a number or a list of what
            is allowed.
    """

    slug = "internal"
    title = "Something went wrong inside Triage"
    status = 500

    def __init__(self, detail: str, *, limit: float | int | str | list[str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.limit = limit

    def as_problem(self) -> dict[str, object]:
        """This error as an RFC 9457 problem object."""
        problem: dict[str, object] = {
            "type": f"urn:triage:problem:{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.limit is not None:
            problem["limit"] = self.limit
        return problem


# What a caller handed in -------------------------------------------------------------------


class InputError(TriageError):
    """A caller's recording or request that cannot be scored as it is."""

    slug = "bad-request"
    title = "The request can't be used"
    status = 400


class NothingToScore(InputError):
    """Neither audio nor transcript, or audio of no length."""

    slug = "nothing-to-score"
    title = "There is nothing to score"


class BadEncoding(InputError):
    """Text that isn't UTF-8, or JSON that isn't JSON."""

    slug = "bad-encoding"
    title = "The text can't be read"


class BadField(InputError):
    """A field that is unknown, missing, or not of its kind."""

    slug = "bad-field"
    title = "A field of the request is wrong"
    status = 422


class TooLarge(InputError):
    """More bytes, seconds, characters or items than the settings allow."""

    slug = "too-large"
    title = "The request is larger than this service allows"
    status = 413


class UnsupportedAudio(InputError):
    """Bytes that no decoder takes for audio, or a container with no sound in it."""

    slug = "unsupported-audio"
    title = "This is not audio that can be decoded"
    status = 415


class DamagedAudio(InputError):
    """Audio that starts well and can't be read to its end, or holds values that are no numbers."""

    slug = "damaged-audio"
    title = "The audio is damaged"
    status = 422


class DamagedArchive(InputError):
    """An archive that can't be opened, or not to its end, or a member that can't be read."""

    slug = "damaged-archive"
    title = "The archive can't be read"
    status = 422


class NestedArchive(InputError):
    """An archive inside of another one."""

    slug = "nested-archive"
    title = "Archives inside of archives are not opened"
    status = 422


class TooManyChannels(InputError):
    """More channels than the settings allow."""

    slug = "too-many-channels"
    title = "The audio has too many channels"
    status = 422


class Unauthorised(InputError):
    """Nobody that the roster knows."""

    slug = "unauthorised"
    title = "It isn't known who asks"
    status = 401


class Forbidden(InputError):
    """Something that is not for the one who asks."""

    slug = "forbidden"
    title = "This is not for whoever asks"
    status = 403


class NoSuchCase(InputError):
    """A case that isn't there, or not for the one who asks."""

    slug = "no-such-case"
    title = "There is no such case"
    status = 404


class MoveRefused(InputError):
    """A move that a case's state doesn't allow."""

    slug = "move-refused"
    title = "The case doesn't allow this now"
    status = 409


# What Triage itself was set up with -----------------------------------------------------------


class SetupError(TriageError):
    """Something that whoever runs Triage has to put right."""

    slug = "setup"
    title = "Triage is not set up"
    status = 503


class BadSetting(SetupError):
    """A setting whose value can't be used."""

    slug = "bad-setting"
    title = "A setting is wrong"


class WeightsNotFound(SetupError):
    """Pretrained weights that are in none of the places they may be in."""

    slug = "weights-not-found"
    title = "Pretrained weights are missing"


class ArtefactRefused(SetupError):
    """A model whose files don't match its manifest, or whose format isn't known."""

    slug = "artefact-refused"
    title = "The model was refused"


class PolicyRefused(SetupError):
    """A policy that doesn't validate."""

    slug = "policy-refused"
    title = "The policy was refused"


class RosterRefused(SetupError):
    """A roster that doesn't validate: who is reached, and how."""

    slug = "roster-refused"
    title = "The roster was refused"


class PromotionRefused(SetupError):
    """A model that may not be put into service, or can't be."""

    slug = "promotion-refused"
    title = "The model in service was not changed"


class LabelsRefused(SetupError):
    """Labelled data that can't be trained or evaluated on."""

    slug = "labels-refused"
    title = "The labelled data was refused"


class BatchRefused(SetupError):
    """A run over an archive that can't begin, or can't go on as it was begun."""

    slug = "batch-refused"
    title = "The run was refused"


# What must never pass in silence --------------------------------------------------------------


class AuditFailed(TriageError):
    """An audit entry that couldn't be written, so nothing may follow it."""

    slug = "audit-failed"
    title = "The audit entry could not be written, so no decision was given"
    status = 503


class StoreFailed(TriageError):
    """The store of decisions and cases can't be read or written, so nothing may be answered."""

    slug = "store-failed"
    title = "The store of decisions can't be used"
    status = 503


class BatchFailed(TriageError):
    """A run whose results can't be written; what was written before holds."""

    slug = "batch-failed"
    title = "The run's results can't be written"


class AuditTampered(TriageError):
    """An audit file whose chain doesn't hold."""

    slug = "audit-tampered"
    title = "The audit log has been changed"
