"""What the receiver does wrong on purpose, decided once per request."""

import collections
import dataclasses
import threading

SIMPLE = ("none", "nonsense", "garbage", "reject", "hang", "cut-before", "cut-after")
NUMBERED = ("slow", "partial", "unavailable", "throttled", "too-large")
# These have a meaning without a number too.
OPTIONAL = ("unavailable", "throttled")


@dataclasses.dataclass(frozen=True)
class Fault:
    """One kind of misbehaviour, with its number where it has one."""

    kind: str
    number: float = 0

    @classmethod
    def parse(cls, text):
        kind, _, number = text.partition(":")
        if kind in SIMPLE and not number:
            return cls(kind)
        if kind in NUMBERED and (number or kind in OPTIONAL):
            return cls(kind, float(number or 0))
        raise ValueError(f"unknown fault {text!r}: one of {', '.join(SIMPLE + NUMBERED)}; the last five take :NUMBER")


NONE = Fault("none")


class Switch:
    """The current fault; shared by all ends, changed by the control end.

    `first-N:FAULT` is met by the first N requests of each signal over each transport, `fail-first:N` by the first N
    of all and then it is `unavailable`.
    """

    def __init__(self, text, stop):
        self.stop = stop
        self._lock = threading.Lock()
        self.set(text)

    def set(self, text):
        first, _, rest = text.partition(":")
        limit, of_all = None, first == "fail-first"
        if of_all:
            limit, rest = float(rest), "unavailable"
        elif first.startswith("first-"):
            limit = float(first.removeprefix("first-"))
        fault = Fault.parse(text if limit is None else rest)
        with self._lock:
            self._fault, self._limit, self._of_all = fault, limit, of_all
            self._met = collections.Counter()

    def decide(self, transport, signal, size):
        """The fault for one request of so many bytes."""
        with self._lock:
            fault = self._fault
            fits = fault.kind == "too-large" and size <= fault.number
            # What is to be cut before it is read whole does not come here.
            if fits or fault.kind == "cut-before" or not self._meets(transport, signal):
                return NONE
            return fault

    def cuts_before(self, transport, signal):
        """Whether a request, or a connection where requests cannot be told yet, is not to be read whole."""
        with self._lock:
            return self._fault.kind == "cut-before" and self._meets(transport, signal)

    def _meets(self, transport, signal):
        key = None if self._of_all else (transport, signal)
        if self._limit is not None and self._met[key] >= self._limit:
            return False
        self._met[key] += 1
        return True

    def pause(self, fault):
        """Waits as `slow` and `hang` ask for; returns early when the receiver stops."""
        if fault.kind == "slow":
            self.stop.wait(fault.number)
        elif fault.kind == "hang":
            self.stop.wait()
