//! How hard the rings are to break.
