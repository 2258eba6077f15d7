//! Dates of steps: as their file writes them, and how they go on behind its end.

use jiff::civil::DateTime;
use jiff::{SignedDuration, Span};

/// What the steps of a table are called.
#[derive(Clone, Debug, PartialEq)]
pub struct Dates {
    /// The name of their column.
    pub title: String,
    /// One a step, as the file writes them.
    pub rows: Vec<Box<str>>,
}

/// Forms of dates: what is read, and what stands behind a text before it is read by that.
const FORMS: [(&str, &str, &str); 14] = [
    ("%Y-%m-%d", "", ""),
    ("%Y%m%d", "", ""),
    ("%Y/%m/%d", "", ""),
    ("%Y.%m.%d", "", ""),
    ("%d.%m.%Y", "", ""),
    ("%d/%m/%Y", "", ""),
    ("%m/%d/%Y", "", ""),
    ("%Y-%m", "-%d", "-01"),
    ("%Y/%m", "/%d", "/01"),
    ("%Y%m", "%d", "01"),
    ("%Y-%m-%d %H:%M:%S", "", ""),
    ("%Y-%m-%d %H:%M", "", ""),
    ("%Y-%m-%dT%H:%M:%S", "", ""),
    ("%Y-%m-%dT%H:%M:%SZ", "", ""),
];
/// Dates that are needed to see an interval: of two it may be a month or so many days.
const LEAST: usize = 3;
/// Years in which digits alone are taken for a date.
const YEARS: std::ops::RangeInclusive<i16> = 1600..=2200;

/// What lies between a date and the next.
#[derive(Clone, Copy, PartialEq)]
enum Interval {
    /// The same day so many months later.
    Months(i32),
    /// The last day of the month so many months later.
    Ends(i32),
    Time(SignedDuration),
}

impl Interval {
    /// The one interval between all of them, in order; none where they differ.
    fn of(dates: &[DateTime]) -> Option<Self> {
        let every = |of: &dyn Fn(DateTime, DateTime) -> Option<Self>| {
            let first = of(dates[0], dates[1])?;
            dates.windows(2).all(|pair| of(pair[0], pair[1]) == Some(first)).then_some(first)
        };
        let months = |from: DateTime, to: DateTime| {
            let months = 12 * (i32::from(to.year()) - i32::from(from.year())) + i32::from(to.month()) - i32::from(from.month());
            (from.time() == to.time() && months > 0).then_some(months)
        };
        let is_end = |date: DateTime| date.date() == date.date().last_of_month();
        every(&|from, to| months(from, to).filter(|_| from.day() == to.day()).map(Self::Months))
            .or_else(|| every(&|from, to| months(from, to).filter(|_| is_end(from) && is_end(to)).map(Self::Ends)))
            .or_else(|| every(&|from, to| Some(to.duration_since(from)).filter(SignedDuration::is_positive).map(Self::Time)))
    }

    /// The date so many intervals behind another.
    fn behind(self, last: DateTime, times: usize) -> Option<DateTime> {
        let times = i32::try_from(times).ok()?;
        let later = |months: i32| last.checked_add(Span::new().try_months(months.checked_mul(times)?).ok()?).ok();
        match self {
            Self::Months(months) => later(months),
            Self::Ends(months) => later(months).map(|date| date.date().last_of_month().to_datetime(date.time())),
            Self::Time(each) => last.checked_add(each.checked_mul(times)?).ok(),
        }
    }
}

/// The `count` dates behind `known`, in their form: days, weeks, months or years later where they are regular, numbers where they are numbers;
/// `None` where nothing regular is seen.
pub fn go_on<S: AsRef<str>>(known: &[S], count: usize) -> Option<Vec<String>> {
    if known.len() < LEAST {
        return None;
    }
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let mut ways = FORMS.iter().filter_map(|form| dated(&known, count, *form));
    if let Some(found) = ways.next() {
        // Days and months of `01/02/2003` may stand either way round: only where both come to the same are they known.
        return ways.all(|other| other == found).then_some(found);
    }
    if known.iter().all(|text| is_date(text)) { None } else { numbered(&known, count) }
}

