"""Utterances that are too long, or that have more text than can be said in their time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UtteranceLimits:
    """What an utterance may be at most. `None` is no limit.

    Args:
        max_duration: Seconds.
        max_tokens: Tokens in the transcript.
        max_tokens_per_second: Tokens in the transcript to seconds of audio.
    """

    max_duration: float | None = None
    max_tokens: int | None = None
    max_tokens_per_second: float | None = None

    @property
    def are_of_time(self) -> bool:
        """Whether it takes an utterance's duration to say that it is within them."""
        return self.max_duration is not None or self.max_tokens_per_second is not None

    def exceeded_by(self, duration: float, tokens: int) -> str | None:
        """Says which limit an utterance is above, or returns `None`.

        Args:
            duration: Its length, in seconds.
            tokens: The tokens in its transcript.
        """
        values = {
            "max_duration": duration,
            "max_tokens": tokens,
            "max_tokens_per_second": tokens / duration,
        }
        for name, value in values.items():
            limit = getattr(self, name)
            if limit is not None and value > limit:
                return f"Expected at most {name}={limit:g}. Received: {value:g}."
        return None
