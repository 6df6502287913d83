"""Words and windows: nothing that was said stays unread, and no word is scored by its company."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnxruntime import InferenceSession
from tokenizers import Tokenizer

from triage.records import Floats
from triage.text import LONGEST_WORD, WINDOW, TextEncoder, TokenWindow, spoken_words

# The real encoder takes some milliseconds a window, and is the same for every example.
with_encoder = settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SPOKEN = st.text("abcdefghijklmnopqrstuvwxyz'", max_size=LONGEST_WORD).map(lambda w: f"a{w}"[:32])
WORDS = st.lists(SPOKEN, min_size=1, max_size=120)
MANY = tuple(f"word{number}" for number in range(300))


# Words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Call my Sister, please!", ["call", "my", "sister", "please"]),
        ("don\u2019t  'stop'", ["don't", "stop"]),
        ("well-known snake_case", ["well", "known", "snake", "case"]),
        ("\uff28\uff25\uff2c\uff30 \u2460", ["help", "1"]),
        ("cafe\u0301", ["caf\u00e9"]),
        ("STRASSE Stra\u00dfe", ["strasse", "stra\u00dfe"]),
        ("9:30 a.m.", ["9", "30", "a", "m"]),
        ("\ud800 ?! ''' \u200b", []),
        ("", []),
        ("x" * 70, ["x" * 32, "x" * 32, "x" * 6]),
    ],
)
def test_words_as_a_transcriber_would_write_them(text: str, words: list[str]) -> None:
    assert spoken_words(text) == words


@given(st.text())
@example("\u0130stanbul \u1e9e \u03a3\u03a3 \u01c5")
def test_spoken_words_of_spoken_words_are_the_same(text: str) -> None:
    words = spoken_words(text)
    assert spoken_words(" ".join(words)) == words


@pytest.mark.parametrize("text", ["a" * 31 + "'b", "a" * 32 + "'b", "a" + "'" * 70 + "b"])
def test_a_long_word_that_is_cut_at_an_apostrophe_loses_it(text: str) -> None:
    words = spoken_words(text)
    assert words == [word.strip("'") for word in words if word.strip("'")]


def test_every_character_there_is_becomes_words_once_and_for_all() -> None:
    text = " ".join(map(chr, range(sys.maxunicode + 1)))
    words = spoken_words(text)
    assert spoken_words(" ".join(words)) == words
    assert len(words) > 100_000


@given(st.text())
def test_no_upper_case_and_no_punctuation(text: str) -> None:
    for word in spoken_words(text):
        assert word == word.lower()
        assert re.fullmatch(r"[^\W_]([^\W_]|')*", word)
        assert len(word) <= LONGEST_WORD


@given(
    st.lists(SPOKEN.map(lambda word: word.strip("'"))), st.sampled_from([" ", ", ", "\n", "?! "])
)
def test_what_stands_between_words_does_not_matter(words: list[str], between: str) -> None:
    assert spoken_words(between.join(words).upper()) == words


@given(st.text(), st.text())
def test_words_of_two_texts_are_the_words_of_each(one: str, other: str) -> None:
    assert spoken_words(f"{one} {other}") == spoken_words(one) + spoken_words(other)


# A window as a vector -----------------------------------------------------------------------


@st.composite
def token_windows(draw: st.DrawFn) -> tuple[TokenWindow, Floats]:
    """A window of any tokens, and a head's weights."""
    tokens, width = draw(st.integers(3, 12)), draw(st.integers(1, 6))
    values = st.floats(-8, 8, width=16)
    inside = sorted(draw(st.lists(st.integers(0, 9), min_size=tokens - 2, max_size=tokens - 2)))
    return (
        TokenWindow(
            draw(hnp.arrays(np.float32, (tokens, width), elements=values)),
            np.array([-1, *inside, -1]),
        ),
        draw(hnp.arrays(np.float32, width, elements=values)),
    )


@given(token_windows())
def test_shares_of_words_and_framing_add_up_to_the_log_odds(
    of: tuple[TokenWindow, Floats],
) -> None:
    window, weights = of
    shares = window.shares(weights)
    assert set(shares) == set(window.words.tolist()) - {-1}
    length = max(float(np.linalg.norm(window.vectors.mean(axis=0))), 1e-9)
    framing = window.vectors[[0, -1]].sum(axis=0) @ weights / (len(window.vectors) * length)
    size = float(np.abs(window.vectors @ weights).sum()) / (len(window.vectors) * length)
    logit = float(window.pooled @ weights)
    assert sum(shares.values()) + framing == pytest.approx(logit, abs=1e-5 * (1 + size))


def test_a_words_share_is_that_of_all_its_pieces() -> None:
    vectors = np.array([[9], [1], [2], [4], [9]], np.float32)
    shares = TokenWindow(vectors, np.array([-1, 3, 3, 4, -1])).shares(np.ones(1, np.float32))
    assert shares == pytest.approx({3: 3 / 25, 4: 4 / 25})


@given(token_windows())
def test_a_window_is_a_vector_of_length_one(of: tuple[TokenWindow, Floats]) -> None:
    window, _ = of
    mean = window.vectors.mean(axis=0)
    if np.linalg.norm(mean) > 1e-3:
        assert np.linalg.norm(window.pooled) == pytest.approx(1, abs=1e-5)
        assert window.pooled * np.linalg.norm(mean) == pytest.approx(mean, abs=1e-5)