/// Whether digits alone are a date in some form, whose months and days end before their digits do.
fn is_date(text: &str) -> bool {
    FORMS.iter().any(|form| read(text, *form).is_some())
}

fn read(text: &str, (form, rest, lacking): (&str, &str, &str)) -> Option<DateTime> {
    let date = DateTime::strptime(format!("{form}{rest}"), format!("{text}{lacking}")).ok()?;
    let plain = !text.bytes().all(|b| b.is_ascii_digit()) || YEARS.contains(&date.year());
    (plain && date.strftime(form).to_string() == text).then_some(date)
}

fn dated(known: &[&str], count: usize, form: (&str, &str, &str)) -> Option<Vec<String>> {
    let dates: Vec<DateTime> = known.iter().map(|text| read(text, form)).collect::<Option<_>>()?;
    let (interval, last) = (Interval::of(&dates)?, *dates.last()?);
    (1..=count).map(|times| Some(interval.behind(last, times)?.strftime(form.0).to_string())).collect()
}

/// Numbers that rise by the same step: years, indices, seconds.
fn numbered(known: &[&str], count: usize) -> Option<Vec<String>> {
    let numbers: Vec<f64> = known.iter().map(|text| text.parse().ok().filter(|v: &f64| v.is_finite())).collect::<Option<_>>()?;
    let (first, last) = (numbers[0], *numbers.last()?);
    let step = (last - first) / (numbers.len() - 1) as f64;
    let near = |(at, value): (usize, &f64)| (value - (first + step * at as f64)).abs() <= 1e-6 * step;
    if step <= 0.0 || !numbers.iter().enumerate().all(near) {
        return None;
    }
    let digits = known.iter().map(|text| text.split_once('.').map_or(0, |(_, fraction)| fraction.len())).max()?;
    Some((1..=count).map(|times| format!("{:.digits$}", last + step * times as f64)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(known: &str, count: usize) -> Option<String> {
        let known: Vec<&str> = known.split(',').collect();
        go_on(&known, count).map(|dates| dates.join(","))
    }

    #[test]
    fn regular_dates_go_on_in_their_form() {
        for (known, next) in [
            ("2020-02-27,2020-02-28,2020-02-29", "2020-03-01,2020-03-02"),
            ("19580329,19580405,19580412", "19580419,19580426"),
            ("1700,1701,1702", "1703,1704"),
            ("2019-11-01,2019-12-01,2020-01-01", "2020-02-01,2020-03-01"),
            ("2019-11-30,2019-12-31,2020-01-31", "2020-02-29,2020-03-31"),
            ("2000-02-29,2004-02-29,2008-02-29", "2012-02-29,2016-02-29"),
            ("2019-10,2019-11,2019-12", "2020-01,2020-02"),
            ("195810,195811,195812", "195901,195902"),
            ("2020-12-31 22:00,2020-12-31 23:00,2021-01-01 00:00", "2021-01-01 01:00,2021-01-01 02:00"),
            ("24/12/2020,25/12/2020,26/12/2020", "27/12/2020,28/12/2020"),
            ("0.25,0.50,0.75", "1.00,1.25"),
            ("30.01.2021,31.01.2021,01.02.2021", "02.02.2021,03.02.2021"),
        ] {
            assert_eq!(on(known, 2).as_deref(), Some(next), "{known}");
        }
    }

    #[test]
    fn what_is_not_regular_does_not_go_on() {
        for known in [
            "2020-01-01,2020-01-02",
            "2020-01-01,2020-01-02,2020-01-04",
            "2020-01-01,2020-01-01,2020-01-01",
            "19580329,19580405,19580419",
            "Monday,Tuesday,Wednesday",
            "1,2,4",
            "3,2,1",
            "2020-01-01,later,2020-01-03",
        ] {
            assert_eq!(on(known, 2), None, "{known}");
        }
        // The first days of April, or the fourth of the first months: they part behind the twelfth.
        let either = "01/04/2020,02/04/2020,03/04/2020";
        assert_eq!((on(either, 9).is_some(), on(either, 10)), (true, None));
        assert_eq!(on("9999-12-29,9999-12-30,9999-12-31", 1), None, "behind the last date there is");
    }
}
