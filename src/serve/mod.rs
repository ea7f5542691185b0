//! API and console.
