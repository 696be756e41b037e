"""What the receiver does wrong on purpose, decided once per request."""

import dataclasses
import threading

SIMPLE = ("none", "nonsense", "reject", "hang")
NUMBERED = ("slow", "partial", "fail-first", "unavailable")


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
        if kind in NUMBERED and (number or kind == "unavailable"):
            return cls(kind, float(number or 0))
        raise ValueError(f"unknown fault {text!r}: one of {', '.join(SIMPLE + NUMBERED)}; the last four take :NUMBER")


class Switch:
    """The current fault; shared by all ends, changed by the control end."""

    def __init__(self, text, stop):
        self.stop = stop
        self._lock = threading.Lock()
        self.set(text)

    def set(self, text):
        fault = Fault.parse(text)
        with self._lock:
            self._fault = fault
            self._failures_left = int(fault.number) if fault.kind == "fail-first" else 0

    def decide(self):
        """The fault for one request: never `fail-first`, that is resolved here."""
        with self._lock:
            if self._fault.kind != "fail-first":
                return self._fault
            if self._failures_left == 0:
                return Fault("none")
            self._failures_left -= 1
            return Fault("unavailable")

    def pause(self, fault):
        """Waits as `slow` and `hang` ask for; returns early when the receiver stops."""
        if fault.kind == "slow":
            self.stop.wait(fault.number)
        elif fault.kind == "hang":
            self.stop.wait()
