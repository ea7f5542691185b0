//! The registry read from files, every problem listed at once.
