"""Models in BentoML's model store, one for each digest, whole or not at all.

BentoML writes a model to its final place file by file, so a kill would leave part of one there.
So it is made to write beside the store, and the whole is moved in with one rename.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from triage.artefact import load
from triage.errors import ArtefactRefused, PromotionRefused
from triage.files import sync
from triage.manifest import MANIFEST, Manifest

NAME = "triage-model"
LONGEST_VERSION = 63  # characters that BentoML takes
DIGITS = 12  # of the digest, enough to tell models of one name apart
CARD = "README.md"


def tag_of(manifest: Manifest) -> str:
    """What a model is called in the store: `triage-model:NAME-DIGEST`."""
    return f"{NAME}:{_version(manifest)}"


def keep(folder: Path, manifest: Manifest, told: Mapping[str, str]) -> Path:
    """Copies a model into the store, through to the disk, unless it is there already.

    Args:
        folder: The model.
        manifest: Its manifest.
        told: What the store is to tell of it, beside its digest and its parent.

    Returns:
        Its folder in the store, verified.

    Raises:
        PromotionRefused: The store can't be written to.
        ArtefactRefused: The model was changed while it was copied.
    """
    from bentoml._internal.configuration.containers import BentoMLContainer

    try:
        home, store = (
            Path(one.get())
            for one in (BentoMLContainer.bentoml_home, BentoMLContainer.model_store_dir)
        )
        place = store / NAME / _version(manifest)
        if place.is_dir() and _holds(place, manifest):
            return place
        with TemporaryDirectory(prefix="triage-", dir=home / "tmp") as beside:
            whole = _write(folder, manifest, told, Path(beside))
            _move(whole, place)
    except OSError as error:
        raise PromotionRefused(
            f"{manifest.name} can't be copied into BentoML's model store: "
            f"{error.strerror or 'not every file could be'}. Put the disk or folder of "
            "BENTOML_HOME right. The model in service stays."
        ) from None
    return place


def _version(manifest: Manifest) -> str:
    return f"{manifest.name[: LONGEST_VERSION - DIGITS - 1]}-{manifest.digest[:DIGITS]}"


def _holds(folder: Path, manifest: Manifest) -> bool:
    try:
        return load(folder).manifest.digest == manifest.digest
    except ArtefactRefused:
        return False


def _write(folder: Path, manifest: Manifest, told: Mapping[str, str], beside: Path) -> Path:
    """The model as BentoML keeps it, in a store of its own."""
    import bentoml
    from bentoml._internal.models import ModelStore

    parent = "" if manifest.parent is None else manifest.parent.digest
    store = ModelStore(beside)
    with bentoml.models.create(
        tag_of(manifest),
        labels={"name": manifest.name},
        metadata={"digest": manifest.digest, "parent": parent, **told},
        _model_store=store,
    ) as model:
        for name in (*manifest.files, MANIFEST, CARD):
            if name != CARD or (folder / name).is_file():
                copy = Path(model.path_of(name))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, copy)
    whole = Path(store.get(tag_of(manifest)).path)
    if not _holds(whole, manifest):
        raise ArtefactRefused(f"{manifest.name} was changed while it was copied. Try again.")
    return whole


def _move(whole: Path, place: Path) -> None:
    for path in (*whole.rglob("*"), whole):
        sync(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():  # damaged, or it would have been kept
        shutil.rmtree(place)
    whole.replace(place)
    (place.parent / "latest").write_text(place.name)  # as BentoML notes it
    sync(place.parent)
