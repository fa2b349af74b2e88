//! Private set intersection: parties find the firms that all of them know, and no others.

pub mod group;
