-- What turns a meter's totals into volume, as its curves were last computed by: settlement, digits, largest flow,
-- fixed factor, as JSON.
CREATE TABLE metering (
    meter INTEGER PRIMARY KEY,
    terms TEXT NOT NULL
);
