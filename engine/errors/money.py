"""Ledger, margin, cost, sizing, routing and validation."""

from __future__ import annotations

from engine._core.types import Status
from engine.errors.base import Bot4Error
from engine.errors.memory import BadSize


class LedgerError(Bot4Error, ValueError):
    code = "BOT4-130"
    sentence = "The ledger refused a posting; no account was changed."
    remedy = "A fill that cannot be posted is an incident: stop the engine and reconcile with the venue."


class LedgerUnknownSymbol(LedgerError, LookupError):
    code = "BOT4-131"
    sentence = "A posting names an instrument that the ledger was not set up for."
    status = Status.LEDGER_UNKNOWN_SYMBOL


class LedgerUnknownAsset(LedgerError, LookupError):
    code = "BOT4-132"
    sentence = "A posting names an asset that the ledger was not set up for."
    status = Status.LEDGER_UNKNOWN_ASSET


class LedgerBadAmount(LedgerError):
    code = "BOT4-133"
    sentence = "A price, quantity or amount is zero, negative, or takes back more than was ever posted."
    status = Status.LEDGER_BAD_AMOUNT


class LedgerOverflow(LedgerError, OverflowError):
    code = "BOT4-134"
    sentence = "An amount or a balance would pass its limit."
    status = Status.LEDGER_OVERFLOW


class LedgerUnbalanced(LedgerError):
    code = "BOT4-135"
    sentence = "The legs of a posting do not sum to zero in each asset."
    status = Status.LEDGER_UNBALANCED


class LedgerStaleMark(LedgerError):
    code = "BOT4-136"
    sentence = "A mark price is missing or too old, so no value is given."
    remedy = "Wait for a fresh mark price; the detail names the asset or instrument."
    status = Status.LEDGER_STALE_MARK


class LedgerBadSetup(LedgerError):
    code = "BOT4-137"
    sentence = "The ledger cannot be set up like this."
    remedy = "Correct the assets, instruments or capacities; the detail names the field."
    status = Status.LEDGER_BAD_SETUP


class LedgerUnreconciled(LedgerError):
    code = "BOT4-138"
    sentence = "A balance and the venue's statement differ by more than the tolerance."
    remedy = "The engine halts: find the missing fill, fee or transfer before trading goes on."
    status = Status.LEDGER_UNRECONCILED


class LedgerNoBase(LedgerError):
    code = "BOT4-139"
    sentence = "Equity was not established yet, or is not above zero, so nothing can be measured from it."
    remedy = "Wait for the first valuation with fresh marks."
    status = Status.LEDGER_NO_BASE


class MarginError(Bot4Error, ValueError):
    code = "BOT4-140"
    sentence = "The margin rules refused this."
    remedy = "`bot4 status` shows balance, used and available margin and their age."


class MarginMissing(MarginError, LookupError):
    code = "BOT4-141"
    sentence = "The margin account is not known, and an unknown account passes nothing."
    status = Status.MARGIN_MISSING


class MarginStale(MarginError):
    code = "BOT4-142"
    sentence = "The margin account is older than allowed."
    status = Status.MARGIN_STALE


class MarginInsufficient(MarginError):
    code = "BOT4-143"
    sentence = "Available margin is below 110 % of what is required."
    status = Status.MARGIN_INSUFFICIENT


class MarginLeverage(MarginError):
    code = "BOT4-144"
    sentence = "The leverage is above what the bracket of this notional allows."
    status = Status.MARGIN_LEVERAGE


class MarginAboveTiers(MarginError):
    code = "BOT4-145"
    sentence = "The notional lies above the last bracket."
    status = Status.MARGIN_ABOVE_TIERS


class MarginBadTiers(MarginError):
    code = "BOT4-146"
    sentence = "The margin brackets have gaps, fall, or do not join continuously."
    remedy = "Load the venue's brackets again; the detail names the first wrong one."
    status = Status.MARGIN_BAD_TIERS


