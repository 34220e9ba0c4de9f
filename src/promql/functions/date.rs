//! Calendar functions: seconds since 1970 as a date of the proleptic Gregorian calendar, in UTC. Days are turned into
//! dates by counting years from March, so that the leap day comes last.

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i128 = 719_468;
/// Days in 400 years.
const DAYS_IN_CYCLE: i128 = 146_097;
const SECONDS_IN_DAY: i64 = 86_400;

/// A date and the seconds of its day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: u32,
    /// 1 to 31.
    pub(crate) day: u32,
    /// 0 is Sunday.
    pub(crate) weekday: u32,
    seconds: i64,
}

/// What a function asks of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatePart {
    DaysInMonth,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Month,
    Year,
}

impl DatePart {
    /// The one that the function called `name` gives.
    pub(crate) fn of_function(name: &str) -> Option<Self> {
        Some(match name {
            "days_in_month" => Self::DaysInMonth,
            "day_of_month" => Self::DayOfMonth,
            "day_of_week" => Self::DayOfWeek,
            "day_of_year" => Self::DayOfYear,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    /// The part of the date `seconds` after 1970.
    pub(crate) fn at(self, seconds: f64) -> f64 {
        let date = Date::of_seconds(whole(seconds));
        match self {
            Self::DaysInMonth => f64::from(days_in_month(date.year, date.month)),
            Self::DayOfMonth => f64::from(date.day),
            Self::DayOfWeek => f64::from(date.weekday),
            Self::DayOfYear => f64::from(date.day_of_year()),
            Self::Hour => date.hour() as f64,
            Self::Minute => date.minute() as f64,
            Self::Month => f64::from(date.month),
            Self::Year => date.year as f64,
        }
    }
}

/// Cut to an integer as amd64 does it: what does not fit is the least one.
fn whole(v: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&v) {
        v as i64
    } else {
        i64::MIN
    }
}

impl Date {
    /// The date `seconds` after 1970-01-01T00:00:00Z.
    pub(crate) fn of_seconds(seconds: i64) -> Self {
        let day_number = wrapped_days(seconds);
        let since_march = day_number + DAYS_TO_1970;
        let cycle = since_march.div_euclid(DAYS_IN_CYCLE);
        let day_of_cycle = since_march.rem_euclid(DAYS_IN_CYCLE);
        let leap_days = day_of_cycle / 1460 - day_of_cycle / 36_524 + day_of_cycle / 146_096;
        let year_of_cycle = (day_of_cycle - leap_days) / 365;
        let day_of_year =
            day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_cycle + cycle * 400 + i128::from(month <= 2);
        Self {
            year: i64::try_from(year).unwrap_or(i64::MAX),
            month: u32::try_from(month).unwrap_or(1),
            day: u32::try_from(day).unwrap_or(1),
            // 1970-01-01 was a Thursday.
            weekday: u32::try_from((day_number + 4).rem_euclid(7)).unwrap_or(0),
            seconds: wrapped_seconds(seconds),
        }
    }

    pub(crate) fn hour(&self) -> i64 {
        self.seconds / 3600
    }

    pub(crate) fn minute(&self) -> i64 {
        self.seconds / 60 % 60
    }

    pub(crate) fn second(&self) -> i64 {
        self.seconds % 60
    }

    /// 1 to 366.
    fn day_of_year(&self) -> u32 {
        let before: u32 = (1..self.month).map(|m| days_in_month(self.year, m)).sum();
        before + self.day
    }
}

/// Seconds from Go's earliest year to 1970: Go counts time from there in 64 bits without a sign, and so wraps.
const FROM_EARLIEST_YEAR: i128 =
    (730_692_556 * DAYS_IN_CYCLE + DAYS_TO_1970) * SECONDS_IN_DAY as i128;

fn since_earliest_year(seconds: i64) -> i128 {
    (i128::from(seconds) + FROM_EARLIEST_YEAR).rem_euclid(1 << 64)
}

/// The day, 1970-01-01 being 0.
fn wrapped_days(seconds: i64) -> i128 {
    let day = i128::from(SECONDS_IN_DAY);
    since_earliest_year(seconds) / day - FROM_EARLIEST_YEAR / day
}

fn wrapped_seconds(seconds: i64) -> i64 {
    let rest = since_earliest_year(seconds) % i128::from(SECONDS_IN_DAY);
    i64::try_from(rest).unwrap_or(0)
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        // Worked with `date -u -d @…`.
        for (seconds, date, weekday, day_of_year, hour) in [
            (0.0, (1970, 1, 1), 4, 1, 0),
            (951_825_599.0, (2000, 2, 29), 2, 60, 11),
            (1_709_164_800.0, (2024, 2, 29), 4, 60, 0),
            (-1.0, (1969, 12, 31), 3, 365, 23),
            (4_102_444_800.0, (2100, 1, 1), 5, 1, 0),
        ] {
            let part = |part: DatePart| part.at(seconds);
            let got = (
                part(DatePart::Year),
                part(DatePart::Month),
                part(DatePart::DayOfMonth),
            );
            assert_eq!(
                got,
                (date.0 as f64, f64::from(date.1), f64::from(date.2)),
                "{seconds}"
            );
            assert_eq!(part(DatePart::DayOfWeek), f64::from(weekday), "{seconds}");
            assert_eq!(
                part(DatePart::DayOfYear),
                f64::from(day_of_year),
                "{seconds}"
            );
            assert_eq!(part(DatePart::Hour), f64::from(hour), "{seconds}");
        }
        assert_eq!(DatePart::DaysInMonth.at(951_825_599.0), 29.0);
        assert_eq!(
            DatePart::DaysInMonth.at(-2_208_988_800.0 + 32.0 * 86_400.0),
            28.0
        );
    }

    #[test]
    fn what_is_no_time_is_a_date_all_the_same() {
        for v in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let year = DatePart::Year.at(v);
            assert_eq!(year, DatePart::Year.at(f64::NAN), "{v}");
        }
    }
}
