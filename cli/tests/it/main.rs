//! The programs themselves: separate processes on loopback, killed and restarted; and what the tool says.

mod anomaly;
mod audit;
mod documentation;
mod joint;
mod model;
mod processes;
mod tool;
mod uploads;
mod vertical;
