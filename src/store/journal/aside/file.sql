-- Deliveries that the journal could not take where it is damaged: each row is what one commit brought, in the
-- form of store/journal/aside/record.rs, with its CRC-32. The journal says in `meta`, by this file's name for
-- itself, up to which row it has taken them since.
CREATE TABLE identity (
    one INTEGER PRIMARY KEY CHECK (one = 0),
    id  TEXT NOT NULL
);
INSERT INTO identity VALUES (0, lower(hex(randomblob(16))));

CREATE TABLE entries (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    count    INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    body     BLOB    NOT NULL
);