class MarginNoLiquidation(MarginError):
    code = "BOT4-147"
    sentence = "No price liquidates this position."
    remedy = "Nothing to do: the collateral covers the whole position."
    status = Status.MARGIN_NO_LIQUIDATION


class MarginNotReducing(MarginError):
    code = "BOT4-148"
    sentence = "A reduce-only order would not reduce a position that is known now."
    status = Status.MARGIN_NOT_REDUCING


class MarginOverflow(MarginError, OverflowError):
    code = "BOT4-149"
    sentence = "A margin amount does not fit into 63 bits."
    status = Status.MARGIN_OVERFLOW


class CostError(Bot4Error, ValueError):
    code = "BOT4-150"
    sentence = "The cost of an order cannot be stated."
    remedy = "Without its complete cost an order is not sent."


class FeesOld(CostError):
    code = "BOT4-151"
    sentence = "The fee table is older than a minute; it still counts."
    remedy = "Look why its refresh is late."
    status = Status.FEES_OLD


class FeesStale(CostError):
    code = "BOT4-152"
    sentence = "The fee table is older than five minutes and is not used any more."
    remedy = "Refresh it from the venue."
    status = Status.FEES_STALE


class FeesUnknownVenue(CostError, LookupError):
    code = "BOT4-153"
    sentence = "No fees are known for this venue and market."
    remedy = "Add its file under config/fees."
    status = Status.FEES_UNKNOWN_VENUE


class FeesBadSchedule(CostError):
    code = "BOT4-154"
    sentence = "A fee schedule is not well-formed."
    remedy = "Correct the file; the detail names it and the entry."
    status = Status.FEES_BAD_SCHEDULE


class CostDepthShort(CostError):
    code = "BOT4-155"
    sentence = "The book does not hold enough to fill this quantity."
    status = Status.COST_DEPTH_SHORT


class CostOverflow(CostError, OverflowError):
    code = "BOT4-156"
    sentence = "A cost does not fit into 63 bits."
    status = Status.COST_OVERFLOW


class CostBadInput(CostError):
    code = "BOT4-157"
    sentence = "A price, quantity, rate or equity lies outside its range."
    status = Status.COST_BAD_INPUT


class SizeBelowMinimum(CostError):
    code = "BOT4-158"
    sentence = "The largest size under all caps is below the venue's minimum."
    remedy = "No order is the right order here; the detail names the cap that binds."
    status = Status.SIZE_BELOW_MINIMUM


class MarketDataError(Bot4Error, ValueError):
    code = "BOT4-1000"
    sentence = "An event of a venue was refused before anything saw it."
    remedy = "`bot4 data` counts refusals per symbol and reason; if one grows, look at that venue's feed."


class DataInvalid(MarketDataError):
    code = "BOT4-1020"
    sentence = "An event contradicts itself, its instrument or what was seen before it."


class DataMissing(MarketDataError, LookupError):
    code = "BOT4-1021"
    sentence = "Something that a venue has to send is not there."


class DataBadKind(DataInvalid):
    code = "BOT4-1001"
    sentence = "An event is of a kind that does not come from a venue."
    status = Status.VALIDATE_BAD_KIND


class DataBadSymbol(DataInvalid, LookupError):
    code = "BOT4-1002"
    sentence = "An event names a symbol that was never configured."
    status = Status.VALIDATE_BAD_SYMBOL


class DataBadPrice(DataInvalid):
    code = "BOT4-1003"
    sentence = "A price is zero or negative."
    status = Status.VALIDATE_BAD_PRICE


class DataBadQuantity(DataInvalid):
    code = "BOT4-1004"
    sentence = "A quantity is negative, or zero where something was traded."
    status = Status.VALIDATE_BAD_QUANTITY


class DataPriceRange(DataInvalid):
    code = "BOT4-1005"
    sentence = "A price lies beyond the range of its instrument."
    status = Status.VALIDATE_PX_RANGE


