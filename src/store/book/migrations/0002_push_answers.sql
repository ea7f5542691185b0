-- What a request with an idempotency key was answered; a repeat is answered the same.
CREATE TABLE push_answers (
    token  TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    digest BLOB    NOT NULL,
    at     INTEGER NOT NULL,
    status INTEGER NOT NULL,
    body   BLOB    NOT NULL,
    PRIMARY KEY (token, key)
) WITHOUT ROWID;
CREATE INDEX push_answers_by_time ON push_answers (at);