def test_a_window_of_nothing_is_no_division_by_zero() -> None:
    window = TokenWindow(np.zeros((3, 4), np.float32), np.array([-1, 0, -1]))
    assert window.pooled.tolist() == [0.0] * 4
    assert window.shares(np.ones(4, np.float32)) == {0: 0.0}


def test_the_words_stay_out_of_repr() -> None:
    assert repr(TokenWindow(np.ones((1, 2), np.float32), np.array([7]))) == "TokenWindow()"


# The encoder --------------------------------------------------------------------------------


@pytest.mark.models
@with_encoder
@given(words=WORDS)
@example(words=list(MANY))
@example(words=["a"] * WINDOW)
@example(words=["a"] * (WINDOW + 1))
@example(words=["x" * LONGEST_WORD] * 20)
@example(words=["\u4e2d" * LONGEST_WORD] * 5)
def test_no_word_stays_unread(text_encoder: TextEncoder, words: list[str]) -> None:
    (windows,) = text_encoder.windows([words])
    read = {int(word) for window in windows for word in window.words}
    assert read == {-1, *range(len(words))}
    for window in windows:
        assert window.words[[0, -1]].tolist() == [-1, -1]
        assert (np.diff(window.words[1:-1]) >= 0).all()
        assert window.vectors.shape == (len(window.words), text_encoder.width)
        assert 2 < len(window.words) <= WINDOW + 2


@pytest.mark.models
@pytest.mark.parametrize("words", [MANY, ("abcdefghijkl",) * 100], ids=["short", "long"])
def test_every_word_is_whole_and_has_neighbours_in_one_window(
    text_encoder: TextEncoder, words: tuple[str, ...]
) -> None:
    (windows,) = text_encoder.windows([words])
    pieces = [0] * len(words)
    for index, word in enumerate(words):
        pieces[index] = len(text_encoder.windows([[word]])[0][0].words) - 2
    for index in range(1, len(words) - 1):
        assert any(
            {index - 1, index + 1} <= set(window.words.tolist())
            and (window.words == index).sum() == pieces[index]
            for window in windows
        )


@pytest.mark.models
@pytest.mark.parametrize(
    ("pieces", "windows"), [(1, 1), (94, 1), (95, 2), (141, 2), (142, 3), (188, 3)]
)
def test_no_more_windows_than_it_takes(
    text_encoder: TextEncoder, pieces: int, windows: int
) -> None:
    assert len(text_encoder.windows([["a"] * pieces])[0]) == windows


@pytest.mark.models
@with_encoder
@given(texts=st.lists(st.lists(SPOKEN, max_size=30), min_size=2, max_size=4))
@example(texts=[["stop"], ["run"], ["water"], ["they"], ["sing"]])
def test_a_text_is_read_alike_alone_and_in_any_company(
    text_encoder: TextEncoder, texts: list[list[str]]
) -> None:
    pooled = text_encoder.pooled(texts)
    for row, (words, windows) in enumerate(zip(texts, text_encoder.windows(texts), strict=True)):
        (alone,) = text_encoder.windows([words])
        assert len(windows) == len(alone)
        for one, other in zip(windows, alone, strict=True):
            assert np.array_equal(one.vectors, other.vectors)
            assert np.array_equal(one.words, other.words)
        first = alone[0].pooled if words else np.zeros(text_encoder.width, np.float32)
        assert np.array_equal(pooled[row], first)


@pytest.mark.models
def test_a_window_is_framed_as_the_tokenizer_frames_a_sentence(
    text_encoder: TextEncoder, model: Path
) -> None:
    words = spoken_words("They don't answer the telephone any longer")
    tokenizer = Tokenizer.from_file(str(model / "text" / "tokenizer.json"))
    tokenizer.no_padding()
    ids = np.array([tokenizer.encode(words, is_pretokenized=True).ids])
    session = InferenceSession(model / "text" / "encoder.onnx")
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    ((window,),) = text_encoder.windows([words])
    assert window.vectors == pytest.approx(session.run(None, feed)[0][0], abs=1e-5)


@pytest.mark.models
def test_threads_change_nothing(text_encoder: TextEncoder, model: Path) -> None:
    single = TextEncoder(model / "text", threads=1)
    for one, other in zip(single.windows([MANY])[0], text_encoder.windows([MANY])[0], strict=True):
        assert np.array_equal(one.vectors, other.vectors)


@pytest.mark.models
def test_no_words_no_windows(text_encoder: TextEncoder) -> None:
    assert text_encoder.windows([]) == []
    assert text_encoder.windows([[], []]) == [[], []]
    assert text_encoder.pooled([]).shape == (0, text_encoder.width)
    assert not text_encoder.pooled([[]]).any()


@pytest.mark.models
def test_words_that_mean_the_same_lie_closer(text_encoder: TextEncoder) -> None:
    """The graph, the tokenizer and the pooling belong together."""
    lines = ["turn the lights off", "switch off the lamp", "my train leaves at noon"]
    near, far = (lambda v: (v[0] @ v[1], v[0] @ v[2]))(
        text_encoder.pooled([spoken_words(line) for line in lines])
    )
    assert near > far + 0.2
