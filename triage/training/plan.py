"""What is to be trained from what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triage.errors import BadSetting
from triage.manifest import MANIFEST, NAME

# scikit-learn's C over vectors scaled to unit deviation; chosen by leaving sources out
# (docs/decisions/0004).
TEXT_REGULARISATION = 0.003
SOUND_REGULARISATION = 0.01
# The same for the distance from a base's weights, chosen by giving a model 200 labels of a source
# that it had not seen (docs/decisions/0008).
TEXT_UPDATE = 0.003
SOUND_UPDATE = 0.01

EVENT_FPR = 0.01  # of clips without the event, where an event starts to be reported

# How often such a sound in a private home is a case of the category, by judgement, until
# recordings labelled with both exist (docs/decisions/0005).
STRENGTHS: Mapping[str, Mapping[str, float]] = {
    "scream": {"distress": 0.9, "violence": 0.2},
    "cry": {"distress": 0.7},
    "baby_cry": {"distress": 0.1},
    "shout": {"distress": 0.3, "harassment": 0.1},
    "gunshot": {"violence": 0.9},
    "explosion": {"violence": 0.4},
    "glass_break": {"violence": 0.3},
    "siren": {"medical_emergency": 0.1},
    "alarm": {"distress": 0.1},
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be trained from what.

    Attributes:
        data: Files and folders of labelled rows; none for those of the store.
        out: Folder to write the model to. Replaced whole, at the very end.
        name: The model's name.
        base: A model to start from. Its text encoder is kept, and so are its heads of whatever
            the rows say too little of; the others are fitted on the rows that it has not seen,
            from where its heads are. Without a base the sentence encoder is exported anew, which
            needs the `[train]` extra.
        anew: Whether only the text encoder is taken from the base. It is so in any case if all
            rows that the base was fitted on are among these, since fitting on all of them loses
            nothing; and if the base was fitted on a licence that is excluded.
        categories: The only categories to train; none for all that are labelled.
        exclude_licences: Rows whose licence contains any of these, case ignored, stay out.
        exclude_sources: Rows of these sources stay out.
        finetune: Whether the text encoder is fine-tuned, which needs the `[train]` extra.
        drop_leaks: Whether rows of split "val" that training rows give away are left out; they
            are a reason to refuse otherwise.
        miss, confidence: What is to be guaranteed of the critical categories.
        seed: Of everything that is left to chance.
        cache: Folder for features; what is there is not computed again.

    Raises:
        BadSetting: The name can't be a model's, or the folder holds something else.
    """

    data: tuple[Path, ...]
    out: Path
    name: str
    base: Path | None = None
    anew: bool = False
    categories: tuple[str, ...] = ()
    exclude_licences: tuple[str, ...] = ()
    exclude_sources: tuple[str, ...] = ()
    finetune: bool = False
    drop_leaks: bool = False
    miss: float = 0.05
    confidence: float = 0.95
    seed: int = 0
    cache: Path = Path("var/features")

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.name):
            raise BadSetting(f"A model's name must match {NAME}. Choose another with --name.")
        if self.out.exists() and not (self.out / MANIFEST).is_file():
            raise BadSetting(
                "The folder to write to is there and holds no model. Choose another with --out."
            )
