//! Decoding: bytes to readings, by declarative device profiles. No input or output but the profile folder.
