//! Off-peak nudges (避峰): peaks, candidates, frozen baselines, messages, channels.
