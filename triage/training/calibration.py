"""What a head's log-odds are worth on the labels that there are."""

from __future__ import annotations

import numpy as np

from triage.calibrate import Calibrator, fit_calibrator
from triage.labels.rows import YES
from triage.records import Doubles, Floats

RECALIBRATE_FROM = 50  # of the rarer label; with fewer, a base's calibration is the better guess

# Share of cases that rows brought to a base are taken to be drawn from, unless they say what they
# stand for. Reviewers label what is suspected, so half of their rows may be cases; the thresholds
# of the default policy were set on rows of which 1 to 3 % were.
ASSUMED_PREVALENCE = 0.02


def is_thin(labels: Doubles, stands: Doubles) -> bool:
    """Whether these say too little to better a base's calibration.

    They do if they are few, or if they don't say what they stand for: a base has seen more of the
    name than they hold, and knows better how common it is than any assumption.

    Args:
        labels: Of each item, 0..1, shape (n,).
        stands: Recordings that each item stands for, shape (n,).
    """
    rarer = min((labels >= YES).sum(), (labels < YES).sum())
    return bool(rarer < RECALIBRATE_FROM or (stands == 1).all())


def calibrator_of(
    logits: Floats, labels: Doubles, stands: Doubles, *, enriched: bool
) -> Calibrator:
    """A calibration of items that were not fitted on.

    A share of votes is an example of each label with a share of the weight.

    Args:
        logits: Of each item, shape (n,).
        labels: 0..1, shape (n,).
        stands: Recordings that each item stands for, shape (n,).
        enriched: Whether the items may be richer in cases than what they come from. Then, and if
            they don't say what they stand for, the odds are shifted to those of
            `ASSUMED_PREVALENCE` (Saerens, Latinne and Decaestecker 2002).
    """
    yes, no = labels > 0, labels < 1
    fitted = fit_calibrator(
        np.concatenate([logits[yes], logits[no]]),
        np.repeat([1, 0], [yes.sum(), no.sum()]),
        np.concatenate([(stands * labels)[yes], (stands * (1 - labels))[no]]),
    )
    share = float(labels.mean())
    if not enriched or (stands != 1).any() or share <= ASSUMED_PREVALENCE:
        return fitted
    assumed, found = (np.log(one / (1 - one)) for one in (ASSUMED_PREVALENCE, share))
    return fitted.shifted(float(assumed - found))
