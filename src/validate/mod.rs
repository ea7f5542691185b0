//! Validation, estimation and load curves. Pure.
