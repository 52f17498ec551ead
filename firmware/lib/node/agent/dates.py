"""The date of an HTTP answer, as Unix time."""

_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def http_date_s(text: str) -> int:
    """Unix seconds of an HTTP Date header ("Sun, 06 Nov 1994 08:49:37 GMT", RFC 9110 5.6.7), or 0 when it is none."""
    parts = text.split(" ")
    if len(parts) != 6 or parts[5] != "GMT":
        return 0
    try:
        day, year = int(parts[1]), int(parts[3])
        month = _MONTHS.find(parts[2]) // 3 + 1
        hour, minute, second = [int(part) for part in parts[4].split(":")]
    except ValueError:
        return 0
    if not (1 <= month <= 12 and 1 <= day <= 31 and 1970 <= year <= 9999):
        return 0
    return days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; ports disagree on time.mktime's epoch (Hinnant, "chrono-Compatible Low-Level Date Algorithms")."""
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 719468
