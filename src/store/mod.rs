//! Stores: the journal of readings (`readings.db`) and the book of everything else (`qiliang.db`).
