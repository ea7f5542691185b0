-- Retention drops what was replayed first, then what is oldest, without reading the rest.
CREATE INDEX rejects_by_age ON rejects (replayed_at IS NULL, last_at);

-- Counting by code reads this and not the payloads.
CREATE INDEX rejects_by_code ON rejects (code, replayed_at, times);

-- What the kept frames weigh, carried along with every change so that no scan is needed.
INSERT INTO counters
SELECT 'reject_bytes', coalesce(sum(length(bytes)), 0) FROM rejects WHERE true
ON CONFLICT DO UPDATE SET value = excluded.value;

-- How far each device's clock stands off, as validate/clock.rs measures it: the least delay between
-- what the clock showed and the arrival, over two windows. is_sent: the frame told the time at which
-- it was sent, so that a delay can be blamed on the clock.
CREATE TABLE clocks (
    meter         INTEGER PRIMARY KEY,
    is_sent       INTEGER NOT NULL,
    since         INTEGER NOT NULL,
    arrivals      INTEGER NOT NULL,
    delay_min_ms  INTEGER NOT NULL,
    before_arrivals     INTEGER NOT NULL,
    before_delay_min_ms INTEGER,
    last_at       INTEGER NOT NULL,
    flagged_at    INTEGER
);
