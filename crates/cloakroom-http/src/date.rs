use std::fmt;

use cloakroom_core::Timestamp;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: i64 = 86_400;

/// 9999-12-31 23:59:59: HTTP dates have four digits for the year.
const LAST: i64 = 253_402_300_799;

/// A moment as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`. Before 1970 it is 1970, after 9999 the end of 9999.
pub(crate) struct HttpDate(i64);

impl HttpDate {
    pub(crate) fn new(at: Timestamp) -> Self {
        Self(at.as_millis().div_euclid(1000).clamp(0, LAST))
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0 / DAY, self.0 % DAY);
        let (year, month, day) = civil(days);
        let weekday = WEEKDAYS[usize::try_from(days % 7).unwrap_or(0)];
        let month = MONTHS[usize::try_from(month - 1).unwrap_or(0) % 12];
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

/// Year, month and day from days since 1970, by counting from 1 March of year 0 in eras of 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::HttpDate;
    use cloakroom_core::Timestamp;

    #[test]
    fn http_date_of_known_moments_reads_as_in_the_standard() {
        let text = |seconds: i64| HttpDate::new(Timestamp::from_millis(seconds * 1000)).to_string();
        assert_eq!(text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(text(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
        assert_eq!(text(-5), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(HttpDate::new(Timestamp::MAX).to_string(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
