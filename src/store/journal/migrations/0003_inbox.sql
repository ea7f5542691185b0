-- Readings that are durable but not yet at their place in `readings`: one row is what one commit
-- received, in the order in which it came (store/journal/inbox.rs). Empty while nothing is busy.
CREATE TABLE inbox (
    id   INTEGER PRIMARY KEY,
    rows BLOB NOT NULL
);

-- How far the move has come: of the rows of the inbox up to `through`, put in the order of the key,
-- the first `count` are in `readings`.
CREATE TABLE inbox_moved (
    one     INTEGER PRIMARY KEY CHECK (one = 0),
    through INTEGER NOT NULL,
    count   INTEGER NOT NULL
);
INSERT INTO inbox_moved VALUES (0, 0, 0);
