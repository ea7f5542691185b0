-- Readings whose place in the file is damaged: durable, in the form of the inbox, until they can be put there.
CREATE TABLE aside (
    id    INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    rows  BLOB    NOT NULL
);
