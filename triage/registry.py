"""Which model is in service, and the only way to put another one there.

Two files below `registry` in the state folder:

    promotions.jsonl   every promotion and rollback (see `promotions`)
    champion.json      the model in service: what the last of them led to

A change goes to the log first. A kill before it has reached `champion.json` leaves the old model
in service, and the next change completes it. Serving reads `champion.json` alone.

What is promoted is copied into BentoML's model store (`BENTOML_HOME`), so that whatever becomes of
the folder it was trained in doesn't reach the service. The service and whoever promotes must see
the store under the same path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from triage import promotions
from triage.artefact import Artefact, load
from triage.errors import ArtefactRefused, PromotionRefused
from triage.files import sync
from triage.manifest import Manifest, read_manifest
from triage.model_store import DIGITS, keep, tag_of
from triage.promotions import Change, Model
from triage.settings import Settings

LOG, POINTER = "promotions.jsonl", "champion.json"
LOCK_SECONDS = 60.0  # how long to wait for another promotion

_MODEL = TypeAdapter(Model)


# What is in service -------------------------------------------------------------------------


def pinned(settings: Settings) -> bool:
    """Whether the settings name the model themselves, so that no promotion is followed."""
    return "model" in settings.model_fields_set


def in_service(settings: Settings) -> Path:
    """The folder of the model to serve and score with.

    TRIAGE_MODEL if it is set, else the model that was promoted last, else the one that ships.

    Raises:
        ArtefactRefused: What was promoted isn't there any more, or is another model now.
    """
    promoted = None if pinned(settings) else _pointed(settings)
    if promoted is None:
        return settings.model
    _check(promoted, read_manifest)
    return promoted.folder


def champion(settings: Settings) -> Model:
    """The model that a promotion would replace, whether or not TRIAGE_MODEL hides it.

    Raises:
        ArtefactRefused: Nothing was promoted, and the settings' model has no manifest.
    """
    promoted = _pointed(settings)
    if promoted is not None:
        return promoted
    manifest = read_manifest(settings.model)
    return Model(manifest.name, manifest.digest, settings.model.absolute())


def to_follow(settings: Settings) -> str | None:
    """Digest of the model that a running service should have loaded; None where it keeps its own.

    It costs one small read and never raises, so it can be asked every second.
    """
    with suppress(ArtefactRefused):
        if not pinned(settings) and (promoted := _pointed(settings)) is not None:
            return promoted.digest
    return None


def history(settings: Settings) -> tuple[Change, ...]:
    """Every promotion and rollback, in their order.

    Raises:
        AuditTampered, AuditFailed: The log was changed or can't be read.
    """
    return promotions.read(_folder(settings) / LOG)


# Changing it --------------------------------------------------------------------------------


def promote(
    model: Artefact,
    settings: Settings,
    *,
    against: str,
    by: str,
    reason: str,
    override: str = "",
    findings: Sequence[str] = (),
    comparison: str = "",
) -> Change | None:
    """Puts a model into service.

    Args:
        model: The one that the findings speak of, which must not change until it is copied.
        settings: Say where the registry is, and what was in service before any promotion.
        against: Digest of the champion that the findings speak of.
        by, reason: Who does it, and why.
        override: Why it is to be done in spite of the findings; empty: they forbid it.
        findings: What speaks against it, a sentence each.
        comparison: Digest of the comparison with the champion.

    Returns:
        What was changed; None where the model is in service already.

    Raises:
        ArtefactRefused: What was copied doesn't pass the model's checks. No override helps.
        PromotionRefused: A finding forbids it, another model was promoted meanwhile, or the store
            or the registry can't be written to.
        AuditFailed, AuditTampered: The log can't be written, or was changed.
    """
    manifest = model.manifest
    with _changing(settings):
        before = champion(settings)
        if before.digest == manifest.digest and _holds(before):
            return None
        if before.digest != against:
            raise PromotionRefused(
                f"{before} was put into service meanwhile. Compare the model with that one."
            )
        if findings and not override.strip():
            raise PromotionRefused(
                f"{manifest.name} is not put into service, {before.name} stays:\n"
                + "".join(f"- {finding}\n" for finding in findings)
                + "If it must be, give --override with the reason."
            )
        kept = keep(model.folder, manifest, {"promoted_by": by, "reason": override or reason})
        after = Model(manifest.name, manifest.digest, kept.absolute(), tag_of(manifest))
        now, told = datetime.now(UTC), tuple(findings)
        change = Change(now, "promote", before, after, by, reason, override, told, comparison)
        _record(change, settings)
    return change


def rollback(settings: Settings, *, by: str, reason: str) -> Change:
    """Puts the model back into service that was there before the last promotion still standing.

    Going back twice goes back two promotions; a promotion after that starts from where it led.

    Raises:
        PromotionRefused: There is nothing to go back to.
        ArtefactRefused: That model doesn't pass its checks any more.
        AuditFailed, AuditTampered: The log can't be written, or was changed.
    """
    with _changing(settings):
        models = promotions.standing(history(settings))
        if len(models) < 2:
            raise PromotionRefused("There is no promotion to take back.")
        after, before = models[-2:]
        _check(after, lambda folder: load(folder).manifest)
        change = Change(datetime.now(UTC), "rollback", before, after, by, reason)
        _record(change, settings)
    return change


@contextmanager
def _changing(settings: Settings) -> Iterator[None]:
    """Holds the registry for one change, once a change that a kill cut short is completed."""
    folder = _folder(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / "lock", timeout=LOCK_SECONDS, mode=0o600):
            _complete(history(settings), folder / POINTER)
            yield
    except Timeout:
        raise PromotionRefused(
            f"Another promotion has held the registry for {LOCK_SECONDS:.0f} s. Wait for its end, "
            "or end it.",
            limit=LOCK_SECONDS,
        ) from None
    except OSError as error:
        raise PromotionRefused(
            f"The registry can't be used: {error.strerror}. Put its disk or folder right."
        ) from None


def _complete(changes: Sequence[Change], pointer: Path) -> None:
    if changes and not (pointer.is_file() and pointer.read_bytes() == _bytes(changes[-1].after)):
        _prepare(changes[-1].after, pointer).replace(pointer)


def _record(change: Change, settings: Settings) -> None:
    folder = _folder(settings)
    prepared = _prepare(change.after, folder / POINTER)  # a full disk stops it before the log
    promotions.append(folder / LOG, change)
    prepared.replace(folder / POINTER)
    sync(folder)


def _prepare(model: Model, pointer: Path) -> Path:
    """A pointer to the model, on the disk beside its place."""
    part = pointer.with_suffix(".part")
    part.write_bytes(_bytes(model))
    sync(part)
    return part


# Reading it ---------------------------------------------------------------------------------


def _bytes(model: Model) -> bytes:
    return _MODEL.dump_json(model) + b"\n"


def _pointed(settings: Settings) -> Model | None:
    try:
        return _MODEL.validate_json((_folder(settings) / POINTER).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise ArtefactRefused(
            f"{POINTER} can't be read, or names no model. `triage promote` and `triage rollback` "
            "write it anew."
        ) from None


def _folder(settings: Settings) -> Path:
    return settings.state / "registry"


def _check(model: Model, read: Callable[[Path], Manifest]) -> None:
    """Refuses a model whose folder isn't what it was when it went into service."""
    try:
        found = read(model.folder)
    except ArtefactRefused as error:
        raise ArtefactRefused(f"{model} can't be served. {error.detail}") from None
    if found.digest != model.digest:
        raise ArtefactRefused(
            f"{model} can't be served: its folder holds {found.name} ({found.digest[:DIGITS]}) "
            "now. Restore it, or promote another one."
        )


def _holds(model: Model) -> bool:
    with suppress(ArtefactRefused):
        return load(model.folder).manifest.digest == model.digest
    return False
