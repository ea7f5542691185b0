//! A deterministic city: meters, weather, faults, over real protocols.
