//! How the process uses memory.

/// Asks the kernel for no huge pages.
///
/// The allocator would take its memory in pages of 2 MiB, each resident as soon as one byte of it is touched, and what
/// is freed seldom makes up a whole one. A broker's memory is many small things that come and go: huge pages cost it
/// half as much again for each idle connection, and tens of MiB after a burst (`docs/adr/0014`).
///
/// Where the kernel refuses, memory is larger and nothing else changes.
pub(crate) fn decline_huge_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
