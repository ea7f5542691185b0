//! The integration tests, one binary; folders as in `src/`.

mod architecture;
