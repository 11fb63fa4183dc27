"""A naive ledger, to compare the engine with: every credit is an object in a list.

Written from DESIGN sections 4 and 5 and sharing no code with the engine: it knows no sums, no
entries and no allocations. Time is a whole number of seconds. Its caps are in `naive_caps`.
"""

from collections.abc import Mapping

from gatekeeper.types import Every
from tests.ledger.naive_shelves import NaiveShelves
from tests.ledger.naive_things import Due, NaiveHold, Refused, Shelf


class NaiveLedger(NaiveShelves):
    """What can be asked of one account."""

    def refresh(
        self,
        due: list[Due],
        ended: set[str],
        suspended: set[str],
        caps: Mapping[Every, int],
        now: int,
    ) -> None:
        """Give what is due and take away what is over."""
        for one in due:
            self._give_due(one, now)
        for shelf in self.shelves:
            self._begin(shelf, now)
            renewed_no_more = shelf.series in ended and (
                not shelf.keep or (shelf.end is not None and shelf.end <= now)
            )
            if shelf.is_over(now) or renewed_no_more:
                if shelf.series is not None and shelf.series not in ended and not shelf.closed:
                    self.lapsed.append((shelf.series, shelf.end, len(self._free(shelf))))
                self._close(shelf, now)
            shelf.paused = shelf.series in suspended
            shelf.lapses = shelf.lapses or (shelf.series in ended and not shelf.keep)
        for key, (one, _) in self.given.items():
            if one.series in ended:
                self.rooms[key] = 0
        self.caps.set_plan(caps, now)
        self._forgive(now)

    def grant(
        self,
        name: str,
        amount: int,
        now: int,
        *,
        priority: int,
        begins: int | None,
        expires: int | None,
        source: str,
    ) -> None:
        """Add credits, once for each source."""
        if source in self.sources:
            return
        if amount < 1 or (begins is not None and expires is not None and expires <= begins):
            raise Refused("invalid_amount")
        self.sources.add(source)
        shelf = Shelf(name, now, priority, expires)
        if begins is not None and begins > now:
            shelf.pending, shelf.begins = amount, begins
            self.shelves.append(shelf)
        else:
            self._put(shelf, amount)

    def reserve(
        self, name: str, amount: int, now: int, *, expires: int, partial: bool, scope: str
    ) -> None:
        """Claim credits for a hold."""
        if amount < 1 or expires <= now:
            raise Refused("invalid_amount")
        claimed = self._claim(name, amount, now, partial=partial, scope=scope)
        self.holds[name] = NaiveHold(name, claimed, expires, now, scope)

    def capture(
        self, name: str, amount: int | None, now: int, *, overrun: str, final: bool
    ) -> None:
        """Spend the first credits of a hold; give the rest back, or keep it."""
        hold = self._open(name, now)
        there = len(hold.credits)
        wanted = there if amount is None else amount
        if wanted < 0:
            raise Refused("invalid_amount")
        if wanted > there and overrun == "refuse":
            raise Refused("hold_overrun")
        spent, rest = hold.credits[:wanted], hold.credits[wanted:]
        for credit in spent:
            self._spend(credit)
        if wanted > there and overrun == "overage":
            spent = spent + self._use_beyond(name, wanted - there, now, hold.scope)
        if wanted > len(spent):
            hold.overrun += wanted - len(spent)
        hold.captured += len(spent)
        if not final and rest:
            hold.credits = rest
            return
        for credit in rest:
            self._give_back(credit, now)
        self.caps.give_back(len(rest), hold.scope, hold.made, now)
        hold.status = "captured"

    def release(self, name: str, now: int) -> None:
        """Give all of a hold back."""
        self._end(self._open(name, now), "released", now)

    def expire(self, name: str, now: int) -> None:
        """Give all of a hold back if its time is over."""
        hold = self._unended(name)
        if hold.expires <= now:
            self._end(hold, "expired", now)

    def extend(self, name: str, now: int, *, expires: int, more: int) -> None:
        """Keep a hold longer, and claim more for it."""
        hold = self._open(name, now)
        if more < 0:
            raise Refused("invalid_amount")
        if more:
            hold.credits.extend(self._claim(name, more, now, partial=False, scope=hold.scope))
            order = self._in_burn_order()
            hold.credits.sort(key=lambda credit: order.index(credit.shelf))
        hold.expires = max(hold.expires, expires)

    def claw_back(self, amount: int, grant: str | None, now: int) -> None:
        """Take credits back; the missing ones are owed."""
        if amount < 1:
            raise Refused("invalid_amount")
        own = [shelf for shelf in self._in_burn_order() if shelf.name == grant]
        for shelf in own:
            taken = min(amount, shelf.pending)
            shelf.pending -= taken
            amount -= taken
        others = [shelf for shelf in self._in_burn_order() if shelf.name != grant]
        for shelf in own + others:
            if shelf.mints or shelf.is_over(now):
                continue
            for credit in self._free(shelf)[:amount]:
                self.credits.remove(credit)
                amount -= 1
        self.debt += amount
        self._forgive(now)

    def revoke(self, grant: str | None, now: int) -> None:
        """End a grant on purpose."""
        for shelf in self.shelves:
            if shelf.name == grant:
                self._close(shelf, now)
                shelf.lapses = True

    def set_cap(self, every: Every, limit: int | None, scope: str, used: int, now: int) -> None:
        """Set a cap of the host's."""
        self.caps.set_host(every, limit, scope, used, now)

    def tell_of_expiry(self, now: int) -> None:
        """Tell of each grant that is about to expire, once."""
        for shelf in self.untold(now):
            assert shelf.expires is not None
            if self.notice is not None and shelf.expires - self.notice <= now:
                shelf.told = True
                self.told["grant.expiring"] += 1

    def tell(self, before: int, now: int) -> None:
        """Tell of the thresholds that were crossed since there were `before` credits."""
        after = self.unspent()
        endless = any(shelf.is_endless(now) for shelf in self.shelves)
        for kind, threshold in (("credits.low", self.low), ("credits.exhausted", 0)):
            if threshold is None:
                continue
            if after > threshold:
                self.latched.discard(kind)
            elif after < before and not endless and kind not in self.latched:
                self.latched.add(kind)
                self.told[kind] += 1
