//! How offers end, and when a rollout's brake is pulled: pure.
