//! Placeholder replaced in the same commit series.
