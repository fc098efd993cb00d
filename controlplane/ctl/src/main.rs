//! The executable `sluicectl`.

fn main() {}
