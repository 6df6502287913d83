"""The categories, events and flags of taxonomy v1.

These are the names that Triage starts from. What a loaded model can score is what its own
manifest names, so a category more is data and a retraining, not a change here.
"""

from __future__ import annotations

CATEGORIES: tuple[str, ...] = (
    "violence",
    "domestic_abuse",
    "child_safety",
    "sexual_violence",
    "sexual",
    "self_harm",
    "medical_emergency",
    "distress",
    "illicit",
    "hate",
    "harassment",
)

EVENTS: tuple[str, ...] = (
    "scream",
    "cry",
    "baby_cry",
    "shout",
    "gunshot",
    "explosion",
    "glass_break",
    "siren",
    "alarm",
    "speech",
    "laughter",
    "music",
    "animal",
    "vocal_other",
    "environment",
)

# Events that are evidence for somebody's attention; the others are the world they must be
# told from, and are reported but never merged into the answer's `events`.
EVIDENCE_EVENTS: tuple[str, ...] = EVENTS[:9]

# What a film, a song or a game in the room is told by.
MUSIC = "music"

# A label of words that is no category: whether they are spoken to the device. What isn't was
# recorded by accident.
ADDRESSED = "directed"

FLAGS: tuple[str, ...] = (
    "speech_absent",  # voice activity found nobody speaking
    "transcript_unreliable",  # the transcriber was unsure or looped: its words were not scored
    "likely_accidental",  # the words are hardly spoken to the device: people among themselves
    "media_playback_likely",  # music is heard, so this may be a film or a song, not the room
    "silent",  # nothing above the floor of hearing
    "clipped",  # the loudest samples were cut off at full scale
    "noisy",  # little distance between the loud and the quiet parts
    "damaged",  # part of the audio could not be read; what could be was scored
    "stage_failed",  # a part of Triage failed; the decision asks for a human look
)
