use std::os::unix::fs::{PermissionsExt, lchown, symlink};

use tempfile::TempDir;

use super::*;

fn file(mode: u32) -> (TempDir, std::path::PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users");
    fs::write(&path, "text").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

#[test]
fn f5_a_file_that_others_may_read_is_refused_unless_allowed() {
    use FilePermissions::{Any, Group, Owner};
    for (mode, owner, group) in
        [(0o600, true, true), (0o400, true, true), (0o640, false, true), (0o644, false, false), (0o660, false, false)]
    {
        let (_folder, path) = file(mode);
        assert_eq!(read(&path, Owner).is_ok(), owner, "{mode:o}");
        assert_eq!(read(&path, Group).is_ok(), group, "{mode:o}");
        assert_eq!(read(&path, Any).unwrap(), b"text", "{mode:o}");
    }
    let (_folder, path) = file(0o644);
    let error = read(&path, Owner).unwrap_err().to_string();
    assert!(error.contains("mode 0644") && error.contains("chmod 0600"), "{error}");
}

#[test]
fn f5_a_link_planted_by_another_user_is_refused() {
    let (folder, path) = file(0o600);
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(read(&link, FilePermissions::Owner).is_ok());
    if lchown(&link, Some(12_345), None).is_ok() {
        let error = read(&link, FilePermissions::Owner).unwrap_err().to_string();
        assert!(error.contains("made by another user"), "{error}");
    }
}

#[test]
fn f2_what_is_no_readable_file_is_refused() {
    let folder = TempDir::new().unwrap();
    assert!(read(&folder.path().join("none"), FilePermissions::Any).is_err());
    assert!(read(folder.path(), FilePermissions::Any).unwrap_err().what.contains("not a regular file"));
    let path = folder.path().join("bad");
    fs::write(&path, b"one\ntwo \xff\n").unwrap();
    assert_eq!(read_text(&path, FilePermissions::Any).unwrap_err().line, Some(2));
    File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    assert!(read(&path, FilePermissions::Any).unwrap_err().what.contains("more than"));
}
