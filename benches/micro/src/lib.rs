//! Costs of single operations, measured alone: the programs of this crate are in `src/bin`.
