"""Where the phones of a recording are."""

import subprocess
from dataclasses import dataclass

import numpy as np

SILENCE = "SIL"


@dataclass(frozen=True)
class Phone:
    """A phone where it was said, in frames."""

    name: str
    start: int
    length: int
    first: bool = False  # of its word

    @property
    def end(self) -> int:
        """The frame after it."""
        return self.start + self.length

    @property
    def middle(self) -> int:
        """The frame to cut at."""
        return self.start + self.length // 2


class PhoneAligner:
    """Finds the phones of a recording whose text is known, with pocketsphinx."""

    def __init__(self):
        from pocketsphinx import Decoder

        # Its search for phones fails on most paths that a second look (bestpath) has chosen.
        self._decoder = Decoder(lm=None, bestpath=False, loglevel="FATAL")

    def pronounce(self, word: str) -> list[str]:
        """Returns a word's phones: the dictionary's, or else what flite makes of its letters."""
        phones = self._decoder.lookup_word(word)
        if phones is None:
            command = ["flite", "-t", word.replace("'", ""), "-ps", "-o", "none"]
            spoken = subprocess.run(command, text=True, capture_output=True, check=True).stdout
            names = [phone.upper() for phone in spoken.split() if phone != "pau"]
            phones = " ".join("AH" if name == "AX" else name for name in names)
            self._decoder.add_word(word, phones)
        return phones.split()

    def align(self, waveform: np.ndarray, text: str) -> list[Phone]:
        """Returns all phones and silences, or none where the text does not fit."""
        for word in text.split():
            self.pronounce(word)
        pcm = (np.clip(waveform, -1, 1) * 32767).astype("int16").tobytes()
        try:
            self._decoder.set_align_text(text)
            self._hear(pcm)
            if self._decoder.hyp() is None:
                return []
            self._decoder.set_alignment()
            self._hear(pcm)
        except RuntimeError:
            return []
        words = self._decoder.get_alignment()
        return [
            Phone(phone.name, phone.start, phone.duration, first=index == 0)
            for word in words
            for index, phone in enumerate(word)
        ]

    def _hear(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
