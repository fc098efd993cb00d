//! Opening a store: the folder, who owns it, and whether the data is ours to read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rocksdb::{DB, WriteOptions};

use crate::{
    Options, StoreError, families,
    wal::{self, Damage},
};

/// An open database and the lock that keeps other processes out.
pub(crate) struct Opened {
    pub(crate) db: DB,
    pub(crate) lock: File,
}

/// Opens the database in `path`, which is made when missing.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Opened, StoreError> {
    make_private(path).map_err(|source| StoreError::Folder { path: path.into(), source })?;
    let lock = lock(path)?;
    check_log(path, options)?;
    let failed = |source| StoreError::Database { path: path.into(), source };
    let rocks = families::database(options);
    let db = DB::open_cf_descriptors(&rocks, path, families::all(options)).map_err(failed)?;
    match db.get(FORMAT_KEY).map_err(failed)? {
        Some(found) => check_format(path, &found, options)?,
        None => {
            let mut write = WriteOptions::default();
            write.set_sync(true);
            db.put_opt(FORMAT_KEY, format_value(options), &write).map_err(failed)?;
        }
    }
    Ok(Opened { db, lock })
}

/// Sessions, credentials in wills, messages: the folder is for its owner only, whatever the umask is.
fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// RocksDB locks its folder too, but cannot say who holds it.
fn lock(path: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::Folder { path: path.into(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path.join(LOCK_FILE)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(path, file)),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).map_err(failed)?;
    write!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

fn check_log(path: &Path, options: &Options) -> Result<(), StoreError> {
    let damage = wal::check(path).map_err(|source| StoreError::Folder { path: path.into(), source })?;
    let Some(Damage { file, missing }) = damage else {
        if options.accept_loss {
            tracing::warn!(
                "--accept-loss, but nothing is damaged: start without it, or the next damage goes unnoticed"
            );
        }
        return Ok(());
    };
    if !options.accept_loss {
        return Err(StoreError::Damaged { file, missing });
    }
    tracing::error!(file = %file.display(), missing, "the log is damaged; what was stored behind the damage is lost, as --accept-loss allows");
    Ok(())
}

fn in_use(path: &Path, mut file: File) -> StoreError {
    let mut pid = String::new();
    let known = file.read_to_string(&mut pid).is_ok() && pid.parse::<u32>().is_ok();
    let holder = if known { format!("process {pid}") } else { "another process".into() };
    StoreError::InUse { path: path.into(), holder }
}

fn format_value(options: &Options) -> [u8; 6] {
    let mut value = [0; 6];
    value[..4].copy_from_slice(&FORMAT.to_be_bytes());
    value[4..].copy_from_slice(&options.shards.to_be_bytes());
    value
}

fn check_format(path: &Path, value: &[u8], options: &Options) -> Result<(), StoreError> {
    // The format stands first in every version's value; what follows it is the format's own.
    let found = value.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let shards = value.get(4..).and_then(|rest| <[u8; 2]>::try_from(rest).ok()).map(u16::from_be_bytes);
    match shards {
        Some(shards) if found == FORMAT && shards == options.shards => Ok(()),
        Some(found) if value[..4] == FORMAT.to_be_bytes() => {
            Err(StoreError::Shards { path: path.into(), found, configured: options.shards })
        }
        _ => Err(StoreError::Format { path: path.into(), found, supported: FORMAT }),
    }
}

/// Grows when keys, values or families change in a way that an older version cannot read.
const FORMAT: u32 = 1;

/// Where the format and the number of shards stand, in the nameless column family.
const FORMAT_KEY: &[u8] = b"format";

/// Holds the id of the process that has the store open, and the lock that says so.
const LOCK_FILE: &str = "owner.lock";
