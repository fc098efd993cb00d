//! `sluicectl`: a client of the HTTP interface of control, and of nothing else. Whatever it does, `curl` can do.
