"""The utterances that a data set goes without, and why."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from keras_contextnet.data.manifest import Utterance

logger = logging.getLogger(__name__)


class SkippedUtterances:
    """Utterances that were left out: counted, and each named once in the log.

    `len()` is their number, and iteration gives `(utterance, reason)`. More may be added while
    audio is read, from several threads.

    Example:

    ```python
    from keras_contextnet.data import EpochPlan, example_utterances
    from keras_contextnet.text import english_tokenizer

    plan = EpochPlan(example_utterances(), english_tokenizer(), max_duration=4.0)
    print(len(plan.skipped), "left out")
    for utterance, reason in plan.skipped:
        print(utterance.id, reason)  # ... Expected at most max_duration=4. Received: 4.88.
    ```
    """

    def __init__(self):
        self._reasons: dict[Utterance, str] = {}
        self._lock = threading.Lock()

    def add(self, utterance: Utterance, reason: str, level: int = logging.WARNING) -> None:
        """Counts an utterance and logs it, unless it is known already.

        Args:
            utterance: What is left out.
            reason: Why, a sentence or more.
            level: Of `logging`: `WARNING` for what is wrong, `INFO` for what was asked for.
        """
        with self._lock:
            if utterance in self._reasons:
                return
            self._reasons[utterance] = reason
        logger.log(level, "Left out %s. %s", utterance.id, reason)

    def __len__(self) -> int:
        return len(self._reasons)

    def __contains__(self, utterance: Utterance) -> bool:
        return utterance in self._reasons

    def __iter__(self) -> Iterator[tuple[Utterance, str]]:
        with self._lock:
            return iter(list(self._reasons.items()))