class DataQuantityRange(DataInvalid):
    code = "BOT4-1006"
    sentence = "A quantity lies beyond the largest of its instrument."
    status = Status.VALIDATE_QTY_RANGE


class DataBadBar(DataInvalid):
    code = "BOT4-1007"
    sentence = "The figures of a bar contradict each other."
    status = Status.VALIDATE_BAD_BAR


class DataStale(MarketDataError, TimeoutError):
    code = "BOT4-1008"
    sentence = "An event is older than its class may be."
    status = Status.VALIDATE_STALE


class DataNoTime(DataMissing):
    code = "BOT4-1009"
    sentence = "An event carries no venue time and its class must have one."
    status = Status.VALIDATE_NO_TIME


class DataNoId(DataMissing):
    code = "BOT4-1010"
    sentence = "An event carries no venue number and its class must have one."
    status = Status.VALIDATE_NO_ID


class DataSilent(DataMissing, TimeoutError):
    code = "BOT4-1011"
    sentence = "A symbol was silent for longer than its limit."
    status = Status.VALIDATE_SILENT


class DataOutOfOrder(DataInvalid):
    code = "BOT4-1012"
    sentence = "A venue number or time runs backwards."
    status = Status.VALIDATE_ORDER


class DataDuplicate(DataInvalid):
    code = "BOT4-1013"
    sentence = "An event has come before."
    status = Status.VALIDATE_DUPLICATE


class DataCrossed(DataInvalid):
    code = "BOT4-1014"
    sentence = "A bid stands at or above an ask."
    status = Status.VALIDATE_CROSSED


class DataOffBand(DataInvalid):
    code = "BOT4-1015"
    sentence = "A price is too far from the reference price."
    status = Status.VALIDATE_BAND


class DataSpike(DataInvalid):
    code = "BOT4-1016"
    sentence = "A price steps too far from the one before it, and nothing has confirmed it."
    status = Status.VALIDATE_SPIKE


class DataClock(DataInvalid):
    code = "BOT4-1017"
    sentence = "A venue time lies in the future, or is no time at all."
    status = Status.VALIDATE_CLOCK


class DataTorn(DataInvalid):
    code = "BOT4-1018"
    sentence = "A message lacks its beginning or its end."
    status = Status.VALIDATE_TORN


class DataCondemned(DataInvalid):
    code = "BOT4-1019"
    sentence = "An earlier part of the same message was refused."
    status = Status.VALIDATE_CONDEMNED


class DataBadConfig(BadSize):
    code = "BOT4-1031"
    sentence = "The limits for a symbol's data are impossible."
    status = Status.VALIDATE_BAD_CONFIG


class RouteError(Bot4Error, RuntimeError):
    code = "BOT4-1050"
    sentence = "An order could not be routed; nothing was sent."
    remedy = "The detail names each venue and why it was passed over."


class RouteNone(RouteError):
    code = "BOT4-1051"
    sentence = "No venue can take this order."
    status = Status.ROUTE_NONE


class RouteBadAsk(RouteError, ValueError):
    code = "BOT4-1052"
    sentence = "What should be routed is impossible: quantity, policy or number of parts."
    status = Status.ROUTE_BAD_ASK


class RouteUnknownGroup(RouteError, LookupError):
    code = "BOT4-1053"
    sentence = "No instruments are grouped under this number."
    status = Status.ROUTE_UNKNOWN_GROUP


class RouteOrderLive(RouteError, PermissionError):
    code = "BOT4-1054"
    sentence = "The order may still be live at its venue, so it is not sent to another."
    remedy = "Wait until the venue says how the order ended; only then its rest may go elsewhere."
    status = Status.ROUTE_ORDER_LIVE


class RouteBadConfig(BadSize):
    code = "BOT4-1055"
    sentence = "The groups of venues, or a venue's steps, are impossible."
    status = Status.ROUTE_BAD_CONFIG
